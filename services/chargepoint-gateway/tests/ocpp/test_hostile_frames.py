"""What no sound charger sends, over raw sockets in every OCPP version (O4, O5, O10)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from chargekey_gateway.api.websocket import DIALECTS
from chargekey_gateway.metrics import PROTOCOL_ERRORS

from .test_websocket import (
    OP_BINARY,
    OP_CLOSE,
    OP_CONT,
    OP_PING,
    OP_PONG,
    OP_TEXT,
    PATIENCE,
    frame,
    heartbeat,
    raw,
)

if TYPE_CHECKING:
    from .conftest import Door, GatewayInMemory
    from .test_websocket import RawSocket

HEARTBEAT = b'[2,"alive","Heartbeat",{}]'
VERSIONS = pytest.mark.parametrize("version", sorted(DIALECTS))


def nested(depth: int) -> bytes:
    """Return a Heartbeat whose frame is `depth` deep."""
    inner = b"[" * (depth - 2) + b"]" * (depth - 2)
    return b'[2,"alive","Heartbeat",{"x":' + inner + b"}]"


# What is sent, the code it is closed with, and whether it is worth a report.
CLOSED: dict[str, tuple[bytes, int, bool]] = {
    "10 MB in one frame": (frame(OP_TEXT, b"x" * 10_000_000)[:14], 1009, True),
    "a length beyond all": (b"\x81\xff" + b"\xff" * 8 + bytes(4), 1002, True),
    "64 KiB and a byte": (frame(OP_TEXT, b" " * 65_537), 1009, True),
    "64 KiB and a byte in two": (
        frame(OP_TEXT, b" " * 65_536, fin=False) + frame(OP_CONT, b" "),
        1009,
        True,
    ),
    "no UTF-8": (frame(OP_TEXT, b'[2,"\xff","Heartbeat",{}]'), 1007, True),
    "half a character": (
        frame(OP_TEXT, b'[2,"\xc3', fin=False) + frame(OP_CONT, b'"]'),
        1007,
        True,
    ),
    "a surrogate in UTF-8": (frame(OP_TEXT, b'[2,"\xed\xa0\x80","Heartbeat",{}]'), 1007, True),
    "33 deep": (frame(OP_TEXT, nested(33)), 1008, False),
    "60 000 deep": (frame(OP_TEXT, b"[" * 60_000), 1008, False),
    "binary": (frame(OP_BINARY, HEARTBEAT), 1003, True),
    "a continuation of nothing": (frame(OP_CONT, HEARTBEAT), 1002, True),
    "a message within a message": (
        frame(OP_TEXT, b"[", fin=False) + frame(OP_TEXT, HEARTBEAT),
        1002,
        True,
    ),
    "an unknown kind of frame": (frame(3, HEARTBEAT), 1002, True),
    "a ping in fragments": (frame(OP_PING, b"x", fin=False), 1002, True),
    "a big ping": (frame(OP_PING, b"x" * 126), 1002, True),
    "an extension": (frame(OP_TEXT, HEARTBEAT, rsv1=True), 1002, True),
}


@VERSIONS
@pytest.mark.parametrize("what", CLOSED)
async def test_it_is_closed_with_its_code_and_neighbours_do_not_notice(
    door: Door, gateway: GatewayInMemory, version: str, what: str
) -> None:
    sent, code, reported = CLOSED[what]
    counted = sum(metric.value for metric in _errors())
    async with door.open("CP%2F2%20%C3%A4", user="CP/2 ä") as neighbour:
        async with raw(door, subprotocol=version.encode()) as charger:
            charger.writer.write(sent)
            assert await charger.close_code() == code
        await heartbeat(neighbour)
    async with asyncio.timeout(PATIENCE):
        while ("disconnected", "charger-1") not in gateway.told:
            await asyncio.sleep(0.001)
    assert [event.kind for event in gateway.events] == ["invalid_messages"] * reported
    assert sum(metric.value for metric in _errors()) == counted + 1


def _errors() -> list[Any]:
    [family] = PROTOCOL_ERRORS.collect()
    return [sample for sample in family.samples if sample.name.endswith("_total")]


# Answered with an error or not at all, over a connection that stays.
STAYS = {
    "nothing": b"",
    "no JSON": b"[2,",
    "no array": b"{}",
    "an empty array": b"[]",
    "an unknown type": b'[9,"1","Heartbeat",{}]',
    "too short": b'[2,"1"]',
    "an id of 37 characters": b'[2,"' + b"x" * 37 + b'","Heartbeat",{}]',
    "a number for an id": b'[2,1,"Heartbeat",{}]',
    "NUL in an id": b'[2,"\\u0000","Heartbeat",{}]',
    "a bare NUL": b'[2,"\x00","Heartbeat",{}]',
    "half a surrogate": b'[2,"\\ud800","Heartbeat",{}]',
    "NUL in a payload": b'[2,"1","Authorize",{"idTag":"\\u0000"}]',
    "half a surrogate in a payload": b'[2,"1","Authorize",{"idTag":"\\udfff"}]',
    "an answer to nothing": b'[3,"1",{}]',
    "an error to nothing": b'[4,"1","GenericError","",{}]',
    "an unknown action": b'[2,"1","Nothing",{}]',
    "a huge number": b'[2,"1","Heartbeat",{"a":' + b"9" * 60_000 + b"}]",
    "32 deep": nested(32),
}


@VERSIONS
@pytest.mark.parametrize("what", STAYS)
async def test_it_is_survived_and_reaches_nobody(
    door: Door, gateway: GatewayInMemory, version: str, what: str
) -> None:
    async with raw(door, subprotocol=version.encode()) as charger:
        charger.send(OP_TEXT, STAYS[what])
        charger.send(OP_TEXT, HEARTBEAT.replace(b"alive", b"after"))
        answers = await until_answered(charger, "after")
    assert all(answer[0] in {3, 4, 5} for answer in answers)
    assert len(answers) <= 2
    assert [told[0] for told in gateway.told if told[0] != "disconnected"] == ["connected"]
    assert gateway.events == []


async def until_answered(charger: RawSocket, message_id: str) -> list[list[Any]]:
    """Return what comes up to the answer to `message_id`."""
    answers = []
    while not answers or answers[-1][1] != message_id:
        opcode, data = await charger.receive()
        assert opcode == OP_TEXT
        answers.append(json.loads(data))
    return answers


@VERSIONS
async def test_a_dribble_that_answers_pings_is_ended(
    new_door: Callable[..., Awaitable[Door]], version: str
) -> None:
    door = await new_door(message_timeout=0.2, idle_timeout=0.05, pong_timeout=0.05)
    async with raw(door, subprotocol=version.encode()) as charger:
        charger.send(OP_TEXT, b"[", fin=False)
        closing = asyncio.create_task(charger.close_code())
        while not closing.done():
            charger.send(OP_CONT, b" ", fin=False)
            charger.send(OP_PONG, b"")
            await asyncio.wait([closing], timeout=0.02)
        assert closing.result() == 1008


@VERSIONS
async def test_nothing_is_read_behind_a_close(
    door: Door, gateway: GatewayInMemory, version: str
) -> None:
    async with raw(door, subprotocol=version.encode()) as charger:
        tap = b'[2,"1","Authorize",{"idTag":"CARD","idToken":{"idToken":"CARD","type":"Central"}}]'
        charger.writer.write(frame(OP_CLOSE, b"") + frame(OP_TEXT, tap))
        assert await charger.close_code() == 1000
    assert "authorize" not in [told[0] for told in gateway.told]
