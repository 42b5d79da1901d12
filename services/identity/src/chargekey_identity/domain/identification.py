"""An identification: what a user presents, with a status and perhaps an end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from chargekey_identity.domain.codes import UNREADABLE, Code
from chargekey_identity.domain.errors import IdentificationUnknownError
from chargekey_identity.domain.events import (
    CodeRevealed,
    IdentificationAdded,
    IdentificationCodeChanged,
    IdentificationEvent,
    IdentificationExpiryChanged,
    IdentificationRemoved,
    IdentificationStatus,
    IdentificationStatusChanged,
    IdentificationType,
)


class Identification(msgspec.Struct, frozen=True):
    """The identification as of its last event.

    `installation_id` is a PIN's alone (R13). `code_number` counts the codes it has
    had, from 1. The code is unreadable once its user's key is destroyed.
    """

    user_id: str
    type: IdentificationType
    installation_id: str | None
    status: IdentificationStatus
    valid_until: int | None
    code: Code
    code_number: int = 1
    removed: bool = False


def evolve(state: Identification | None, event: IdentificationEvent) -> Identification:
    """Return the identification after `event`."""
    match event:
        case IdentificationAdded():
            return Identification(
                event.user_id,
                event.type,
                event.installation_id,
                event.status,
                event.valid_until,
                Code(event.code, event.keyed_id),
            )
        case IdentificationStatusChanged():
            return msgspec.structs.replace(existing(state), status=event.status)
        case IdentificationExpiryChanged():
            return msgspec.structs.replace(existing(state), valid_until=event.valid_until)
        case IdentificationCodeChanged():
            before = existing(state)
            return msgspec.structs.replace(
                before,
                code=Code(event.code, event.keyed_id),
                code_number=before.code_number + 1,
            )
        case IdentificationRemoved():
            return msgspec.structs.replace(existing(state), removed=True)
        case CodeRevealed():
            return existing(state)
        case _:
            assert_never(event)


def existing(state: Identification | None) -> Identification:
    """Return one that was not removed; raises IdentificationUnknownError."""
    if state is None or state.removed:
        raise IdentificationUnknownError
    return state


def readable(state: Identification | None) -> Identification:
    """Return one whose code can be known; raises IdentificationUnknownError."""
    identification = existing(state)
    if identification.code == UNREADABLE:
        raise IdentificationUnknownError
    return identification


def without_code(state: Identification) -> Identification:
    """Return it as it may be kept in memory and shown in lists (R17)."""
    return msgspec.structs.replace(state, code=UNREADABLE)


def add(
    *,
    user_id: str,
    identification_type: IdentificationType,
    installation_id: str,
    status: IdentificationStatus,
    valid_until: int | None,
    code: Code,
) -> Sequence[IdentificationEvent]:
    """Let a user of this installation present a code that is reserved for it (S0-16...23)."""
    return [
        IdentificationAdded(
            user_id=user_id,
            type=identification_type,
            installation_id=installation_id if identification_type == "PIN" else None,
            status=status,
            valid_until=valid_until,
            code=code.text,
            keyed_id=code.keyed_id,
        )
    ]


def change_status(
    state: Identification | None, status: IdentificationStatus
) -> Sequence[IdentificationEvent]:
    """Switch it on or off (S0-26)."""
    identification = existing(state)
    if identification.status == status:
        return []
    return [IdentificationStatusChanged(user_id=identification.user_id, status=status)]


def change_expiry(
    state: Identification | None, valid_until: int | None
) -> Sequence[IdentificationEvent]:
    """Let it end at another time, or never (R18)."""
    identification = existing(state)
    if identification.valid_until == valid_until:
        return []
    return [IdentificationExpiryChanged(user_id=identification.user_id, valid_until=valid_until)]


def change_code(state: Identification | None, code: Code) -> Sequence[IdentificationEvent]:
    """Put another code, reserved for it, in the place of the old one (S0-26)."""
    identification = readable(state)
    if identification.code == code:
        return []
    return [
        IdentificationCodeChanged(
            user_id=identification.user_id, code=code.text, keyed_id=code.keyed_id
        )
    ]


def reveal(state: Identification | None) -> Sequence[IdentificationEvent]:
    """Record that the caller is about to be shown the code (R17)."""
    return [CodeRevealed(user_id=readable(state).user_id)]


def remove(state: Identification | None) -> Sequence[IdentificationEvent]:
    """Take it away for good."""
    return [IdentificationRemoved(user_id=readable(state).user_id)]
