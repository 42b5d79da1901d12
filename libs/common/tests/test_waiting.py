"""Waiting for a reaction: several at once, and none sleeps through what it waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.store import EventStore, Reaction
from chargekey_common.eventstore.waiting import HandledPositions
from chargekey_common.positions import Position

from .shelves import Shelves

REACTION = "shelves-on-it"


def at(number: int) -> Position:
    return Position("identity", "0" * 16, number)


def react(shelves: Shelves, number: int) -> None:
    shelves.react(Reaction(Handled(REACTION, at(number)), f"event-{number}", 0, "somebody"), "s")


async def test_what_was_handled_before_is_not_waited_for(
    open_store: Callable[..., EventStore],
) -> None:
    shelves = Shelves(open_store())
    waiting = HandledPositions(shelves.store)
    await asyncio.to_thread(react, shelves, 2)
    async with asyncio.timeout(10):
        assert await waiting.wait_for(REACTION, at(1)) == shelves.store.position()


async def test_what_is_handled_between_looking_and_waiting_is_noticed_also_when_another_comes(
    open_store: Callable[..., EventStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    shelves = Shelves(open_store())
    waiting = HandledPositions(shelves.store)
    look = shelves.store.recorder.handled
    looked, go_on = threading.Event(), threading.Event()

    def look_slowly(reaction: str) -> Position | None:
        found = look(reaction)
        looked.set()
        go_on.wait(10)
        return found

    monkeypatch.setattr(shelves.store.recorder, "handled", look_slowly)
    first = asyncio.create_task(waiting.wait_for(REACTION, at(1)))
    await asyncio.to_thread(looked.wait, 10)
    monkeypatch.setattr(shelves.store.recorder, "handled", look)
    await asyncio.to_thread(react, shelves, 1)
    second = asyncio.create_task(waiting.wait_for(REACTION, at(2)))
    await asyncio.sleep(0)  # its first step
    go_on.set()
    async with asyncio.timeout(10):
        await first
        await asyncio.to_thread(react, shelves, 2)
        await second
