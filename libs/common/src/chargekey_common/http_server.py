"""HTTP by uvicorn, as a guest in a process that has its own loop, signals and logs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

GRACE = 5


class _Guest(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


class HttpServer:
    """Serves one application at `host:port`; port 0 lets the system choose.

    Listens from when it is made, and answers while `run` runs.
    """

    def __init__(self, app: ASGIApp, address: str) -> None:
        host, _, port = address.rpartition(":")
        # Shared with whoever keeps the port for us while we restart.
        self._socket = socket.create_server((host, int(port)), reuse_port=True)
        self._ended = asyncio.Event()
        self._server = _Guest(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
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
