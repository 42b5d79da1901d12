"""What happens whenever a person has shown who he is: by a mailed link, or a provider."""

from __future__ import annotations

from chargekey_common.eventstore.store import EventStore, Work, command
from chargekey_identity.application.identifications import Identifications
from chargekey_identity.domain import invitation, user
from chargekey_identity.domain.user import SignInWay
from chargekey_identity.projections.directory import Directory


class Arrivals:
    """Letting people in."""

    def __init__(
        self, store: EventStore, directory: Directory, identifications: Identifications
    ) -> None:
        self.store = store
        self._directory = directory
        self._identifications = identifications

    @command
    def sign_in(self, work: Work, *, user_id: str, by: SignInWay, language: str = "") -> None:
        """Let a user in; raises UserUnknownError or SignInRefusedError."""
        self.arrive(work, user_id, by, language)

    def arrive(
        self, work: Work, user_id: str, by: SignInWay, language: str, time_zone: str = ""
    ) -> None:
        """Do the same within another command.

        The first time verifies his address, tells what he reads and where his clock is, and gives
        him his APP identification. Every time accepts what invitations wait for him, those included
        whose links expired: what he was given was not taken back.
        """
        person = work.load(user.evolve, user_id)
        events = user.sign_in(person.state, by, language=language, time_zone=time_zone)
        work.record(person, *events)
        if user.existing(person.state).kind == "PENDING":
            self._identifications.give_app(work, user_id)
        for key in self._directory.invitations.of(user_id):
            invited = work.load(invitation.evolve, key)
            work.record(invited, *invitation.accept(invited.state))
