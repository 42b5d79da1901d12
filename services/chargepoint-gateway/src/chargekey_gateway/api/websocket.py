"""Chargers' WebSockets: a thin adapter between picows and `ocpp.connection`.

The HTTP request decides who may open one: unknown identity 404, wrong credentials
401, both before the upgrade and at next to no cost. A charger that offers no version
spoken here gets its handshake finished without the header and is closed (OCPP-J §3.1).

Of two connections with one identity the first stays if it lives. The newcomer's
handshake is finished, since only a ping of the first can tell, and nothing is read
from it meanwhile. The first answers: the newcomer is closed (1008) and reported as a
security event. It does not: the newcomer takes its place. Who is not authenticated
never gets that far. Where there is a registry the same goes for a first one that is
connected to another replica.

One timer a connection watches every deadline; no task belongs to an idle one.
"""

from __future__ import annotations

import asyncio
import os
import socket as sockets
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import aiofastnet
import structlog
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)

from chargekey_common.process import cancel
from chargekey_common.published.chargers import SecurityEventReported
from chargekey_gateway.api.entrance import Caller, Entrance
from chargekey_gateway.api.failed_authentications import FailedAuthentications
from chargekey_gateway.application.reports import of
from chargekey_gateway.command_errors import ChargerOfflineError
from chargekey_gateway.metrics import PROTOCOL_ERRORS
from chargekey_gateway.ocpp import handshake
from chargekey_gateway.ocpp.certificates import Certificates
from chargekey_gateway.ocpp.connection import ChargerConnection
from chargekey_gateway.ocpp.dialect import Dialect
from chargekey_gateway.ocpp.frames import MESSAGE_SIZE, CloseCode
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.ocpp.profiles import SecurityProfiles
from chargekey_gateway.ocpp16.routes import OCPP16
from chargekey_gateway.ocpp20.routes import OCPP20
from chargekey_gateway.ocpp21.routes import OCPP21
from chargekey_gateway.registry import Newcomer, Presence, Registry

if TYPE_CHECKING:
    from chargekey_gateway.application.gateway import Gateway
    from chargekey_gateway.commands import AnyCommand, Result
    from chargekey_gateway.view.entries import Charger

log = structlog.get_logger()

# The best first; the charger's header decides, never its URL.
DIALECTS: Mapping[str, Dialect] = {"ocpp2.1": OCPP21, "ocpp2.0.1": OCPP20, "ocpp1.6": OCPP16}

KIB = 1024
FINISH_TIMEOUT = 6.0  # seconds; starting and ending sessions is bounded by 5

BACKLOG = 1024  # chargers that come back at once wait in it
CERTIFICATES_WATCH = 5.0  # seconds
# What only a broken charger, or none, sends.
_HOSTILE = frozenset(
    {
        CloseCode.PROTOCOL_ERROR,
        CloseCode.UNSUPPORTED_DATA,
        CloseCode.INVALID_TEXT,
        CloseCode.MESSAGE_TOO_BIG,
    }
)


