"""What can be done with sign-in links: ask for one, mail it, follow it."""

from __future__ import annotations

import time
from collections.abc import Set as AbstractSet

import structlog

from chargekey_common.accounts import NOBODY
from chargekey_common.attempts import Attempts, TooManyAttemptsError
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Answer, Context, EventStore, Work, command
from chargekey_identity.application.addresses import Addresses
from chargekey_identity.application.arrivals import Arrivals
from chargekey_identity.domain import email, user
from chargekey_identity.domain.email import Email, Reservations
from chargekey_identity.domain.errors import (
    LinkInvalidError,
    LinkUnknownError,
    SignInRefusedError,
    UserUnknownError,
)
from chargekey_identity.domain.links import IssuedLink, Links, ids_of
from chargekey_identity.projections.directory import Directory

# How many links can be asked for within how many seconds, and how many are mailed in total.
WITHIN = 900
MOST_PER_ADDRESS = 5
MOST_IN_TOTAL = 1000
# Requests that may each leave a row behind. Beyond them nobody is told that he asked too
# often, and addresses that are nobody's are not counted: so many rows, and no difference.
MOST_COUNTED = 10_000

log = structlog.get_logger()


class SignInLinks:
    """Every command on a sign-in link."""

    def __init__(
        self,
        store: EventStore,
        directory: Directory,
        reservations: Reservations,
        links: Links,
        addresses: Addresses,
        arrivals: Arrivals,
        attempts: Attempts,
        administrators: AbstractSet[str],
    ) -> None:
        self.store = store
        self._directory = directory
        self._reservations = reservations
        self._links = links
        self._addresses = addresses
        self._arrivals = arrivals
        self._attempts = attempts
        self._administrators = administrators

    def request(self, address: str) -> None:
        """Have a link mailed; the same is answered where nobody has the address.

        An administrator's is somebody's from then on: who else would invite the first one?
        Only the time it takes differs, which whoever answers has to hide. What is mailed
        in total is not used up by addresses that nobody has. Raises EmailMalformedError,
        or TooManyAttemptsError where one was asked about too often.
        """
        canonical = email.canonical(address)
        reservation_id = self._reservations.of_email(canonical)
        is_mailed = self._is_mailed(canonical, reservation_id)
        is_told = self._is_free("sign-in-links", MOST_COUNTED)
        if not (is_told or is_mailed):
            return
        try:
            self._attempts.spend(reservation_id, most=MOST_PER_ADDRESS, within=WITHIN)
        except TooManyAttemptsError:
            if is_told:
                raise
            return
        if not is_mailed:
            return
        if self._is_free("mailed sign-in-links", MOST_IN_TOTAL):
            if canonical in self._administrators:
                self._addresses.resolve_email(Context(NOBODY, new_id()), canonical)
            self.request_sign_in_link(Context(NOBODY, new_id()), reservation_id=reservation_id)
        else:
            log.warning("sign_in_links_used_up", most=MOST_IN_TOTAL, within=WITHIN)

    @command
    def request_sign_in_link(self, work: Work, *, reservation_id: str) -> None:
        """Record it for whoever may sign in, and nothing for anybody else."""
        held = email.holder(work.load(email.evolve, reservation_id).state)
        if held is not None:
            person = work.load(user.evolve, held)
            work.record(person, *user.request_link(person.state))

    def issue(self, event_id: str, user_id: str) -> IssuedLink:
        """Return what the mail of a link needs that `event_id` asked for.

        Raises UserUnknownError, or LinkUnknownError where it can be followed no longer.
        """
        person = self._directory.user(user_id)
        expires_at = self._directory.sign_in_links.expires_at(user_id, event_id)
        if expires_at is None or time.time_ns() >= expires_at:
            raise LinkUnknownError
        token = self._links.token("sign-in", user_id, event_id)
        return IssuedLink(person.email, token, expires_at, person.language)

    def redeem(self, token: str, language: str = "") -> Answer[str]:
        """Let the person in who followed a link, once; return his id.

        `language` is what he reads, as `user.sign_in` takes it. Raises LinkInvalidError, the
        same for whatever is wrong with the link.
        """
        user_id, event_id = ids_of(token, 2)
        self._links.require(token, "sign-in", user_id, event_id)
        context = Context(f"user:{user_id}", new_id())
        return self.redeem_sign_in_link(
            context, user_id=user_id, event_id=event_id, language=language
        )

    @command
    def redeem_sign_in_link(self, work: Work, *, user_id: str, event_id: str, language: str) -> str:
        """Do so as the person himself."""
        try:
            self._arrivals.arrive(work, user_id, "LINK", language)
        except (UserUnknownError, SignInRefusedError):
            raise LinkInvalidError from None
        # After his events were read: a sign-in that is not in them is seen here or meets
        # this one at the save, so that of two who follow one link at once one is let in.
        expires_at = self._directory.sign_in_links.expires_at(user_id, event_id)
        if expires_at is None or work.at >= expires_at:
            raise LinkInvalidError
        return user_id

    def _is_mailed(self, address: Email, reservation_id: str) -> bool:
        held = email.holder(self.store.load(email.evolve, reservation_id).state)
        if held is None:
            return address in self._administrators
        return bool(user.request_link(self.store.load(user.evolve, held).state))

    def _is_free(self, key: str, most: int) -> bool:
        """Count one more, if there is one more."""
        try:
            self._attempts.spend(key, most=most, within=WITHIN)
        except TooManyAttemptsError:
            return False
        return True
