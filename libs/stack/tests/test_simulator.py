"""The simulated charger against a back end made of the `ocpp` library."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from ocpp.exceptions import InternalError
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from chargekey_common.errors import ChargekeyError
from chargekey_stack.errors import (
    ChargerConnectedError,
    ChargerDisconnectedError,
    ChargerRefusedError,
    CodeTooLongError,
    RequestRefusedError,
)
from chargekey_stack.simulator import Make, Started, simulated_charger

ANSWERS = {"#2468": "Accepted", "#1357": "Blocked"}
FAILS = "#9999"
NOW = "2026-11-18T11:06:40Z"
HASTY = Make(back_off=(0.01,))


class BackEnd(ChargePoint):
    """Answers a charger and writes down what it said."""

    def __init__(self, socket: ServerConnection) -> None:
        super().__init__("back end", socket)
        self.socket = socket
        self.said: list[tuple[str, Any]] = []
        self.metered = asyncio.Event()

    @on("BootNotification")
    def boot(self, **_: Any) -> call_result.BootNotification:
        return call_result.BootNotification(current_time=NOW, interval=300, status="Accepted")

    @on("StatusNotification")
    def status(self, status: str, **_: Any) -> call_result.StatusNotification:
        self.said.append(("status", status))
        return call_result.StatusNotification()

    @on("Authorize")
    def authorize(self, id_tag: str) -> call_result.Authorize:
        return call_result.Authorize(id_tag_info={"status": ANSWERS[id_tag]})

    @on("StartTransaction")
    def start_transaction(self, id_tag: str, **_: Any) -> call_result.StartTransaction:
        if id_tag == FAILS:
            raise InternalError
        return call_result.StartTransaction(
            transaction_id=42, id_tag_info={"status": ANSWERS[id_tag]}
        )

    @on("MeterValues")
    def meter_values(self, **_: Any) -> call_result.MeterValues:
        self.metered.set()
        return call_result.MeterValues()

    @on("StopTransaction")
    def stop_transaction(self, meter_stop: int, **given: Any) -> call_result.StopTransaction:
        self.said.append(("stop", (given["transaction_id"], given["reason"], meter_stop)))
        return call_result.StopTransaction()


class Listener:
    """Where chargers connect; `back_ends` has each connection."""

    def __init__(self) -> None:
        self.back_ends: asyncio.Queue[BackEnd] = asyncio.Queue()
        self.requests: list[tuple[str, str]] = []
        self.server: Server

    async def handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.requests.append((socket.request.path, socket.request.headers["Authorization"]))
        back_end = BackEnd(socket)
        self.back_ends.put_nowait(back_end)
        try:
            await back_end.start()
        except ConnectionClosed:
            return

    @property
    def url(self) -> str:
        port = next(iter(self.server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}/ocpp"


@pytest_asyncio.fixture
async def listener() -> AsyncIterator[Listener]:
    listening = Listener()
    async with serve(
        listening.handle, "127.0.0.1", 0, subprotocols=["ocpp1.6"], logger=_silent()
    ) as server:
        listening.server = server
        yield listening


def _silent() -> logging.Logger:
    logger = logging.getLogger("back-end")
    logger.disabled = True
    return logger


async def test_it_boots_charges_and_stops_when_told_to(listener: Listener) -> None:
    async with simulated_charger(listener.url, "CP/1 ä", "secret", meter_interval=0.01) as charger:
        back_end = await listener.back_ends.get()
        assert listener.requests == [
            (
                "/ocpp/CP%2F1%20%C3%A4",
                "Basic " + base64.b64encode("CP/1 ä:secret".encode()).decode(),
            )
        ]
        await charger.boot()
        await charger.plug_in()
        assert back_end.said[-1] == ("status", "Preparing")
        assert await charger.authorize("#2468") == "Accepted"
        assert await charger.start("#2468") == Started(42, "Accepted")
        async with asyncio.timeout(30):
            await back_end.metered.wait()
        other = await back_end.call(call.RemoteStopTransaction(transaction_id=41))
        assert other.status == "Rejected"
        answer = await back_end.call(call.RemoteStopTransaction(transaction_id=42))
        assert answer.status == "Accepted"
        assert await charger.stopped() == "Remote"
        assert charger.meter > 0
        assert back_end.said == [
            ("status", "Available"),
            ("status", "Preparing"),
            ("status", "Charging"),
            ("stop", (42, "Remote", charger.meter)),
            ("status", "Available"),
        ]


async def test_a_refused_code_is_told_and_a_refused_start_ends_at_once(listener: Listener) -> None:
    async with simulated_charger(listener.url, "CP-1", "secret") as charger:
        back_end = await listener.back_ends.get()
        assert await charger.authorize("#1357") == "Blocked"
        assert (await charger.start("#1357")).status == "Blocked"
        assert await charger.stopped() == "DeAuthorized"
        assert ("stop", (42, "DeAuthorized", 0)) in back_end.said


async def test_a_code_that_no_charger_can_present_is_refused_by_name(listener: Listener) -> None:
    async with simulated_charger(listener.url, "CP-1", "secret") as charger:
        with pytest.raises(CodeTooLongError):
            await charger.authorize("x" * 21)


async def test_it_can_be_stopped_at_the_charger_and_start_again(listener: Listener) -> None:
    async with simulated_charger(listener.url, "CP-1", "secret") as charger:
        for _ in range(2):
            await charger.start("#2468")
            assert await charger.stop() == "Local"


async def test_it_keeps_what_it_is_configured_with(listener: Listener) -> None:
    async with simulated_charger(listener.url, "CP-1", "secret") as charger:
        back_end = await listener.back_ends.get()

        async def change(key: str, value: str) -> str:
            answer = await back_end.call(call.ChangeConfiguration(key=key, value=value))
            return str(answer.status)

        assert await change("HeartbeatInterval", "60") == "Accepted"
        assert await change("LocalAuthListMaxLength", "60") == "Rejected"
        assert await change("LocalPreAuthorize", "perhaps") == "Rejected"
        assert await change("AuthorizationCacheEnabled", "false") == "RebootRequired"
        assert await change("Nonsense", "60") == "NotSupported"
        told = await back_end.call(call.GetConfiguration(key=["heartbeatInterval", "Nonsense"]))
        assert told.unknown_key == ["Nonsense"]
        assert told.configuration_key == [
            {"key": "HeartbeatInterval", "readonly": False, "value": "60"}
        ]
        assert charger.settings["AuthorizationCacheEnabled"] == "true"
        await charger.reboot()
        assert charger.settings["AuthorizationCacheEnabled"] == "false"


async def test_a_lost_connection_is_opened_again_and_charging_goes_on(listener: Listener) -> None:
    async with simulated_charger(
        listener.url, "CP-1", "secret", meter_interval=0.01, make=HASTY
    ) as charger:
        first = await listener.back_ends.get()
        await charger.boot()
        assert await charger.start("#2468") == Started(42, "Accepted")
        await first.socket.close(1012, "restarting")
        second = await listener.back_ends.get()
        async with asyncio.timeout(30):
            await second.metered.wait()
        assert second.said[0] == ("status", "Charging")
        assert await charger.stop() == "Local"
        assert ("stop", (42, "Local", charger.meter)) in second.said


async def test_a_second_charger_of_an_identity_is_told_so(listener: Listener) -> None:
    async with simulated_charger(listener.url, "CP-1", "secret") as charger:
        back_end = await listener.back_ends.get()
        await back_end.socket.close(1008, "already connected")
        await charger.disconnected()
        with pytest.raises(ChargerConnectedError):
            await charger.boot()


async def test_a_start_that_fails_is_not_blamed_on_the_password(listener: Listener) -> None:
    async with simulated_charger(listener.url, "CP-1", "secret") as charger:
        with pytest.raises(RequestRefusedError, match="StartTransaction: InternalError"):
            await charger.start(FAILS)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, ChargerRefusedError), (404, ChargerRefusedError), (503, ChargerDisconnectedError)],
)
async def test_only_an_unknown_charger_is_told_to_check_its_password(
    status: int, error: type[ChargekeyError]
) -> None:
    def refuse(socket: ServerConnection, _: Request) -> Response:
        return socket.respond(status, "")

    async def never(_: ServerConnection) -> None:
        raise AssertionError

    async with serve(never, "127.0.0.1", 0, process_request=refuse, logger=_silent()) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with pytest.raises(error):
            async with simulated_charger(f"ws://127.0.0.1:{port}/ocpp", "CP-1", "secret"):
                pass


async def test_nobody_there_is_a_clear_error(listener: Listener) -> None:
    url = listener.url
    listener.server.close()
    await listener.server.wait_closed()
    with pytest.raises(ChargerDisconnectedError):
        async with simulated_charger(url, "CP-1", "secret"):
            pass


async def test_no_code_gets_into_a_log(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    """R17: the libraries would log every message."""
    caplog.set_level(logging.DEBUG)
    async with simulated_charger(listener.url, "CP-1", "secret") as charger:
        await charger.authorize("#2468")
        await charger.start("#2468")
        await charger.stop()
    ours = [entry for entry in caplog.records if entry.name != "ocpp"]  # that one is the back end's
    assert not any("2468" in entry.getMessage() for entry in ours)
