"""Reactions: an event of one service makes another act. One file each, one durable each.

A reaction is strictly in order, one event at a time: an event that fails is
tried again, later and later, and nothing overtakes it. One that cannot be read is
set aside, with an alert, in the reacting service's own database; later ones about
the same thing are set aside behind it, and the others go on. A newer version, which
may be able to read it, begins with what was set aside.

The reacting service stores the handled position in the transaction of the effect,
so the durable consumer's own position is only an optimisation: a lost or refilled
stream repeats no effect, and a service restored from a backup hears again what it
lost. An event of a stream that no event store stands behind has its position there, in
this life of the stream.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec
import nats.errors
import structlog
from faststream import AckPolicy
from faststream.exceptions import NackMessage
from faststream.nats import (
    JStream,
    NatsBroker,
    NatsMessage,
    NatsSecurity,
    NatsUserPassword,
    PullSub,
)
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, RawStreamMsg, StreamInfo
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError as NothingThereError
from nats.js.manager import JetStreamManager
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Gauge

from chargekey_common import tracing
from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.eventstore.quarantine import SetAside
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.store import Reaction, StoreUnavailableError
from chargekey_common.jetstream import (
    MOST_PINGS,
    PING_INTERVAL,
    SERVICES,
    Bus,
    StreamClient,
    close,
    made,
)
from chargekey_common.positions import Position
from chargekey_common.process import cancel, set_within
from chargekey_common.published.envelope import Attributes, PublishedEvent, attributes
from chargekey_common.relay import GENERATION
from chargekey_common.standing import Standing, told

FIRST_DELAY = 0.2
LONGEST_DELAY = 30.0
LONGEST_WHILE_AWAY = 2.0
# Seconds for which a durable is asked for its next event. A request is lost in silence when
# the durable's leader changes.
PULL = 5.0
# Seconds between looks whether the durables are still there.
WATCH = 5.0
# Seconds between attempts to begin.
RETRY = 0.25
# Seconds between attempts at what is set aside.
AGAIN = 60.0
# Seconds after which an event whose reaction died with its process is delivered again.
ACK_WAIT = 5.0

_AWAY = (StoreUnavailableError, DatabaseUnavailableError)

_FAILURES = Counter("reaction_failures_total", "Events a reaction will try again.", ["reaction"])
_POISON = Counter(
    "poison_events_total", "Events that this version cannot read, set aside.", ["reaction"]
)
_SET_ASIDE = Gauge(
    "events_set_aside",
    "Events that wait for a version that can read them, with those behind them.",
    ["reaction"],
)
_FOREIGN = Counter(
    "foreign_messages_total", "Messages that no relay has sent, passed over.", ["reaction"]
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


class _LedgerAwayError(Exception):
    """The ledger does not answer; each has its own errors for that, and it passes."""


class Ledger(Protocol):
    """What the reacting service's database keeps; blocking, safe from any thread."""

    def handled(self, reaction: str) -> Position | None:
        """Return how far the reaction has come, or None before its first event."""

    def set_aside(self, event: SetAside) -> None:
        """Set an event aside, together with its position handled; never twice."""

    def holds(self, reaction: str, about: str) -> bool:
        """Return whether an event about this is set aside."""

    def set_aside_for(self, reaction: str) -> Sequence[SetAside]:
        """Return what the reaction has set aside, in the order it came."""


