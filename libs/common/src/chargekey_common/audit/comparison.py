"""A stream's messages against a store's records, both in order; no bus in here.

Each record of the store must be told by exactly one event, in order, with its
position, its hash and the bytes that its publication makes today, and nothing may
be told that the store does not hold. Private messages stand before their event. One
may stand there twice, where a relay had to repeat a batch of which the event was
lost, and may be missing where a later record erases it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import msgspec
from eventsourcing.persistence import Notification

from chargekey_common.errors import ChargekeyError
from chargekey_common.eventstore.records import Record
from chargekey_common.eventstore.store import EventStore
from chargekey_common.follower import Message
from chargekey_common.jetstream import OutMessage
from chargekey_common.positions import MalformedPositionError, Position
from chargekey_common.published.envelope import POSITION_HEADER, RECORD_HEADER
from chargekey_common.relay import Publication, messages, record_hash

CHUNK = 500

# A word that never changes once released, and what people are told.
SENTENCES: Mapping[str, str] = {
    "record_changed": "The record is not the one that was published.",
    "record_missing": "The stream tells of a record that the store does not hold.",
    "record_unreadable": "The record cannot be read by this version with these keys.",
    "message_changed": "The message does not say what the record says.",
    "message_missing": "The stream does not tell of this record, and goes on behind it.",
    "message_repeated": "The stream tells of this record again.",
    "message_foreign": "This message comes from no record.",
    "generation_differs": (
        "The stream was filled by another generation of the store; "
        "the service fills it anew when it starts."
    ),
}


class Difference(msgspec.Struct, frozen=True):
    """Where store and stream part: the record's position, the message's sequence.

    `part` is what of the message differs: the names of headers, or `data`.
    """

    code: str
    position: Position | None = None
    sequence: int = 0
    part: str = ""

    @property
    def sentence(self) -> str:
        """What is wrong, for people."""
        return f"{SENTENCES[self.code]}{f' It differs in {self.part}.' if self.part else ''}"


class DifferedError(Exception):
    """There is no point in comparing what follows the first difference."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.code)
        self.difference = difference


class StreamMadeAgainError(Exception):
    """The messages begin anew: whoever compares must, too."""


class _Told(msgspec.Struct, frozen=True):
    """What a record's publication is, as the relay sends it."""

    private: Sequence[OutMessage]
    event: OutMessage
    erased: Sequence[str]


class Comparison:
    """How far the stream agrees with the store. Blocking, as it reads the store."""

    def __init__(self, store: EventStore, publish: Callable[[Record], Publication]) -> None:
        self.records = 0
        # Of the last record whose event was told.
        self.number = 0
        self._store = store
        self._publish = publish
        self._rows: deque[Notification] = deque()
        self._sequence = 0
        # The next record's publication, once its first message was met.
        self._told: _Told | None = None
        self._private_told: set[str] = set()
        # Private messages that are not there, by subject; erased ones are forgotten.
        self._lacking: dict[str, Difference] = {}

    def take(self, batch: Sequence[Message]) -> None:
        """Compare the stream's next messages; raises DifferedError or StreamMadeAgainError."""
        for message in batch:
            if message.sequence <= self._sequence:
                raise StreamMadeAgainError
            self._sequence = message.sequence
            self._take(message)

    def finish(self) -> int:
        """Return how many records the stream has yet to be told; raises DifferedError."""
        end = self._store.end()
        behind = 0
        number = self.number
        while number < end and (rows := self._store.rows(number, CHUNK)):
            behind += sum(row.id <= end for row in rows)
            number = rows[-1].id
            if self._lacking:
                # The relay erases before it publishes the event that erases.
                for row in rows:
                    self._forget(self._read(row, 0).erased)
        for difference in self._lacking.values():
            raise DifferedError(difference)
        return behind

    def _take(self, message: Message) -> None:
        position = self._position(message)
        row = self._next()
        if position.number <= self.number:
            known = [each.id for each in self._store.rows(position.number - 1, 1)]
            repeated = known == [position.number]
            self._differ("message_repeated" if repeated else "record_missing", position, message)
        if row is None or row.id > position.number:
            self._differ("record_missing", position, message)
        if row.id < position.number:
            raise DifferedError(Difference("message_missing", self._store.position(row.id)))
        if _hash(row) != message.headers.get(RECORD_HEADER):
            self._differ("record_changed", position, message)
        self._match(row, position, message)

    def _match(self, row: Notification, position: Position, message: Message) -> None:
        if self._told is None:
            self._told = self._read(row, message.sequence)
        told = self._told
        if message.subject == told.event.subject:
            self._require_same(message, told.event, position)
            self._forget(told.erased)
            for private in told.private:
                if private.subject not in self._private_told:
                    self._lacking[private.subject] = Difference("message_missing", position)
            self.records += 1
            self.number = row.id
            self._rows.popleft()
            self._told = None
            self._private_told.clear()
            return
        for private in told.private:
            if message.subject == private.subject:
                self._require_same(message, private, position)
                self._private_told.add(private.subject)
                return
        self._differ("message_foreign", position, message)

    def _position(self, message: Message) -> Position:
        try:
            position = Position.parse(message.headers.get(POSITION_HEADER, ""))
        except MalformedPositionError:
            raise DifferedError(Difference("message_foreign", sequence=message.sequence)) from None
        here = self._store.position(position.number)
        if position.service != here.service:
            self._differ("message_foreign", position, message)
        if position.generation != here.generation:
            self._differ("generation_differs", position, message)
        return position

    def _next(self) -> Notification | None:
        """Return the first record that no event has told of, or None behind the last one."""
        if not self._rows:
            self._rows.extend(self._store.rows(self.number, CHUNK))
        return self._rows[0] if self._rows else None

    def _read(self, row: Notification, sequence: int) -> _Told:
        try:
            record = self._store.record(row)
            publication = self._publish(record)
        except ChargekeyError:
            raise  # nobody can tell just now
        except Exception as error:
            # Whatever a seal or a translation has to say about a row that is not theirs.
            raise DifferedError(
                Difference("record_unreadable", self._store.position(row.id), sequence)
            ) from error
        *private, event = messages(self._store, row.id, record, row, publication)
        return _Told(private, event, publication.erased)

    def _require_same(self, message: Message, wanted: OutMessage, position: Position) -> None:
        # NATS adds headers of its own.
        parts = [
            name for name, value in wanted.headers.items() if message.headers.get(name) != value
        ]
        if message.data != wanted.data:
            parts.append("data")
        if parts:
            raise DifferedError(
                Difference("message_changed", position, message.sequence, ", ".join(parts))
            )

    def _forget(self, erased: Sequence[str]) -> None:
        for subject in erased:
            self._lacking.pop(subject, None)

    @staticmethod
    def _differ(code: str, position: Position, message: Message) -> NoReturn:
        raise DifferedError(Difference(code, position, message.sequence))


def _hash(row: Notification) -> str | None:
    """Return the hash of a row, or None of one whose types are not even ours any more."""
    try:
        return record_hash(row)
    except (AttributeError, TypeError):
        return None
