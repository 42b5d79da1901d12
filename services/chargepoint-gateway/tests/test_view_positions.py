"""Waiting until the view includes a change just made."""

from __future__ import annotations

import asyncio

import pytest

from chargekey_common.errors import FailedPreconditionError, UnavailableError
from chargekey_common.positions import Position
from chargekey_gateway.view.errors import (
    PositionOfAnotherGenerationError,
    PositionOfUnknownServiceError,
    ViewBehindError,
)
from chargekey_gateway.view.progress import Progress

FIRST = "0000000000000001"
SECOND = "0000000000000002"
LONG = 60.0  # longer than any of this takes


def access(number: int, generation: str = FIRST) -> Position:
    return Position("access", generation, number)


def identity(number: int) -> Position:
    return Position("identity", FIRST, number)


@pytest.fixture
def progress() -> Progress:
    progress = Progress(("access", "identity"))
    progress.advance(access(5))
    return progress


async def test_a_position_already_included_is_not_waited_for(progress: Progress) -> None:
    await progress.wait_for([access(5), access(1)], within=0)


async def test_a_waiter_goes_on_when_everything_is_included(progress: Progress) -> None:
    waiter = asyncio.create_task(progress.wait_for([access(7), identity(2)], within=LONG))
    await asyncio.sleep(0)
    progress.advance(access(6))
    progress.advance(access(9))  # numbers may have gaps
    await asyncio.sleep(0)
    assert not waiter.done()
    progress.advance(identity(2))
    await waiter


async def test_many_waiters_are_woken_each_at_its_position(progress: Progress) -> None:
    waiters = [
        asyncio.create_task(progress.wait_for([access(number)], within=LONG))
        for number in (9, 7, 8, 7)
    ]
    await asyncio.sleep(0)
    progress.advance(access(7))
    await asyncio.wait([waiters[1], waiters[3]], timeout=LONG)
    assert [waiter.done() for waiter in waiters] == [False, True, False, True]
    progress.advance(access(9))
    await asyncio.gather(*waiters)


async def test_a_wait_is_bounded(progress: Progress) -> None:
    with pytest.raises(ViewBehindError) as caught:
        await progress.wait_for([access(6)], within=0.01)
    assert isinstance(caught.value, UnavailableError)
    assert caught.value.code == "view_behind"
    assert progress.waiting == 0
    progress.advance(access(6))


async def test_a_cancelled_waiter_is_forgotten(progress: Progress) -> None:
    gone = asyncio.create_task(progress.wait_for([access(6)], within=LONG))
    staying = asyncio.create_task(progress.wait_for([access(6)], within=LONG))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert progress.waiting == 1
    progress.advance(access(6))
    await staying


async def test_a_position_of_another_generation_is_refused_at_once(progress: Progress) -> None:
    with pytest.raises(PositionOfAnotherGenerationError) as caught:
        await progress.wait_for([access(1, SECOND)], within=LONG)
    assert isinstance(caught.value, FailedPreconditionError)
    assert caught.value.code == "position_of_another_generation"


async def test_whoever_waits_when_the_generation_changes_is_told(progress: Progress) -> None:
    waiter = asyncio.create_task(progress.wait_for([access(6)], within=LONG))
    await asyncio.sleep(0)
    progress.forget("access")
    progress.advance(access(1, SECOND))
    with pytest.raises(PositionOfAnotherGenerationError):
        await waiter


async def test_a_service_not_heard_of_yet_is_waited_for(progress: Progress) -> None:
    waiter = asyncio.create_task(progress.wait_for([identity(1)], within=LONG))
    await asyncio.sleep(0)
    progress.advance(identity(1))
    await waiter


async def test_a_service_the_view_does_not_hold_is_refused(progress: Progress) -> None:
    with pytest.raises(PositionOfUnknownServiceError):
        await progress.wait_for([Position("history", FIRST, 1)], within=LONG)
