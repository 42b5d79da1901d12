"""What can be done with invitations."""

from __future__ import annotations

import time
from collections.abc import Callable

from chargekey_common import names
from chargekey_common.attempts import Attempts
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Answer, Context, EventStore, Reaction, Work, command
from chargekey_common.positions import Position
from chargekey_identity.application.arrivals import Arrivals
from chargekey_identity.domain import invitation, user
from chargekey_identity.domain.errors import (
    LinkInvalidError,
    LinkUnknownError,
    SignInRefusedError,
    UserUnknownError,
)
from chargekey_identity.domain.invitation import Given, Invitation
from chargekey_identity.domain.links import IssuedLink, Links, ids_of
from chargekey_identity.projections.directory import Directory

# How many mails can be sent again within so many seconds.
WITHIN = 24 * 3600
MOST_PER_INVITATION = 5
MOST_PER_CALLER = 100


class Invitations:
    """Every command on an invitation, and what the permissions it follows do to it."""

    def __init__(
        self,
        store: EventStore,
        directory: Directory,
        links: Links,
        arrivals: Arrivals,
        attempts: Attempts,
    ) -> None:
        self.store = store
        self._directory = directory
        self._links = links
        self._arrivals = arrivals
        self._attempts = attempts

    @command
    def resend_invitation(self, work: Work, *, invitation_id: str) -> None:
        """Have a new link mailed; the old one is void. Raises TooManyAttemptsError.

        What was done already is not counted again.
        """
        loaded = work.load(invitation.evolve, invitation_id)
        work.record(loaded, *invitation.renew(loaded.state, now=work.at))
        limits = {invitation_id: MOST_PER_INVITATION, work.actor: MOST_PER_CALLER}
        for key, most in limits.items():
            self._attempts.spend(f"resend {key}", most=most, within=WITHIN)

    @command
    def revoke_invitation(self, work: Work, *, invitation_id: str) -> None:
        """Void its link; what was given is access's to take away."""
        loaded = work.load(invitation.evolve, invitation_id)
        work.record(loaded, *invitation.revoke(loaded.state))

    def accept(
        self,
        token: str,
        *,
        first_name: str,
        last_name: str,
        language: str = "",
        time_zone: str = "",
    ) -> Answer[str]:
        """Let the person in who followed an invitation's link, once; return his id.

        Names are needed where he has none yet, and not looked at elsewhere. `language` and
        `time_zone` are his, as `user.sign_in` takes them. Raises LinkInvalidError, the same for
        whatever is wrong with the link, or NameMalformedError.
        """
        [key] = ids_of(token, 1)
        invited = self.store.load(invitation.evolve, key).state
        if invited is None:
            raise LinkInvalidError
        return self.accept_invitation(
            Context(f"user:{invited.given.user_id}", new_id()),
            user_id=invited.given.user_id,
            invitation_id=key,
            token=token,
            first_name=first_name,
            last_name=last_name,
            language=language,
            time_zone=time_zone,
        )

    def followed(self, token: str) -> Invitation:
        """Return the invitation whose link carries that, and which can be accepted now.

        Raises LinkInvalidError, as `accept` does.
        """
        [key] = ids_of(token, 1)
        invited = self.store.load(invitation.evolve, key).state
        if invited is None:
            raise LinkInvalidError
        self._links.require(token, "invitation", key, number=invited.times_sent)
        person = self.store.load(user.evolve, invited.given.user_id).state
        if person is None or not person.may_sign_in or not invited.is_open(time.time_ns()):
            raise LinkInvalidError
        return invited

    @command
    def accept_invitation(
        self,
        work: Work,
        *,
        user_id: str,
        invitation_id: str,
        token: str,
        first_name: str,
        last_name: str,
        language: str,
        time_zone: str,
    ) -> str:
        """Do so as the person himself."""
        try:
            self._arrivals.arrive(work, user_id, "INVITATION", language, time_zone)
        except (UserUnknownError, SignInRefusedError):
            raise LinkInvalidError from None
        # After the user's events were read: whoever followed it before is seen here, or
        # meets this one at the save, so that of two at once one is let in.
        invited = invitation.existing(work.load(invitation.evolve, invitation_id).state)
        self._links.require(token, "invitation", invitation_id, number=invited.times_sent)
        if not invited.is_open(work.at):
            raise LinkInvalidError
        person = work.load(user.evolve, user_id)
        if not user.existing(person.state).named:
            first, last = names.name(first_name), names.name(last_name)
            work.record(person, *user.rename(person.state, first_name=first, last_name=last))
        return user_id

    def issue(self, invitation_id: str) -> IssuedLink:
        """Return what the mail of an invitation needs now; raises LinkUnknownError."""
        invited = self._directory.invitations.invitation(invitation_id)
        person = self._directory.user(invited.given.user_id)
        if invited.state != "WAITING":
            raise LinkUnknownError
        token = self._links.token("invitation", invitation_id, number=invited.times_sent)
        return IssuedLink(person.email, token, invited.expires_at, person.language)

    def invite(self, given: Given, reaction: Reaction) -> Position:
        """Invite whoever was given something by his address, once an event (R7)."""
        kind, _, name = reaction.actor.partition(":")
        by = name if kind == "user" else None

        def decide(work: Work) -> None:
            person = work.load(user.evolve, given.user_id).state
            if person is None or person.erased:
                return
            loaded = work.load(invitation.evolve, invitation.invitation_id(reaction.event_id))
            work.record(loaded, *invitation.create(loaded.state, given, now=work.at, by=by))

        return self.store.react(reaction, decide)

    def take_back(
        self, user_id: str, is_meant: Callable[[Given], bool], reaction: Reaction
    ) -> Position:
        """Void the waiting links to what a user is given no longer."""

        def decide(work: Work) -> None:
            for key, known in self._directory.invitations.of(user_id).items():
                loaded = work.load(invitation.evolve, key)
                if is_meant(known.given) and _waits(loaded.state):
                    work.record(loaded, *invitation.revoke(loaded.state))

        return self.store.react(reaction, decide)

    def pass_over(self, reaction: Reaction) -> Position:
        """Store that an event was seen to which nothing follows."""
        return self.store.react(reaction, lambda _: None)


def _waits(state: Invitation | None) -> bool:
    return state is not None and state.state == "WAITING"
