"""What was known at any moment of the last week, to judge starts of offline chargers by (R23).

The view holds what is. Before it applies an event, whatever the event changes is put aside
here as it was until then, by the event's own time: so every replica remembers the same,
however its two streams met. What nothing happened to is what it is now. The two streams'
parts of a user are put aside apart, since either may be ahead of the other.
"""

from __future__ import annotations

import copy
import heapq
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from chargekey_common.keyed_ids import KeyedId
from chargekey_common.published import access, identity
from chargekey_common.published.envelope import PublishedEvent
from chargekey_gateway.view.entries import (
    Charger,
    Grant,
    Identification,
    Partner,
    User,
)
from chargekey_gateway.view.grants import Grants, saved_grants
from chargekey_gateway.view.people import People, saved_identification
from chargekey_gateway.view.saved import SavedPast, SavedRights
from chargekey_gateway.view.sites import Sites, saved_charger

# Nanoseconds. Also as long as a charger may have been offline: nothing is judged by what was
# known before.
KEPT = 7 * 24 * 3600 * 10**9
# Of all that is put aside, some 50 MB: more than a week of a large platform. What is older
# than the oldest of these is not remembered.
MOST = 100_000
# Of one thing: whoever switches his own to and fro takes nothing from what is remembered of
# others', nor time from a tap. What it was after that many changes is not remembered.
MOST_OF_ONE = 1_000

T = TypeVar("T")

_BY_KEYED_ID: Callable[[Identification], KeyedId | None] = operator.attrgetter("keyed_id")
_BY_ALIAS: Callable[[Identification], KeyedId | None] = operator.attrgetter("alias")


class _Person(msgspec.Struct, frozen=True, gc=False):
    """What identity tells of a user."""

    blocks: frozenset[str | None] = frozenset()
    verified: bool = True


class _Rights(msgspec.Struct, frozen=True, gc=False):
    """What access tells of a user."""

    grants: tuple[Grant, ...] = ()
    partners: tuple[Partner, ...] = ()
    blocked_at: frozenset[str] = frozenset()


NOBODY = _Person()
NOTHING = _Rights()


def _names(known: Identification | None) -> Iterable[KeyedId | str]:
    """Return whatever it was looked for by: nothing where there was nothing to be found."""
    if known is None:
        return ()
    return (known.user.id, *(each for each in (known.keyed_id, known.alias) if each is not None))


class _Table(Generic[T]):
    """Things of one kind as they were: each with the times until which, exclusive."""

    def __init__(self, now: Callable[[str], T]) -> None:
        """Know by `now` how a thing is: a value that does not change with it."""
        self._now = now
        self._was: dict[str, list[tuple[int, T]]] = {}

    def __contains__(self, thing: str) -> bool:
        """Whether anything happened to it."""
        return thing in self._was

    def times(self, thing: str) -> int:
        """Return how much is remembered of it."""
        return len(self._was.get(thing, ()))

    def at(self, thing: str, at: int) -> T:
        """Return how it was then, which is how it is where nothing has happened since."""
        for until, was in self._was.get(thing, ()):
            if at < until:
                return was
        return self._now(thing)

    def put_aside(self, thing: str, until: int) -> T:
        """Remember how it is now, as how it was until then, and return that."""
        was = self._now(thing)
        self._was.setdefault(thing, []).append((until, was))
        return was

    def forget(self, thing: str, until: int) -> T | None:
        """Forget how it was until then, and return that; None where it is forgotten already."""
        known = self._was.get(thing, [])
        for number, (end, was) in enumerate(known):
            if end == until:
                del known[number]
                if not known:
                    del self._was[thing]
                return was
        return None

    def forget_whole(self, thing: str) -> None:
        """Forget how it ever was: it was always as it is."""
        for until, _ in list(self._was.get(thing, ())):
            self.forget(thing, until)

    def clear(self) -> None:
        """Forget all of them."""
        self._was.clear()

    def rows(self) -> Iterator[tuple[int, str, T]]:
        """Return all that is remembered: until when what was how."""
        for thing, several in self._was.items():
            for until, was in several:
                yield until, thing, was

    def restore(self, thing: str, until: int, was: T) -> None:
        """Remember how it was until then, as the last of what is known of it."""
        self._was.setdefault(thing, []).append((until, was))


