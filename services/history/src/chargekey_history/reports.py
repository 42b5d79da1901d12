"""Reports over ended sessions (R24): who charged how much where, and sums that add up exactly.

Pure: sessions in, rows out. Energy and time are added up in whole watt-hours and, of each
session, whole seconds, so the parts of a report always have the sum of its total.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import msgspec

from chargekey_history.projections.past import Charge, delivered

A_SECOND = 10**9  # nanoseconds


class Row(msgspec.Struct, frozen=True):
    """What the sessions of one charger, user or identification come to."""

    id: str
    sessions: int = 0
    energy_wh: int = 0
    duration_seconds: int = 0
    offline_sessions: int = 0


class Report(msgspec.Struct, frozen=True):
    """The parts, each by id, and the total.

    The chargers come to the total; so do the users, and so do the identifications, each
    together with the sessions without a user, which are per charger. What a user charged
    without presenting anything stands under an identification without id. `refused` is what
    flowed all the same after refused starts: in none of the others. `periods` are the same
    sessions again, by when they ended.
    """

    chargers: Sequence[Row]
    users: Sequence[Row]
    identifications: Sequence[Row]
    without_user: Sequence[Row]
    total: Row
    refused: Row
    periods: Sequence[Row] = ()


def report(
    charges: Iterable[Charge], refused: Iterable[Charge] = (), bounds: Sequence[int] = ()
) -> Report:
    """Add them up, and what flowed after refused starts apart.

    `bounds` are ascending moments in nanoseconds: a period is what ended from one on and
    before the next.
    """
    periods = [_Part() for _ in bounds[1:]]
    chargers, users, identifications, without_user, total, apart = (_Part() for _ in range(6))
    for each in charges:
        chargers.add(each.charger_id, each)
        if each.user_id is None:
            without_user.add(each.charger_id, each)
        else:
            users.add(each.user_id, each)
            identifications.add(each.identification_id or "", each)
        total.add("", each)
        period = bisect_right(bounds, each.ended_at) - 1
        if 0 <= period < len(periods):
            periods[period].add("", each)
    for each in refused:
        apart.add("", each)
    return Report(
        chargers.rows(),
        users.rows(),
        identifications.rows(),
        without_user.rows(),
        total.row(),
        apart.row(),
        [each.row() for each in periods],
    )


class _Part:
    def __init__(self) -> None:
        self._sums: dict[str, list[int]] = {}

    def add(self, key: str, charge: Charge) -> None:
        sums = self._sums.setdefault(key, [0, 0, 0, 0])
        sums[0] += 1
        sums[1] += delivered(charge.meter_start, charge.meter_stop)
        sums[2] += max(charge.ended_at - charge.started_at, 0) // A_SECOND
        sums[3] += charge.offline

    def row(self) -> Row:
        """Return the only row there is, or an empty one."""
        [row] = self.rows() or [Row("")]
        return row

    def rows(self) -> Sequence[Row]:
        return [Row(key, *self._sums[key]) for key in sorted(self._sums)]
