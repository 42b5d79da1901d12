"""Any story at all, against a model that knows nothing of feeds but what partners may know."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st

from chargekey_common.published import feed, identity
from chargekey_common.published.envelope import PublishedEvent
from chargekey_notifier.feeds.memory import Memory
from chargekey_notifier.feeds.scopes import Happened, Scopes
from chargekey_notifier.feeds.store import Telling

from .story import (
    HOME,
    LEFT,
    NOON,
    RIGHT,
    SECOND,
    VOLT,
    WATT,
    WORK,
    added,
    card,
    created,
    ended,
    given,
    holds,
    left,
    moved,
    online,
    started,
    taken,
)

CARE = {"OWNER", "SERVICE", "OPERATOR"}
PEOPLE = {"OWNER", "OPERATOR"}
Place = tuple[str, str | None]
Wish = tuple[str, str, str, str, str]


class World:
    """What is so: sites, chargers, who holds what. Turns wishes into events that can be."""

    def __init__(self) -> None:
        self.at = {LEFT: HOME, RIGHT: HOME}
        self.partners: dict[str, dict[Place, set[str]]] = {VOLT: {}, WATT: {}}
        self.users: dict[str, set[Place]] = {"ada": set(), "bob": set()}
        self.cards: dict[str, str | None] = {}
        self.running: set[str] = set()

    def may(self, partner: str, site: str, charger: str | None, by: set[str]) -> bool:
        return any(
            where in {(site, None), (site, charger)} and roles & by
            for where, roles in self.partners[partner].items()
        )

    def chargers(self, partner: str) -> dict[str, str]:
        anything = CARE | {"USER"}
        return {
            each: site for each, site in self.at.items() if self.may(partner, site, each, anything)
        }

    def holdings(self, partner: str) -> set[str]:
        return {
            f"{user}-{charger or site}"
            for user, places in self.users.items()
            for site, charger in places
            if self.may(partner, site, charger, CARE)
        }

    def presented(self, partner: str) -> set[str]:
        found = set()
        for user, places in self.users.items():
            known = {site for site, charger in places if self.may(partner, site, charger, PEOPLE)}
            for name, site in self.cards.items():
                if name.endswith(user) and known and site in {None, *known}:
                    found.add(name)
        return found

    def happen(self, wish: Wish) -> Iterator[PublishedEvent]:
        """Yield what happens by a wish, when it is so; nothing where it cannot be."""
        what, partner, user, charger, role = wish
        place: Place = (self.at[charger], None)
        alone: Place = (self.at[charger], charger)
        match what:
            case "give":
                yield self._give(partner, place, role)
            case "give alone" if role in {"OWNER", "USER", "SERVICE"}:
                yield self._give(partner, alone, role)
            case "take":
                for each in sorted(self.partners[partner], key=str)[:1]:
                    del self.partners[partner][each]
                    yield taken(partner, *each)
            case "move" if charger not in self.running:
                yield from self._move(charger, *alone)
            case _:
                where = alone if what.endswith(" alone") else place
                yield from self._people(what.removesuffix(" alone"), user, where)
                yield from self._charging(what, user, charger)

    def _give(self, partner: str, place: Place, role: Any) -> PublishedEvent:
        changed = place in self.partners[partner]
        self.partners[partner][place] = {role}
        return given(partner, role, site=place[0], charger=place[1], changed=changed)

    def _move(self, charger: str, site: str, _: str | None) -> Iterator[PublishedEvent]:
        for partner, places in self.partners.items():
            if places.pop((site, charger), None):
                yield taken(partner, site, charger)
        for user, held in self.users.items():
            if (site, charger) in held:
                held.remove((site, charger))
                yield left(user, site, charger)
        self.at[charger] = WORK if site == HOME else HOME
        yield moved(charger, self.at[charger], site)

    def _people(self, what: str, user: str, place: Place) -> Iterator[PublishedEvent]:
        site, _ = place
        name = f"card-of-{user}"
        match what:
            case "hold" if place not in self.users[user]:
                self.users[user].add(place)
                yield holds(user, *place)
            case "leave" if place in self.users[user]:
                self.users[user].remove(place)
                yield left(user, *place)
            case "present" if name not in self.cards:
                self.cards[name] = None
                yield card(user)
            case "present here" if f"{site}-of-{user}" not in self.cards:
                self.cards[f"{site}-of-{user}"] = site
                yield card(user, site, site)
            case "remove" if name in self.cards:
                del self.cards[name]
                yield identity.IdentificationRemoved(user_id=user, identification_id=name)
            case _:
                pass

    def _charging(self, what: str, user: str, charger: str) -> Iterator[PublishedEvent]:
        site = self.at[charger]
        match what:
            case "start" if charger not in self.running:
                self.running.add(charger)
                yield started(charger, charger, site, user)
            case "end" if charger in self.running:
                self.running.remove(charger)
                yield ended(charger, charger, site)
            case "connect":
                yield online(charger, site)
            case _:
                pass


class Client:
    """What a partner knows who hears its feed and nothing else."""

    def __init__(self) -> None:
        self.access: dict[Place, set[str]] = {}
        self.chargers: dict[str, str] = {}
        self.holdings: dict[str, Place] = {}
        self.held_by: dict[str, str] = {}
        self.presented: dict[str, tuple[str, str | None]] = {}
        self.sessions: dict[str, Place] = {}

    def hear(self, event: feed.FeedEvent) -> None:
        match event:
            case feed.AccessStarted() | feed.AccessChanged():
                self.access[event.installation_id, event.charger_id] = set(event.roles)
            case feed.AccessEnded():
                self.access.pop((event.installation_id, event.charger_id), None)
                self.sessions = {
                    session: place
                    for session, place in self.sessions.items()
                    if place[0] != event.installation_id or self._may(*place, PEOPLE)
                }
            case feed.ChargerAdded():
                self.chargers[event.charger_id] = event.installation_id
            case feed.ChargerMoved():
                self.chargers[event.charger_id] = event.installation_id or ""
            case feed.SessionStarted():
                assert event.session_id not in self.sessions, "once a session"
                self.sessions[event.session_id] = event.installation_id, event.charger_id
            case feed.SessionEnded():
                self.sessions.pop(event.session_id, None)
            case _:
                self._hear_of_people(event)
        self.forget()

    def _hear_of_people(self, event: feed.FeedEvent) -> None:
        match event:
            case feed.PermissionGranted():
                self.holdings[event.permission_id] = event.installation_id, event.charger_id
                self.held_by[event.permission_id] = event.user_id
            case feed.PermissionRevoked():
                del self.holdings[event.permission_id]
            case feed.IdentificationAdded():
                self.presented[event.identification_id] = event.user_id, event.installation_id
            case feed.IdentificationRemoved():
                del self.presented[event.identification_id]
            case _:
                pass

    def forget(self) -> None:
        """Know nothing more of what it has no access to."""
        anything = CARE | {"USER"}
        self.chargers = {
            charger: site
            for charger, site in self.chargers.items()
            if self._may(site, charger, anything)
        }
        self.holdings = {
            each: place for each, place in self.holdings.items() if self._may(*place, CARE)
        }
        known = {
            (self.held_by[each], site)
            for each, place in self.holdings.items()
            if self._may(*place, PEOPLE)
            for site in (None, place[0])
        }
        self.presented = {each: of for each, of in self.presented.items() if of in known}

    def _may(self, site: str, charger: str | None, by: set[str]) -> bool:
        return any(
            where in {(site, None), (site, charger)} and roles & by
            for where, roles in self.access.items()
        )


WISHES = st.tuples(
    st.sampled_from(
        [
            "give",
            "give alone",
            "take",
            "hold",
            "hold alone",
            "leave",
            "leave alone",
            "present",
            "present here",
            "remove",
            "move",
            "start",
            "end",
            "connect",
        ]
    ),
    st.sampled_from([VOLT, WATT]),
    st.sampled_from(["ada", "bob"]),
    st.sampled_from([LEFT, RIGHT]),
    st.sampled_from(["OWNER", "USER", "SERVICE", "OPERATOR"]),
)


def beginning() -> Sequence[PublishedEvent]:
    return [created(), created(WORK), added(LEFT), added(RIGHT)]


@settings(max_examples=300, deadline=None)
@given_any(st.lists(WISHES, max_size=60))
def test_a_partner_knows_what_it_may_know_and_nothing_else(
    wishes: list[Wish],
) -> None:
    """F2, F3, F6, F7."""
    world, memory = World(), Memory()
    scopes = Scopes(memory)
    clients = {VOLT: Client(), WATT: Client()}
    count = itertools.count()
    ids: set[tuple[str, str]] = set()

    def apply(event: PublishedEvent) -> Sequence[Telling]:
        number = next(count)
        return scopes.apply(Happened(str(number), NOON + number * SECOND, event))

    for event in beginning():
        assert apply(event) == []
    for wish in wishes:
        for event in world.happen(wish):
            for told in apply(event):
                assert (told.partner_id, told.id) not in ids
                ids.add((told.partner_id, told.id))
                _require_known_place(world, clients[told.partner_id], told)
                clients[told.partner_id].hear(told.event)
        for partner, client in clients.items():
            # What is taken may stay open for its sessions, and then nothing else is told of it.
            for place in client.access.keys() - world.partners[partner].keys():
                assert world.running & client.sessions.keys()
                del client.access[place]
            client.forget()
            assert client.access == world.partners[partner]
            assert client.chargers == world.chargers(partner)
            assert set(client.holdings) == world.holdings(partner)
            assert set(client.presented) == world.presented(partner)


def _require_known_place(world: World, client: Client, told: Telling) -> None:
    """Nothing is told of a site that is not accessed, but for what is seen to its end."""
    site = getattr(told.event, "installation_id", None)
    session = getattr(told.event, "session_id", None)
    if site is None or session in client.sessions or isinstance(told.event, feed.AccessStarted):
        return
    if isinstance(told.event, feed.AccessEnded):
        return
    assert any(where == site for where, _ in world.partners[told.partner_id]), told


@given_any(st.lists(WISHES, max_size=40), st.sets(st.integers(0, 60)))
def test_what_is_kept_in_rows_is_all_there_is_to_keep(wishes: list[Wish], cuts: set[int]) -> None:
    """F5: a process that ends at any event, and reads its rows again, tells the same."""
    world = World()
    story = [*beginning(), *(event for wish in wishes for event in world.happen(wish))]
    whole, kept = Memory(), Memory()
    stored: dict[tuple[str, str], bytes] = {}
    in_one, in_parts = Scopes(whole), Scopes(kept)
    for number, event in enumerate(story):
        if number in cuts:
            kept = Memory()
            kept.load((kind, value) for (kind, _), value in stored.items())
            in_parts = Scopes(kept)
        happened = Happened(str(number), NOON + number * SECOND, event)
        assert in_one.apply(happened) == in_parts.apply(happened)
        for kind, row_id, value in kept.changes():
            stored.pop((kind, row_id), None)
            if value is not None:
                stored[kind, row_id] = value
