"""The server of chargers' WebSockets: who gets one, and who is connected.

The HTTP request decides who may open one: unknown identity 404, wrong credentials
401, both before the upgrade and at next to no cost. A charger that offers no version
spoken here gets its handshake finished without the header and is closed (OCPP-J §3.1).

Of two connections with one identity the first stays if it lives. The newcomer's
handshake is finished, since only a ping of the first can tell, and nothing is read
from it meanwhile. The first answers: the newcomer is closed (1008) and reported as a
security event. It does not: the newcomer takes its place. Who is not authenticated
never gets that far. Where there is a registry the same goes for a first one that is
connected to another replica.
"""

from __future__ import annotations

import asyncio
import errno
import socket as sockets
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import aiofastnet
import structlog
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from chargekey_common import tracing
from chargekey_common.certificates import Renewed
from chargekey_common.process import cancel
from chargekey_gateway.api.charger_socket import ChargerSocket, NoCommonVersion
from chargekey_gateway.api.entrance import Caller, Entrance
from chargekey_gateway.api.failed_authentications import FailedAuthentications, Failure
from chargekey_gateway.command_errors import ChargerOfflineError
from chargekey_gateway.metrics import PROTOCOL_ERRORS
from chargekey_gateway.ocpp import handshake
from chargekey_gateway.ocpp.connection import ChargerConnection
from chargekey_gateway.ocpp.dialect import Dialect
from chargekey_gateway.ocpp.frames import CloseCode
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.ocpp.profiles import BY_PASSWORD, SecurityProfiles
from chargekey_gateway.ocpp.tracing import traced
from chargekey_gateway.ocpp16.routes import OCPP16
from chargekey_gateway.ocpp20.routes import OCPP20
from chargekey_gateway.ocpp21.routes import OCPP21
from chargekey_gateway.registry import Presence, Registry

if TYPE_CHECKING:
    from chargekey_gateway.application.gateway import Gateway
    from chargekey_gateway.commands import AnyCommand, Result
    from chargekey_gateway.view.entries import Charger

log = structlog.get_logger()

# The best first; the charger's header decides, never its URL.
DIALECTS: Mapping[str, Dialect] = {"ocpp2.1": OCPP21, "ocpp2.0.1": OCPP20, "ocpp1.6": OCPP16}

FINISH_TIMEOUT = 6.0  # seconds; starting and ending sessions is bounded by 5

# Chargers that come back at once wait in the kernel's queue; beyond it, they knock again, after one
# second, three and seven. So they are accepted as they come, and wait here.
BACKLOG = 4096
ACCEPTED_AT_ONCE = 1024
MOST_WAITING = 16_384
# Of those who may be at their requests, so large a part is let in at once, before any request
# is read: all that wait have sent theirs, and would only push each other out.
LET_IN_AT_ONCE = 1 / 32
# What an accept fails for where nobody waits any more; else the process, or the machine, has too
# many of something.
NOBODY_THERE = frozenset({errno.EAGAIN, errno.EINTR, errno.ECONNABORTED, errno.EPROTO})
ROOM_AGAIN = 1.0  # seconds until it is tried again
PASSWORD_REPLACED = "password replaced"  # noqa: S105 - a reason to close


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
        self._dialects = (
            {name: traced(each) for name, each in DIALECTS.items()} if tracing.on() else DIALECTS
        )
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
        # What chargers that have gone may still send, as of when; in full where it is not here.
        self._unspent: dict[str, tuple[float, float]] = {}
        self._finishing: set[asyncio.Task[None]] = set()

    async def start(self, address: str) -> None:
        """Listen on `host:port`; port 0 lets the system choose one."""
        self._plain = _Listener(self._entrance, address, self.limits)
        self._plain.start(None)

    async def start_tls(self, address: str, certificates: Renewed[ssl.SSLContext]) -> None:
        """Listen for TLS on `host:port` too, always with the newest `certificates`."""
        self._tls = _Listener(self._entrance, address, self.limits)
        self._tls.start(certificates.current)
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

    async def disconnect(self, charger_id: str) -> None:
        """Close the charger's connection, wherever it is, so that another may come in.

        Raises ChargerOfflineError, ChargerSilentError, UnavailableError.
        """
        if self._registry is not None:
            await self._registry.disconnect(charger_id)
            return
        socket = self._present.get(charger_id)
        if socket is None:
            raise ChargerOfflineError
        socket.disconnect()

    def passwords_changed(self) -> None:
        """Close whatever was let in by a password that is not its charger's any more."""
        for socket in list(self._sockets):
            if socket.outdated:
                socket.close(CloseCode.POLICY_VIOLATION, PASSWORD_REPLACED)

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
        charger = None if identity is None else self.gateway.charger_by_identity(identity)
        if identity is None or charger is None:
            return self._failed_authentication(None, caller)
        profile = self._profiles.admit(
            identity,
            request.headers.getall("Authorization", []),
            tls=caller.tls,
            certificate=caller.certificate,
            password_matches=lambda password: self.gateway.password_matches(charger, password),
        )
        if profile is None:
            return self._failed_authentication(charger, caller)
        chosen = handshake.subprotocol(
            request.headers.getall("Sec-WebSocket-Protocol", []), DIALECTS
        )
        if chosen is None:
            log.warning("charger_without_common_version", charger=charger.id)
            PROTOCOL_ERRORS.labels("no_common_version").inc()
            return WSUpgradeResponseWithListener(
                WSUpgradeResponse.create_101_response(), NoCommonVersion(self.limits.close_timeout)
            )
        return WSUpgradeResponseWithListener(
            WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": chosen}),
            ChargerSocket(
                self,
                charger,
                self._dialects[chosen],
                password_hash=charger.password_hash if profile in BY_PASSWORD else None,
            ),
        )

    def _failed_authentication(
        self, charger: Charger | None, caller: Caller
    ) -> WSUpgradeResponseWithListener:
        failure = self._failed.failed(None if charger is None else charger.id, caller.address)
        if failure is Failure.TOO_MANY:
            return _refused(429, "too_many_failures")
        if charger is None:
            log.info("charger_unknown")
            return _refused(404, "unknown_identity")
        log.warning("charger_unauthorized", charger=charger.id)
        if failure is Failure.FIRST_TO_REACH_THE_LIMIT:
            self.report(charger, "too_many_failed_authentications")
        return _refused(
            401,
            "wrong_credentials",
            {"WWW-Authenticate": 'Basic realm="chargekey", charset="UTF-8"'},
        )

    # What its sockets tell.

    def opened(self, socket: ChargerSocket) -> None:
        """Let an authenticated newcomer in, or ask whoever is there before it."""
        self._sockets[socket] = None
        if self._stopping:
            socket.close(CloseCode.SERVICE_RESTART, "restarting")
            return
        if socket.outdated:  # by now: it has waited for the place
            socket.close(CloseCode.POLICY_VIOLATION, PASSWORD_REPLACED)
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

    def unspent(self, charger_id: str, now: float) -> float:
        """Return how much a charger may send at once: to connect again is no way to more."""
        burst = self.limits.message_burst
        left, at = self._unspent.pop(charger_id, (burst, now))
        return min(left + (now - at) * self.limits.messages_per_second, burst)

    def keep_unspent(self, charger_id: str, left: float, at: float) -> None:
        """Know how much a charger that goes may still send."""
        if left < self.limits.message_burst:
            self._unspent[charger_id] = left, at

    def closed(self, socket: ChargerSocket) -> None:
        """Forget a socket whose TCP connection is gone."""
        self._sockets.pop(socket, None)

    def report(self, charger: Charger, kind: str) -> None:
        """Tell of something that bears on the charger's security."""
        self.gateway.reports.security_event(charger, kind, seen_by="GATEWAY")

    async def _watch_certificates(
        self, listener: _Listener, certificates: Renewed[ssl.SSLContext]
    ) -> None:
        async for context in certificates.renewals():
            listener.start(context)

    def finishing(self, task: asyncio.Task[None]) -> None:
        """Own what a connection is in the middle of, which may be lost."""
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)


