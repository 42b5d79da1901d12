"""A charger's WebSocket: a thin adapter between picows and `ocpp.connection`.

It waits for the place that the server gives it, holds what comes meanwhile, and shows that it
lives when a newcomer wants its place.

One timer a connection watches every deadline; no task belongs to an idle one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import structlog
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
)

from chargekey_gateway.command_errors import ChargerOfflineError
from chargekey_gateway.metrics import PROTOCOL_ERRORS
from chargekey_gateway.ocpp.connection import ChargerConnection
from chargekey_gateway.ocpp.dialect import Dialect
from chargekey_gateway.ocpp.frames import MESSAGE_SIZE, CloseCode
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.registry import Newcomer, Presence

if TYPE_CHECKING:
    from chargekey_gateway.application.gateway import Gateway
    from chargekey_gateway.commands import AnyCommand, Result
    from chargekey_gateway.view.entries import Charger

log = structlog.get_logger()

KIB = 1024
# A member of an enumeration costs a search where it is named; there is one object of each.
_TEXT, _CLOSE = WSMsgType.TEXT, WSMsgType.CLOSE
_COPIED = 8192  # bytes of a message that picows copies behind its header
# What only a broken charger, or none, sends.
_HOSTILE = frozenset(
    {
        CloseCode.PROTOCOL_ERROR,
        CloseCode.UNSUPPORTED_DATA,
        CloseCode.INVALID_TEXT,
        CloseCode.MESSAGE_TOO_BIG,
    }
)


class Server(Protocol):
    """What a socket tells, and what it needs to know."""

    gateway: Gateway
    limits: Limits
    clock: Callable[[], int]

    def opened(self, socket: ChargerSocket) -> None:
        """Let an authenticated newcomer in, or ask whoever is there before it."""

    def left(self, socket: ChargerSocket) -> None:
        """Forget a socket that handles nothing any more."""

    def unspent(self, charger_id: str, now: float) -> float:
        """Return how much a charger may send at once: to connect again is no way to more."""

    def keep_unspent(self, charger_id: str, left: float, at: float) -> None:
        """Know how much a charger that goes may still send."""

    def closed(self, socket: ChargerSocket) -> None:
        """Forget a socket whose TCP connection is gone."""

    def report(self, charger: Charger, kind: str) -> None:
        """Tell of something that bears on the charger's security."""

    def finishing(self, task: asyncio.Task[None]) -> None:
        """Own what a connection is in the middle of, which may be lost."""


