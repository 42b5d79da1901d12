"""An identification: what a user presents, with a status and perhaps an end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import assert_never

import msgspec

from chargekey_identity.domain import ids
from chargekey_identity.domain.codes import UNREADABLE, Code
from chargekey_identity.domain.errors import (
    AppNotByHandError,
    GroupMalformedError,
    IdentificationUnknownError,
    InstallationForeignError,
    InstallationMissingError,
    StricterOnlyError,
    TooManyIdentificationsError,
)
from chargekey_identity.domain.events import (
    CodeRevealed,
    IdentificationAdded,
    IdentificationCodeChanged,
    IdentificationEvent,
    IdentificationExpiryChanged,
    IdentificationGroupChanged,
    IdentificationRemoved,
    IdentificationStatus,
    IdentificationStatusChanged,
    IdentificationType,
)
from chargekey_identity.domain.user import User

MOST_PINS = 10
"""Of one user at one installation."""
MOST = 100
"""Of one user in all."""

_GROUP = re.compile(r"[A-Za-z0-9-]{1,20}")


class Group(msgspec.Struct, frozen=True):
    """Which identifications may stop each other's sessions (R22).

    With a `card` several may charge at once (R21). The label is empty once its user's
    key is destroyed.
    """

    label: str = ""
    id: str | None = None
    card: bool = False

    def __repr__(self) -> str:
        return f"Group(id={self.id!r}, card={self.card!r})"


class Identification(msgspec.Struct, frozen=True):
    """The identification as of its last event.

    `installation_id` is the one it works at: of PINs (R13), and of what a site gave to
    somebody with an account. `code_number` counts the codes it has had, from 1. The
    code is unreadable once its user's key is destroyed.
    """

    user_id: str
    type: IdentificationType
    installation_id: str | None
    status: IdentificationStatus
    valid_until: int | None
    code: Code
    group: Group = Group()
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
                Code(event.code, event.keyed_id, event.alias),
                Group(event.group, event.group_id, event.group_card),
            )
        case IdentificationStatusChanged():
            return msgspec.structs.replace(existing(state), status=event.status)
        case IdentificationExpiryChanged():
            return msgspec.structs.replace(existing(state), valid_until=event.valid_until)
        case IdentificationCodeChanged():
            before = existing(state)
            return msgspec.structs.replace(
                before,
                code=Code(event.code, event.keyed_id, event.alias),
                code_number=before.code_number + 1,
            )
        case IdentificationGroupChanged():
            group = Group(event.group, event.group_id, event.group_card)
            return msgspec.structs.replace(existing(state), group=group)
        case IdentificationRemoved():
            # Nobody needs to know what it was; the log has it while its user's key lives.
            return msgspec.structs.replace(
                existing(state), code=UNREADABLE, group=Group(), removed=True
            )
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


def scope(
    holder: User, identification_type: IdentificationType, installation_id: str
) -> str | None:
    """Return the one installation it is to work at; None for wherever its user may charge.

    `installation_id` is the one that was asked for, empty for none. Raises
    InstallationMissingError or InstallationForeignError.
    """
    if holder.kind == "LOCAL":
        if installation_id not in ("", holder.installation_id):
            raise InstallationForeignError
        return holder.installation_id if identification_type == "PIN" else None
    if identification_type == "PIN" and not installation_id:
        raise InstallationMissingError
    return installation_id or None


def group(holder: User, user_id: str, label: str, *, card: bool) -> Group:
    """Return the group that a label is the name of: a site's among its local users.

    Everybody else's labels are his own. Raises GroupMalformedError.
    """
    if not label:
        return Group(card=card)
    if _GROUP.fullmatch(label) is None:
        raise GroupMalformedError
    within = holder.installation_id or user_id
    return Group(label, ids.derived(f"group {within} {label}"), card)


def require_room(
    held: Iterable[Identification],
    identification_type: IdentificationType,
    installation_id: str | None,
    *,
    earlier: Sequence[IdentificationType] = (),
) -> None:
    """Raise TooManyIdentificationsError where a user has as many as anybody may (R13).

    `earlier` is what he is given at the same installation just before.
    """
    lasting = [each for each in held if not each.removed]
    pins = [
        each for each in lasting if each.type == "PIN" and each.installation_id == installation_id
    ]
    too_many_pins = len(pins) + earlier.count("PIN") >= MOST_PINS
    too_many = len(lasting) + len(earlier) >= MOST
    if too_many or (identification_type == "PIN" and too_many_pins):
        raise TooManyIdentificationsError


def is_bound(user_id: str, installation_id: str | None, actor: str, *, is_host: bool) -> bool:
    """Whether an actor may only make it stricter: its user, where others say what he may.

    That is at one installation, unless he owns or operates it himself.
    """
    return installation_id is not None and actor == f"user:{user_id}" and not is_host


def add(
    *,
    user_id: str,
    identification_type: IdentificationType,
    installation_id: str | None,
    status: IdentificationStatus,
    valid_until: int | None,
    code: Code,
    group: Group = Group(),  # noqa: B008 - it is immutable
    bound: bool = False,
) -> Sequence[IdentificationEvent]:
    """Let a user present a code that is reserved for it, at his `scope` (S0-16...23).

    Raises StricterOnlyError where who is `bound` wants what only owners give.
    """
    if bound and group.card:
        raise StricterOnlyError
    return [
        IdentificationAdded(
            user_id=user_id,
            type=identification_type,
            installation_id=installation_id,
            status=status,
            valid_until=valid_until,
            code=code.text,
            keyed_id=code.keyed_id,
            alias=code.alias,
            group=group.label,
            group_id=group.id,
            group_card=group.card,
        )
    ]


def by_hand(state: Identification | None) -> Identification:
    """Return one that people make and take away; raises AppNotByHandError."""
    identification = existing(state)
    if identification.type == "APP":
        raise AppNotByHandError
    return identification


def change_status(
    state: Identification | None, status: IdentificationStatus, *, bound: bool = False
) -> Sequence[IdentificationEvent]:
    """Switch it on or off (S0-26); who is `bound` does not undo a block: StricterOnlyError."""
    identification = existing(state)
    if identification.status == status:
        return []
    if bound and identification.status == "BLOCKED":
        raise StricterOnlyError
    return [IdentificationStatusChanged(user_id=identification.user_id, status=status)]


def change_expiry(
    state: Identification | None, valid_until: int | None, *, bound: bool = False
) -> Sequence[IdentificationEvent]:
    """Let it end at another time, or never (R18); for who is `bound`, no later.

    Raises StricterOnlyError.
    """
    identification = existing(state)
    end = identification.valid_until
    if end == valid_until:
        return []
    if bound and end is not None and (valid_until is None or valid_until > end):
        raise StricterOnlyError
    return [IdentificationExpiryChanged(user_id=identification.user_id, valid_until=valid_until)]


def change_code(state: Identification | None, code: Code) -> Sequence[IdentificationEvent]:
    """Put another code, reserved for it, in the place of the old one (S0-26)."""
    identification = readable(state)
    if identification.code == code:
        return []
    return [
        IdentificationCodeChanged(
            user_id=identification.user_id,
            code=code.text,
            keyed_id=code.keyed_id,
            alias=code.alias,
        )
    ]


def change_group(
    state: Identification | None, group: Group, *, bound: bool = False
) -> Sequence[IdentificationEvent]:
    """Put it in another group, or in none (R22).

    Raises StricterOnlyError where who is `bound` makes a group card of it (R21).
    """
    identification = existing(state)
    if identification.group == group:
        return []
    if bound and group.card and not identification.group.card:
        raise StricterOnlyError
    return [
        IdentificationGroupChanged(
            user_id=identification.user_id,
            group=group.label,
            group_id=group.id,
            group_card=group.card,
        )
    ]


def reveal(state: Identification | None) -> Sequence[IdentificationEvent]:
    """Record that the caller is about to be shown the code (R17)."""
    return [CodeRevealed(user_id=readable(state).user_id)]


def remove(state: Identification | None) -> Sequence[IdentificationEvent]:
    """Take it away for good."""
    return [IdentificationRemoved(user_id=readable(state).user_id)]