class _Listener:
    """Listens on one address. The socket stays when its certificate changes: nobody is missed.

    It accepts by itself whoever has come, and lets some in at each turn of the loop. A server of
    the loop's takes in one at each of its turns, which costs more than all the rest of it.
    """

    def __init__(self, entrance: Entrance, address: str, limits: Limits) -> None:
        """Bind to `host:port`; raises OSError."""
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        self._entrance = entrance
        self._limits = limits
        self._let_in_at_once = max(1, int(limits.opening_connections * LET_IN_AT_ONCE))
        self._context: ssl.SSLContext | None = None
        self._waiting: deque[sockets.socket] = deque()
        self._coming: set[asyncio.Task[None]] = set()
        self._socket = sockets.create_server(
            (host, int(port)),
            family=sockets.AF_INET6 if ":" in host else sockets.AF_INET,
            backlog=BACKLOG,
            reuse_port=True,
        )
        self._socket.settimeout(0)

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self._socket.getsockname()[1])

    def start(self, context: ssl.SSLContext | None) -> None:
        """Accept connections, by TLS where there is a `context`; from now on by this one."""
        self._context = context
        self._listen()

    def close(self) -> None:
        """Accept no more, and let nobody in."""
        if not self._is_closed:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        while self._waiting:
            self._waiting.popleft().close()

    @property
    def _is_closed(self) -> bool:
        return self._socket.fileno() < 0

    def _listen(self) -> None:
        if not self._is_closed:
            asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        was_empty = not self._waiting
        try:
            for _ in range(min(ACCEPTED_AT_ONCE, MOST_WAITING - len(self._waiting))):
                self._waiting.append(self._socket.accept()[0])
        except OSError as error:
            if error.errno not in NOBODY_THERE:
                log.warning("connection_not_accepted", error=errno.errorcode.get(error.errno or 0))
                loop.remove_reader(self._socket)
                loop.call_later(ROOM_AGAIN, self._listen)
        if was_empty:
            self._let_some_in()

    def _let_some_in(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(min(self._let_in_at_once, len(self._waiting))):
            task = loop.create_task(self._let_in(self._waiting.popleft()))
            self._coming.add(task)
            task.add_done_callback(self._came)
        if self._waiting:
            loop.call_soon(self._let_some_in)

    async def _let_in(self, connection: sockets.socket) -> None:
        """Have picows read from it, over aiofastnet's TLS or a transport of the loop's own.

        Without TLS aiofastnet is no faster, and weighs 4 KiB more.
        """
        loop = asyncio.get_running_loop()
        connection.settimeout(0)
        try:
            if self._context is None:
                coming = loop.connect_accepted_socket(self._entrance, connection)
            else:
                coming = aiofastnet.connect_accepted_socket(
                    loop,
                    self._entrance,
                    connection,
                    ssl=self._context,
                    ssl_handshake_timeout=self._limits.opening_timeout,
                    ssl_shutdown_timeout=self._limits.close_timeout,
                )
            transport, _ = await coming
        except BaseException:
            connection.close()
            raise
        if self._is_closed:  # meanwhile, with all that were at the entrance
            transport.abort()

    def _came(self, task: asyncio.Task[None]) -> None:
        self._coming.discard(task)
        if not task.cancelled() and task.exception() is not None:  # no TLS, or gone before
            log.debug("connection_not_begun", error=type(task.exception()).__name__)


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
