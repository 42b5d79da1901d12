"""A domain event with everything the store adds to it."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

import msgspec

# Fixed for ever: the ids of published events are derived from it.
_EVENT_NAMESPACE = uuid.UUID("6d1f0a0e-6d0c-5c6b-9a57-1f0b1d6f7a10")


class DomainEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fact as the domain tells it, without ids of its own or time.

    Stored under the topic `<service>.<class name>`: a class's name is for ever.
    Fields named in `personal` are encrypted in the store under a key of the
    user they are about, and are unreadable once that key is destroyed.
    """

    personal: ClassVar[tuple[str, ...]] = ()


class Record(msgspec.Struct, frozen=True):
    """An event at its place: aggregate, version from 1, time (ns), cause and actor.

    `cause` is the id of the command or event that led to it, `actor` the caller, `trace` the
    traceparent of what recorded it, empty where nobody was told of that.
    """

    originator_id: str
    originator_version: int
    at: int
    cause: str
    actor: str
    event: Any
    trace: str = ""

    @property
    def event_id(self) -> str:
        """Its id outside: the same for as long as the fact exists.

        Not without its time: in a store restored from a backup another fact comes to
        stand at a lost one's place.
        """
        name = f"{self.originator_id}/{self.originator_version}/{self.at}"
        return str(uuid.uuid5(_EVENT_NAMESPACE, name))


def new_id() -> str:
    """Return a fresh random id."""
    return str(uuid.uuid4())