class OcppServer:
    """Listens for chargers and knows who is connected."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        limits: Limits | None = None,
        profiles: SecurityProfiles | None = None,
        registry: Registry | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Serve `gateway`, alone or, by `registry`, with other replicas.

        `clock` tells nanoseconds since the epoch.
        """
        self.gateway = gateway
        self.limits = limits or Limits()
        self.clock = clock
        self._profiles = profiles or SecurityProfiles()
        self._registry = registry
        self._failed = FailedAuthentications(
            per_identity=self.limits.failures_per_identity,
            per_address=self.limits.failures_per_address,
            window=self.limits.failures_window,
            clock=time.monotonic,
        )
        self._entrance = Entrance(
            self._handshake,
            most=self.limits.opening_connections,
            within=self.limits.opening_timeout,
        )
        self._plain: _Listener | None = None
        self._tls: _Listener | None = None
        self._stopping = False
        self._watching: asyncio.Task[None] | None = None
        self._arriving: dict[ChargerSocket, asyncio.Task[None]] = {}
        self._sockets: dict[ChargerSocket, None] = {}  # the oldest first
        self._present: dict[str, ChargerSocket] = {}
        self._finishing: set[asyncio.Task[None]] = set()

    async def start(self, address: str) -> None:
        """Listen on `host:port`; port 0 lets the system choose one."""
        self._plain = _Listener(self._entrance, address, self.limits)
        await self._plain.start(None)

    async def start_tls(self, address: str, certificates: Certificates) -> None:
        """Listen for TLS on `host:port` too, always with the newest `certificates`."""
        self._tls = _Listener(self._entrance, address, self.limits)
        await self._tls.start(certificates.context)
        self._watching = asyncio.create_task(self._watch_certificates(self._tls, certificates))

    @property
    def port(self) -> int:
        """The port listened on."""
        return _port(self._plain)

    @property
    def tls_port(self) -> int:
        """The port listened on for TLS."""
        return _port(self._tls)

    async def carry_out(self, charger_id: str, command: AnyCommand) -> Result:
        """Have the charger do something, wherever it is connected.

        Raises ChargerOfflineError, ChargerSilentError, UnavailableError.
        """
        if self._registry is not None:
            return await self._registry.carry_out(charger_id, command)
        socket = self._present.get(charger_id)
        if socket is None:
            raise ChargerOfflineError
        return await socket.carry_out(command)

    async def presences(self, chargers: Iterable[Charger]) -> Sequence[Presence]:
        """Return how those of the chargers are that are connected, to whichever replica."""
        if self._registry is not None:
            return await self._registry.presences(charger.id for charger in chargers)
        here = (self._present.get(charger.id) for charger in chargers)
        found = (socket.presence() for socket in here if socket is not None)
        return [presence for presence in found if presence is not None]

    def connections(self) -> tuple[ChargerConnection, ...]:
        """Return the connections of the chargers that are here now, one a charger."""
        present = (socket.connection for socket in self._present.values())
        return tuple(connection for connection in present if connection is not None)

    def __contains__(self, charger_id: object) -> bool:
        """Whether the charger is here now."""
        return charger_id in self._present

    def __len__(self) -> int:
        """Count the open WebSockets."""
        return len(self._sockets)

    async def stop(self, *, spread: float = 0.0) -> None:
        """Take no more chargers, close all with 1012 over `spread` seconds, let starts finish.

        Spread out, the chargers' reconnects do not hit the other replicas at once.
        """
        self._stopping = True
        if self._watching is not None:
            await cancel(self._watching)
        for listener in (self._plain, self._tls):
            if listener is not None:
                listener.close()
        self._entrance.close()
        open_sockets = list(self._sockets)
        for socket in open_sockets:
            socket.close(CloseCode.SERVICE_RESTART, "restarting")
            if spread:
                await asyncio.sleep(spread / len(open_sockets))
        await asyncio.gather(*(socket.wait_closed() for socket in open_sockets))
        if self._finishing:
            _, late = await asyncio.wait(self._finishing, timeout=FINISH_TIMEOUT)
            for task in late:
                task.cancel()

    def _handshake(
        self, request: WSUpgradeRequest, caller: Caller
    ) -> WSUpgradeResponseWithListener:
        identity = handshake.identity(request.path)
        named = identity or ""
        if self._failed.too_many(named, caller.address):
            return _refused(429, "too_many_failures")
        charger = None if identity is None else self.gateway.charger_by_identity(identity)
        if identity is None or charger is None:
            log.info("charger_unknown")
            self._failed.failed(named, caller.address)
            return _refused(404, "unknown_identity")
        if not self._profiles.admit(
            identity,
            request.headers.getall("Authorization", []),
            tls=caller.tls,
            certificate=caller.certificate,
            password_matches=lambda password: self.gateway.password_matches(charger, password),
        ):
            log.warning("charger_unauthorized", charger=charger.id)
            if self._failed.failed(identity, caller.address):
                self.report(charger, "too_many_failed_authentications")
            return _refused(
                401,
                "wrong_credentials",
                {"WWW-Authenticate": 'Basic realm="chargekey", charset="UTF-8"'},
            )
        chosen = handshake.subprotocol(
            request.headers.getall("Sec-WebSocket-Protocol", []), DIALECTS
        )
        if chosen is None:
            log.warning("charger_without_common_version", charger=charger.id)
            PROTOCOL_ERRORS.labels("no_common_version").inc()
            return WSUpgradeResponseWithListener(
                WSUpgradeResponse.create_101_response(), _NoCommonVersion(self.limits.close_timeout)
            )
        return WSUpgradeResponseWithListener(
            WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": chosen}),
            ChargerSocket(self, charger, DIALECTS[chosen]),
        )

    # What its sockets tell.

    def opened(self, socket: ChargerSocket) -> None:
        """Let an authenticated newcomer in, or ask whoever is there before it."""
        self._sockets[socket] = None
        if self._stopping:
            socket.close(CloseCode.SERVICE_RESTART, "restarting")
            return
        present = self._present.get(socket.charger.id)
        if present is not None:
            present.challenge(socket)
            return
        self._present[socket.charger.id] = socket
        if self._registry is None:
            socket.admit()
            return
        socket.hold()
        task = asyncio.get_running_loop().create_task(self._arrive(self._registry, socket))
        self._arriving[socket] = task
        task.add_done_callback(partial(self._arrived, socket))

    async def _arrive(self, registry: Registry, socket: ChargerSocket) -> None:
        """Let in a newcomer, unless its charger is connected elsewhere; `left` cancels this."""
        if await registry.arrive(socket.charger.id, socket):
            socket.admit()
        else:
            socket.refuse()

    def _arrived(self, socket: ChargerSocket, task: asyncio.Task[None]) -> None:
        self._arriving.pop(socket, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("arrival_failed", charger=socket.charger.id, exc_info=task.exception())
            socket.close(CloseCode.SERVICE_RESTART, "try again")

    def left(self, socket: ChargerSocket) -> None:
        """Forget a socket that handles nothing any more; whoever waited for its place gets it."""
        if self._present.get(socket.charger.id) is socket:
            del self._present[socket.charger.id]
            arriving = self._arriving.pop(socket, None)
            if arriving is not None and arriving is not asyncio.current_task():
                arriving.cancel()
            if self._registry is not None:
                self._registry.leave(socket.charger.id, socket)
            if socket.challenger is not None:
                socket.challenger.come_in()
        else:
            present = self._present.get(socket.charger.id)
            if present is not None and present.challenger is socket:
                present.unchallenged()

    def closed(self, socket: ChargerSocket) -> None:
        """Forget a socket whose TCP connection is gone."""
        self._sockets.pop(socket, None)

    def report(self, charger: Charger, kind: str) -> None:
        """Tell of something that bears on the charger's security."""
        log.warning("security_event", kind=kind, charger=charger.id)
        self.gateway.reports.tell(
            SecurityEventReported(**of(charger), kind=kind, seen_by="GATEWAY")
        )

    async def _watch_certificates(self, listener: _Listener, certificates: Certificates) -> None:
        while True:
            await asyncio.sleep(CERTIFICATES_WATCH)
            if await asyncio.to_thread(certificates.read_again):
                await listener.start(certificates.context)

    def finishing(self, task: asyncio.Task[None]) -> None:
        """Own what a lost connection was in the middle of."""
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)


