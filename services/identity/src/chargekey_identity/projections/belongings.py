"""What each user has that his erasure ends, by ids alone: nothing personal is needed for it."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator

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


class Belongings(msgspec.Struct):
    """A user's own, by their aggregates' ids, oldest first."""

    # Of a LOCAL user.
    home: str | None = None
    known: bool = False
    erased: bool = False
    # Each with whether it is still his, or still waits.
    identifications: dict[str, bool] = {}
    codes: dict[str, bool] = {}
    addresses: dict[str, bool] = {}
    invitations: dict[str, bool] = {}

    @property
    def left(self) -> Iterator[str]:
        """The ids of what has not ended."""
        for own in (self.identifications, self.codes, self.addresses, self.invitations):
            yield from (key for key, lasts in own.items() if lasts)

    @property
    def gone(self) -> bool:
        """Whether he is erased and nothing of his is left."""
        return self.erased and not any(self.left)


class Owned(Projection):
    """Answers about everybody's, the erased included."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self._of: dict[str, Belongings] = defaultdict(Belongings)

    def of(self, user_id: str) -> Belongings:
        """Return what a user has by now; raises UserUnknownError where he never was."""
        with self.caught_up():
            found = self._of.get(user_id)
            if found is None or not found.known:
                raise UserUnknownError
            return copy.deepcopy(found)

    def erased(self) -> frozenset[str]:
        """Return everybody who was erased."""
        with self.caught_up():
            return frozenset(key for key, found in self._of.items() if found.erased)

    def apply(self, record: Record) -> None:
        """Take in one event."""
        key, event = record.originator_id, record.event
        match event:
            case IdentificationAdded() | IdentificationRemoved():
                lasts = isinstance(event, IdentificationAdded)
                self._of[event.user_id].identifications[key] = lasts
            case CodeReserved() | CodeReleased():
                self._of[event.user_id].codes[key] = isinstance(event, CodeReserved)
            case EmailReserved() | EmailReleased():
                self._of[event.user_id].addresses[key] = isinstance(event, EmailReserved)
            case InvitationCreated() | InvitationAccepted() | InvitationRevoked():
                waits = isinstance(event, InvitationCreated)
                self._of[event.user_id].invitations[key] = waits
            case _ if isinstance(event, UserEvent):
                his = self._of[key]
                his.known = True
                if isinstance(event, LocalUserAdded):
                    his.home = event.installation_id
                his.erased = his.erased or isinstance(event, UserErased)
            case _:
                pass  # changes what a thing is like, and not whose it is
