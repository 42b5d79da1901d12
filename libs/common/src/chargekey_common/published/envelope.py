"""How a published event travels: subject, CloudEvents 1.0 headers, JSON.

Binary content mode of the CloudEvents NATS protocol binding: the event's JSON is
the payload, its attributes are headers.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import ClassVar, TypeVar

import msgspec

from chargekey_common import tracing
from chargekey_common.positions import MalformedPositionError, Position

POSITION_HEADER = "Chargekey-Position"
RECORD_HEADER = "Chargekey-Record"
CAUSE_HEADER = "ce-cause"
ACTOR_HEADER = "ce-actor"

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_ID_FORM = re.compile(r"[A-Za-z0-9_-]{1,64}")


class PublishedEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fact of one service that others may know.

    A class names its stream, and the kind of thing its subject is about together
    with the field that holds that thing's id.
    """

    stream: ClassVar[str]
    about: ClassVar[tuple[str, str]]

    @property
    def subject(self) -> str:
        """`<stream>.v1.<kind>.<id>.<Event>`, all lower case but the event."""
        kind, field = self.about
        thing = getattr(self, field)
        if _ID_FORM.fullmatch(thing) is None:
            message = f"{type(self).__name__}.{field} does not fit into a subject"
            raise ValueError(message)
        return f"{self.stream}.v1.{kind}.{thing}.{type(self).__name__}"

    @classmethod
    def subject_filter(cls) -> str:
        """Return the subject of every event of this class."""
        return f"{cls.stream}.v1.{cls.about[0]}.*.{cls.__name__}"

    @classmethod
    def cloudevents_type(cls) -> str:
        """Return the CloudEvents type: `chargekey.<stream>.v1.<Event>`."""
        return f"chargekey.{cls.stream}.v1.{cls.__name__}"


Event = TypeVar("Event", bound=PublishedEvent)


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """What the headers say about an event.

    `id` is stable: the same fact has the same id after every refill of a stream.
    `at` is in nanoseconds since the epoch; it travels in whole microseconds.
    `position` is absent in streams that no event store stands behind, `trace` the traceparent of
    what it happened in, empty where nobody is told of that.
    """

    id: str
    at: int
    cause: str
    actor: str
    position: Position | None = None
    trace: str = ""


def headers(event: PublishedEvent, attributes: Attributes, *, source: str) -> dict[str, str]:
    """Return the CloudEvents headers of `event`, published by the service `source`."""
    at = _EPOCH + dt.timedelta(microseconds=attributes.at // 1000)
    result = {
        "ce-specversion": "1.0",
        "ce-id": attributes.id,
        "ce-source": f"/chargekey/{source}",
        "ce-type": event.cloudevents_type(),
        "ce-time": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "Content-Type": "application/json",
        CAUSE_HEADER: attributes.cause,
        ACTOR_HEADER: attributes.actor,
    }
    if attributes.position is not None:
        result["ce-sequence"] = f"{attributes.position.number:020d}"
        result[POSITION_HEADER] = str(attributes.position)
    if attributes.trace:
        result[tracing.HEADER] = attributes.trace
    return result


def attributes(message_headers: Mapping[str, str]) -> Attributes:
    """Read the attributes back; raises KeyError or ValueError on headers that are not ours."""
    position = message_headers.get(POSITION_HEADER)
    try:
        parsed = None if position is None else Position.parse(position)
    except MalformedPositionError as error:
        reason = "the position is malformed"
        raise ValueError(reason) from error
    return Attributes(
        id=message_headers["ce-id"],
        at=time_of(message_headers),
        cause=message_headers.get(CAUSE_HEADER, ""),
        actor=message_headers.get(ACTOR_HEADER, ""),
        position=parsed,
        trace=message_headers.get(tracing.HEADER, ""),
    )


def time_of(message_headers: Mapping[str, str]) -> int:
    """Read back when it happened, alone; raises KeyError or ValueError."""
    try:
        since_epoch = dt.datetime.fromisoformat(message_headers["ce-time"]) - _EPOCH
    except TypeError as error:  # a time without a zone
        reason = "ce-time is malformed"
        raise ValueError(reason) from error
    return since_epoch // _MICROSECOND * 1000


def event_name(subject: str) -> tuple[str, str]:
    """Return the stream and the name of the event on `subject`."""
    stream, _, rest = subject.partition(".")
    return stream, rest.rpartition(".")[2]


class Catalogue:
    """The events of a set of streams, to decode whatever arrives on them."""

    def __init__(self, *events: type[PublishedEvent]) -> None:
        """Know `events` by the last token of their subjects."""
        self._decoders = {
            (event.stream, event.__name__): msgspec.json.Decoder(event) for event in events
        }

    def decode(self, subject: str, payload: bytes) -> PublishedEvent | None:
        """Decode the event on `subject`, or return None where its type is unknown here.

        Raises msgspec.DecodeError on a known type with an impossible payload.
        """
        decoder = self._decoders.get(event_name(subject))
        return None if decoder is None else decoder.decode(payload)


def retold(stored: msgspec.Struct, as_: type[Event], **ids: str) -> Event:
    """Return the published form of a stored event of the same name.

    It has the fields that the published class has, and no others: what is not declared
    there stays private. `ids` name the aggregate. Raises TypeError where one is missing.
    """
    fields = {
        name: getattr(stored, name)
        for name in stored.__struct_fields__
        if name in as_.__struct_fields__
    }
    return as_(**fields, **ids)
