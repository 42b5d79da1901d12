"""A charger that gives up nothing: what was not answered is sent again, unchanged.

As OCPP 1.6 §3.7.1 has it: the same timestamp and meter under a new message id, over
a new connection where the old one is lost, before anything that comes later.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ocpp.exceptions import OCPPError
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

# What counts as no answer, in seconds; the gateway itself gives up after 5.
PATIENCE = 10.0
PAUSE = 0.05

_SILENT = logging.getLogger("stubborn-charger")
_SILENT.disabled = True


class StubbornCharger:
    """One connector. Every method returns once the gateway has answered, however often asked."""

    def __init__(self, url: str, ocpp_identity: str, password: str) -> None:
        self.identity = ocpp_identity
        self._url = f"{url}/{ocpp_identity}"
        credentials = base64.b64encode(f"{ocpp_identity}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}"}
        self._peer: _Peer | None = None
        self._present = asyncio.Event()
        self._lost = asyncio.Event()
        self._clock = dt.datetime.now(dt.UTC)
        self.connections = 0
        # Transactions the gateway wants stopped.
        self.to_stop: set[int] = set()
        self.told_to_stop = asyncio.Condition()

    async def authorize(self, code: str) -> str:
        """Present `code`; return the status it got."""
        answer = await self._deliver(call.Authorize(id_tag=code))
        return str(answer.id_tag_info["status"])

    def start_of(self, code: str) -> call.StartTransaction:
        """Return a start that is like no other."""
        return call.StartTransaction(
            connector_id=1, id_tag=code, meter_start=1000, timestamp=self._now()
        )

    async def start(self, start: call.StartTransaction) -> tuple[int, str]:
        """Tell of a start; return its transaction id and verdict."""
        answer = await self._deliver(start)
        return answer.transaction_id, str(answer.id_tag_info["status"])

    async def stop(self, transaction_id: int) -> None:
        """Tell of a stop."""
        await self._deliver(
            call.StopTransaction(
                meter_stop=2000,
                timestamp=self._now(),
                transaction_id=transaction_id,
                reason="Local",
            )
        )

    async def wait_until_told_to_stop(self, transaction_id: int) -> None:
        """Return once the gateway has asked for it."""
        async with self.told_to_stop:
            await self.told_to_stop.wait_for(lambda: transaction_id in self.to_stop)

    def lose_connection(self) -> None:
        """Drop TCP without a word."""
        if self._peer is not None:
            self._peer.socket.transport.abort()

    async def run(self) -> None:
        """Be connected, again and again, until cancelled."""
        while True:
            try:
                socket = await connect(
                    self._url,
                    subprotocols=["ocpp1.6"],  # type: ignore[list-item] # a NewType of str
                    additional_headers=self._headers,
                    proxy=None,
                    logger=_SILENT,
                    ping_interval=None,
                )
            except (OSError, TimeoutError, WebSocketException):
                await asyncio.sleep(PAUSE)
                continue
            async with socket:
                await self._read(socket)

    async def _read(self, socket: ClientConnection) -> None:
        self._peer = peer = _Peer(self, self.identity, socket)
        self._lost.clear()
        self._present.set()
        self.connections += 1
        booting = asyncio.create_task(self._boot(peer))
        try:
            await peer.start()
        except ConnectionClosed:
            pass
        finally:
            self._present.clear()
            self._lost.set()
            booting.cancel()
            await asyncio.gather(booting, return_exceptions=True)

    async def _boot(self, peer: _Peer) -> None:
        await peer.call(
            call.BootNotification(charge_point_vendor="Chargekey", charge_point_model="Stubborn")
        )

    async def _deliver(self, request: Any) -> Any:
        while True:
            await self._present.wait()
            assert self._peer is not None
            calling = asyncio.create_task(self._peer.call(request, suppress=False))
            lost = asyncio.create_task(self._lost.wait())
            try:
                await asyncio.wait({calling, lost}, return_when=asyncio.FIRST_COMPLETED)
                if calling.done():
                    return calling.result()
            except (OCPPError, ConnectionClosed, TimeoutError):
                await asyncio.sleep(PAUSE)  # a CALLERROR means: again, later
            finally:
                calling.cancel()
                lost.cancel()
                await asyncio.gather(calling, lost, return_exceptions=True)

    def _now(self) -> str:
        """Return a time after every earlier one."""
        self._clock = max(self._clock + dt.timedelta(milliseconds=1), dt.datetime.now(dt.UTC))
        return self._clock.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Peer(ChargePoint):  # type: ignore[misc] # untyped
    def __init__(
        self, charger: StubbornCharger, ocpp_identity: str, socket: ClientConnection
    ) -> None:
        super().__init__(ocpp_identity, socket, response_timeout=PATIENCE, logger=_SILENT)
        self.socket = socket
        self._charger = charger

    @on("RemoteStopTransaction")  # type: ignore[untyped-decorator] # untyped
    async def on_remote_stop(self, transaction_id: int) -> call_result.RemoteStopTransaction:
        async with self._charger.told_to_stop:
            self._charger.to_stop.add(transaction_id)
            self._charger.told_to_stop.notify_all()
        return call_result.RemoteStopTransaction(status="Accepted")

    @on("ChangeConfiguration")  # type: ignore[untyped-decorator] # untyped
    def on_change_configuration(self, **_: str) -> call_result.ChangeConfiguration:
        return call_result.ChangeConfiguration(status="Accepted")


@asynccontextmanager
async def stubborn_charger(
    url: str, ocpp_identity: str, password: str
) -> AsyncIterator[StubbornCharger]:
    """Let a charger be connected as much as it can for the length of the block."""
    charger = StubbornCharger(url, ocpp_identity, password)
    running = asyncio.create_task(charger.run(), name=ocpp_identity)
    try:
        yield charger
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
