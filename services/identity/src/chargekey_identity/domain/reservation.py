"""A code's reservation: whose it is, if anybody's.

Its id follows from the keyed id, so whoever wants the same code meets the same
aggregate, and of two at once the store lets one win (R13, R15).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from chargekey_identity.domain import ids
from chargekey_identity.domain.codes import Code
from chargekey_identity.domain.errors import (
    CodeInUseError,
    CodeUnavailableError,
    RfidInUseError,
)
from chargekey_identity.domain.events import (
    CodeReleased,
    CodeReserved,
    IdentificationType,
    ReservationEvent,
)


class CodeReservation(msgspec.Struct, frozen=True):
    """The reservation as of its last event; a released code has no holder."""

    identification_id: str | None


def reservation_id(code: Code) -> str:
    """One reservation per keyed id, so that the same code meets itself."""
    return ids.derived(code.keyed_id)


def evolve(_: CodeReservation | None, event: ReservationEvent) -> CodeReservation:
    """Return the reservation after `event`."""
    match event:
        case CodeReserved():
            return CodeReservation(event.identification_id)
        case CodeReleased():
            return CodeReservation(None)
        case _:
            assert_never(event)


def is_held(state: CodeReservation | None) -> bool:
    """Whether it is anybody's."""
    return state is not None and state.identification_id is not None


def reserve(
    state: CodeReservation | None,
    identification_type: IdentificationType,
    *,
    user_id: str,
    identification_id: str,
) -> Sequence[ReservationEvent]:
    """Give a free code to an identification.

    Raises CodeUnavailableError, RfidInUseError or CodeInUseError.
    """
    if is_held(state):
        match identification_type:
            case "PIN":
                raise CodeUnavailableError
            case "RFID" | "CREDIT_CARD":
                raise RfidInUseError
            case _:
                raise CodeInUseError
    return [CodeReserved(user_id=user_id, identification_id=identification_id)]


def release(
    state: CodeReservation | None, *, user_id: str, identification_id: str
) -> Sequence[ReservationEvent]:
    """Free the code an identification has; what is somebody else's by now stays his."""
    if state is None or state.identification_id != identification_id:
        return []
    return [CodeReleased(user_id=user_id, identification_id=identification_id)]