class _Cards(_Table[Identification | None]):
    """Identifications as they were, by what they were found by and by whose they were, too."""

    def __init__(self, now: Callable[[str], Identification | None]) -> None:
        super().__init__(now)
        self._by: dict[KeyedId | str, list[str]] = {}  # the ids, each as often as it is named so

    def by(self, named: KeyedId | str) -> Collection[str]:
        """Return the ids of those that this keyed id or alias may have found, or of the user."""
        return sorted(set(self._by.get(named, ())))

    def put_aside(self, thing: str, until: int) -> Identification | None:
        """Remember how it is now, also under what names it."""
        was = super().put_aside(thing, until)
        self._name(thing, was)
        return was

    def restore(self, thing: str, until: int, was: Identification | None) -> None:
        """Remember it, also under what named it."""
        super().restore(thing, until, was)
        self._name(thing, was)

    def forget(self, thing: str, until: int) -> Identification | None:
        """Forget how it was until then, and what named it."""
        was = super().forget(thing, until)
        for named in _names(was):
            self._by[named].remove(thing)
            if not self._by[named]:
                del self._by[named]
        return was

    def clear(self) -> None:
        """Forget all of them."""
        super().clear()
        self._by.clear()

    def _name(self, thing: str, was: Identification | None) -> None:
        for named in _names(was):
            self._by.setdefault(named, []).append(thing)


# Tables, since a view is filled with a million of these. Of what kind the thing is that an
# event changes, and which field names it.
_CHANGED: Mapping[type[PublishedEvent], tuple[str, str]] = {
    **dict.fromkeys(
        (
            access.InstallationCreated,
            access.AuthorisationRequiredSet,
            access.AuthenticationTypeSet,
            access.OperatorConnected,
            access.OverridesAllowedSet,
            access.OperatorDisconnected,
        ),
        ("installations", "installation_id"),
    ),
    **dict.fromkeys(
        (
            access.ChargerAdded,
            access.AuthorisationOverrideSet,
            access.IdentificationTypesSet,
            access.ReaderQuirksSet,
            access.ChargerMoved,
        ),
        ("chargers", "charger_id"),
    ),
    **dict.fromkeys(
        (
            access.PermissionGranted,
            access.PermissionChanged,
            access.PermissionRevoked,
            access.PartnerMemberAdded,
            access.PartnerMemberRemoved,
            access.UserBlockedAtInstallation,
            access.UserUnblockedAtInstallation,
            access.UserForgotten,
        ),
        ("rights", "user_id"),
    ),
    **dict.fromkeys(
        (
            identity.LocalUserAdded,
            identity.PendingUserAdded,
            identity.EmailVerified,
            identity.UserBlocked,
            identity.UserUnblocked,
        ),
        ("persons", "user_id"),
    ),
    **dict.fromkeys(
        (
            identity.IdentificationKey,
            identity.IdentificationAdded,
            identity.IdentificationStatusChanged,
            identity.IdentificationExpiryChanged,
            identity.IdentificationGroupChanged,
            identity.IdentificationRemoved,
        ),
        ("cards", "identification_id"),
    ),
    identity.UserErased: ("erased", "user_id"),
}
_OF_SERVICE = {
    "access": ("installations", "chargers", "rights", "partners"),
    "identity": ("persons", "cards", "erased"),
}


