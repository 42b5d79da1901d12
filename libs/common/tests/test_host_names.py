"""Names looked up: by threads of their own, one a name, and remembered for a moment."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from chargekey_common.host_names import AT_ONCE, EACH, KEPT, Names
from chargekey_common.testing.waiting import until

ADDRESS = ipaddress.ip_address("93.184.216.34")
PATIENCE = 30  # seconds


class NameServer:
    """Answers at once, but of names that are slow nothing before it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go_on = threading.Event()

    def look_up(self, host: str, _port: None, **_: Any) -> Sequence[Any]:
        self.asked.append(host)
        if host.startswith("slow"):
            self.go_on.wait(PATIENCE)
        match host:
            case "unknown":
                raise socket.gaierror
            case "bad":
                raise UnicodeError
        return [(2, 1, 6, "", (str(ADDRESS), 0))] * 2


@pytest.fixture
def server() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.go_on.set()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_what_was_found_is_kept_for_a_moment(server: NameServer) -> None:
    clock = Clock()
    names = Names(server.look_up, clock=clock)
    assert list(await names.addresses("volt", "volt")) == [ADDRESS]
    clock.now += KEPT - 1
    assert list(await names.addresses("volt", "volt")) == [ADDRESS]
    assert server.asked == ["volt"]
    clock.now += 1
    assert list(await names.addresses("volt", "volt")) == [ADDRESS]
    assert server.asked == ["volt", "volt"]
    clock.now += KEPT
    await names.addresses("watt", "volt")
    assert len(names) == 1


@pytest.mark.parametrize("host", ["unknown", "bad"])
async def test_what_was_not_found_is_looked_up_again(server: NameServer, host: str) -> None:
    names = Names(server.look_up)
    assert list(await names.addresses(host, "volt")) == []
    assert list(await names.addresses(host, "volt")) == []
    assert server.asked == [host, host]


async def test_slow_names_take_no_thread_from_others(server: NameServer) -> None:
    """Nor from whatever else the loop has threads for."""
    names = Names(server.look_up)
    slow = [
        asyncio.create_task(names.addresses(f"slow{number}", f"asker{number // EACH}"))
        for number in range(40)
    ]
    async with asyncio.timeout(PATIENCE):
        assert list(await names.addresses("volt", "volt")) == [ADDRESS]
        assert await asyncio.to_thread(lambda: 1) == 1
        assert not any(task.done() for task in slow)
        server.go_on.set()
        assert all(list(found) == [ADDRESS] for found in await asyncio.gather(*slow))


async def test_a_name_is_looked_up_once_whoever_asks_and_goes_away(server: NameServer) -> None:
    names = Names(server.look_up)
    first, *others = [asyncio.create_task(names.addresses("slow", "volt")) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    assert first.cancelled()
    server.go_on.set()
    async with asyncio.timeout(PATIENCE):
        assert all(list(found) == [ADDRESS] for found in await asyncio.gather(*others))
        assert list(await names.addresses("slow", "volt")) == [ADDRESS]
    assert server.asked == ["slow"]


async def test_no_more_names_than_so_many_are_looked_up_at_once(server: NameServer) -> None:
    names = Names(server.look_up)
    slow = [
        asyncio.create_task(names.addresses(f"slow{number}", f"asker{number // EACH}"))
        for number in range(AT_ONCE)
    ]
    await asyncio.sleep(0)
    assert list(await names.addresses("volt", "volt")) == []
    server.go_on.set()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*slow)
        assert list(await names.addresses("volt", "volt")) == [ADDRESS]


async def test_who_names_slow_ones_waits_alone_and_for_his_own(server: NameServer) -> None:
    """F33."""
    names = Names(server.look_up)
    asking = [
        asyncio.create_task(names.addresses(f"slow{number}", "volt")) for number in range(AT_ONCE)
    ]
    await asyncio.sleep(0)
    his = asyncio.create_task(names.addresses("quick", "volt"))
    async with asyncio.timeout(PATIENCE):
        assert list(await names.addresses("watt", "watt")) == [ADDRESS]
        assert not his.done()
        # Threads ask, each in its own time.
        await until(lambda: len(server.asked) >= EACH + 1)
        assert len(server.asked) == EACH + 1
        server.go_on.set()
        assert all(list(found) == [ADDRESS] for found in await asyncio.gather(his, *asking))


def test_a_slow_name_keeps_no_loop_from_ending(server: NameServer) -> None:
    asking = Names(server.look_up).addresses("slow", "volt")

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asking

    asyncio.run(give_up())
    looking_up = [each for each in threading.enumerate() if each.name == "host-name"]
    assert looking_up
    server.go_on.set()
    for thread in looking_up:
        assert thread.daemon  # and no process either
        thread.join(PATIENCE)  # what it finds is nobody's, and no error
