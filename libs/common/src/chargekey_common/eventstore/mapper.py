"""Records to stored rows and back: msgspec JSON, personal fields sealed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, get_type_hints

import msgspec
from eventsourcing.persistence import StoredEvent

from chargekey_common.eventstore.records import DomainEvent, Record


class Seal(Protocol):
    """Encrypts the personal fields of one user's events."""

    def seal(self, owner: str, plain: bytes, context: bytes) -> bytes:
        """Encrypt for `owner`, bound to `context`."""

    def unseal(self, owner: str, sealed: bytes, context: bytes) -> bytes | None:
        """Decrypt, or return None when the owner's key is destroyed."""


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    at: int
    cause: str
    actor: str
    event: msgspec.Raw
    owner: str | None = None
    sealed: bytes | None = None
    trace: str = ""


class UnknownTopicError(Exception):
    """The store holds an event this version of the service does not know."""


class RecordMapper:
    """Writes `{at, cause, actor, event, owner, sealed, trace}`; strict in both directions.

    An event with personal fields names its owner in `user_id`, or is an event of
    the user himself, whose id is the aggregate's. Personal fields are strings, or
    TypeError is raised at once: erased, they come back empty.
    """

    def __init__(
        self, service: str, events: Iterable[type[DomainEvent]], seal: Seal | None
    ) -> None:
        self._topics: Mapping[type[DomainEvent], str] = {
            event: f"{service}.{event.__name__}" for event in events
        }
        for event in self._topics:
            _require_erasable(event)
        self._events: Mapping[str, msgspec.json.Decoder[DomainEvent]] = {
            topic: msgspec.json.Decoder(event) for event, topic in self._topics.items()
        }
        self._seal = seal
        self._rows = msgspec.json.Decoder(_Row)

    def to_stored_event(self, record: Record) -> StoredEvent:
        """Encode a `Record`."""
        topic = self._topics[type(record.event)]
        public: Any = record.event
        owner, sealed = None, None
        if record.event.personal:
            public = msgspec.to_builtins(record.event)
            personal = {name: public.pop(name) for name in record.event.personal}
            owner = getattr(record.event, "user_id", record.originator_id)
            sealed = self._required_seal().seal(
                owner, msgspec.json.encode(personal), _context(record, topic)
            )
        row = _Row(
            at=record.at,
            cause=record.cause,
            actor=record.actor,
            event=msgspec.Raw(msgspec.json.encode(public)),
            owner=owner,
            sealed=sealed,
            trace=record.trace,
        )
        return StoredEvent(
            originator_id=record.originator_id,
            originator_version=record.originator_version,
            topic=topic,
            state=msgspec.json.encode(row),
        )

    def to_record(self, stored: StoredEvent, *, personal: bool = True) -> Record:
        """Decode a row of the store or of its notification log.

        Not `personal`, it comes back as if its user were erased.
        """
        events = self._events.get(stored.topic)
        if events is None:
            raise UnknownTopicError(stored.topic)
        row = self._rows.decode(stored.state)
        record = Record(
            originator_id=str(stored.originator_id),
            originator_version=stored.originator_version,
            at=row.at,
            cause=row.cause,
            actor=row.actor,
            event=None,
            trace=row.trace,
        )
        if row.sealed is None or row.owner is None:
            event = events.decode(row.event)
        else:
            plain = None
            if personal:
                context = _context(record, stored.topic)
                plain = self._required_seal().unseal(row.owner, row.sealed, context)
            fields = msgspec.json.decode(row.event) | (
                dict.fromkeys(events.type.personal, "")
                if plain is None
                else msgspec.json.decode(plain)
            )
            event = msgspec.convert(fields, events.type)
        return msgspec.structs.replace(record, event=event)

    def _required_seal(self) -> Seal:
        if self._seal is None:
            message = "an event has personal fields, but this service seals none"
            raise TypeError(message)
        return self._seal


def _require_erasable(event: type[DomainEvent]) -> None:
    if not event.personal:
        return  # most have nothing, and looking types up would be most of opening a store
    types = get_type_hints(event)
    for name in event.personal:
        if types.get(name) is not str:
            message = f"{event.__name__}.{name} is personal and must be a string"
            raise TypeError(message)


def _context(record: Record, topic: str) -> bytes:
    return f"{topic}/{record.originator_id}/{record.originator_version}".encode()
