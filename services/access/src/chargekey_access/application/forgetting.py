"""Forgetting a user: all he holds, owns and is a member of is taken away (R20)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import msgspec

from chargekey_access.domain import access_request, owners, partner, permission
from chargekey_access.domain.errors import LastOwnerError, UserUnknownError
from chargekey_access.domain.events import (
    AccessRequestWithdrawn,
    OwnersEvent,
    PartnerMemberRemoved,
    UserForgotten,
)
from chargekey_access.domain.ids import derived
from chargekey_access.domain.owners import Owners
from chargekey_access.domain.permission import Subject
from chargekey_access.projections.directory import Directory
from chargekey_common.eventstore.store import EventStore, Reaction, Work, command
from chargekey_common.positions import Position
from chargekey_common.published.identity import UserErased

# It becomes a part of a subject.
_ID_FORM = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Forgetting:
    """What identity asks for before it erases somebody, and does again once he is erased."""

    def __init__(self, store: EventStore, directory: Directory) -> None:
        self.store = store
        self._directory = directory

    @command
    def forget_user(self, work: Work, *, user_id: str) -> None:
        """Take everything away in one save; nothing is given to him from then on.

        Also where nobody has heard of him. Raises LastOwnerError, or UserUnknownError where
        that is no user's id.
        """
        if _ID_FORM.fullmatch(user_id) is None:
            raise UserUnknownError
        self._forget(work, user_id, keeping=frozenset())

    def react_to_user_erased(self, event: UserErased, reaction: Reaction) -> Position:
        """Take away what was given at the same moment, or what a restored backup gave back.

        Where he is the last owner by then he stays it, and can do nothing there: only an
        administrator can make somebody else one (R6).
        """

        def decide(work: Work) -> None:
            self._forget(work, event.user_id, keeping=self._last_at(event.user_id))

        return self.store.react(reaction, decide)

    def _forget(self, work: Work, user_id: str, *, keeping: frozenset[str]) -> None:
        with self._directory.caught_up():
            for installation_id in self._sites_of(user_id):
                if installation_id not in keeping:
                    site = work.load(owners.evolve, owners.owners_id(installation_id))
                    work.record(site, *_leave(site.state, installation_id, user_id))
            for key, known in self._directory.holdings.of(Subject(user_id)):
                if known.target.charger_id is None and known.target.installation_id in keeping:
                    continue
                held = work.load(permission.evolve, key)
                if held.state is not None and held.state.holds:  # others may be faster
                    work.record(held, *permission.revoke(held.state))
            for key in self._directory.partners.of_user(user_id):
                organisation = work.load(partner.evolve, key)
                work.record(organisation, PartnerMemberRemoved(user_id=user_id))
            for key in self._directory.access_requests.waiting_of(Subject(user_id)):
                request = work.load(access_request.evolve, key)
                work.record(request, AccessRequestWithdrawn())
        mark = work.load(_evolve, derived("forgotten", user_id))
        if mark.state is None:
            work.record(mark, UserForgotten(user_id=user_id))

    def _sites_of(self, user_id: str) -> Iterator[str]:
        """Yield the sites that he owns, is offered, has offered, or is blocked at."""
        for installation_id, _ in self._directory.sites.installations():
            known = self._directory.holdings.owners(installation_id)
            if user_id in known.owners | known.blocked | _sides(known):
                yield installation_id

    def _last_at(self, user_id: str) -> frozenset[str]:
        found = set()
        for installation_id in self._sites_of(user_id):
            known = self._directory.holdings.owners(installation_id)
            try:
                owners.change(known, installation_id="", user_id=user_id, owns=False)
            except LastOwnerError:
                found.add(installation_id)
        return frozenset(found)


def _evolve(_: UserForgotten | None, event: UserForgotten) -> UserForgotten:
    return event


def _sides(known: Owners) -> frozenset[str]:
    return frozenset(() if known.offer is None else msgspec.structs.astuple(known.offer))


def _leave(state: Owners | None, installation_id: str, user_id: str) -> Iterator[OwnersEvent]:
    """Give up a site's ownership, an offer of it, and the block there; raises LastOwnerError."""
    for step in (partial(owners.change, owns=False), owners.without_offer, owners.unblock):
        for event in step(state, installation_id=installation_id, user_id=user_id):
            yield event
            state = owners.evolve(state, event)
