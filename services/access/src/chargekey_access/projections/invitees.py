"""Who is known by an address alone: invited, and not yet known to be anybody (R6, R7)."""

from __future__ import annotations

from chargekey_access.domain.events import (
    OwnershipOffered,
    PartnerMemberAdded,
    PermissionGranted,
    UserArrived,
)
from chargekey_common.eventstore.projection import CaughtUp
from chargekey_common.eventstore.records import DomainEvent


class Invitees:
    """Answers about who was invited and has accepted."""

    def __init__(self, caught_up: CaughtUp) -> None:
        self._caught_up = caught_up
        self._invited: set[str] = set()
        self._arrived: set[str] = set()

    def is_awaited(self, user_id: str) -> bool:
        """Return whether he was invited, and has accepted no invitation ever."""
        with self._caught_up():
            return user_id in self._invited and user_id not in self._arrived

    def apply(self, event: DomainEvent) -> None:
        """Take in one event; most are about something else."""
        match event:
            case PermissionGranted(invited=True, user_id=str(user_id)):
                self._invited.add(user_id)
            case PartnerMemberAdded(invited=True, user_id=user_id):
                self._invited.add(user_id)
            case OwnershipOffered(invited=True, to_user_id=user_id):
                self._invited.add(user_id)
            case UserArrived(user_id=user_id):
                self._arrived.add(user_id)
            case _:
                pass
