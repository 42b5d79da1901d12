"""A scan: for a minute, the next unknown card at a charger is bound to somebody (R16)."""

from __future__ import annotations

from typing import Literal

import msgspec

from chargekey_identity.domain import ids
from chargekey_identity.domain.errors import TypeNotScannableError
from chargekey_identity.domain.events import IdentificationType

State = Literal["WAITING", "PRESENT_AGAIN", "ADDED", "EXPIRED", "CANCELLED", "REFUSED"]

WINDOW = 60 * 10**9
# Chargers ask twice about one tap; whoever means it again takes longer, but not for ever.
AGAIN = 10**9
AGAIN_WITHIN = 20 * 10**9
SCANNABLE: frozenset[IdentificationType] = frozenset({"RFID", "CREDIT_CARD", "VEHICLE_ID"})


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """A scan as it is kept; `state` is as of the last thing that happened.

    Times are in nanoseconds since the epoch, ends exclusive. `installation_id` is where
    the card is to work, empty for wherever its user may charge. `twice` is for who adds
    for himself: what was presented first, and when, waits for the second time. That is
    a fingerprint, never the code.
    """

    id: str
    charger_id: str
    user_id: str
    installation_id: str
    type: IdentificationType
    started_by: str
    twice: bool
    started_at: int
    expires_at: int
    state: State = "WAITING"
    first: bytes = b""
    first_at: int = 0
    identification_id: str = ""
    position: str = ""
    refusal_code: str = ""
    refusal_sentence: str = ""

    def __repr__(self) -> str:
        return f"Scan(id={self.id!r}, state={self.state!r})"


def identification_id(scan_id: str) -> str:
    """Return the id of what the scan adds, so that it adds one thing at most."""
    return ids.derived(f"scanned {scan_id}")


def presented_id(unknown_code_id: str, command_id: str) -> str:
    """Return the id of what a command adds of it, to be found by once the code is gone."""
    return ids.derived(f"presented {unknown_code_id} {command_id}")


def require_scannable(identification_type: IdentificationType) -> None:
    """Raise TypeNotScannableError for what no charger reads."""
    if identification_type not in SCANNABLE:
        raise TypeNotScannableError


def state_at(scan: Scan, now: int) -> State:
    """Return what has become of it; nobody has to come by to end it.

    Nobody is told to present a card again before that would count.
    """
    if scan.state in ("WAITING", "PRESENT_AGAIN") and now >= scan.expires_at:
        return "EXPIRED"
    if scan.state == "PRESENT_AGAIN" and now < scan.first_at + AGAIN:
        return "WAITING"
    return scan.state


def is_open(scan: Scan, now: int) -> bool:
    """Whether the next card is its."""
    return state_at(scan, now) in ("WAITING", "PRESENT_AGAIN")


def concerns(scan: Scan, at: int, now: int) -> bool:
    """Whether something presented at `at`, and heard of `now`, was presented to it."""
    return is_open(scan, now) and scan.started_at <= at < scan.expires_at


def is_confirmed(scan: Scan, fingerprint: bytes, at: int) -> bool:
    """Whether the card presented is to be added now, and not once more first."""
    since = at - scan.first_at
    return not scan.twice or (fingerprint == scan.first and AGAIN <= since <= AGAIN_WITHIN)


def presented(scan: Scan, fingerprint: bytes, at: int) -> Scan:
    """Return it waiting for the same card again; another card, or one too late, begins anew."""
    if fingerprint == scan.first and at < scan.first_at + AGAIN:
        return scan
    return msgspec.structs.replace(scan, state="PRESENT_AGAIN", first=fingerprint, first_at=at)


def refused(scan: Scan, code: str, sentence: str) -> Scan:
    """Return it ended by something that cannot be added."""
    return msgspec.structs.replace(
        scan, state="REFUSED", refusal_code=code, refusal_sentence=sentence
    )


def added(scan: Scan, identification_id: str, position: str) -> Scan:
    """Return it ended by what was added."""
    return msgspec.structs.replace(
        scan, state="ADDED", identification_id=identification_id, position=position
    )
