"""What is commonly built: the `ocpp` library on `websockets`: `python -m benchmarks.load.peer`."""

from __future__ import annotations

import contextlib
from typing import Any

import websockets
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call_result
from ocpp.v16.datatypes import IdTagInfo
from ocpp.v16.enums import Action, AuthorizationStatus, RegistrationStatus

from benchmarks.load.chargers import GROUP
from benchmarks.load.running import told
from chargekey_common import process
from chargekey_common.process import Lifetime

BACKLOG = 4096
LET_IN = IdTagInfo(status=AuthorizationStatus.accepted, parent_id_tag=GROUP)
BOOTED = call_result.BootNotification("2026-11-22T00:00:00Z", 300, RegistrationStatus.accepted)


class BackEnd(ChargePoint):  # type: ignore[misc] # Any, to mypy
    """Lets everybody charge."""

    @on(Action.authorize)  # type: ignore[untyped-decorator] # as above
    async def on_authorize(self, **_asked: Any) -> Any:  # noqa: ANN401 - the library is untyped
        """Say so."""
        return call_result.Authorize(LET_IN)

    @on(Action.boot_notification)  # type: ignore[untyped-decorator] # as above
    async def on_boot(self, **_told: Any) -> Any:  # noqa: ANN401 - as above
        """Accept."""
        return BOOTED


async def _serve(socket: websockets.ServerConnection) -> None:
    with contextlib.suppress(websockets.ConnectionClosed):
        await BackEnd("charger", socket).start()


async def start(lifetime: Lifetime) -> None:
    """Listen, and tell where."""
    subprotocol = websockets.Subprotocol("ocpp1.6")
    server = await websockets.serve(
        _serve, "127.0.0.1", 0, subprotocols=[subprotocol], backlog=BACKLOG
    )
    lifetime.closing.callback(server.close)
    told(next(iter(server.sockets)).getsockname()[1])


if __name__ == "__main__":
    process.run(start)
