"""Who there is and what they have: users and identifications, without any code.

Names and addresses are held for as long as their user is not erased. Invitations and
sign-in links are parts of their own, read in one go with the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from chargekey_common.eventstore.projection import Projection
from chargekey_common.eventstore.records import Record
from chargekey_common.eventstore.store import EventStore
from chargekey_identity.domain import identification, user
from chargekey_identity.domain.errors import IdentificationUnknownError
from chargekey_identity.domain.events import (
    CredentialEvent,
    IdentificationAdded,
    IdentificationEvent,
    InvitationCreated,
    InvitationEvent,
    LocalUserAdded,
    UserEvent,
)
from chargekey_identity.domain.identification import Identification
from chargekey_identity.domain.user import User
from chargekey_identity.projections.credentials import Credentials
from chargekey_identity.projections.invitations import Invitations
from chargekey_identity.projections.sign_in_links import SignInLinks


class Directory(Projection):
    """Answers about users by name, and about identifications by everything but their codes."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self.invitations = Invitations(self.caught_up)
        self.sign_in_links = SignInLinks(self.caught_up)
        self.credentials = Credentials(self.caught_up)
        self._users: dict[str, User] = {}
        # In the order they came, which pages keep: local users, and those with invited ones.
        self._local_at: dict[str, dict[str, None]] = defaultdict(dict)
        self._people_at: dict[str, dict[str, None]] = defaultdict(dict)
        self._identifications: dict[str, Identification] = {}
        self._of_user: dict[str, list[str]] = defaultdict(list)

    def user(self, user_id: str) -> User:
        """Return the user; raises UserUnknownError."""
        with self.caught_up():
            return user.existing(self._users.get(user_id))

    def users(self, installation_id: str) -> Sequence[str]:
        """Return the ids of an installation's local users, oldest first, erased ones too."""
        with self.caught_up():
            return list(self._local_at.get(installation_id, ()))

    def people(self, installation_id: str) -> Sequence[str]:
        """Return the same with who was ever invited there, in the order they came."""
        with self.caught_up():
            return list(self._people_at.get(installation_id, ()))

    def everybody(self) -> Sequence[str]:
        """Return all users' ids, of every kind, in the order they came, erased ones too."""
        with self.caught_up():
            return list(self._users)

    def once(self, user_id: str) -> User | None:
        """Return the user, also when he was erased; None where he never was."""
        with self.caught_up():
            return self._users.get(user_id)

    def ever(self, user_ids: Iterable[str]) -> Mapping[str, User]:
        """Return those of these users who exist or existed, by id."""
        with self.caught_up():
            found = ((key, self.once(key)) for key in user_ids)
            return {key: state for key, state in found if state is not None}

    def existing(self, user_ids: Iterable[str]) -> Mapping[str, User]:
        """Return those of these users who exist, by id."""
        return {key: state for key, state in self.ever(user_ids).items() if not state.erased}

    def identification(self, identification_id: str) -> Identification:
        """Return it without its code, also one that was removed.

        Raises IdentificationUnknownError.
        """
        with self.caught_up():
            if identification_id not in self._identifications:
                raise IdentificationUnknownError
            return self._identifications[identification_id]

    def described(self, identification_ids: Iterable[str]) -> Mapping[str, Identification]:
        """Return those there are or were, by id, codes left out."""
        with self.caught_up():
            found = ((key, self._identifications.get(key)) for key in identification_ids)
            return {key: state for key, state in found if state is not None}

    def holder_of(self, identification_id: str) -> str:
        """Return the id of the user who has an identification, or had one that was removed.

        Raises IdentificationUnknownError.
        """
        return self.identification(identification_id).user_id

    def every_identification(self, user_id: str) -> Mapping[str, Identification]:
        """Return what a user has and had by id, codes left out, oldest first.

        Raises UserUnknownError.
        """
        with self.caught_up():
            self.user(user_id)
            return {key: self._identifications[key] for key in self._of_user.get(user_id, ())}

    def identifications(self, user_id: str) -> Sequence[tuple[str, Identification]]:
        """Return what a user has, codes left out, oldest first; raises UserUnknownError."""
        found = self.every_identification(user_id)
        return [(key, state) for key, state in found.items() if not state.removed]

    def held(self, user_id: str) -> Sequence[Identification]:
        """Return the same without ids; nothing for who is not known here, or not yet."""
        with self.caught_up():
            found = (self._identifications[key] for key in self._of_user.get(user_id, ()))
            return [state for state in found if not state.removed]

    def apply(self, record: Record) -> None:
        """Take in one event."""
        key, event = record.originator_id, record.event
        if isinstance(event, UserEvent):
            self._users[key] = user.evolve(self._users.get(key), event)
            self.sign_in_links.apply(record)
            if isinstance(event, LocalUserAdded):
                self._local_at[event.installation_id][key] = None
                self._people_at[event.installation_id][key] = None
        elif isinstance(event, CredentialEvent):
            self.credentials.apply(key, event, record.at)
        elif isinstance(event, InvitationEvent):
            self.invitations.apply(key, event)
            if isinstance(event, InvitationCreated) and event.installation_id is not None:
                self._people_at[event.installation_id][event.user_id] = None
        elif isinstance(event, IdentificationEvent):
            state = identification.evolve(self._identifications.get(key), event)
            self._identifications[key] = identification.without_code(state)
            if isinstance(event, IdentificationAdded):
                self._of_user[event.user_id].append(key)
        # What is left changes nothing: reservations, for one, are met by their ids alone.