def kebab_case(name: str) -> str:
    """`UserBlocked` as `user-blocked`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


class Reactions:
    """Runs a service's reactions on FastStream, for as long as the service lives.

    `reacting` is set while every reaction has its consumer, which is when events reach it.
    """

    def __init__(self, service: str, bus: Bus, ledger: Ledger, *ons: On) -> None:
        self._service = service
        self._ledger = ledger
        self._bus = bus
        self._ons = ons
        self.reacting = asyncio.Event()
        self._connected = False
        self._js: JetStreamContext | None = None
        self._delays: dict[str, float] = {}
        self._lives: dict[str, str] = {}
        # Requests for events that were made before are lost: reacting begins anew.
        self._reconnected = asyncio.Event()

    async def run(self) -> None:
        """React until cancelled; streams that do not exist yet, or no longer, are waited for."""
        again = asyncio.create_task(self._react_again())
        try:
            await self._react()
        finally:
            await cancel(again)

    async def standings(self) -> Sequence[Standing]:
        """Ask of each stream how far all reactions to it have come together."""
        streams = sorted({on.event.stream.upper() for on in self._ons})
        return await asyncio.gather(*map(self._standing, streams))

    async def _standing(self, stream: str) -> Standing:
        known = Standing("reactions", stream)
        js = self._js
        return known if js is None else await told(self._ask(js, known)) or known

    async def _ask(self, js: JetStreamContext, known: Standing) -> Standing:
        names = [
            on.name(self._service) for on in self._ons if on.event.stream.upper() == known.stream
        ]
        info = await js.stream_info(known.stream)
        durables = await asyncio.gather(*(js.consumer_info(known.stream, each) for each in names))
        floors = [each.ack_floor for each in durables if each.ack_floor is not None]
        moved = [each.last_active.timestamp() for each in floors if each.last_active is not None]
        return msgspec.structs.replace(
            known,
            generation=(info.config.metadata or {}).get(GENERATION, ""),
            applied=max((each.stream_seq for each in floors), default=0),
            last=info.state.last_seq,
            behind=sum((each.num_pending or 0) + (each.num_ack_pending or 0) for each in durables),
            moved_at=int(max(moved, default=0) * 1e9),
        )

    async def _react(self) -> None:
        while True:
            broker = self._broker()
            client: Client | None = None
            try:
                client = await broker.connect()
                self._connected = True
                self._js = js = client.jetstream()
                self._reconnected.clear()
                await self._streams_appear(js)
                for on in self._ons:
                    await self._go_back(js, on)
                await broker.start()
                self.reacting.set()
                await self._consumers_vanish(js)
                log.warning("reactions_start_over", service=self._service)
            except (nats.errors.Error, OSError, _LedgerAwayError) as error:
                log.info("reactions_wait", service=self._service, error=type(error).__name__)
                await asyncio.sleep(RETRY)
            finally:
                self.reacting.clear()
                self._connected = False
                await _stop(broker, client)

    def _broker(self) -> NatsBroker:
        broker = _Broker(
            self._bus.url,
            security=_security(self._bus),
            name=f"{self._service}-reactions",
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            reconnected_cb=self._begin_anew,
            error_cb=self._on_error,
            logger=None,
            ping_interval=PING_INTERVAL,
            max_outstanding_pings=MOST_PINGS,
        )
        for on in self._ons:
            broker.subscriber(
                on.event.subject_filter(),
                stream=JStream(on.event.stream.upper(), declare=False),
                durable=on.name(self._service),
                config=ConsumerConfig(max_ack_pending=1, ack_wait=ACK_WAIT),
                pull_sub=PullSub(batch_size=1, timeout=PULL),
                ack_policy=AckPolicy.NACK_ON_ERROR,
                decoder=_undecoded,
            )(self._handler(on))
        return broker

    def _handler(self, on: On) -> Callable[[NatsMessage], Awaitable[None]]:
        name = on.name(self._service)

        async def handle(message: NatsMessage) -> None:
            try:
                await self._take(on, message)
            except Exception as error:
                _FAILURES.labels(name).inc()
                longest = LONGEST_WHILE_AWAY if isinstance(error, _AWAY) else LONGEST_DELAY
                delay = min(self._delays.get(name, FIRST_DELAY / 2) * 2, longest)
                self._delays[name] = delay
                log.warning("reaction_failed", reaction=name, again_in=delay, exc_info=error)
                raise NackMessage(delay=delay) from error
            self._delays.pop(name, None)

        return handle

    async def _take(self, on: On, message: NatsMessage) -> None:
        """React to a message, set it aside, or pass over what none of us can have sent."""
        name = on.name(self._service)
        subject = message.raw_message.subject
        sequence = message.raw_message.metadata.sequence.stream
        try:
            about = attributes(message.headers)
        except (KeyError, ValueError):
            about = None
        if about is None:
            _FOREIGN.labels(name).inc()
            log.error("foreign_message", reaction=name, subject=subject, sequence=sequence)
            return
        position = self._position(on, about, sequence)
        headers = {key: str(value) for key, value in message.headers.items()}
        event = SetAside(name, about.id, position, subject, headers, message.body)
        if await asyncio.to_thread(self._ledger.holds, name, event.about):
            await self._set_aside(event, "behind another")
        elif (read := _read(on, event)) is None:
            _POISON.labels(name).inc()
            await self._set_aside(event, "unreadable")
        else:
            await _react(on, read, about, Handled(name, position))

    def _position(self, on: On, about: Attributes, sequence: int) -> Position:
        """Return where the event is: in its store's log, or else in this life of the stream."""
        stream = on.event.stream
        return about.position or Position(stream, self._lives[stream.upper()], sequence)

    async def _set_aside(self, event: SetAside, why: str) -> None:
        await asyncio.to_thread(self._ledger.set_aside, event)
        # Without the error itself, which may quote the payload.
        log.error(
            "event_set_aside",
            reaction=event.reaction,
            subject=event.subject,
            event_id=event.event_id,
            why=why,
        )
        await self._waiting(event.reaction)

    async def _waiting(self, name: str) -> Sequence[SetAside]:
        waiting = await asyncio.to_thread(self._ledger.set_aside_for, name)
        _SET_ASIDE.labels(name).set(len(waiting))
        return waiting

    async def _react_again(self) -> None:
        """Try what is set aside at the start, and now and then."""
        while True:
            for on in self._ons:
                try:
                    while await self._release(on):
                        pass
                except Exception as error:  # noqa: BLE001 - a ledger may be away in its own way
                    log.warning("set_aside_not_tried", error=type(error).__name__)
            await asyncio.sleep(AGAIN)

    async def _release(self, on: On) -> bool:
        """React to what can be read by now, in order; return whether more may have come behind."""
        held: set[str] = set()
        released = False
        for event in await self._waiting(on.name(self._service)):
            if event.about in held:
                continue
            read = _read(on, event)
            if read is None:
                held.add(event.about)
                continue
            about = attributes(event.headers)
            handled = Handled(event.reaction, event.position, again=event.event_id)
            try:
                await _react(on, read, about, handled)
            except Exception as error:
                _FAILURES.labels(event.reaction).inc()
                log.warning("reaction_failed", reaction=event.reaction, exc_info=error)
                held.add(event.about)
                continue
            log.info("event_released", reaction=event.reaction, event_id=event.event_id)
            released = True
        return released

    async def _go_back(self, js: JetStreamContext, on: On) -> None:
        """Forget a durable that is ahead of the ledger, as it is when that was restored."""
        name, stream = on.name(self._service), on.event.stream.upper()
        try:
            # Before the ledger is asked: another replica may be acknowledging just now.
            durable = await js.consumer_info(stream, name)
        except NothingThereError:
            return
        acknowledged = 0 if durable.ack_floor is None else durable.ack_floor.stream_seq
        first = await self._first_unhandled(js, on)
        if first is not None and first <= acknowledged:
            log.warning("reaction_hears_again", reaction=name, sequence=first)
            await js.delete_consumer(stream, name)

    async def _first_unhandled(self, js: JetStreamContext, on: On) -> int | None:
        """Return the sequence of the first event behind what is handled, by halving the stream."""
        name, stream = on.name(self._service), on.event.stream.upper()
        try:
            last = await asyncio.to_thread(self._ledger.handled, name)
        except Exception as error:
            raise _LedgerAwayError(type(error).__name__) from error
        state = (await js.stream_info(stream)).state
        low, high, found = state.first_seq, state.last_seq + 1, None
        while low < high:
            middle = (low + high) // 2
            try:
                message = await js.get_msg(
                    stream, middle, subject=on.event.subject_filter(), next=True
                )
            except NothingThereError:
                high = middle
                continue
            if message.seq is None or self._is_handled(on, message, last):
                low = (message.seq or middle) + 1
            else:
                high, found = middle, message.seq
        return found

    def _is_handled(self, on: On, message: RawStreamMsg, last: Position | None) -> bool:
        try:
            about = attributes(message.headers or {})
        except (KeyError, ValueError):
            return True
        return last is not None and last.includes(self._position(on, about, message.seq or 0))

    async def _streams_appear(self, js: JetStreamManager) -> None:
        """Return once every stream is there: others declare them, in their own time."""
        waiting = False
        for stream in sorted({on.event.stream.upper() for on in self._ons}):
            while True:
                try:
                    info = await js.stream_info(stream)
                except NothingThereError:
                    if not waiting:  # one line a wait, not four a second
                        log.info("reactions_wait", service=self._service, stream=stream)
                    waiting = True
                    await asyncio.sleep(RETRY)
                else:
                    self._lives[stream] = _life(info)
                    break

    async def _begin_anew(self) -> None:
        self._reconnected.set()

    async def _on_error(self, error: Exception) -> None:
        log.debug("nats_error", error=type(error).__name__)
        if self._bus.tls is not None and not self._connected:
            raise error  # as in jetstream.connect

    async def _consumers_vanish(self, js: JetStreamManager) -> None:
        """Return when a durable is gone, or requests for events may be."""
        while not await set_within(self._reconnected, WATCH):
            for on in self._ons:
                try:
                    await js.consumer_info(on.event.stream.upper(), on.name(self._service))
                except NothingThereError:
                    return
                except nats.errors.Error:
                    break  # NATS is away; the client reconnects by itself