class Past:
    """What the view held. Plain memory, of what changed in the last week and of nothing else.

    Exact: what `then` returns is what a view would hold that knows the events up to a time.
    But three things are not remembered: users who were erased (R20), as if what they presented
    had never been, codes that were erased from the stream before this replica read it, and what
    became of a thing after a thousand changes in a week, which is as it is now.
    """

    def __init__(
        self, sites: Sites, people: People, grants: Grants, clock: Callable[[], int]
    ) -> None:
        """Put aside what these three hold; `clock` tells nanoseconds since the epoch."""
        self._sites = sites
        self._people = people
        self._grants = grants
        self._clock = clock
        self.chargers = _Table(lambda key: copy.copy(sites.chargers.get(key)))
        self.installations = _Table(lambda key: copy.copy(sites.installation(key)))
        self.partners = _Table(grants.of_partner)
        self.rights = _Table(self._rights)
        self.persons = _Table(self._person)
        self.cards = _Cards(lambda key: copy.copy(people.identifications.get(key)))
        self._erased: _Table[None] = _Table(lambda _: None)
        self._tables: Mapping[str, _Table[Any]] = {
            "chargers": self.chargers,
            "installations": self.installations,
            "partners": self.partners,
            "rights": self.rights,
            "persons": self.persons,
            "cards": self.cards,
            "erased": self._erased,
        }
        # Of all that is put aside: until when it was so, the table and the thing. A heap.
        self._order: list[tuple[int, str, str]] = []
        self._since = 0

    def __len__(self) -> int:
        """Return how much is remembered."""
        return len(self._order)

    def note(self, event: PublishedEvent, at: int) -> None:
        """Put aside what this event is about to change; it happened at `at`."""
        long_ago = self._clock() - KEPT
        if at <= long_ago:
            return
        self._forget_until(long_ago)
        changed = _CHANGED.get(type(event))
        if changed is None:
            return
        table, field = changed
        thing = getattr(event, field)
        match table:
            case "rights" if thing is None:  # it is a partner's
                table, thing = "partners", getattr(event, "partner_id", None)
            case "cards" if self._is_of_nobody(event, thing):
                return
            case "chargers" if isinstance(event, access.ChargerMoved):
                for holder in self._grants.holders_on(thing):
                    kind = "rights" if isinstance(holder, User) else "partners"
                    self._put_aside(kind, holder.id, at)
            case "erased":
                self.persons.forget_whole(thing)
                for card in self.cards.by(thing):
                    self.cards.forget_whole(card)
            case _:
                pass
        if thing is not None:  # an event about nobody is malformed
            self._put_aside(table, thing, at)

    def then(self, charger: Charger, at: int) -> Then | None:
        """Return what was known at `at` of who may charge there.

        None where the charger was not known, or where that is not remembered.
        """
        was = self.chargers.at(charger.id, at) if at >= self._since else None
        return None if was is None else Then(self, self._people, was, at)

    def forget_old(self) -> None:
        """Forget what was before the last week."""
        self._forget_until(self._clock() - KEPT)

    def forget(self, service: str) -> None:
        """Forget what one service told, to hear it again."""
        tables = _OF_SERVICE[service]
        for name in tables:
            self._tables[name].clear()
        self._order = [each for each in self._order if each[1] not in tables]
        heapq.heapify(self._order)

    def saved(self) -> SavedPast:
        """Return it for a snapshot: all of it but by what nothing is found any more (R20)."""
        return SavedPast(
            since=self._since,
            chargers=[
                (until, thing, None if was is None else saved_charger(was))
                for until, thing, was in self.chargers.rows()
            ],
            installations=list(self.installations.rows()),
            partners=[
                (until, thing, saved_grants(was)) for until, thing, was in self.partners.rows()
            ],
            rights=[
                (
                    until,
                    thing,
                    SavedRights(
                        saved_grants(was.grants),
                        [each.id for each in was.partners],
                        list(was.blocked_at),
                    ),
                )
                for until, thing, was in self.rights.rows()
            ],
            persons=[
                (until, thing, list(was.blocks), was.verified)
                for until, thing, was in self.persons.rows()
            ],
            cards=[
                (until, thing, None if was is None else saved_identification(self._findable(was)))
                for until, thing, was in self.cards.rows()
            ],
            erased=[(until, thing) for until, thing, _ in self._erased.rows()],
        )

    def restore(self, saved: SavedPast) -> None:
        """Know what was saved; everything else is restored already, and nothing put aside."""
        self._since = saved.since
        sites, people, grants = self._sites, self._people, self._grants
        for until, thing, charger in saved.chargers:
            self.chargers.restore(
                thing, until, None if charger is None else sites.restored(charger)
            )
        for until, thing, installation in saved.installations:
            self.installations.restore(thing, until, installation)
        for until, thing, held in saved.partners:
            self.partners.restore(thing, until, tuple(map(grants.restored, held)))
        for until, thing, rights in saved.rights:
            was = _Rights(
                tuple(map(grants.restored, rights.grants)),
                tuple(map(grants.partner, rights.partners)),
                frozenset(rights.blocked_at),
            )
            self.rights.restore(thing, until, was)
        for until, thing, blocks, verified in saved.persons:
            self.persons.restore(thing, until, _Person(frozenset(blocks), verified))
        for until, thing, card in saved.cards:
            self.cards.restore(thing, until, None if card is None else people.restored(card))
        for until, thing in saved.erased:
            self._erased.restore(thing, until, None)
        self._order = [
            (until, name, thing)
            for name, table in self._tables.items()
            for until, thing, _ in table.rows()
        ]
        heapq.heapify(self._order)

    def _findable(self, was: Identification) -> Identification:
        """Return it without its code, where that is nobody's now: what is gone stays in memory."""
        if was.keyed_id is None or was.keyed_id in self._people.by_keyed_id:
            return was
        return msgspec.structs.replace(was, keyed_id=None, alias=None)

    def _is_of_nobody(self, event: PublishedEvent, identification_id: str) -> bool:
        """Whether nobody presents it: a key alone finds nothing yet, and the erased are nobody."""
        known = self._people.identifications.get(identification_id)
        if known is None:
            return isinstance(event, identity.IdentificationKey)
        return known.user.id in self._erased

    def _put_aside(self, name: str, thing: str, at: int) -> None:
        if self._tables[name].times(thing) >= MOST_OF_ONE:
            return
        self._tables[name].put_aside(thing, at)
        heapq.heappush(self._order, (at, name, thing))
        if len(self._order) > MOST:
            self._since = max(self._since, self._forget_oldest())

    def _forget_until(self, at: int) -> None:
        while self._order and self._order[0][0] <= at:
            self._forget_oldest()

    def _forget_oldest(self) -> int:
        until, name, thing = heapq.heappop(self._order)
        self._tables[name].forget(thing, until)
        return until

    # How things are.

    def _rights(self, user_id: str) -> _Rights:
        user = self._people.users.get(user_id)
        return NOTHING if user is None else _Rights(user.grants, user.partners, user.blocked_at)

    def _person(self, user_id: str) -> _Person:
        user = self._people.users.get(user_id)
        return NOBODY if user is None else _Person(user.blocks, user.verified)