class ChargerSocket(WSListener):
    """One authenticated WebSocket, waiting for its place, open, or closing."""

    __slots__ = (
        "_asked_to_boot_at",
        "_challenge_timer",
        "_charger",
        "_closing",
        "_connection",
        "_dialect",
        "_fragments",
        "_fragments_since",
        "_held",
        "_last_frame",
        "_limits",
        "_loop",
        "_on_hold",
        "_opened_at",
        "_password_hash",
        "_pinged_at",
        "_server",
        "_tokens",
        "_transport",
        "_watch",
        "challenger",
    )

    _transport: WSTransport

    def __init__(
        self, server: Server, charger: Charger, dialect: Dialect, *, password_hash: str | None
    ) -> None:
        """Belong to `server`; nothing happens before `on_ws_connected`.

        `password_hash` is of the password it was let in by; None where it was by none.
        """
        self._server = server
        self._limits = server.limits
        self._charger = charger
        self._dialect = dialect
        self._password_hash = password_hash
        self._loop = asyncio.get_running_loop()
        self._connection: ChargerConnection | None = None
        self._closing = False
        self._asked_to_boot_at: float | None = None
        self._fragments: bytearray | None = None
        self._fragments_since = 0.0
        self._on_hold = False
        self._held: list[tuple[WSMsgType, bool, bytes]] = []
        self._last_frame = self._opened_at = self._loop.time()
        self._pinged_at: float | None = None
        self._tokens = 0.0  # before it is let in
        self._watch: asyncio.TimerHandle | None = None
        self._challenge_timer: asyncio.TimerHandle | None = None
        self.challenger: Newcomer | None = None

    @property
    def charger(self) -> Charger:
        """Whose socket it is."""
        return self._charger

    @property
    def outdated(self) -> bool:
        """Whether it was let in by a password that its charger has another for by now."""
        now = self._charger.password_hash  # None where access has not told of it, or not again
        return None not in (self._password_hash, now) and self._password_hash != now

    @property
    def connection(self) -> ChargerConnection | None:
        """The connection on it, once it is admitted."""
        return self._connection

    # The registry calls these, too.

    async def carry_out(self, command: AnyCommand) -> Result:
        """Have the charger do something."""
        connection = self._connection
        if connection is None:
            raise ChargerOfflineError
        return await connection.carry_out(command)

    def presence(self) -> Presence | None:
        """Return how the charger is; None before it was let in."""
        connection = self._connection
        if connection is None:
            return None
        charger = self._charger
        [state] = self._server.gateway.reports.states([charger], {charger.id})
        return Presence(charger.id, connection.version, connection.connected_at, state)

    def disconnect(self) -> None:
        """Close a connection that lives, for whoever may override (a copy of the charger, say)."""
        self._server.report(self._charger, "disconnected_by_hand")
        self.close(CloseCode.SERVICE_RESTART, "disconnected by hand")

    # picows calls these.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Ask the server for a place."""
        self._transport = transport
        # Read and done with; picows would keep them, password and all, for as long as it lasts.
        transport.request.headers.clear()
        transport.response.headers.clear()
        self._server.opened(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame."""
        kind = frame.msg_type
        if kind is _CLOSE:
            self._closed_by_peer(transport)
            return
        if self._closing:
            return
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.close(CloseCode.PROTOCOL_ERROR, "no extension was agreed on")
        elif self._connection is None:  # came with the handshake, before there is a place
            self._held.append((kind, frame.fin, frame.get_payload_as_bytes()))
        else:
            self._take(self._connection, kind, frame.fin, frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Take note that TCP is gone."""
        if not self._closing and transport.close_handshake is not None:
            sent = transport.close_handshake.sent
            if sent is not None and sent.code.value in _HOSTILE:
                self._broke(CloseCode(sent.code.value))  # picows has found it, and told the peer
        self._leave()
        self._server.closed(self)

    def pause_writing(self) -> None:
        """Give up a charger that sends but does not read."""
        log.warning("charger_does_not_read", charger=self._charger.id)
        self._closing = True
        self._transport.disconnect(graceful=False)

    def resume_writing(self) -> None:
        """Do nothing: whoever was paused is gone."""

    # The connection calls these.

    def send(self, message: bytes) -> None:
        """Send one text message."""
        # What is longer picows hands over with a header that it uses again for the next one.
        if len(message) > _COPIED and self._transport.underlying_transport.get_write_buffer_size():
            self.pause_writing()
            return
        self._transport.send(_TEXT, message)

    def close(self, code: CloseCode, reason: str) -> None:
        """Leave, and give the peer a moment for its side of the closing handshake."""
        if self._closing:
            return
        self._closing = True
        if code is not CloseCode.SERVICE_RESTART:
            log.warning("charger_closed", charger=self._charger.id, code=int(code), why=reason)
            self._broke(code)
        self._transport.send_close(WSCloseCode(code), reason)
        self._leave()
        self._resume_reading()  # else the peer's answer is never seen
        self._watch = self._loop.call_later(self._limits.close_timeout, self._abort)

    # The server calls these.

    def admit(self) -> None:
        """Become the charger's connection and handle what has come meanwhile."""
        server = self._server
        self._connection = connection = ChargerConnection(
            self._charger,
            gateway=server.gateway,
            dialect=self._dialect,
            wire=self,
            limits=server.limits,
            clock=server.clock,
        )
        self._last_frame = self._opened_at = self._loop.time()
        self._tokens = server.unspent(self._charger.id, self._opened_at)
        self._watch_deadlines()
        log.info("charger_connected", charger=self._charger.id, version=self._dialect.version)
        server.gateway.connected(connection)
        held, self._held = self._held, []
        for kind, fin, payload in held:
            if not self._closing:
                self._take(connection, kind, fin, payload)
        self._resume_reading()

    def challenge(self, newcomer: Newcomer) -> None:
        """Show that this side still lives, or make room for `newcomer`."""
        if self.challenger is not None or self._connection is None:
            newcomer.refuse()
            return
        newcomer.hold()
        self.challenger = newcomer
        self._transport.send_ping()
        self._challenge_timer = self._loop.call_later(
            self._limits.displacement_timeout, self._displaced
        )

    def hold(self) -> None:
        """Read nothing until there is a place; frames that came with the handshake are kept."""
        self._on_hold = True
        self._transport.underlying_transport.pause_reading()

    def come_in(self) -> None:
        """Take the place of the one before, who has gone."""
        self._server.opened(self)

    def refuse(self) -> None:
        """Close a newcomer whose charger is connected and alive."""
        self._server.report(self._charger, "identity_already_connected")
        self.close(CloseCode.POLICY_VIOLATION, "already connected")

    def unchallenged(self) -> None:
        """Forget the newcomer: it has gone, or is refused."""
        self.challenger = None
        if self._challenge_timer is not None:
            self._challenge_timer.cancel()
            self._challenge_timer = None

    async def wait_closed(self) -> None:
        """Wait until TCP is gone."""
        await self._transport.wait_disconnected()

    # Frames.

    def _take(
        self,
        connection: ChargerConnection,
        kind: WSMsgType,
        fin: bool,  # noqa: FBT001 - keywords cost time, and this runs for every frame
        payload: bytes,
    ) -> None:
        now = self._loop.time()
        # A token for a frame and one for each KiB.
        self._tokens = tokens = self._refilled(now) - 1 - len(payload) // KIB
        self._last_frame = now
        if tokens < 0:
            self.close(CloseCode.POLICY_VIOLATION, "too many messages")
            return
        if self.challenger is not None:
            newcomer = self.challenger
            self.unchallenged()
            newcomer.refuse()
        if kind is _TEXT and fin and self._fragments is None:
            connection.receive(payload)
        else:
            self._take_other(connection, kind, fin=fin, payload=payload)

    def _take_other(
        self, connection: ChargerConnection, kind: WSMsgType, *, fin: bool, payload: bytes
    ) -> None:
        match kind:
            case WSMsgType.TEXT | WSMsgType.CONTINUATION:
                self._take_fragment(connection, kind, fin=fin, payload=payload)
            case WSMsgType.PING:
                self._transport.send_pong(payload)
            case WSMsgType.PONG:
                pass  # being heard of was all
            case WSMsgType.BINARY:
                self.close(CloseCode.UNSUPPORTED_DATA, "OCPP is text")
            case _:
                # picows lets no other opcode and no CLOSE get here.
                self.close(CloseCode.PROTOCOL_ERROR, "unexpected frame")

    def _take_fragment(
        self, connection: ChargerConnection, kind: WSMsgType, *, fin: bool, payload: bytes
    ) -> None:
        if (kind == WSMsgType.TEXT) is (self._fragments is not None):
            self.close(CloseCode.PROTOCOL_ERROR, "fragments out of order")
            return
        if self._fragments is None:
            self._fragments = bytearray()
            self._fragments_since = self._last_frame
            self._watch_deadlines()
        self._fragments += payload
        if len(self._fragments) > MESSAGE_SIZE:
            self.close(CloseCode.MESSAGE_TOO_BIG, "message too big")
        elif fin:
            whole, self._fragments = bytes(self._fragments), None
            connection.receive(whole)

    def _refilled(self, now: float) -> float:
        """Return the tokens at `now`; `message_burst` fit into the bucket."""
        limits = self._limits
        tokens = self._tokens + (now - self._last_frame) * limits.messages_per_second
        burst = limits.message_burst
        return tokens if tokens < burst else burst  # noqa: FURB136 - a call of min() costs more

    def _closed_by_peer(self, transport: WSTransport) -> None:
        if not self._closing:
            self._closing = True
            transport.send_close(WSCloseCode.OK)
        transport.disconnect()

    # Deadlines.

    def _watch_deadlines(self) -> None:
        """Act on what is overdue, then sleep until the next deadline."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._closing or self._connection is None:
            return
        limits = self._limits
        now = self._loop.time()
        deadlines = []

        if self._pinged_at is not None and self._last_frame < self._pinged_at:
            dead_at = self._pinged_at + limits.pong_timeout
            if now >= dead_at:
                log.info("charger_silent", charger=self._charger.id)
                self._abort()
                return
            deadlines.append(dead_at)
        else:
            ping_at = self._last_frame + limits.idle_timeout
            if now >= ping_at:
                self._transport.send_ping()
                self._pinged_at = now
                ping_at = now + limits.pong_timeout
            deadlines.append(ping_at)

        if self._fragments is not None:
            whole_by = self._fragments_since + limits.message_timeout
            if now >= whole_by:
                self.close(CloseCode.POLICY_VIOLATION, "message took too long")
                return
            deadlines.append(whole_by)

        deadlines += self._await_boot(self._connection, now)
        if not self._closing:
            self._watch = self._loop.call_at(min(deadlines), self._watch_deadlines)

    def _await_boot(self, connection: ChargerConnection, now: float) -> Sequence[float]:
        """Act where a first word is overdue, or a first boot; return when to look again."""
        boots, timeout = self._server.gateway.boots, self._limits.first_call_timeout
        missing = boots.missing(self._charger)
        if connection.heard and not missing:
            return ()
        ask_at = self._opened_at + timeout / 2
        if now < ask_at:
            return (ask_at,)
        if missing and self._asked_to_boot_at is None:
            self._asked_to_boot_at = now
            self._server.finishing(self._loop.create_task(boots.ask(connection)))
        # Also of a gateway that has stood still each is asked, and has time to answer.
        close_at = (self._asked_to_boot_at or ask_at) + timeout / 2
        if now >= close_at:
            self.close(CloseCode.POLICY_VIOLATION, "no BootNotification")
            return ()
        return (close_at,)

    def _broke(self, code: CloseCode) -> None:
        """Count a breach of the protocol, and tell of one that no sound charger commits."""
        PROTOCOL_ERRORS.labels(code.name.lower()).inc()
        if code in _HOSTILE:
            self._server.report(self._charger, "invalid_messages")

    def _displaced(self) -> None:
        self._challenge_timer = None
        log.warning("charger_displaced", charger=self._charger.id)
        self._closing = True
        self._leave()
        self._abort()

    def _leave(self) -> None:
        """Handle nothing any more and give up the place; idempotent."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._challenge_timer is not None:
            self._challenge_timer.cancel()
            self._challenge_timer = None
        self._fragments = None
        connection, self._connection = self._connection, None
        if connection is not None:
            task = connection.lost()
            if task is not None:
                self._server.finishing(task)
            log.info("charger_disconnected", charger=self._charger.id)
            now = self._loop.time()
            self._server.keep_unspent(self._charger.id, self._refilled(now), now)
            self._server.gateway.disconnected(connection)
        self._server.left(self)
        self.challenger = None

    def _abort(self) -> None:
        """Drop TCP without waiting for a peer that may be gone."""
        self._transport.disconnect(graceful=False)

    def _resume_reading(self) -> None:
        if self._on_hold and not self._transport.is_disconnected:
            self._on_hold = False
            self._transport.underlying_transport.resume_reading()


class NoCommonVersion(WSListener):
    """Finishes the handshake only to close: no version in common."""

    def __init__(self, timeout: float) -> None:
        """Give the peer `timeout` seconds for its side of the closing handshake."""
        self._timeout = timeout

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Close."""
        transport.send_close(WSCloseCode.PROTOCOL_ERROR, "no common OCPP version")
        loop = asyncio.get_running_loop()
        loop.call_later(self._timeout, transport.disconnect, False)  # noqa: FBT003 - call_later takes no keywords

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Read nothing but the peer's side of the closing handshake."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