class ChargerSocket(WSListener):
    """One authenticated WebSocket, waiting for its place, open, or closing."""

    __slots__ = (
        "_challenge_timer",
        "_charger",
        "_closing",
        "_connection",
        "_dialect",
        "_fragments",
        "_fragments_since",
        "_held",
        "_last_frame",
        "_loop",
        "_on_hold",
        "_opened_at",
        "_pinged_at",
        "_server",
        "_tokens",
        "_transport",
        "_watch",
        "challenger",
    )

    _transport: WSTransport

    def __init__(self, server: OcppServer, charger: Charger, dialect: Dialect) -> None:
        """Belong to `server`; nothing happens before `on_ws_connected`."""
        self._server = server
        self._charger = charger
        self._dialect = dialect
        self._loop = asyncio.get_running_loop()
        self._connection: ChargerConnection | None = None
        self._closing = False
        self._fragments: bytearray | None = None
        self._fragments_since = 0.0
        self._on_hold = False
        self._held: list[tuple[WSMsgType, bool, bytes]] = []
        self._last_frame = self._opened_at = self._loop.time()
        self._pinged_at: float | None = None
        self._tokens = server.limits.message_burst
        self._watch: asyncio.TimerHandle | None = None
        self._challenge_timer: asyncio.TimerHandle | None = None
        self.challenger: Newcomer | None = None

    @property
    def charger(self) -> Charger:
        """Whose socket it is."""
        return self._charger

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

    # picows calls these.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Ask the server for a place."""
        self._transport = transport
        self._server.opened(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame."""
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
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
        self._transport.send(WSMsgType.TEXT, message)

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
        self._watch = self._loop.call_later(self._server.limits.close_timeout, self._abort)

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
            self._server.limits.displacement_timeout, self._displaced
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
        if not self._within_rate(now, len(payload)):
            self.close(CloseCode.POLICY_VIOLATION, "too many messages")
            return
        self._last_frame = now
        if self.challenger is not None:
            newcomer = self.challenger
            self.unchallenged()
            newcomer.refuse()
        match kind:
            case WSMsgType.TEXT if fin and self._fragments is None:
                connection.receive(payload)
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

    def _within_rate(self, now: float, size: int) -> bool:
        """Take a token for a frame and one for each KiB; `message_burst` fit into the bucket."""
        limits = self._server.limits
        refilled = self._tokens + (now - self._last_frame) * limits.messages_per_second
        self._tokens = min(refilled, limits.message_burst) - 1 - size // KIB
        return self._tokens >= 0

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
        limits = self._server.limits
        now = self._loop.time()
        deadlines = []

        if self._pinged_at is not None and self._last_frame <= self._pinged_at:
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

        if not self._connection.heard:
            heard_by = self._opened_at + limits.first_call_timeout
            if now >= heard_by:
                self.close(CloseCode.POLICY_VIOLATION, "no BootNotification")
                return
            deadlines.append(heard_by)

        self._watch = self._loop.call_at(min(deadlines), self._watch_deadlines)

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


class _NoCommonVersion(WSListener):
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


class _Listener:
    """Listens on one address. The socket stays when its certificate changes: nobody is missed."""

    def __init__(self, entrance: Entrance, address: str, limits: Limits) -> None:
        """Bind to `host:port`; raises OSError."""
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        self._entrance = entrance
        self._limits = limits
        self._server: asyncio.AbstractServer | None = None
        self._socket = sockets.create_server(
            (host, int(port)),
            family=sockets.AF_INET6 if ":" in host else sockets.AF_INET,
            backlog=BACKLOG,
            reuse_port=True,
        )

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self._socket.getsockname()[1])

    async def start(self, context: ssl.SSLContext | None) -> None:
        """Accept connections, by TLS where there is a `context`; from now on by this one."""
        before = self._server
        self._server = await aiofastnet.create_server(
            asyncio.get_running_loop(),
            self._entrance,
            sock=sockets.socket(fileno=os.dup(self._socket.fileno())),
            backlog=BACKLOG,
            ssl=context,
            ssl_handshake_timeout=self._limits.opening_timeout if context else None,
            ssl_shutdown_timeout=self._limits.close_timeout if context else None,
        )
        if before is not None:
            before.close()

    def close(self) -> None:
        """Accept no more."""
        if self._server is not None:
            self._server.close()
        self._socket.close()


def _port(listener: _Listener | None) -> int:
    if listener is None:
        message = "the server is not started"
        raise RuntimeError(message)
    return listener.port


def _refused(
    status: int, kind: str, headers: Mapping[str, str] | None = None
) -> WSUpgradeResponseWithListener:
    PROTOCOL_ERRORS.labels(kind).inc()
    return WSUpgradeResponseWithListener(
        WSUpgradeResponse.create_error_response(status, extra_headers=headers), None
    )
