"""Commands over real sockets to chargers that nobody here wrote: the `ocpp` library's."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import ocpp.v16
import ocpp.v16.call_result
import ocpp.v21
import ocpp.v21.call_result
import ocpp.v201
import ocpp.v201.call_result
import pytest
from ocpp.routing import on

from chargekey_gateway.commands import (
    ChangeAvailability,
    ChangeSetting,
    ClearCache,
    Command,
    GetLocalListVersion,
    ListEntry,
    Outcome,
    ReadSettings,
    RemoteStart,
    RemoteStop,
    Reset,
    Result,
    Send,
    SendLocalList,
    Trigger,
    Unlock,
)

if TYPE_CHECKING:
    from .conftest import Door

SUBPROTOCOLS = {"1.6": "ocpp1.6", "2.0.1": "ocpp2.0.1", "2.1": "ocpp2.1"}
LIBRARY: dict[str, Any] = {"1.6": ocpp.v16, "2.0.1": ocpp.v201, "2.1": ocpp.v21}
YES = {"status": "Accepted"}
NAMED = {"component": {"name": "AuthCtrlr"}, "variable": {"name": "Enabled"}}
ANSWERS_16: dict[str, dict[str, Any]] = {
    "ChangeAvailability": YES,
    "ChangeConfiguration": YES,
    "ClearCache": YES,
    "ClearChargingProfile": YES,
    "GetConfiguration": {"configuration_key": [{"key": "A", "readonly": False, "value": "1"}]},
    "GetLocalListVersion": {"list_version": 3},
    "RemoteStartTransaction": YES,
    "RemoteStopTransaction": YES,
    "Reset": YES,
    "SendLocalList": YES,
    "TriggerMessage": YES,
    "UnlockConnector": {"status": "Unlocked"},
}
ANSWERS_2: dict[str, dict[str, Any]] = {
    "ChangeAvailability": YES,
    "ClearCache": YES,
    "GetLocalListVersion": {"version_number": 3},
    "GetTransactionStatus": {"messages_in_queue": False},
    "GetVariables": {
        "get_variable_result": [{**NAMED, "attribute_status": "Accepted", "attribute_value": "1"}]
    },
    "RequestStartTransaction": YES,
    "RequestStopTransaction": YES,
    "Reset": YES,
    "SendLocalList": YES,
    "SetVariables": {"set_variable_result": [{**NAMED, "attribute_status": "Accepted"}]},
    "TriggerMessage": YES,
    "UnlockConnector": {"status": "Unlocked"},
}
COMMANDS: list[Command] = [
    RemoteStart(token="04A1B2C3", connector=1, request_id=5),
    RemoteStop(transaction_id=7, ocpp_transaction_id="own"),
    ClearCache(),
    GetLocalListVersion(),
    SendLocalList(version=4, full=True, entries=(ListEntry(code="04A1B2C3", type="RFID"),)),
    Trigger(message="Heartbeat"),
    Reset(),
    Unlock(connector=1),
    ChangeAvailability(operative=True),
]
OF_16: list[Command] = [
    ReadSettings(names=("A",)),
    ChangeSetting(name="A", value="1"),
    Send(action="ClearChargingProfile", payload={}),
]
OF_2: list[Command] = [
    ReadSettings(names=("AuthCtrlr.Enabled",)),
    ChangeSetting(name="AuthCtrlr.Enabled", value="1", ours=True),
    Send(action="GetTransactionStatus", payload={}),
]
VERSIONS = tuple(SUBPROTOCOLS)


def answering(version: str, answers: dict[str, dict[str, Any]]) -> Any:
    """Return a charger of the library that answers these actions."""
    results = LIBRARY[version].call_result

    def handler(action: str, fields: dict[str, Any]) -> Any:
        async def answer(_: Any, **__: Any) -> Any:
            return getattr(results, action)(**fields)

        answer.__name__ = f"on_{action}"  # by which the library looks for it
        return on(action)(answer)

    handlers = {f"on_{action}": handler(action, fields) for action, fields in answers.items()}
    return type("AnsweringCharger", (LIBRARY[version].ChargePoint,), handlers)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_charger_of_the_library_understands_every_command(door: Door, version: str) -> None:
    """O44: the library holds every request it gets against the official schemas, too."""
    answers = ANSWERS_16 if version == "1.6" else ANSWERS_2
    async with door.open(subprotocols=[SUBPROTOCOLS[version]]) as socket:
        charger = answering(version, answers)("CP/1", socket)
        listening = asyncio.ensure_future(charger.start())
        try:
            await _let_in(door)
            connection = door.connection()
            assert connection is not None
            assert connection.version == version
            for command in (*COMMANDS, *(OF_16 if version == "1.6" else OF_2)):
                result = await connection.carry_out(command)
                assert result.outcome is Outcome.ACCEPTED, command
            if version != "2.1":  # where the library says nothing of what it does not know
                unknown = Send(action="CancelReservation", payload={"reservationId": 1})
                refused = Result(outcome=Outcome.REFUSED, status="NotImplemented")
                assert await connection.carry_out(unknown) == refused
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening


@pytest.mark.parametrize("version", VERSIONS)
async def test_calls_that_cross_are_answered_before_and_after(door: Door, version: str) -> None:
    """O3: OCPP-J §4.1.1, nothing waits for its own call where messages are received."""
    async with door.open(subprotocols=[SUBPROTOCOLS[version]]) as socket:
        await socket.send(json.dumps([2, "first", "Heartbeat", {}]))
        assert json.loads(await socket.recv())[:2] == [3, "first"]
        connection = door.connection()
        assert connection is not None
        commands = [
            asyncio.ensure_future(connection.carry_out(each)) for each in (ClearCache(), Reset())
        ]
        _, asked, action, _ = json.loads(await socket.recv())
        assert action == "ClearCache"
        for number in range(3):  # one after the other, while the call of ours is outstanding
            await socket.send(json.dumps([2, f"crossing-{number}", "Heartbeat", {}]))
            assert json.loads(await socket.recv())[:2] == [3, f"crossing-{number}"]
        await socket.send(json.dumps([3, asked, YES]))
        _, asked, action, _ = json.loads(await socket.recv())
        assert action == "Reset"
        await socket.send(json.dumps([2, "last", "Heartbeat", {}]))
        await socket.send(json.dumps([3, asked, YES]))
        assert json.loads(await socket.recv())[:2] == [3, "last"]
        assert [(await each).accepted for each in commands] == [True, True]


async def _let_in(door: Door) -> None:
    async with asyncio.timeout(5):
        while door.connection() is None:
            await asyncio.sleep(0)
