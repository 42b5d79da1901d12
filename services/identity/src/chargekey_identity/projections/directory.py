"""Who there is and what they have: users and identifications, without any code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from chargekey_common.eventstore.projection import Projection
from chargekey_common.eventstore.records import Record
from chargekey_common.eventstore.store import EventStore
from chargekey_identity.domain import identification, user
from chargekey_identity.domain.errors import IdentificationUnknownError
from chargekey_identity.domain.events import (
    IdentificationAdded,
    IdentificationCodeChanged,
    IdentificationExpiryChanged,
    IdentificationRemoved,
    IdentificationStatusChanged,
    LocalUserAdded,
    UserBlocked,
    UserRenamed,
    UserUnblocked,
)
from chargekey_identity.domain.identification import Identification
from chargekey_identity.domain.user import User


class Directory(Projection):
    """Answers about users by name, and about identifications by everything but their codes."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self._users: dict[str, User] = {}
        self._at_installation: dict[str, list[str]] = defaultdict(list)
        self._identifications: dict[str, Identification] = {}
        self._of_user: dict[str, list[str]] = defaultdict(list)

    def user(self, user_id: str) -> User:
        """Return the user; raises UserUnknownError."""
        with self.caught_up():
            return user.existing(self._users.get(user_id))

    def users(self, installation_id: str) -> Sequence[tuple[str, User]]:
        """Return an installation's local users with their ids, oldest first."""
        with self.caught_up():
            return [
                (key, self._users[key]) for key in self._at_installation.get(installation_id, ())
            ]

    def holder_of(self, identification_id: str) -> str:
        """Return the id of the user who has an identification, or had one that was removed.

        Raises IdentificationUnknownError.
        """
        with self.caught_up():
            if identification_id not in self._identifications:
                raise IdentificationUnknownError
            return self._identifications[identification_id].user_id

    def identifications(self, user_id: str) -> Sequence[tuple[str, Identification]]:
        """Return what a user has, codes left out, oldest first; raises UserUnknownError."""
        self.user(user_id)
        with self.caught_up():
            found = [(key, self._identifications[key]) for key in self._of_user.get(user_id, ())]
            return [(key, state) for key, state in found if not state.removed]

    def apply(self, record: Record) -> None:
        """Take in one event."""
        key, event = record.originator_id, record.event
        match event:
            case LocalUserAdded() | UserRenamed() | UserBlocked() | UserUnblocked():
                self._users[key] = user.evolve(self._users.get(key), event)
                if isinstance(event, LocalUserAdded):
                    self._at_installation[event.installation_id].append(key)
            case (
                IdentificationAdded()
                | IdentificationStatusChanged()
                | IdentificationExpiryChanged()
                | IdentificationCodeChanged()
                | IdentificationRemoved()
            ):
                state = identification.evolve(self._identifications.get(key), event)
                self._identifications[key] = identification.without_code(state)
                if isinstance(event, IdentificationAdded):
                    self._of_user[event.user_id].append(key)
            case _:
                pass  # a reveal changes nothing, and reservations are met by their ids alone
