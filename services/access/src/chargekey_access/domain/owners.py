"""The owners of an installation: one small consistency unit for the last-owner rule (R6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from chargekey_access.domain.errors import LastOwnerError
from chargekey_access.domain.events import OwnerAdded, OwnerRemoved, OwnersEvent

Owners = frozenset[str]


def evolve(state: Owners | None, event: OwnersEvent) -> Owners:
    """Return the owners after `event`."""
    owners = state or frozenset()
    match event:
        case OwnerAdded():
            return owners | {event.user_id}
        case OwnerRemoved():
            return owners - {event.user_id}
        case _:
            assert_never(event)


def change(
    state: Owners | None, *, installation_id: str, user_id: str, owns: bool
) -> Sequence[OwnersEvent]:
    """Make a user an owner or no longer one; raises LastOwnerError."""
    owners = state or frozenset()
    if owns == (user_id in owners):
        return []
    if owns:
        return [OwnerAdded(installation_id=installation_id, user_id=user_id)]
    if len(owners) == 1:
        raise LastOwnerError
    return [OwnerRemoved(installation_id=installation_id, user_id=user_id)]
