"""A simulated charger: a real OCPP 1.6 peer over a real WebSocket, with one connector.

It is built on the `ocpp` library, which checks every message either way against
the official schemas and knows nothing of this system.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from ocpp.exceptions import OCPPError
from ocpp.routing import after, on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import (
    Action,
    ChargePointErrorCode,
    ChargePointStatus,
    ClearCacheStatus,
    ConfigurationStatus,
    Reason,
    RegistrationStatus,
    RemoteStartStopStatus,
)
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from chargekey_stack.errors import (
    ChargerConnectedError,
    ChargerDisconnectedError,
    ChargerRefusedError,
    CodeTooLongError,
    RequestRefusedError,
)

CONNECTOR = 1
ACCEPTED = "Accepted"
# Seconds to wait for an answer of the gateway.
PATIENCE = 10.0
METER_INTERVAL = 1.0
# Watt-hours between two meter values: a fast charger, so that something is seen.
METER_STEP = 25
LONGEST_ID_TAG = 20
# What the gateway closes a second connection with, and an unknown charger's attempt.
ANOTHER_CONNECTED = "already connected"
NOT_SERVED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND)

# Both libraries log every message, codes included; ours go nowhere.
_SILENT = logging.getLogger("chargekey-simulator")
_SILENT.disabled = True

Result = TypeVar("Result")


class Started(msgspec.Struct, frozen=True):
    """What a start was answered."""

    transaction_id: int
    status: str


class SimulatedCharger:
    """A charger that is connected; every method returns at the milestone it is named for.

    Any of them raises ChargerDisconnectedError when the connection is lost,
    ChargerConnectedError when another charger has it, and RequestRefusedError when
    the gateway answers with an error.
    """

    def __init__(
        self,
        socket: ClientConnection,
        peer: _Peer,
        reading: asyncio.Task[None],
        meter_interval: float,
    ) -> None:
        self._socket = socket
        self._peer = peer
        self._reading = reading
        self._meter_interval = meter_interval
        self._meter = 0
        self._plugged_in = False
        self._charging: asyncio.Task[str] | None = None
        self._unplug = asyncio.Event()

    @property
    def meter(self) -> int:
        """The energy register, in watt-hours."""
        return self._meter

    @property
    def configuration(self) -> dict[str, str]:
        """What the gateway has configured so far."""
        return self._peer.configuration

    async def boot(self) -> None:
        """Return when the gateway has accepted the boot and knows that the connector is free."""
        answer = await self._call(
            call.BootNotification(charge_point_vendor="Chargekey", charge_point_model="Simulator")
        )
        if answer.status != RegistrationStatus.accepted:
            trouble = f"BootNotification: {answer.status}"
            raise RequestRefusedError(trouble)
        await self._report(ChargePointStatus.available)

    async def plug_in(self) -> None:
        """Return when the gateway knows that a vehicle is there, and waits to charge."""
        await self._report(ChargePointStatus.preparing)
        self._plugged_in = True

    async def authorize(self, code: str) -> str:
        """Present `code`; return the status it got. Raises CodeTooLongError."""
        check_code(code)
        answer = await self._call(call.Authorize(id_tag=code))
        return str(answer.id_tag_info["status"])

    async def start(self, code: str) -> Started:
        """Start a transaction and charge until stopped; not accepted, it ends at once.

        Plugged in by then, if not before.
        """
        if not self._plugged_in:
            await self.plug_in()
        answer = await self._call(
            call.StartTransaction(
                connector_id=CONNECTOR, id_tag=code, meter_start=self._meter, timestamp=_now()
            )
        )
        started = Started(answer.transaction_id, str(answer.id_tag_info["status"]))
        self._unplug.clear()
        self._peer.running = started.transaction_id
        self._peer.remote_stop.clear()
        self._charging = asyncio.create_task(self._charge(started), name="charging")
        return started

    async def stopped(self) -> str:
        """Return the reason of the StopTransaction, once the gateway has taken it."""
        if self._charging is None:
            raise ChargerDisconnectedError
        return await self._unless_disconnected(asyncio.shield(self._charging))

    async def stop(self) -> str:
        """End the transaction at the charger; return the reason that was reported."""
        self._unplug.set()
        return await self.stopped()

    async def disconnected(self) -> None:
        """Return when the connection is gone."""
        await asyncio.wait({self._reading})

    async def close(self) -> None:
        """Stop charging without a word, as a charger that loses its power."""
        for task in (self._charging, self._reading):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _charge(self, started: Started) -> str:
        """Report meter values until told to stop, then report the stop."""
        if started.status == ACCEPTED:
            await self._report(ChargePointStatus.charging)
            reason = await self._deliver(started.transaction_id)
        else:
            reason = Reason.de_authorized
        await self._call(
            call.StopTransaction(
                meter_stop=self._meter,
                timestamp=_now(),
                transaction_id=started.transaction_id,
                reason=reason,
            )
        )
        self._peer.running = None
        self._plugged_in = False
        await self._report(ChargePointStatus.available)
        return str(reason.value)

    async def _deliver(self, transaction_id: int) -> Reason:
        while True:
            self._meter += METER_STEP
            await self._call(
                call.MeterValues(
                    connector_id=CONNECTOR,
                    transaction_id=transaction_id,
                    meter_value=[
                        {"timestamp": _now(), "sampled_value": [{"value": str(self._meter)}]}
                    ],
                )
            )
            remote = asyncio.create_task(self._peer.remote_stop.wait())
            local = asyncio.create_task(self._unplug.wait())
            try:
                await asyncio.wait(
                    {remote, local},
                    timeout=self._meter_interval,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if remote.done():
                    return Reason.remote
                if local.done():
                    return Reason.local
            finally:
                remote.cancel()
                local.cancel()

    async def _report(self, status: ChargePointStatus) -> None:
        await self._call(
            call.StatusNotification(
                connector_id=CONNECTOR, error_code=ChargePointErrorCode.no_error, status=status
            )
        )

    async def _call(self, request: Any) -> Any:  # noqa: ANN401 - the library's messages
        try:
            return await self._unless_disconnected(self._peer.call(request, suppress=False))
        # The kind of an error alone: what it says may repeat the request, and so the code.
        except OCPPError as error:
            trouble = f"{type(request).__name__}: {type(error).__name__}"
            raise RequestRefusedError(trouble) from None
        except TimeoutError:
            trouble = f"{type(request).__name__} was not answered in {PATIENCE:g} s"
            raise ChargerDisconnectedError(trouble) from None
        except ConnectionClosed:
            raise self._lost() from None

    async def _unless_disconnected(self, awaited: Awaitable[Result]) -> Result:
        waiting = asyncio.ensure_future(awaited)
        try:
            await asyncio.wait({waiting, self._reading}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return await waiting
            raise self._lost()
        finally:
            waiting.cancel()

    def _lost(self) -> ChargerConnectedError | ChargerDisconnectedError:
        reason = self._socket.close_reason
        if reason == ANOTHER_CONNECTED:
            return ChargerConnectedError()
        return ChargerDisconnectedError(
            f"closed with {self._socket.close_code}{f' ({reason})' if reason else ''}"
        )


class _Peer(ChargePoint):  # type: ignore[misc] # untyped
    """The protocol: sends calls, and answers those of the gateway."""

    def __init__(self, ocpp_identity: str, socket: ClientConnection) -> None:
        super().__init__(ocpp_identity, socket, response_timeout=PATIENCE, logger=_SILENT)
        self.configuration: dict[str, str] = {}
        self.running: int | None = None
        self.remote_stop = asyncio.Event()

    @on(Action.remote_stop_transaction)  # type: ignore[untyped-decorator] # untyped
    def on_remote_stop(self, transaction_id: int) -> call_result.RemoteStopTransaction:
        """Accept to stop what runs."""
        known = transaction_id == self.running
        status = RemoteStartStopStatus.accepted if known else RemoteStartStopStatus.rejected
        return call_result.RemoteStopTransaction(status=status)

    @after(Action.remote_stop_transaction)  # type: ignore[untyped-decorator] # untyped
    def after_remote_stop(self, transaction_id: int) -> None:
        """Stop, now that the answer is out."""
        if transaction_id == self.running:
            self.remote_stop.set()

    @on(Action.change_configuration)  # type: ignore[untyped-decorator] # untyped
    def on_change_configuration(self, key: str, value: str) -> call_result.ChangeConfiguration:
        """Keep any setting."""
        self.configuration[key] = value
        return call_result.ChangeConfiguration(status=ConfigurationStatus.accepted)

    @on(Action.get_configuration)  # type: ignore[untyped-decorator] # untyped
    def on_get_configuration(self, key: list[str] | None = None) -> call_result.GetConfiguration:
        """Tell the settings that were made."""
        asked = list(self.configuration) if key is None else key
        return call_result.GetConfiguration(
            configuration_key=[
                {"key": each, "readonly": False, "value": self.configuration[each]}
                for each in asked
                if each in self.configuration
            ],
            unknown_key=[each for each in asked if each not in self.configuration],
        )

    @on(Action.get_local_list_version)  # type: ignore[untyped-decorator] # untyped
    def on_get_local_list_version(self) -> call_result.GetLocalListVersion:
        """Tell that there are no local lists here (-1, §5.10)."""
        return call_result.GetLocalListVersion(list_version=-1)

    @on(Action.clear_cache)  # type: ignore[untyped-decorator] # untyped
    def on_clear_cache(self) -> call_result.ClearCache:
        """Tell that there is no cache here (§5.4)."""
        return call_result.ClearCache(status=ClearCacheStatus.rejected)


@asynccontextmanager
async def simulated_charger(
    url: str, ocpp_identity: str, password: str, *, meter_interval: float = METER_INTERVAL
) -> AsyncIterator[SimulatedCharger]:
    """Connect a charger to `<url>/<ocpp_identity>` for the length of the block.

    Meter values come every `meter_interval` seconds. Raises ChargerRefusedError where
    the gateway knows no such charger and password, and ChargerDisconnectedError.
    """
    credentials = base64.b64encode(f"{ocpp_identity}:{password}".encode()).decode()
    try:
        socket = await connect(
            f"{url}/{quote(ocpp_identity, safe='')}",
            subprotocols=["ocpp1.6"],  # type: ignore[list-item] # a NewType of str
            additional_headers={"Authorization": f"Basic {credentials}"},
            proxy=None,
            logger=_SILENT,
        )
    except InvalidStatus as refused:
        served = refused.response.status_code not in NOT_SERVED
        kind = ChargerDisconnectedError if served else ChargerRefusedError
        raise kind(str(refused)) from None
    except (OSError, TimeoutError, WebSocketException) as error:
        raise ChargerDisconnectedError(str(error)) from None
    async with socket:
        peer = _Peer(ocpp_identity, socket)
        reading = asyncio.create_task(_read(peer), name="reading")
        charger = SimulatedCharger(socket, peer, reading, meter_interval)
        try:
            yield charger
        finally:
            await charger.close()


def check_code(code: str) -> None:
    """Raise CodeTooLongError for what no charger can present."""
    if len(code) > LONGEST_ID_TAG:
        raise CodeTooLongError


async def _read(peer: _Peer) -> None:
    try:
        await peer.start()
    except ConnectionClosed:
        return


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
