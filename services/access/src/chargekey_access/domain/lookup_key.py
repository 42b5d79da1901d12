"""A lookup key: a partner's public handle, and the reservation that makes it unique (R8)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import assert_never

import msgspec

from chargekey_access.domain.errors import LookupKeyMalformedError
from chargekey_access.domain.events import LookupKeyEvent, LookupKeyFreed, LookupKeyTaken
from chargekey_access.domain.ids import derived

LENGTH = 4
# Before they are made upper-case: beyond ASCII there are letters whose upper case is in it.
_FORM = re.compile(rf"[A-Za-z0-9]{{{LENGTH}}}")
# Without O and 0, I and 1, which people read for one another.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class LookupKey(msgspec.Struct, frozen=True):
    """Which partner the key finds, if any."""

    partner_id: str | None


def canonical(text: str) -> str:
    """Return the key as it is kept, in upper case; raises LookupKeyMalformedError."""
    if _FORM.fullmatch(text) is None:
        raise LookupKeyMalformedError
    return text.upper()


def drawn() -> str:
    """Return a key by chance, which may be somebody's."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(LENGTH))


def reservation_id(lookup_key: str) -> str:
    """One reservation per canonical key, so that two who take the same one meet."""
    return derived("lookup-key", lookup_key)


def evolve(_: LookupKey | None, event: LookupKeyEvent) -> LookupKey:
    """Return whose the key is after `event`."""
    match event:
        case LookupKeyTaken():
            return LookupKey(event.partner_id)
        case LookupKeyFreed():
            return LookupKey(None)
        case _:
            assert_never(event)


def is_free(state: LookupKey | None) -> bool:
    """Whether the key finds nobody."""
    return state is None or state.partner_id is None


def take(partner_id: str) -> Sequence[LookupKeyEvent]:
    """Let a free key find this partner."""
    return [LookupKeyTaken(partner_id=partner_id)]


def free(partner_id: str) -> Sequence[LookupKeyEvent]:
    """Let this partner's key find nobody."""
    return [LookupKeyFreed(partner_id=partner_id)]
