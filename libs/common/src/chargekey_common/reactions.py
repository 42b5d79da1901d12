"""Reactions: an event of one service makes another act. One file each, one durable each.

A reaction is strictly in order, one event at a time: an event that fails is
tried again, later and later, and nothing overtakes it, not even where it can never
be read: an effect left out would be known to nobody. The reacting service
stores the handled position in the transaction of the effect, so the durable
consumer's own position is only an optimisation and a lost or refilled stream
repeats no effect.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import nats.errors
import structlog
from faststream import AckPolicy
from faststream.exceptions import NackMessage
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from faststream.nats.security import NatsToken
from nats.js.api import ConsumerConfig
from nats.js.errors import NotFoundError as NothingThereError
from nats.js.manager import JetStreamManager
from prometheus_client import Counter

from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.store import Reaction
from chargekey_common.published.envelope import PublishedEvent, attributes

FIRST_DELAY = 0.2
LONGEST_DELAY = 30.0
WATCH = 1.0

_FAILURES = Counter("reaction_failures_total", "Events a reaction will try again.", ["reaction"])
_POISON = Counter(
    "poison_events_total",
    "Attempts at an event that this version cannot read; the reaction stands still.",
    ["reaction"],
)

log = structlog.get_logger()


class On(msgspec.Struct, frozen=True):
    """Which event makes a service act, and how.

    `react` raises nothing for what it has done already, and anything at all to
    be asked again later.
    """

    event: type[PublishedEvent]
    react: Callable[[Any, Reaction], Awaitable[None]]

    def name(self, service: str) -> str:
        """Return the durable name: `notifier-on-user-blocked`."""
        return f"{service}-on-{kebab_case(self.event.__name__)}"


def kebab_case(name: str) -> str:
    """`UserBlocked` as `user-blocked`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


class Reactions:
    """Runs a service's reactions on FastStream, for as long as the service lives.

    `reacting` is set while every reaction has its consumer, which is when events reach it.
    """

    def __init__(self, service: str, nats_url: str, token: str | None, *ons: On) -> None:
        self._service = service
        self._url = nats_url
        self._token = token
        self._ons = ons
        self.reacting = asyncio.Event()
        self._delays: dict[str, float] = {}

    async def run(self) -> None:
        """React until cancelled; streams that do not exist yet, or no longer, are waited for."""
        while True:
            broker = self._broker()
            try:
                js = (await broker.connect()).jetstream()
                for on in self._ons:
                    await js.stream_info(on.event.stream.upper())
                await broker.start()
                self.reacting.set()
                await self._consumers_vanish(js)
                log.warning("reactions_start_over", service=self._service)
            except (nats.errors.Error, OSError) as error:
                log.info("reactions_wait", service=self._service, error=type(error).__name__)
                await asyncio.sleep(WATCH / 4)
            finally:
                self.reacting.clear()
                await broker.stop()

    def _broker(self) -> NatsBroker:
        broker = NatsBroker(
            self._url,
            security=None if self._token is None else NatsToken(self._token),
            name=f"{self._service}-reactions",
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            error_cb=_quietly,
            logger=None,
        )
        for on in self._ons:
            broker.subscriber(
                on.event.subject_filter(),
                stream=JStream(on.event.stream.upper(), declare=False),
                durable=on.name(self._service),
                config=ConsumerConfig(max_ack_pending=1, ack_wait=30),
                pull_sub=PullSub(batch_size=1),
                ack_policy=AckPolicy.NACK_ON_ERROR,
                decoder=_undecoded,
            )(self._handler(on))
        return broker

    def _handler(self, on: On) -> Callable[[NatsMessage], Awaitable[None]]:
        name = on.name(self._service)
        decoder = msgspec.json.Decoder(on.event)

        async def handle(message: NatsMessage) -> None:
            try:
                event, reaction = decoder.decode(message.body), _reaction(name, message)
            except (msgspec.DecodeError, KeyError, ValueError):
                _POISON.labels(name).inc()
                metadata = message.raw_message.metadata
                log.error(  # noqa: TRY400 - the error may quote the payload
                    "poison_event",
                    reaction=name,
                    subject=message.raw_message.subject,
                    sequence=metadata.sequence.stream,
                )
                raise NackMessage(delay=LONGEST_DELAY) from None
            try:
                await on.react(event, reaction)
            except Exception as error:
                _FAILURES.labels(name).inc()
                delay = min(self._delays.get(name, FIRST_DELAY / 2) * 2, LONGEST_DELAY)
                self._delays[name] = delay
                log.warning("reaction_failed", reaction=name, again_in=delay, exc_info=error)
                raise NackMessage(delay=delay) from error
            self._delays.pop(name, None)

        return handle

    async def _consumers_vanish(self, js: JetStreamManager) -> None:
        """Return when a durable is gone, as it is after the bus lost its disk."""
        while True:
            await asyncio.sleep(WATCH)
            for on in self._ons:
                try:
                    await js.consumer_info(on.event.stream.upper(), on.name(self._service))
                except NothingThereError:
                    return
                except nats.errors.Error:
                    break  # NATS is away; the client reconnects by itself


def _reaction(name: str, message: NatsMessage) -> Reaction:
    about = attributes(message.headers)
    if about.position is None:
        reason = "an event without a position cannot be reacted to"
        raise ValueError(reason)
    return Reaction(Handled(name, about.position), about.id, about.at, about.actor)


async def _undecoded(message: NatsMessage) -> bytes:
    return message.body


async def _quietly(error: Exception) -> None:
    log.debug("nats_error", error=type(error).__name__)
