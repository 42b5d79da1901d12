"""The view as a whole: messages in, entries out, and how new it is."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from prometheus_client import Counter

from chargekey_common.follower import Message
from chargekey_common.keyed_ids import KeyedId
from chargekey_common.positions import MalformedPositionError, Position
from chargekey_common.published import access, identity
from chargekey_common.published.envelope import (
    POSITION_HEADER,
    PublishedEvent,
    event_name,
    time_of,
)
from chargekey_gateway.view.changes import Changes
from chargekey_gateway.view.entries import Charger, Identification, Installation, User
from chargekey_gateway.view.grants import Grants
from chargekey_gateway.view.past import Past
from chargekey_gateway.view.people import MalformedEventError, People
from chargekey_gateway.view.progress import Progress
from chargekey_gateway.view.saved import SavedView
from chargekey_gateway.view.sites import Sites

# After so many events whoever taps has his turn: a millisecond.
A_TURN = 200

SERVICES = ("access", "identity")
KEY = "identity.v1.key."
CREDENTIAL = "access.v1.credential."
PRIVATE = (KEY, CREDENTIAL)

_KEYS = msgspec.json.Decoder(identity.IdentificationKey)
_CREDENTIALS = msgspec.json.Decoder(access.ChargerCredential)

_SKIPPED = Counter(
    "view_events_skipped_total", "Events of an unknown type, or unreadable ones.", ["why"]
)
_UNKNOWN, _UNREADABLE = _SKIPPED.labels("unknown"), _SKIPPED.labels("unreadable")

log = structlog.get_logger()


class View:
    """Who may charge where, as the streams ACCESS and IDENTITY tell it.

    Messages of one stream come in its order, those of the two in any: either may
    speak first of a user. Not thread-safe; nothing but `wait_for` waits.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        """Know by `clock`, which tells nanoseconds since the epoch, what was a week ago."""
        self._sites = Sites()
        self._people = People(self._sites.installation)
        # Returns what is presented by the code of a keyed id: the table itself, which all who tap
        # are looked up in.
        self.identification: Callable[[KeyedId], Identification | None] = (
            self._people.by_keyed_id.get
        )
        self._grants = Grants(self._people, self._sites)
        self._progress = Progress(SERVICES)
        self._applied = self._what_applies()
        # What of the two streams bears on nothing here need not even be read.
        self._decoders: Mapping[tuple[str, str], Callable[[bytes], PublishedEvent | None]] = {
            (each.stream, each.__name__): (
                msgspec.json.Decoder(each).decode if each in self._applied else _pass_over
            )
            for each in (*access.EVENTS, *identity.EVENTS)
        }
        self._whole = True
        self._staleness = 0.0
        self._on_mended: list[Callable[[], None]] = []
        self._on_forgotten: list[Callable[[], None]] = []
        self._on_endpoint_change: list[Callable[[str], None]] = []
        self._on_password_change: list[Callable[[], None]] = []
        self.changes = Changes()
        self.past = Past(self._sites, self._people, self._grants, clock)

    # What the decision reads.

    def charger(self, charger_id: str) -> Charger | None:
        """Return the registered charger of this id."""
        charger = self._sites.chargers.get(charger_id)
        return charger if charger is not None and charger.registered else None

    def charger_by_ocpp_identity(self, ocpp_identity: str) -> Charger | None:
        """Return the charger that connects under this name."""
        return self._sites.by_ocpp_identity.get(ocpp_identity)

    def identifications_by_alias(self, alias: KeyedId) -> tuple[Identification, ...]:
        """Return every card whose number a truncating reader makes the same four bytes of."""
        return self._people.by_alias(alias)

    def installation(self, installation_id: str) -> Installation:
        """Return the installation, also one that nobody told of yet."""
        return self._sites.installation(installation_id)

    def chargers(self) -> Collection[Charger]:
        """Return all registered chargers, in no order."""
        return [charger for charger in self._sites.chargers.values() if charger.registered]

    def chargers_at(self, installation_id: str) -> Collection[Charger]:
        """Return the registered chargers of the installation, in no order."""
        standing = self._sites.chargers_at(installation_id)
        return [charger for charger in standing if charger.registered]

    def user(self, user_id: str) -> User | None:
        """Return the user, as far as anything is known of him."""
        return self._people.users.get(user_id)

    def looks_after(self, user: User, charger: Charger, at: int) -> bool:
        """Whether the user is owner, service or operator of the charger, or its site, at `at`."""
        return self._grants.looks_after(user, charger, at)

    # What chargers' own lists are made from.

    def holders(self, target: str) -> Collection[User]:
        """Return who holds a permission on just this charger or installation."""
        return self._grants.holders(target)

    def departed(self, target: str) -> Collection[User]:
        """Return who held one there once: the last few, who left last at the end."""
        return self._grants.departed(target)

    def concerned(self, user_id: str) -> frozenset[str]:
        """Return the chargers and installations where the user holds a permission, or held one."""
        return self._grants.concerned(user_id)

    def identifications_of(self, user_id: str) -> Collection[Identification]:
        """Return all that the user presents."""
        user = self._people.users.get(user_id)
        return () if user is None else user.presents

    def identification_by_id(self, identification_id: str) -> Identification | None:
        """Return the identification of this id."""
        return self._people.identifications.get(identification_id)

    def keyed_id(self, identification_id: str) -> KeyedId | None:
        """Return what the identification is found by, if it is."""
        known = self._people.identifications.get(identification_id)
        return None if known is None else known.keyed_id

    def is_ambiguous_by_alias(self, identification_id: str) -> bool:
        """Whether a truncating reader makes the same of another long card's number."""
        known = self._people.identifications.get(identification_id)
        alias = None if known is None else known.alias
        return alias is not None and len(self.identifications_by_alias(alias)) > 1

    @property
    def short_cards(self) -> int:
        """A number that is another one whenever there are other cards of four bytes."""
        return self._people.short_cards

    def refuses_type(self, charger: Charger, identification: Identification) -> bool:
        """Whether something must be presented there, and nothing of this type will do."""
        enabled = identification.type in charger.identification_types
        return charger.authorisation_required and not enabled

    # How new it is.

    @property
    def positions(self) -> tuple[str, ...]:
        """The position of each service's last applied event, as opaque strings."""
        return self._progress.texts

    @property
    def whole(self) -> bool:
        """False between a reset and `mended`: what is not there may be on its way."""
        return self._whole

    @property
    def staleness(self) -> float:
        """For how many seconds it has not been known to hold all that the streams do."""
        return self._staleness

    def set_staleness(self, seconds: float) -> None:
        """Know this; where a site allows no view this old permissions do not count (O50)."""
        self._staleness = seconds
        self._sites.set_staleness(seconds)

    def is_behind(self, charger: Charger) -> bool:
        """Whether the view is older than the charger's site allows."""
        return self._sites.is_behind(charger.installation.id)

    async def wait_for(self, positions: Iterable[Position], within: float) -> None:
        """Return once the view includes `positions`, at most `within` seconds from now.

        Raises `ViewBehindError`, `PositionOfAnotherGenerationError` or
        `PositionOfUnknownServiceError`.
        """
        await self._progress.wait_for(positions, within)

    def digest(self) -> str:
        """Return a hash over all entries: equal views have equal ones, on every replica."""
        state = msgspec.json.encode(
            {**self._people.state(), **self._sites.state(), **self._grants.state()}
        )
        return hashlib.blake2b(state, digest_size=16).hexdigest()

    # How it is kept.

    def saved(self) -> SavedView:
        """Return all of it as plain values, for a snapshot; they are not copied."""
        return SavedView(
            positions=list(self.positions),
            sites=self._sites.saved(),
            people=self._people.saved(),
            grants=self._grants.saved(),
            changes=self.changes.saved(),
            past=self.past.saved(),
        )

    def restore(self, saved: SavedView) -> None:
        """Be what was saved: a view that knows nothing yet, and that nobody listens to."""
        self._sites.restore(saved.sites)
        self._people.restore(saved.people)
        self._grants.restore(saved.grants)
        self.changes.restore(saved.changes)
        self.past.restore(saved.past)
        for text in saved.positions:
            self._progress.advance(Position.parse(text))

    # How it changes.

    def on_user_change(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the id of every user whose rights may just have changed."""
        self._people.on_change(listener)

    def on_site_change(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the id of every installation whose settings have just changed."""
        self._sites.on_change(listener)

    def on_charger_change(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the id of every charger whose settings or place just changed."""
        self._sites.on_charger_change(listener)

    def on_endpoint_change(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the id of every partner that now answers elsewhere, or nowhere."""
        self._on_endpoint_change.append(listener)

    def on_password_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` when chargers may have other passwords, and the view is whole.

        Until it is again, a charger may have passed through passwords that were its own once.
        """
        self._on_password_change.append(listener)
        self._on_mended.append(listener)

    def on_forgotten(self, listener: Callable[[], None]) -> None:
        """Call `listener` when a code is nobody's any more, and is to be found nowhere."""
        self._on_forgotten.append(listener)

    def on_mended(self, listener: Callable[[], None]) -> None:
        """Call `listener` when a view that was reset is whole again."""
        self._on_mended.append(listener)

    def mended(self) -> None:
        """Know that everything there was before a reset has been told again."""
        self._whole = True
        for listener in self._on_mended:
            listener()

    async def follow(self, messages: Sequence[Message]) -> None:
        """Apply messages of one stream in their order; what a Follower of it calls."""
        for number, message in enumerate(messages, start=1):
            self.handle(message)
            if number % A_TURN == 0:
                await asyncio.sleep(0)

    def handle(self, message: Message) -> None:
        """Apply a message of the ACCESS or IDENTITY stream.

        What was applied before is skipped, so a refilled stream changes nothing;
        an event of another generation empties that service's part first. Events
        of unknown types are counted and passed over, and so are those that cannot
        be read, loudly: a view that stands still is worse for everybody.
        """
        header = message.headers.get(POSITION_HEADER)
        try:
            position = None if header is None else Position.parse(header)
        except MalformedPositionError:
            self._poison(message)  # nobody can say whether it was applied before
            return
        if position is not None and not self._is_next(position):
            return
        try:
            event = self._decoded(message)
            if event is not None:
                self.apply(event, _time(message))
        except (msgspec.DecodeError, MalformedEventError):
            self._poison(message)
        # A private message has the position of the event that follows it.
        if position is not None and not message.subject.startswith(PRIVATE):
            self._progress.advance(position)

    def apply(self, event: PublishedEvent, at: int = 0) -> None:
        """Apply an event of either stream, without regard to its position.

        It happened at `at`, in nanoseconds since the epoch. Raises MalformedEventError.
        """
        # First: whoever is told of a change may ask when it was, and how it was before.
        self.changes.note(event, at)
        self.past.note(event, at)
        for apply in self._applied.get(type(event), ()):
            apply(event)

    def reset(self, service: str) -> None:
        """Drop what one service told, to hear it again from its beginning."""
        self._whole = False
        match service:
            case "access":
                self._sites.forget()
                self._grants.forget()
            case "identity":
                self._people.forget()
            case _:
                raise ValueError(service)
        self.past.forget(service)
        self._progress.forget(service)

    def _poison(self, message: Message) -> None:
        _UNREADABLE.inc()
        # Without the error itself, which may quote the payload.
        log.error("poison_event", subject=message.subject, sequence=message.sequence)

    def _is_next(self, position: Position) -> bool:
        if position.service not in SERVICES:
            return False
        known = self._progress.positions.get(position.service)
        if known is None:
            return True
        if known.generation != position.generation:
            log.warning("view_reset", service=position.service, generation=position.generation)
            self.reset(position.service)
            return True
        return position.number > known.number

    def _decoded(self, message: Message) -> PublishedEvent | None:
        """Return the event; None where it bears on nothing here, or nobody knows its type."""
        subject = message.subject
        if subject.startswith(PRIVATE):
            return (_KEYS if subject.startswith(KEY) else _CREDENTIALS).decode(message.data)
        decode = self._decoders.get(event_name(subject))
        if decode is None:
            _UNKNOWN.inc()
            return None
        return decode(message.data)

    def _what_applies(self) -> Mapping[type[PublishedEvent], Sequence[Callable[[Any], None]]]:
        """Return what is called with an event of each type, one after the other.

        A table, since a view is filled with a million of these.
        """
        found: dict[type[PublishedEvent], list[Callable[[Any], None]]] = {}
        for part in (self._sites, self._people, self._grants):
            for event, applied in part.applied.items():
                found.setdefault(event, []).append(applied)
        for event in (
            identity.UserErased,
            identity.IdentificationRemoved,
            identity.IdentificationCodeChanged,
        ):
            found[event].append(self._tell_forgotten)
        found[access.ChargerCredential] = [self._set_credential]
        for event in (access.DecisionEndpointSet, access.DecisionEndpointRemoved):
            found[event] = [self._tell_endpoint]
        return found

    def _set_credential(self, event: access.ChargerCredential) -> None:
        if self._sites.set_credential(event) and self._whole:
            for told in self._on_password_change:
                told()

    def _tell_endpoint(
        self, event: access.DecisionEndpointSet | access.DecisionEndpointRemoved
    ) -> None:
        for listener in self._on_endpoint_change:
            listener(event.partner_id)

    def _tell_forgotten(self, _: PublishedEvent) -> None:
        for forgotten in self._on_forgotten:
            forgotten()


def _pass_over(_: bytes) -> None:
    return None


def _time(message: Message) -> int:
    """Return when the event happened; 0, which is before everything, where nobody says so."""
    try:
        return time_of(message.headers)
    except (KeyError, ValueError):
        return 0
