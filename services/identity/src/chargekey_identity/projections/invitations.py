"""Invitations, by where they are to and by whom they are for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from chargekey_common.eventstore.projection import CaughtUp
from chargekey_identity.domain import invitation
from chargekey_identity.domain.events import InvitationEvent
from chargekey_identity.domain.invitation import Invitation


class Invitations:
    """Answers about invitations, oldest first, whatever has become of them."""

    def __init__(self, caught_up: CaughtUp) -> None:
        self._caught_up = caught_up
        self._invitations: dict[str, Invitation] = {}
        self._at_installation: dict[str, list[str]] = defaultdict(list)
        self._of_user: dict[str, list[str]] = defaultdict(list)

    def invitation(self, invitation_id: str) -> Invitation:
        """Return the invitation; raises InvitationUnknownError."""
        with self._caught_up():
            return invitation.existing(self._invitations.get(invitation_id))

    def at(self, installation_id: str) -> Mapping[str, Invitation]:
        """Return those to an installation or a charger of it, by id."""
        with self._caught_up():
            keys = self._at_installation.get(installation_id, ())
            return {key: self._invitations[key] for key in keys}

    def of(self, user_id: str) -> Mapping[str, Invitation]:
        """Return a user's, by id."""
        with self._caught_up():
            keys = self._of_user.get(user_id, ())
            return {key: self._invitations[key] for key in keys}

    def apply(self, key: str, event: InvitationEvent) -> None:
        """Take in one event."""
        before = self._invitations.get(key)
        after = invitation.evolve(before, event)
        self._invitations[key] = after
        if before is None:
            self._of_user[after.given.user_id].append(key)
            if after.given.installation_id is not None:
                self._at_installation[after.given.installation_id].append(key)
