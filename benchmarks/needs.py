"""What so many chargers need, computed: from what was measured of one, and from what is assumed.

Everything here grows with the number of chargers. So a wall stands where its limit is, as a part
of what the whole size needs of it.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from benchmarks import cold_start, commands
from benchmarks.figures import Figure
from chargekey_gateway.application.metering import SELDOM
from chargekey_gateway.ocpp.limits import Limits

GIB = 2**30
HOUR, DAY, YEAR = 3600, 86_400, 365 * 86_400  # seconds
_KIB, _MICRO = 1024, 1e-6
_TRANSACTION_IDS = 2**31
_COUNTED_FROM = dt.date(2020, 1, 1)
# Lock, mark and event.
BATCH = 3


class FigureMissingError(LookupError):
    """What a page is made of has not been measured yet."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"There is no figure yet of: {'; '.join(names)}.")


class Assumed(msgspec.Struct, frozen=True):
    """What nobody can measure here. Rates are each charger's or person's own."""

    chargers: int = 1_000_000
    identifications: int = 50_000_000
    cards_a_person: int = 2
    sessions_a_day: float = 2
    session_hours: float = 4
    refused: float = 0.1  # for each session
    reading_seconds: int = 60
    states_a_session: int = 6
    states_a_return: int = 3
    changes_a_year: float = 2
    busiest_hour: float = 0.15  # of a day
    charging_at_once: float = 0.5
    headroom: float = 2
    connections: int = 15_000  # a process
    host: float = 64 * GIB
    start: float = 600  # seconds
    kept: float = YEAR
    began: dt.date = dt.date(2027, 1, 1)

    @property
    def people(self) -> float:
        """How many hold them."""
        return self.identifications / self.cards_a_person


class Measured(msgspec.Struct, frozen=True):
    """What one takes: in bytes, seconds of a core, and how many are done in a second."""

    connection: float
    returning: float
    message: float
    found: float
    identification: float
    user: float
    charger: float
    lock: float
    session: float
    from_streams: float  # seconds an identification
    from_file: float  # seconds an identification
    stream_memory: float
    stream_subjects: float
    stream_disk: float
    marks: float
    listener: float
    batches: float
    batch: float
    batch_at_nats: float
    messages: float
    session_disk: float
    reading_disk: float
    replayed: float
    commands: float
    permission_rows: float
    card_rows: float
    history_rows: float
    history_rate: float
    access_memory: float
    access_rate: float
    identity_memory: float
    identity_rate: float


# Where each stands among the figures, and what makes bytes and seconds of it. A star stands for
# how many there were: of several such figures the last has most.
_FIGURES: Mapping[str, tuple[str, float]] = {
    "connection": ("an idle charger's connection, of *", _KIB),
    "returning": ("reconnect storm, * chargers: signed in and booted", 1),
    "message": ("Authorize over OCPP, * connections: server CPU", _MICRO),
    "found": ("memory an identification: what a decision finds by its keyed id", 1),
    "identification": ("memory an identification: all that is known of it", 1),
    "user": ("memory a user with a permission", 1),
    "charger": ("memory a charger, a tenth of a site", 1),
    "lock": ("memory a lock that was ever held", 1),
    "session": ("memory a running session", 1),
    "from_streams": (
        f"cold start from the streams, {cold_start.FEWER:,} identifications",
        1 / cold_start.FEWER,
    ),
    "from_file": (
        (
            f"cold start from a kept view, {cold_start.TAIL:,} events since,"
            f" {cold_start.IDENTIFICATIONS:,}"
        ),
        1 / cold_start.IDENTIFICATIONS,
    ),
    "stream_memory": ("nats-server's memory of an identification in IDENTITY", 1),
    "stream_subjects": ("subjects of an identification in IDENTITY", 1),
    "stream_disk": ("disk of an identification in IDENTITY", 1),
    "marks": ("nats-server's memory of the marks that a session leaves in SESSIONS", 1),
    "listener": ("nats-server's memory a charger that is listened for", 1),
    "batches": ("starts and ends of sessions a second, one stream", 1),
    "batch": ("... the gateway's CPU of each", _MICRO),
    "batch_at_nats": ("... nats-server's CPU of each", _MICRO),
    "messages": ("readings of meters a second, one stream", 1),
    "session_disk": ("disk of a session in SESSIONS, its start and its end", 1),
    "reading_disk": ("disk of a reading in SESSIONS", 1),
    "replayed": ("messages of SESSIONS read a second", 1),
    "commands": (f"commands on PostgreSQL, {commands.WRITERS} writers: create", 1),
    "permission_rows": ("PostgreSQL, a permission that is granted", 1),
    "card_rows": ("PostgreSQL, a card that is added", 1),
    "history_rows": ("PostgreSQL, a session in history", 1),
    "history_rate": ("sessions written by history a second", 1),
    "access_memory": ("memory of access, a permission", 1),
    "access_rate": ("events that access takes in a second when it starts", 1),
    "identity_memory": ("memory of identity, an identification", 1),
    "identity_rate": ("events that identity takes in a second when it starts", 1),
}


