"""A charger of the `ocpp` library in 2.0.1 and 2.1, over a real WebSocket, at a real gateway.

The library holds what it sends and what it gets against the official schemas (O44).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import ModuleType
from typing import Any

import ocpp.v21
import ocpp.v21.call
import ocpp.v21.call_result
import ocpp.v201
import ocpp.v201.call
import ocpp.v201.call_result
import pytest
import websockets
from ocpp.routing import on
from websockets.headers import build_authorization_basic

from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.published import access, identity
from chargekey_common.published.sessions import (
    AuthorizationRefused,
    SessionEnded,
    SessionStarted,
    StartRefused,
)
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.decision import Reason, decided

from .replicas import CARD, OTHERS_CARD, PIN, SECRET, Replica, Replicas, events_of

LIBRARY: dict[str, ModuleType] = {"ocpp2.0.1": ocpp.v201, "ocpp2.1": ocpp.v21}
PASSWORD = "a long enough password"
BEGAN, ENDED = "2027-01-15T07:59:00Z", "2027-01-15T08:00:00Z"

Call = Callable[..., Any]


class Charger:
    """What one charger asks and is asked."""

    def __init__(self, identity: str, library: ModuleType, socket: Any) -> None:
        self.call = library.call
        self.set: dict[str, str] = {}
        self.stopped: asyncio.Queue[str] = asyncio.Queue()
        result = library.call_result
        stopped, variables = self.stopped, self.set

        class Peer(library.ChargePoint):  # type: ignore[misc,name-defined] # untyped
            @on("SetVariables")
            async def on_set(self, set_variable_data: list[Any], **_: object) -> Any:
                told = []
                for each in set_variable_data:
                    variables[each["variable"]["name"]] = each["attribute_value"]
                    named = {"component": each["component"], "variable": each["variable"]}
                    told.append({"attribute_status": "Accepted", **named})
                return result.SetVariables(set_variable_result=told)

            @on("RequestStopTransaction")
            async def on_stop(self, transaction_id: str, **_: object) -> Any:
                stopped.put_nowait(transaction_id)
                return result.RequestStopTransaction(status="Accepted")

        self.peer = Peer(identity, socket)

    async def says(self, action: str, **fields: Any) -> Any:
        return await self.peer.call(getattr(self.call, action)(**fields), suppress=False)

    async def authorize(self, code: str, kind: str = "ISO14443") -> str:
        answer = await self.says("Authorize", id_token={"id_token": code, "type": kind})
        return str(answer.id_token_info["status"])

    async def tells(self, phase: str, number: int, **more: Any) -> dict[str, Any] | None:
        """Send a TransactionEvent and return its verdict, if it has one."""
        info = {"transaction_id": "its own", **more.pop("info", {})}
        fields = {"timestamp": BEGAN, "trigger_reason": "Authorized", "evse": {"id": 1}, **more}
        answer = await self.says(
            "TransactionEvent", event_type=phase, seq_no=number, transaction_info=info, **fields
        )
        return answer.id_token_info


def pin(code: str = PIN) -> dict[str, str]:
    return {"id_token": code.removeprefix("#"), "type": "KeyCode"}


def card(code: str) -> dict[str, str]:
    return {"id_token": code, "type": "ISO14443"}


def register(watt_hours: float) -> list[dict[str, Any]]:
    return [{"timestamp": BEGAN, "sampled_value": [{"value": watt_hours}]}]


@pytest.fixture
async def replica(replicas: Replicas) -> Replica:
    replica = replicas[0]
    for charger_id in ("first", "open"):
        hashed = ChargerPasswords(SECRET).hash(charger_id, PASSWORD)
        replica.view.apply(access.ChargerCredential(charger_id=charger_id, password_hash=hashed))
    return replica


@pytest.fixture(params=sorted(LIBRARY))
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextlib.asynccontextmanager
async def socket_of(
    replica: Replica, version: str, charger_id: str = "first"
) -> AsyncIterator[websockets.ClientConnection]:
    """Serve, and let a charger in."""
    server = OcppServer(replica.gateway, clock=lambda: replica.now)
    await server.start("127.0.0.1:0")
    try:
        async with (
            asyncio.timeout(30),
            websockets.connect(
                f"ws://127.0.0.1:{server.port}/ocpp/{charger_id}",
                subprotocols=[version],  # type: ignore[list-item] # a plain string
                additional_headers={
                    "Authorization": build_authorization_basic(charger_id, PASSWORD)
                },
                proxy=None,
            ) as socket,
        ):
            assert socket.subprotocol == version
            yield socket
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def listening(peer: Any) -> AsyncIterator[None]:
    """Have the library's charger take what it is told."""
    task = asyncio.create_task(peer.start())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def connected(
    replica: Replica, version: str, charger_id: str = "first"
) -> AsyncIterator[Charger]:
    async with socket_of(replica, version, charger_id) as socket:
        charger = Charger(charger_id, LIBRARY[version], socket)
        async with listening(charger.peer):
            yield charger


