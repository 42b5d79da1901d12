"""What each user has that his erasure ends, by ids alone: nothing personal is needed for it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chargekey_common.eventstore.projection import Projection
from chargekey_common.eventstore.records import Record
from chargekey_common.eventstore.store import EventStore
from chargekey_identity.domain.errors import UserUnknownError
from chargekey_identity.domain.events import (
    CodeReleased,
    CodeReserved,
    EmailReleased,
    EmailReserved,
    IdentificationAdded,
    IdentificationRemoved,
    InvitationAccepted,
    InvitationCreated,
    InvitationRevoked,
    LocalUserAdded,
    UserErased,
    UserEvent,
)


class Belongings(msgspec.Struct, frozen=True):
    """A user's own, by their aggregates' ids, oldest first; what has ended is in here no more."""

    # Of a LOCAL user.
    home: str | None
    erased: bool
    left: Sequence[str]

    @property
    def gone(self) -> bool:
        """Whether he is erased and nothing of his is left."""
        return self.erased and not self.left


class Owned(Projection):
    """Answers about everybody's, the erased included."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self._homes: dict[str, str | None] = {}  # of everybody who ever was
        self._erased: set[str] = set()
        self._left: dict[str, dict[str, None]] = {}

    def of(self, user_id: str) -> Belongings:
        """Return what a user has by now; raises UserUnknownError where he never was."""
        with self.caught_up():
            if user_id not in self._homes:
                raise UserUnknownError
            left = tuple(self._left.get(user_id, ()))
            return Belongings(self._homes[user_id], user_id in self._erased, left)

    def erased(self) -> frozenset[str]:
        """Return everybody who was erased."""
        with self.caught_up():
            return frozenset(self._erased)

    def apply(self, record: Record) -> None:
        """Take in one event."""
        key, event = record.originator_id, record.event
        match event:
            case IdentificationAdded() | CodeReserved() | EmailReserved() | InvitationCreated():
                self._left.setdefault(event.user_id, {})[key] = None
            case (
                IdentificationRemoved()
                | CodeReleased()
                | EmailReleased()
                | InvitationAccepted()
                | InvitationRevoked()
            ):
                self._drop(event.user_id, key)
            case _ if isinstance(event, UserEvent):
                home = event.installation_id if isinstance(event, LocalUserAdded) else None
                self._homes.setdefault(key, home)
                if isinstance(event, UserErased):
                    self._erased.add(key)
            case _:
                pass  # changes what a thing is like, and not whose it is

    def _drop(self, user_id: str, key: str) -> None:
        left = self._left.get(user_id, {})
        left.pop(key, None)
        if not left:
            self._left.pop(user_id, None)