class Then:
    """What was known at one moment of who may charge at one charger, which is there as it was.

    Its entries are made for it, so that being at the place is being these objects. Of what
    is held elsewhere it knows nothing.
    """

    def __init__(self, past: Past, people: People, was: Charger, at: int) -> None:
        self._past = past
        self._people = people
        self._at = at
        self._site = copy.copy(past.installations.at(was.installation.id, at))
        self.charger = msgspec.structs.replace(was, installation=self._site)

    def identification(self, keyed_id: KeyedId) -> Identification | None:
        """Return what was presented by the code of this keyed id."""
        known = self._people.by_keyed_id.get(keyed_id)
        found = self._found(keyed_id, () if known is None else (known,), _BY_KEYED_ID)
        return found[0] if found else None

    def identifications_by_alias(self, alias: KeyedId) -> tuple[Identification, ...]:
        """Return every card whose number a truncating reader made the same four bytes of."""
        return self._found(alias, self._people.by_alias(alias), _BY_ALIAS)

    def _found(
        self,
        sought: KeyedId,
        known: Iterable[Identification],
        found_by: Callable[[Identification], KeyedId | None],
    ) -> tuple[Identification, ...]:
        ids = {*self._past.cards.by(sought), *(each.id for each in known)}
        cards = [self._past.cards.at(each, self._at) for each in sorted(ids)]
        return tuple(
            self._as_it_was(card) for card in cards if card is not None and found_by(card) == sought
        )

    def _as_it_was(self, known: Identification) -> Identification:
        terms, here = known.terms, self._site
        if terms.site is not None and terms.site.id == here.id:
            terms = msgspec.structs.replace(terms, site=here)
        user = self._user(known.user.id)
        return msgspec.structs.replace(known, user=user, terms=terms, rights=user.rights)

    def _user(self, user_id: str) -> User:
        person = self._past.persons.at(user_id, self._at)
        rights = self._past.rights.at(user_id, self._at)
        return User(
            user_id,
            blocks=person.blocks,
            verified=person.verified,
            blocked_at=rights.blocked_at,
            grants=self._here(rights.grants),
            partners=tuple(
                Partner(each.id, self._here(self._past.partners.at(each.id, self._at)))
                for each in rights.partners
            ),
        )

    def _here(self, grants: Iterable[Grant]) -> tuple[Grant, ...]:
        return tuple(
            Grant(grant.permission_id, msgspec.structs.replace(grant.right, target=target))
            for grant in grants
            for target in (self.charger if grant.right.on_charger else self._site,)
            if grant.right.target.id == target.id
        )