async def test_a_charge_by_pin_from_boot_to_end(replica: Replica, version: str) -> None:
    """S0-24, O22, O36, O39, O40: also while the meter is told of in kilowatt-hours."""
    async with connected(replica, version) as charger:
        booted = await charger.says(
            "BootNotification",
            charging_station={"vendor_name": "V", "model": "M"},
            reason="PowerUp",
        )
        assert (booted.status, booted.interval) == ("Accepted", 300)
        place = {"evse_id": 1, "connector_id": 1, "timestamp": BEGAN}
        await charger.says("StatusNotification", connector_status="Occupied", **place)
        assert await charger.authorize("9999", "KeyCode") == "Unknown"
        assert await charger.authorize(PIN.removeprefix("#"), "KeyCode") == "Accepted"
        verdict = await charger.tells("Started", 0, id_token=pin(), meter_value=register(100))
        assert verdict is not None
        assert verdict["status"] == "Accepted"
        assert verdict["group_id_token"]["type"] == "Central"
        in_kwh = [
            {
                "timestamp": BEGAN,
                "sampled_value": [{"value": 0.5, "unit_of_measure": {"unit": "kWh"}}],
            }
        ]
        more = {"trigger_reason": "MeterValuePeriodic", "meter_value": in_kwh}
        assert await charger.tells("Updated", 1, **more) is None
        more = {"trigger_reason": "StopAuthorized", "meter_value": register(900)}
        stop = {"info": {"stopped_reason": "Local"}, "timestamp": ENDED}
        verdict = await charger.tells("Ended", 2, id_token=pin(), **more, **stop)
        assert verdict is not None
        assert verdict["status"] == "Accepted"
        assert charger.set == {"MessageAttempts": "133", "MessageAttemptInterval": "10"}
        assert charger.stopped.empty()
    events = await events_of(replica.client)
    (started,) = [each for each in events if isinstance(each, SessionStarted)]
    (ended,) = [each for each in events if isinstance(each, SessionEnded)]
    assert (started.identification_id, started.meter_start, started.ocpp_transaction_id) == (
        "pin",
        100,
        "its own",
    )
    assert (ended.session_id, ended.meter_stop, ended.reason) == (started.session_id, 900, "Local")
    assert ended.messages_missing == 0
    assert PIN.removeprefix("#") not in str(charger.set)


async def test_one_card_is_one_card_whatever_it_is_said_to_be(
    replica: Replica, version: str
) -> None:
    """O17, O35: real chargers name one card's type differently in two messages."""
    async with connected(replica, version) as charger:
        for kind in ("ISO14443", "ISO15693", "Central", "Local", "eMAID", "MacAddress"):
            assert await charger.authorize(CARD.lower(), kind) == "Accepted"
        verdict = await charger.tells(
            "Started", 0, id_token={"id_token": CARD.lower(), "type": "Central"}
        )
        assert verdict is not None
        assert verdict["status"] == "Accepted"
        # C10: what is made for one time is not to be remembered.
        assert "cache_expiry_date_time" not in verdict


