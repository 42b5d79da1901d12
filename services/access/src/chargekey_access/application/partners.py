"""What can be done to partners, and how one is found by its lookup key (R8)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from chargekey_access.application import callers
from chargekey_access.domain import lookup_key, partner
from chargekey_access.domain.errors import (
    LocalUserCannotJoinError,
    NoLookupKeyFreeError,
    UserUnknownError,
)
from chargekey_access.domain.events import PartnerKind
from chargekey_access.projections.directory import Directory
from chargekey_common import names
from chargekey_common.accounts import Caller, is_administrator
from chargekey_common.attempts import Attempts
from chargekey_common.eventstore.store import EventStore, Work, command

# How many keys a caller can try within how many seconds: there are a million of them.
SEARCHES = 20
SEARCHES_WITHIN = 600
# Keys drawn until one is free: with nine out of ten taken, all are in 1 of 40 000 cases.
_DRAWS = 100


class Created(msgspec.Struct, frozen=True):
    """A new partner and its key, which is kept in a receipt because it is public."""

    partner_id: str
    lookup_key: str


class Partners:
    """The commands about organisations; `draw` returns a lookup key by chance."""

    def __init__(
        self,
        store: EventStore,
        directory: Directory,
        *,
        draw: Callable[[], str] = lookup_key.drawn,
    ) -> None:
        self.store = store
        self._directory = directory
        self._draw = draw

    @command
    def create_partner(
        self, work: Work, *, name: str, kind: PartnerKind, contact: str, logo_url: str
    ) -> Created:
        """Create an organisation with a key of its own."""
        loaded = work.begin()
        key = self._take_a_key(work, loaded.id)
        events = partner.create(
            name=names.name(name),
            kind=kind,
            lookup_key=key,
            contact=partner.contact(contact),
            logo_url=partner.logo_url(logo_url),
        )
        work.record(loaded, *events)
        return Created(loaded.id, key)

    @command
    def change_partner(
        self,
        work: Work,
        *,
        partner_id: str,
        name: str | None,
        contact: str | None,
        logo_url: str | None,
    ) -> None:
        """Let it present itself in another way; None leaves what there is."""
        loaded = work.load(partner.evolve, partner_id)
        events = partner.change(
            loaded.state,
            name=None if name is None else names.name(name),
            contact=None if contact is None else partner.contact(contact),
            logo_url=None if logo_url is None else partner.logo_url(logo_url),
        )
        work.record(loaded, *events)

    @command
    def rotate_lookup_key(self, work: Work, *, partner_id: str) -> str:
        """Give it another key and return that; the old one is free at once."""
        loaded = work.load(partner.evolve, partner_id)
        before = partner.existing(loaded.state).lookup_key
        fresh = self._take_a_key(work, partner_id)
        work.record(loaded, *partner.rotate_lookup_key(loaded.state, fresh))
        reservation = work.load(lookup_key.evolve, lookup_key.reservation_id(before))
        work.record(reservation, *lookup_key.free(partner_id))
        return fresh

    @command
    def add_partner_member(
        self, work: Work, *, partner_id: str, user_id: str, manages: bool, invited: bool = False
    ) -> None:
        """Let a user, who is known here or `invited`, hold what the partner holds."""
        if not invited:
            callers.require_known(self._directory, user_id)
        elif self._directory.holdings.is_forgotten(user_id):
            raise UserUnknownError
        if self._directory.holdings.home_of(user_id) is not None:
            raise LocalUserCannotJoinError
        loaded = work.load(partner.evolve, partner_id)
        events = partner.add_member(loaded.state, user_id=user_id, manages=manages, invited=invited)
        work.record(loaded, *events)

    @command
    def remove_partner_member(self, work: Work, *, partner_id: str, user_id: str) -> None:
        """Let a user hold it no longer, from the next question on."""
        loaded = work.load(partner.evolve, partner_id)
        work.record(loaded, *partner.remove_member(loaded.state, user_id))

    def _take_a_key(self, work: Work, partner_id: str) -> str:
        """Reserve a free key; whoever takes the same one meanwhile draws again."""
        for _ in range(_DRAWS):
            key = self._draw()
            reservation = work.load(lookup_key.evolve, lookup_key.reservation_id(key))
            if lookup_key.is_free(reservation.state):
                work.record(reservation, *lookup_key.take(partner_id))
                return key
        raise NoLookupKeyFreeError


class LookupKeys:
    """The one way from a lookup key to its partner, wherever one is given."""

    def __init__(self, directory: Directory, attempts: Attempts) -> None:
        self._directory = directory
        self._attempts = attempts

    def find(self, caller: Caller, text: str) -> str:
        """Return the id of the partner that a key finds; administrators see all of them anyway.

        Raises LookupKeyMalformedError, TooManyAttemptsError, or PartnerUnknownError after as
        much time as finding one takes.
        """
        key = lookup_key.canonical(text)
        if not is_administrator(caller):
            self._attempts.spend(f"lookup-key/{caller}", most=SEARCHES, within=SEARCHES_WITHIN)
        return self._directory.partners.find(key)