def _security(bus: Bus) -> NatsSecurity:
    from_the_first_byte = bus.tls is not None
    if bus.token is None:
        return NatsSecurity(ssl_context=bus.tls, tls_handshake_first=from_the_first_byte)
    return NatsUserPassword(
        SERVICES,
        bus.token,  # type: ignore[arg-type] # handed on to nats-py, which asks for it
        ssl_context=bus.tls,
        tls_handshake_first=from_the_first_byte,
    )


class _Broker(NatsBroker):
    """The library's, over a connection of ours: one that is given up is gone."""

    async def _connect(self) -> Client:
        client = StreamClient()
        await made(client, client.connect(**self._connection_kwargs))
        self.config.connect(client)
        return client


async def _stop(broker: NatsBroker, client: Client | None) -> None:
    """Stop the broker, also while NATS is away, or who waits has no more patience.

    Draining refuses then, or is cut off, and its connection would be there for good.
    """
    try:
        await broker.stop()
    except* (nats.errors.Error, OSError) as errors:
        # The library puts together what unsubscribing came to.
        names = [type(error).__name__ for error in errors.exceptions]
        log.debug("reactions_not_drained", errors=names)
    finally:
        if client is not None:
            await close(client)


async def _react(on: On, event: PublishedEvent, about: Attributes, handled: Handled) -> None:
    with tracing.after(handled.reaction, SpanKind.CONSUMER, (about.trace,)):
        await on.react(event, Reaction(handled, about.id, about.at, about.actor))


def _read(on: On, event: SetAside) -> PublishedEvent | None:
    try:
        return msgspec.json.decode(event.data, type=on.event)
    except msgspec.DecodeError:
        return None


def _life(stream: StreamInfo) -> str:
    """Return what tells a stream from one of its name that was lost: when it was made, in us."""
    made = 0 if stream.created is None else int(stream.created.timestamp() * 1_000_000)
    return f"{made:016x}"


async def _undecoded(message: NatsMessage) -> bytes:
    return message.body
