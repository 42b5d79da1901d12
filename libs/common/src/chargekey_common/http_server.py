"""HTTP by uvicorn, as a guest in a process that has its own loop, signals and logs."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import sys
import termios
from collections.abc import Collection, Iterator
from http import HTTPStatus

import uvicorn
from opentelemetry.trace import use_span
from prometheus_client import Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from chargekey_common import tracing

GRACE = 5
# Open at once, streams included: half of the files that a process may have by default.
MOST_CONNECTIONS = 500
# Seconds for a client to send the head of a request, and to read so much of what waits for him.
PATIENCE = 10.0
LEAST_READ = 1 << 16

_REQUESTS = Counter("http_requests_total", "Requests answered by HTTP.", ["code"])


class _Connection(H11Protocol):
    """One that is open for as long as somebody answers it, or PATIENCE.

    uvicorn knows no end to a head that comes byte by byte, nor to a body that comes so after
    it was answered. How long the application waits for a body is for the application to say.
    """

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request; one connection too many is closed."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        self._stop_waiting()
        self._stop_minding()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        self._watch()

    def pause_writing(self) -> None:
        """Begin to look whether he reads what he asked for."""
        super().pause_writing()
        self._mind()

    def resume_writing(self) -> None:
        """Go on: he reads."""
        super().resume_writing()
        if self._is_answering():
            self._stop_minding()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, and for who has yet to read the end of this one's."""
        super().on_response_complete()
        self._watch()
        if self.transport.get_write_buffer_size():
            self._mind()

    def _is_answering(self) -> bool:
        # Typed as if it were there before the first request.
        cycle: RequestResponseCycle | None = getattr(self, "cycle", None)
        return cycle is not None and not cycle.response_complete

    def _watch(self) -> None:
        if self.transport.is_closing() or self._is_answering():
            self._stop_waiting()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(PATIENCE, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _mind(self) -> None:
        # Anew: what was left of the last answer says nothing of this one's.
        self._stop_minding()
        self._unread = self.loop.call_later(PATIENCE, self._look, self._waiting())

    def _look(self, before: int) -> None:
        self._unread = None
        if not self.transport.get_write_buffer_size():
            return
        # Not all of it: an answer may be long, and whoever reads slowly reads.
        if before - self._waiting() >= LEAST_READ:
            self._mind()
        else:
            self.transport.abort()

    def _waiting(self) -> int:
        """Return how many bytes he has not taken, those included that the system holds for him.

        It holds some MiB, and takes more of ours only when much of that is gone.
        """
        held = fcntl.ioctl(
            self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4)
        )
        return self.transport.get_write_buffer_size() + int.from_bytes(held, sys.byteorder)

    def _stop_minding(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class _Observed:
    """Counts what an application answers; each request begins a trace of its own.

    Not one of whoever asks: anybody can, and would choose what is kept of it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        span = tracing.request("HTTP")

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = message["status"]
                _REQUESTS.labels(str(status)).inc()
                span.set_attribute("http.response.status_code", status)
                if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    tracing.failed(span, str(status))
            await send(message)

        with use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                await self._app(scope, receive, sending)
            finally:
                # What the path is called, and not the path: that has ids in it.
                route = getattr(scope.get("route"), "path", None)
                if route is not None:
                    span.update_name(f"HTTP {scope['method']} {route}")


class _Guest(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


class HttpServer:
    """Serves one application at `host:port`; port 0 lets the system choose.

    Listens from when it is made, and answers while `run` runs, MOST_CONNECTIONS at a time.
    `trusted_proxies`, addresses and networks, are believed whom they ask for; nobody else is.
    """

    def __init__(
        self, app: ASGIApp, address: str, *, trusted_proxies: Collection[str] = ()
    ) -> None:
        host, _, port = address.rpartition(":")
        # Shared with whoever keeps the port for us while we restart.
        self._socket = socket.create_server((host, int(port)), reuse_port=True)
        self._ended = asyncio.Event()
        self._server = _Guest(
            uvicorn.Config(
                _Observed(app),
                http=_Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=bool(trusted_proxies),
                forwarded_allow_ips=list(trusted_proxies),
                server_header=False,
                timeout_graceful_shutdown=GRACE,
            )
        )

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._socket.getsockname()[1])

    @property
    def serving(self) -> bool:
        """Whether requests are answered."""
        return self._server.started and not self._server.should_exit

    async def run(self) -> None:
        """Answer until `stop`."""
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Take no more requests; return when those taken are answered, after GRACE seconds else."""
        self._server.should_exit = True
        await self._ended.wait()
