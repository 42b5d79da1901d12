"""Transactions as chargers of OCPP 2.x tell of them: by names and numbers of their own."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from chargekey_common.keyed_ids import CodeClass
from chargekey_gateway.sessions.journal import Recorded

# What is remembered of a charger's transactions: more than it has connectors, and no more
# than a hostile one may cost.
MOST_REMEMBERED = 16
# Messages of one transaction that come out of their turn: the rest counts as not come.
MOST_APART = 1_000


class Phase(StrEnum):
    """Which part of a transaction is told of (TransactionEventEnumType)."""

    STARTED = "Started"
    UPDATED = "Updated"
    ENDED = "Ended"


class TransactionMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One TransactionEvent, in no version's words.

    `transaction` is the charger's own name for it, `number` counts its messages from 0
    (seqNo). `at` in nanoseconds since the epoch, `connector` the EVSE, 0 where it is not
    told. `token` is there where somebody was presented by this message: who starts it or,
    with `stops`, who ends it. `meter` is the energy register in watt-hours, `meter_began` what
    it was when the transaction began, where the message says so; `power` in watts.
    """

    phase: Phase
    transaction: str
    number: int
    at: int
    connector: int = 0
    token: str | None = None
    announced: CodeClass | None = None
    stops: bool = False
    offline: bool = False
    meter: int | None = None
    meter_began: int | None = None
    power: int | None = None
    reason: str = "Local"

    def __repr__(self) -> str:
        """Show nothing of the token."""
        return f"TransactionMessage({self.phase}, {self.number})"


class Heard:
    """What this replica has heard of one transaction; in memory alone.

    `began_at` and `meter_start` are its own beginning, which is earlier than the session's
    where somebody is authorised only later; `meter_highest` is the most its register has said;
    `refused` is the last start that was refused in it.
    """

    def __init__(self) -> None:
        self.began_at: int | None = None
        self.connector = 0
        self.meter_start: int | None = None
        self.meter_highest: int | None = None
        self.refused: Recorded | None = None
        # All from the one to before the other have come, and those apart from them.
        self._from: int | None = None
        self._next = 0
        self._apart: set[int] = set()

    def take(self, message: TransactionMessage) -> None:
        """Hear a message, in whatever order and however often it comes."""
        self._count(message.number)
        self.connector = self.connector or message.connector
        if message.phase is Phase.STARTED:
            self.began_at = message.at
        if message.meter_began is not None:
            self.meter_start = message.meter_began
        if message.meter is not None:
            if self.meter_start is None or message.phase is Phase.STARTED:
                self.meter_start = message.meter
            known = message.meter if self.meter_highest is None else self.meter_highest
            self.meter_highest = max(message.meter, known)

    def counted(self, meter: int) -> int:
        """Return the register as it counts from the first that was heard here."""
        return meter if self.meter_start is None else meter - self.meter_start

    @property
    def flowed(self) -> bool:
        """Whether the meter has risen since the transaction began, as far as is known here."""
        return (
            self.meter_start is not None
            and self.meter_highest is not None
            and self.meter_highest > self.meter_start
        )

    def missing(self, last: int) -> int:
        """Return how many messages up to the number `last` never came.

        From the lowest number on that was heard here: another replica may have taken those
        before it, or this one in another life.
        """
        if self._from is None:
            return 0
        came = max(0, min(self._next, last + 1) - self._from)
        came += sum(1 for number in self._apart if number <= last)
        lowest = min(self._apart | {self._from})
        return max(0, last + 1 - lowest - came)

    def _count(self, number: int) -> None:
        if self._from is None:
            self._from, self._next = number, number + 1
        if not self._from <= number < self._next and len(self._apart) < MOST_APART:
            self._apart.add(number)
        while self._next in self._apart:
            self._apart.remove(self._next)
            self._next += 1
        while self._from - 1 in self._apart:
            self._from -= 1
            self._apart.remove(self._from)


class Transactions:
    """What is heard of the transactions of all chargers here; the latest few of each."""

    def __init__(self) -> None:
        self._heard: dict[str, dict[str, Heard]] = {}

    def hear(self, charger_id: str, message: TransactionMessage) -> Heard:
        """Return what is known of the message's transaction, the message included."""
        of_charger = self._heard.setdefault(charger_id, {})
        heard = of_charger.pop(message.transaction, None) or Heard()
        of_charger[message.transaction] = heard  # the latest at the end
        if len(of_charger) > MOST_REMEMBERED:
            del of_charger[next(iter(of_charger))]
        heard.take(message)
        return heard

    def forget(self, charger_id: str, transaction: str) -> None:
        """Forget one that has ended."""
        of_charger = self._heard.get(charger_id, {})
        of_charger.pop(transaction, None)
        if not of_charger:
            self._heard.pop(charger_id, None)
