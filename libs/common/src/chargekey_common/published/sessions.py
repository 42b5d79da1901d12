"""The SESSIONS stream: what happened at chargers. The gateway writes it first and only here.

A start is one atomic batch of lock, start key and event, so the stream itself
keeps an identification from charging twice and a retried start from counting
twice. The stream sequence of a SessionStarted or StartRefused is its OCPP 1.6
transaction id, unless it says another.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from chargekey_common.published.envelope import PublishedEvent


class OperatorAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the operator of a managed site said of who presents something there, if it did.

    `status` in OCPI 2.2.1's words (AllowedType), or UNREACHABLE: no answer in time, and
    none known. `last_known` where it is what the operator said before, since it said nothing
    in time now, or wants not to be asked. `reference` is the operator's own name for what it
    allowed, or what its token is known by to it alone; `valid_until` an exclusive end in
    nanoseconds since the epoch.
    """

    status: Literal["ALLOWED", "BLOCKED", "EXPIRED", "NO_CREDIT", "NOT_ALLOWED", "UNREACHABLE"]
    last_known: bool = False
    reference: str | None = None
    valid_until: int | None = None


class Inputs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a decision was made from, so that "why" can run the same decision again.

    No code and no keyed id: an identification is named by its id; `token_malformed` is
    what can be nobody's code, `token_ambiguous` what several may have, `token_shortened`
    where a reader told four bytes of a longer number, `nothing_presented` where there is no
    token at all. Times are in nanoseconds since the epoch, `positions`
    those of the view. `managed_externally` where an operator decides. `user_blocked` is any
    block that holds here, `user_blocked_everywhere` one of the whole platform, the only one
    that holds at an open charger too. What a user is given does not count until he is
    `user_verified`. `permission_*` is, of the permissions to charge here, the one that ends
    last, his own or a partner's he is a member of. Identifications of one `group_id` may
    stop each other's sessions; a `group_card` may charge several times at once.
    `operator_answer` is there once the operator of a managed site has been asked. What was
    known at `at` and was `withdrawn` before the decision counts for what began then, and for
    nothing after it. `view_behind` where the view that the decision was made from was not known
    to be complete for longer than the site allows.
    """

    at: int
    charger_known: bool = True
    managed_externally: bool = False
    authorisation_required: bool = True
    token_type: str = ""
    token_malformed: bool = False
    token_ambiguous: bool = False
    token_shortened: bool = False
    nothing_presented: bool = False
    type_enabled: bool = True
    locked_out: bool = False
    identification_id: str | None = None
    identification_status: str | None = None
    identification_valid_until: int | None = None
    user_id: str | None = None
    user_blocked: bool = False
    user_blocked_everywhere: bool = False
    user_verified: bool = True
    permission_id: str | None = None
    permission_on: str | None = None
    permission_valid_until: int | None = None
    group_id: str | None = None
    group_card: bool = False
    charging_elsewhere: bool = False
    operator_answer: OperatorAnswer | None = None
    withdrawn: bool = False
    view_behind: bool = False
    positions: tuple[str, ...] = ()


class _AtCharger(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "sessions"
    about: ClassVar[tuple[str, str]] = ("installation", "installation_id")

    installation_id: str
    charger_id: str


class AuthorizationRefused(_AtCharger, frozen=True, kw_only=True):
    """A tap was refused; `status` is OCPP's word, `reason` ours."""

    status: str
    reason: str
    inputs: Inputs
    user_id: str | None = None
    identification_id: str | None = None


class _Start(_AtCharger, frozen=True, kw_only=True):
    session_id: str
    connector: int
    started_at: int
    meter_start: int
    status: str
    reason: str
    inputs: Inputs
    user_id: str | None = None
    identification_id: str | None = None
    offline: bool = False
    ocpp_transaction_id: str | None = None
    meter_unknown: bool = False


class SessionStarted(_Start, frozen=True, kw_only=True):
    """A charge began. Times in nanoseconds since the epoch, the meter in watt-hours.

    `offline`: it began while the charger had no connection, and was judged as of then (R23).
    `ocpp_transaction_id` is the charger's own name for it, which OCPP 2.x has.
    `meter_unknown`: nobody told where the meter stood. Then `meter_start` is 0, and what the
    session's updates and its end tell of the meter counts from the first reading on.
    `transaction_id` is there in a stream that was lost and made again, where the start
    of a session that still runs is told again: it keeps its id.
    """

    valid_until: int | None = None
    transaction_id: int | None = None


class StartRefused(_Start, frozen=True, kw_only=True):
    """A transaction the charger began was refused; it still has its transaction id."""


class SessionUpdated(_AtCharger, frozen=True, kw_only=True):
    """What a session's meter said: now and then while it runs, never twice for one `at`.

    The register `meter` in watt-hours, the `power` drawn in watts where it is told.
    """

    session_id: str
    transaction_id: int
    connector: int
    at: int
    meter: int
    power: int | None = None
    user_id: str | None = None
    identification_id: str | None = None


class SessionEnded(_AtCharger, frozen=True, kw_only=True):
    """The charge is over; `reason` is the charger's (OCPP 1.6 §7.36).

    `presumed`: the charger did not say so, but started again or showed the connector free,
    or somebody ended it in the books. `messages_missing` counts what the charger sent of it
    and never arrived, where it numbers its messages (OCPP 2.x seqNo).
    """

    session_id: str
    transaction_id: int
    connector: int
    ended_at: int
    meter_stop: int
    reason: str
    user_id: str | None = None
    identification_id: str | None = None
    presumed: bool = False
    messages_missing: int = 0


class SessionCorrected(_AtCharger, frozen=True, kw_only=True):
    """The charger told after all how a session ended whose end was presumed."""

    session_id: str
    transaction_id: int
    ended_at: int
    meter_stop: int
    reason: str


EVENTS = (
    AuthorizationRefused,
    SessionStarted,
    StartRefused,
    SessionUpdated,
    SessionEnded,
    SessionCorrected,
)
