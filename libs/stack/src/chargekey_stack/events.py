"""Reading what the streams have published: events alone, never what is private beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import nats.errors
import structlog
from nats.js.errors import NotFoundError as NothingThereError

from chargekey_common import jetstream
from chargekey_common.errors import UnavailableError
from chargekey_common.follower import Follower, Message
from chargekey_common.jetstream import Bus, StreamClient
from chargekey_common.process import cancel, set_within
from chargekey_common.published import access, chargers, identity, sessions
from chargekey_common.published.envelope import POSITION_HEADER, PublishedEvent
from chargekey_stack import tls

# Locks, marks and keyed ids stand on subjects of their own, which no event has.
EVENTS: Mapping[str, Sequence[type[PublishedEvent]]] = {
    "ACCESS": access.EVENTS,
    "IDENTITY": identity.EVENTS,
    "SESSIONS": sessions.EVENTS,
    "CHARGERS": chargers.EVENTS,
}
# Seconds without a word until the broker is given up.
PATIENCE = 5.0
TICK = 0.5


class Event(msgspec.Struct, frozen=True):
    """A published event: its CloudEvents attributes and `data`, as one document."""

    document: Mapping[str, Any]

    @property
    def time(self) -> str:
        """When it happened, in RFC 3339; texts in the order of time."""
        return str(self.document["time"])

    @property
    def name(self) -> str:
        """What happened, in one word."""
        return str(self.document["type"]).rpartition(".")[2]

    @property
    def about(self) -> tuple[str, str]:
        """What it is about: the kind of thing, and its id."""
        _, _, kind, thing, _ = self.document["subject"].split(".")
        return kind, thing


@asynccontextmanager
async def connection(url: str, token: str) -> AsyncIterator[StreamClient]:
    """Open a connection to the broker; raises UnavailableError and TlsUnusableError."""
    # What services log of a connection's troubles is said by name here, or not at all.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    bus = Bus(url, lambda: token, tls.of_nats())
    try:
        async with asyncio.timeout(PATIENCE):
            client = await jetstream.connect(bus, "command")
    except TimeoutError:
        raise UnavailableError from None
    try:
        yield client
    except (nats.errors.Error, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise UnavailableError from error
    finally:
        await jetstream.close(client)


async def published(
    client: StreamClient, streams: Sequence[str], *, follow: bool
) -> AsyncGenerator[list[Event]]:
    """Yield all events so far, the oldest first, then with `follow` those that come, for ever.

    While none come, an empty list now and then: who reads may have gone. Raises
    UnavailableError where the broker does not answer any more.
    """
    reading = _Reading(client)
    followers = [reading.follower(stream) for stream in streams]
    tasks = [asyncio.create_task(each.run()) for each in followers]
    try:
        for each in followers:
            if await _exists(client, each.stream):
                while not await reading.saw(each.caught_up):
                    pass
        yield reading.taken()
        while follow:
            await reading.saw(reading.arrived)
            yield reading.taken()
    finally:
        await cancel(*tasks)


async def _exists(client: StreamClient, stream: str) -> bool:
    try:
        await client.jetstream().stream_info(stream)
    except NothingThereError:
        return False
    return True


class _Reading:
    """What has arrived of several streams and was not taken yet."""

    def __init__(self, client: StreamClient) -> None:
        self.arrived = asyncio.Event()
        self._client = client
        self._events: list[Event] = []
        self._away = 0.0

    def follower(self, stream: str) -> Follower:
        subjects = [event.subject_filter() for event in EVENTS[stream]]
        return Follower(self._client, stream, self._take, subjects=subjects)

    async def saw(self, happened: asyncio.Event) -> bool:
        """Wait a moment for it; raises UnavailableError where the connection stays away."""
        if await set_within(happened, TICK):
            return True
        self._away = 0.0 if self._client.is_connected else self._away + TICK
        if self._away > PATIENCE:
            raise UnavailableError
        return False

    def taken(self) -> list[Event]:
        """Return what has arrived, the oldest first."""
        self.arrived.clear()
        events, self._events = self._events, []
        return sorted(events, key=lambda event: event.time)

    async def _take(self, batch: Sequence[Message]) -> None:
        self._events += [_event(message) for message in batch]
        self.arrived.set()


def _event(message: Message) -> Event:
    attributes = {
        name.removeprefix("ce-"): value
        for name, value in message.headers.items()
        if name.startswith("ce-") and value
    }
    position = message.headers.get(POSITION_HEADER)
    return Event(
        {
            **attributes,
            "subject": message.subject,
            # Of a start, its OCPP 1.6 transaction id.
            "streamsequence": message.sequence,
            **({} if position is None else {"position": position}),
            "datacontenttype": message.headers["Content-Type"],
            "data": msgspec.json.decode(message.data),
        }
    )