async def test_what_is_begun_by_somebody_blocked_is_stopped_remotely(
    replica: Replica, version: str
) -> None:
    """O19, O25: and asked again it is the same refusal."""
    replica.view.apply(identity.UserBlocked(user_id="bob", installation_id=None))
    async with connected(replica, version) as charger:
        assert await charger.authorize(OTHERS_CARD) == "Blocked"
        for _ in range(2):
            verdict = await charger.tells("Started", 0, id_token=card(OTHERS_CARD))
            assert verdict is not None
            assert verdict["status"] == "Blocked"
            assert await charger.stopped.get() == "its own"
    refused = [e for e in await events_of(replica.client) if isinstance(e, StartRefused)]
    assert [each.reason for each in refused] == ["user_blocked"]
    assert decided(refused[0].inputs).reason is Reason.USER_BLOCKED


async def test_a_second_charge_with_one_card_is_concurrent_but_to_present_it_is_not(
    replica: Replica, version: str
) -> None:
    """O18, R21."""
    await replica.start("second", token=PIN)
    async with connected(replica, version) as charger:
        assert await charger.authorize(PIN.removeprefix("#"), "KeyCode") == "Accepted"
        verdict = await charger.tells("Started", 0, id_token=pin())
        assert verdict is not None
        assert verdict["status"] == "ConcurrentTx"


async def test_nothing_presented_is_accepted_where_the_charger_is_open_and_only_there(
    replica: Replica, version: str
) -> None:
    """O37, C02: and nobody is told of a card that is none."""
    nothing = {"id_token": "", "type": "NoAuthorization"}
    publishing = asyncio.create_task(replica.gateway.run())
    for charger_id, word in (("open", "Accepted"), ("first", "Unknown")):
        async with connected(replica, version, charger_id) as charger:
            assert await charger.authorize("", "NoAuthorization") == word
            verdict = await charger.tells("Started", 0, id_token=nothing)
            assert verdict == {"status": word}
            assert await charger.tells("Ended", 1, trigger_reason="EVDeparted") is None
    async with asyncio.timeout(30):
        await replica.gateway.deciding.idle()
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
    events = await events_of(replica.client)
    started = [each for each in events if isinstance(each, SessionStarted)]
    assert [(each.charger_id, each.reason) for each in started] == [("open", "open_charger")]
    refused = [each for each in events if isinstance(each, AuthorizationRefused)]
    assert {each.reason for each in refused} == {"identification_unknown"}
    assert all(each.inputs.nothing_presented for each in refused)
    assert all(decided(each.inputs).reason == each.reason for each in refused)
    assert replica.unknown == []


async def test_a_wrong_pin_is_slowed_down_and_cards_are_not(replica: Replica, version: str) -> None:
    """O36, R14."""
    async with connected(replica, version) as charger:
        for guess in range(5):
            replica.now += 1
            assert await charger.authorize(f"999{guess}", "KeyCode") == "Unknown"
        assert await charger.authorize("9999", "KeyCode") == "Invalid"
        assert await charger.authorize(CARD) == "Accepted"
    assert replica.unknown == []


@pytest.mark.parametrize(
    ("offered", "spoken"),
    [
        (["ocpp1.6", "ocpp2.0.1", "ocpp2.1"], "ocpp2.1"),
        (["ocpp2.0.1", "ocpp1.6"], "ocpp2.0.1"),
        (["ocpp2.0", "ocpp1.6"], "ocpp1.6"),
    ],
)
async def test_the_best_version_of_those_offered_is_spoken(
    replica: Replica, offered: list[str], spoken: str
) -> None:
    """O1."""
    server = OcppServer(replica.gateway)
    await server.start("127.0.0.1:0")
    async with (
        asyncio.timeout(30),
        websockets.connect(
            f"ws://127.0.0.1:{server.port}/ocpp/first",
            subprotocols=offered,  # type: ignore[arg-type] # plain strings
            additional_headers={"Authorization": build_authorization_basic("first", PASSWORD)},
            proxy=None,
        ) as socket,
    ):
        assert socket.subprotocol == spoken
    await server.stop()
