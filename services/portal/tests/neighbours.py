"""The services as the portal meets them."""

from __future__ import annotations

from pathlib import Path

from chargekey_common.accounts import Caller, Verifier
from chargekey_common.grpc.server import Server, Service
from chargekey_common.testing.grpc import Issuer

NAMES = ("access", "identity", "gateway", "history", "notifier")


class Neighbours:
    """gRPC servers like every service's, which answer only about their health."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self._running: dict[str, Server] = {}

    async def start(self, name: str, *, ready: bool = True) -> None:
        """Listen where the service of this name is expected, if it was running before."""
        server = Server(_NOTHING, Verifier(Path("/nonexistent"), Issuer().keys()), _nobody)
        port = await server.start(self.addresses.get(name, "127.0.0.1:0"))
        self.addresses[name] = f"127.0.0.1:{port}"
        self._running[name] = server
        if ready:
            await server.ready()

    async def make_ready(self, name: str) -> None:
        await self._running[name].ready()

    async def stop(self, name: str) -> None:
        await self._running.pop(name).stop(grace=0)

    async def stop_all(self) -> None:
        for name in list(self._running):
            await self.stop(name)


async def _nobody(caller: Caller, action: str, obj: str) -> None:
    raise AssertionError((caller, action, obj))


_NOTHING = Service("chargekey.nothing.v1.NothingService", lambda *_: None, object(), {})
