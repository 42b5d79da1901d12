"""A charger that was never here before has to boot; one that was, need not (O11)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from websockets import ClientConnection
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from .conftest import Door, GatewayInMemory

NewDoor = Callable[..., Awaitable["Door"]]
LIMIT = 1.0  # seconds to boot in
PATIENCE = 20.0
VERSIONS = ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"]
EVERY_VERSION = pytest.mark.parametrize("version", VERSIONS)
HEARTBEAT = [2, "beat", "Heartbeat", {}]
BOOT = {
    "ocpp1.6": {"chargePointVendor": "V", "chargePointModel": "M"},
    "ocpp2.0.1": {
        "reason": "Triggered",
        "chargingStation": {"vendorName": "V", "model": "M"},
    },
}
BOOT["ocpp2.1"] = BOOT["ocpp2.0.1"]


@pytest.fixture
def newcomer(gateway: GatewayInMemory) -> GatewayInMemory:
    """Return the gateway that the charger comes to for the first time."""
    charger = gateway.chargers["CP/1 ä"]
    gateway.boots.connected(charger)
    gateway.confirmed.change(charger.id, version="1.6")  # as whoever brings it in line does
    return gateway


class Charger:
    """Beats, answers to what it is asked as the test says, and may boot then."""

    def __init__(self, version: str, answer: list[Any]) -> None:
        self.version = version
        self.answer = answer
        self.boots = False
        self.asked: list[str] = []
        self.asked_at = 0.0

    async def lives(self, socket: ClientConnection, until: Callable[[], bool]) -> int | None:
        """Beat until the connection is closed, and return the code, or `until` is so."""
        try:
            async with asyncio.timeout(PATIENCE):
                await socket.send(json.dumps(HEARTBEAT))
                while not until():
                    await self._take(socket, json.loads(await socket.recv()))
        except ConnectionClosed:
            return socket.close_code
        return None

    async def _take(self, socket: ClientConnection, message: list[Any]) -> None:
        match message:
            case [2, message_id, "TriggerMessage", {"requestedMessage": asked}]:
                self.asked.append(asked)
                self.asked_at = asyncio.get_running_loop().time()
                kind, *rest = self.answer
                await socket.send(json.dumps([kind, message_id, *rest]))
                if self.boots:
                    call = [2, "boot", "BootNotification", BOOT[self.version]]
                    await socket.send(json.dumps(call))
            case [3, "beat", _]:
                await asyncio.sleep(LIMIT / 20)  # the pace of a heart, and no waiting for anything
                await socket.send(json.dumps(HEARTBEAT))


ACCEPTS = [3, {"status": "Accepted"}]
REJECTS = [3, {"status": "Rejected"}]
HAS_NO_SUCH_ACTION = [4, "NotImplemented", "", {}]
IN_TROUBLE = [4, "InternalError", "", {}]


def never() -> bool:
    return False


@EVERY_VERSION
@pytest.mark.parametrize("answer", [ACCEPTS, IN_TROUBLE], ids=str)
async def test_a_new_charger_that_never_boots_is_let_go_however_it_beats(
    new_door: NewDoor, newcomer: GatewayInMemory, version: str, answer: list[Any]
) -> None:
    """O11."""
    door = await new_door(first_call_timeout=LIMIT)
    charger = Charger(version, answer)
    async with door.open(subprotocols=[version]) as socket:
        assert await charger.lives(socket, never) == 1008
    assert charger.asked == ["BootNotification"]
    # It may come again, and has as long as before.
    async with door.open(subprotocols=[version]) as socket:
        assert await charger.lives(socket, lambda: len(charger.asked) == 2) is None
    assert newcomer.boots.missing(newcomer.chargers["CP/1 ä"])


@EVERY_VERSION
async def test_a_new_charger_that_boots_when_it_is_asked_stays(
    new_door: NewDoor, newcomer: GatewayInMemory, version: str
) -> None:
    """O11."""
    door = await new_door(first_call_timeout=LIMIT)
    charger = Charger(version, ACCEPTS)
    charger.boots = True
    await stays(door, charger, newcomer)


async def test_a_new_charger_is_asked_also_by_a_gateway_that_has_stood_still(
    new_door: NewDoor, newcomer: GatewayInMemory
) -> None:
    """O11: and has as long as ever to answer."""
    door = await new_door(first_call_timeout=LIMIT)
    charger = Charger("ocpp1.6", REJECTS)
    async with door.open(subprotocols=["ocpp1.6"]) as socket:
        time.sleep(1.1 * LIMIT)  # noqa: ASYNC251 - nothing runs meanwhile
        missing = newcomer.boots.missing
        gone = await charger.lives(socket, lambda: not missing(newcomer.chargers["CP/1 ä"]))
        assert gone is None


@EVERY_VERSION
@pytest.mark.parametrize("answer", [REJECTS, HAS_NO_SUCH_ACTION], ids=str)
async def test_a_charger_that_cannot_tell_of_a_boot_stays(
    new_door: NewDoor, newcomer: GatewayInMemory, version: str, answer: list[Any]
) -> None:
    """O11: OCPP 2.x has it reject where it was accepted before (F06.FR.17)."""
    door = await new_door(first_call_timeout=LIMIT)
    await stays(door, Charger(version, answer), newcomer)


@EVERY_VERSION
async def test_a_charger_that_has_booted_once_only_connects_again(
    new_door: NewDoor, newcomer: GatewayInMemory, version: str
) -> None:
    """O11: it should not boot for that, and another replica knows as well."""
    newcomer.boots.booted(newcomer.chargers["CP/1 ä"])
    newcomer.boots.connected(newcomer.chargers["CP/1 ä"])
    door = await new_door(first_call_timeout=LIMIT)
    charger = Charger(version, ACCEPTS)
    await stays(door, charger, newcomer)
    assert charger.asked == []


async def stays(door: Door, charger: Charger, gateway: GatewayInMemory) -> None:
    """Assert that it is still there when it would have been let go."""
    clock = asyncio.get_running_loop().time
    over = clock() + 1.25 * LIMIT

    def is_over() -> bool:
        return clock() > max(over, charger.asked_at + 0.75 * LIMIT)

    async with door.open(subprotocols=[charger.version]) as socket:
        assert await charger.lives(socket, is_over) is None
    assert not gateway.boots.missing(gateway.chargers["CP/1 ä"])


async def test_only_a_charger_that_nothing_is_known_of_is_waited_for(
    gateway: GatewayInMemory,
) -> None:
    """O11: whoever was here before this was remembered may have booted then."""
    charger = gateway.chargers["CP/1 ä"]
    gateway.confirmed.change(charger.id, version="1.6")
    gateway.boots.connected(charger)
    assert not gateway.boots.missing(charger)