def measured(figures: Sequence[Figure]) -> Measured:
    """Return what the figures say of one; raises FigureMissingError."""
    of_one: dict[str, float] = {}
    missing: list[str] = []
    for field, (name, unit) in _FIGURES.items():
        known = [each.figure for each in figures if fnmatchcase(each.name, name)]
        if known:
            of_one[field] = known[-1] * unit
        else:
            missing.append(name)
    if missing:
        raise FigureMissingError(missing)
    return Measured(**of_one)


class Needs(msgspec.Struct, frozen=True):
    """What the size needs of everything; bytes and seconds."""

    of: Assumed
    one: Measured

    def at_peak(self, a_day: float) -> float:
        """Return how many there are in a second of the busiest hour."""
        return a_day * self.of.busiest_hour / HOUR

    # What happens.

    @property
    def sessions(self) -> float:
        """Those of a day."""
        return self.of.chargers * self.of.sessions_a_day

    @property
    def charging(self) -> float:
        """The sessions that run when most do."""
        return self.of.chargers * self.of.charging_at_once

    @property
    def readings(self) -> float:
        """What SESSIONS is told of a session's meter: the first, and one each `SELDOM`."""
        return 1 + math.floor(self.of.session_hours * HOUR * 1e9 / SELDOM)

    @property
    def session_messages(self) -> float:
        """What SESSIONS gets in a day: starts, ends, readings, refusals."""
        return self.sessions * (2 * BATCH + self.readings + self.of.refused)

    @property
    def batches(self) -> float:
        """Starts and ends a second of the busiest hour."""
        return self.at_peak(2 * self.sessions)

    @property
    def said(self) -> float:
        """What chargers say in a second of the busiest hour."""
        heartbeats = self.of.chargers / Limits().heartbeat_interval
        readings = self.charging / self.of.reading_seconds
        # A tap, a start, an end, and each state.
        others = self.at_peak(self.sessions * (3 + self.of.states_a_session))
        return heartbeats + readings + others

    @property
    def changes(self) -> float:
        """Commands a second of the busiest hour."""
        return self.at_peak(self.of.people * self.of.changes_a_year * DAY / YEAR)

    # Gateways.

    @property
    def gateways(self) -> float:
        """Processes, by their connections."""
        return math.ceil(self.of.chargers * self.of.headroom / self.of.connections)

    @property
    def of_a_gateway(self) -> float:
        """Chargers that are connected to each."""
        return self.of.chargers / self.gateways

    @property
    def people_in_view(self) -> float:
        """The part of the view that grows with people."""
        return self.of.identifications * self.one.identification + self.of.people * self.one.user

    @property
    def chargers_in_view(self) -> float:
        """The part of the view that grows with chargers."""
        return self.of.chargers * self.one.charger

    @property
    def sessions_in_view(self) -> float:
        """Locks of all that ever charged, and sessions that run."""
        return self.of.identifications * self.one.lock + self.charging * self.one.session

    @property
    def view(self) -> float:
        """What every gateway has in memory of the whole."""
        return self.people_in_view + self.chargers_in_view + self.sessions_in_view

    @property
    def connections(self) -> float:
        """What every gateway has in memory of its own chargers."""
        return self.of_a_gateway * self.one.connection

    @property
    def cores(self) -> float:
        """What all gateways' chargers keep busy of cores in the busiest hour."""
        return self.said * self.one.message + self.batches * self.one.batch

    @property
    def following(self) -> float:
        """The part of a core that every gateway has for the sessions of all, at that hour."""
        return self.at_peak(self.session_messages) / self.one.replayed

    @property
    def start_from_streams(self) -> float:
        """Until a gateway without a file knows everybody."""
        return self.of.identifications * self.one.from_streams

    @property
    def start_from_file(self) -> float:
        """Until one with a file does, of which some have changed since."""
        return self.of.identifications * self.one.from_file

    @property
    def start_sessions(self) -> float:
        """Until a gateway has read all that SESSIONS keeps."""
        return self.kept_messages / self.one.replayed

    @property
    def all_back(self) -> float:
        """Until every charger is in again, where all have lost their connection."""
        return self.of_a_gateway / self.one.returning

    # NATS.

    @property
    def kept_messages(self) -> float:
        """Messages of SESSIONS, after as long as it was kept."""
        return self.session_messages * self.of.kept / DAY

    @property
    def kept_sessions(self) -> float:
        """Sessions in the same time."""
        return self.sessions * self.of.kept / DAY

    @property
    def identity_disk(self) -> float:
        """IDENTITY, on every server that has it."""
        return self.of.identifications * self.one.stream_disk

    @property
    def sessions_disk(self) -> float:
        """SESSIONS likewise; a refusal takes as much as a reading."""
        one = self.one.session_disk + (self.readings + self.of.refused) * self.one.reading_disk
        return self.kept_sessions * one

    @property
    def subject(self) -> float:
        """What nats-server has in memory of a subject with one message: a mark."""
        return self.one.marks / 2

    @property
    def identity_at_nats(self) -> float:
        """What it has of IDENTITY, users among it."""
        cards = self.of.identifications * self.one.stream_memory
        return cards + self.of.people * self.subject

    @property
    def sessions_at_nats(self) -> float:
        """What it has of SESSIONS: the marks of each session stay, and a lock of each card."""
        return self.kept_sessions * self.one.marks + self.of.identifications * self.subject

    @property
    def listeners_at_nats(self) -> float:
        """What it has of the chargers that are listened for."""
        return self.of.chargers * self.one.listener

    @property
    def nats(self) -> float:
        """What a nats-server has in memory."""
        return self.identity_at_nats + self.sessions_at_nats + self.listeners_at_nats

    @property
    def other_messages(self) -> float:
        """Readings and refusals a second of the busiest hour."""
        return self.at_peak(self.session_messages) - BATCH * self.batches

    @property
    def writing(self) -> float:
        """The part of the busiest hour in which SESSIONS is written to."""
        return self.batches / self.one.batches + self.other_messages / self.one.messages

    @property
    def told_of_return(self) -> float:
        """Until CHARGERS has all that is told of chargers that came back at once."""
        return self.of.chargers * self.of.states_a_return / self.one.messages

    # Stores.

    @property
    def access_events(self) -> float:
        """A permission each."""
        return self.of.people

    @property
    def identity_events(self) -> float:
        """A user each, and the reservation of each code with its identification."""
        return self.of.people + 2 * self.of.identifications

    @property
    def access_rows(self) -> float:
        """On PostgreSQL, with a year's changes."""
        return (self.of.people + self.changes_kept) * self.one.permission_rows

    @property
    def changes_kept(self) -> float:
        """Changes in as long as everything is kept here."""
        return self.of.people * self.of.changes_a_year * self.of.kept / YEAR

    @property
    def identity_rows(self) -> float:
        """On PostgreSQL."""
        return self.of.identifications * self.one.card_rows

    @property
    def history_rows(self) -> float:
        """On PostgreSQL; a refusal takes as much as a session."""
        return self.kept_sessions * (1 + self.of.refused) * self.one.history_rows

    @property
    def access_memory(self) -> float:
        """What every replica of access knows."""
        return self.of.people * self.one.access_memory

    @property
    def identity_memory(self) -> float:
        """What every replica of identity knows."""
        return self.of.identifications * self.one.identity_memory

    @property
    def access_start(self) -> float:
        """Until a replica of access answers."""
        return self.access_events / self.one.access_rate

    @property
    def identity_start(self) -> float:
        """Until a replica of identity answers."""
        return self.identity_events / self.one.identity_rate

    @property
    def filling(self) -> float:
        """Until identity has been told of everybody in the first place."""
        return (self.of.people + self.of.identifications) / self.one.commands

    @property
    def transaction_ids(self) -> float:
        """What SESSIONS takes of OCPP 1.6's numbers in that time, as a part of all there are."""
        first = (self.of.began - _COUNTED_FROM).days * DAY
        return self.kept_messages / (_TRANSACTION_IDS - first)
