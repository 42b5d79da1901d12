"""The ledger has every tombstone, and tells them to whoever was restored from a backup."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js.errors import APIError

from chargekey_common.nats_server import NatsServer
from chargekey_common.process import cancel
from chargekey_identity import ledger
from chargekey_identity.ledger import STREAM, Ledger, Written
from chargekey_identity.tables.keyring import KeyRing

from .conftest import MASTER


@asynccontextmanager
async def written(client: Client, keyring: KeyRing) -> AsyncIterator[Ledger]:
    """Keep a ledger up for the length of the block."""
    kept = Ledger(client, keyring, Written())
    running = asyncio.create_task(kept.run())
    try:
        yield kept
    finally:
        await cancel(running)


async def names(client: Client, keyring: KeyRing) -> set[str]:
    """Read it as another process would."""
    return set(await Ledger(client, keyring, Written()).read())


async def until(look: Callable[[], object], patience: float = 20) -> None:
    deadline = time.monotonic() + patience
    while not await look():  # type: ignore[misc] # any coroutine
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def until_named(client: Client, keyring: KeyRing, *users: str) -> None:
    async def all_are() -> bool:
        return await names(client, keyring) == set(users)

    await until(all_are)


async def test_what_is_destroyed_is_written_whenever_it_was(
    nats_client: Client, keyring: KeyRing
) -> None:
    """R20: before there was a ledger, and while it is kept; once each."""
    await asyncio.to_thread(keyring.destroy, "before")
    async with written(nats_client, keyring):
        await until_named(nats_client, keyring, "before")
        await asyncio.to_thread(keyring.destroy, "while")
        await asyncio.to_thread(keyring.destroy, "before")
        await until_named(nats_client, keyring, "before", "while")
    async with written(nats_client, keyring):  # another replica, or another start
        await asyncio.to_thread(keyring.destroy, "later")
        await until_named(nats_client, keyring, "before", "while", "later")
    assert (await nats_client.jetstream().stream_info(STREAM)).state.messages == 3


async def test_what_is_written_can_be_waited_for_and_what_is_not_is_waited_for_no_longer(
    nats_server: NatsServer, nats_client: Client, keyring: KeyRing
) -> None:
    """R20: so an erasure is answered once no backup undoes it."""
    known = Written()
    running = asyncio.create_task(Ledger(nats_client, keyring, known).run())
    await asyncio.to_thread(keyring.destroy, "one")
    assert await known.has("one", within=20)
    assert "one" in await names(nats_client, keyring)
    assert not await known.has("nobody", within=0.05)
    nats_server.stop()
    await asyncio.to_thread(keyring.destroy, "two")
    assert not await known.has("two", within=0.2)
    nats_server.start()
    several = [known.has("two", within=20) for _ in range(3)]
    assert await asyncio.gather(*several) == [True] * 3
    await cancel(running)


async def test_the_tombstones_are_read_when_there_are_others_and_not_at_every_look(
    nats_client: Client, keyring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million keys are not looked through every two seconds."""
    monkeypatch.setattr(ledger, "POLL", 0.01)
    looks = CountedReads(keyring, monkeypatch)
    await asyncio.to_thread(keyring.destroy, "one")
    async with written(nats_client, keyring):
        await until_named(nats_client, keyring, "one")
        await looks.until_numbers(5)
        before = looks.of_tombstones
        await looks.until_numbers(10)
        assert looks.of_tombstones == before
        await asyncio.to_thread(keyring.destroy, "two")
        await until_named(nats_client, keyring, "one", "two")
        assert looks.of_tombstones > before


class CountedReads:
    """What is asked of a key ring, counted."""

    def __init__(self, keyring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of_tombstones = self.of_number = 0
        destroyed, destructions = keyring.destroyed, keyring.destructions

        def read() -> AbstractSet[str]:
            self.of_tombstones += 1
            return destroyed()

        def look() -> int:
            self.of_number += 1
            return destructions()

        monkeypatch.setattr(keyring, "destroyed", read)
        monkeypatch.setattr(keyring, "destructions", look)

    async def until_numbers(self, more: int) -> None:
        wanted = self.of_number + more

        async def are_there() -> bool:
            return self.of_number >= wanted

        await until(are_there)


async def test_two_replicas_write_each_name_once(nats_client: Client, keyring: KeyRing) -> None:
    async with written(nats_client, keyring), written(nats_client, keyring):
        users = [f"user-{number}" for number in range(20)]
        for each in users:
            await asyncio.to_thread(keyring.destroy, each)
        await until_named(nats_client, keyring, *users)
    assert (await nats_client.jetstream().stream_info(STREAM)).state.messages == len(users)


async def test_a_bus_that_lost_its_disk_is_told_again(
    nats_client: Client, keyring: KeyRing
) -> None:
    js = nats_client.jetstream()
    await asyncio.to_thread(keyring.destroy, "one")
    async with written(nats_client, keyring):
        await until_named(nats_client, keyring, "one")
        await js.delete_stream(STREAM)
        await until_named(nats_client, keyring, "one")
        await asyncio.to_thread(keyring.destroy, "two")
        await until_named(nats_client, keyring, "one", "two")


async def test_the_ledger_outlives_the_server_and_is_waited_for(
    nats_server: NatsServer,
    nats_client: Client,
    keyring: KeyRing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R20: it is on the bus's disk, in no database; nobody is answered before it was read."""
    monkeypatch.setattr(ledger, "ANSWER", 1.0)
    async with written(nats_client, keyring):
        await asyncio.to_thread(keyring.destroy, "erased")
        await until_named(nats_client, keyring, "erased")
    other = KeyRing(tmp_path / "restored-keys.db", MASTER)
    try:
        assert not other.destroyed()
        nats_server.stop()
        reading = asyncio.create_task(Ledger(nats_client, other, Written()).read())
        done, _ = await asyncio.wait({reading}, timeout=0.5)
        assert not done
        nats_server.start()
        assert await asyncio.wait_for(reading, 20) == {"erased"}
    finally:
        other.close()


async def test_nobody_can_take_a_name_out_of_it(nats_client: Client, keyring: KeyRing) -> None:
    async with written(nats_client, keyring):
        await asyncio.to_thread(keyring.destroy, "erased")
        await until_named(nats_client, keyring, "erased")
    js = nats_client.jetstream()
    for attempt in (js.delete_msg(STREAM, 1), js.purge_stream(STREAM)):
        with pytest.raises(APIError):
            await attempt
    assert await names(nats_client, keyring) == {"erased"}


async def test_more_names_are_read_than_the_server_tells_at_once(
    nats_client: Client, keyring: KeyRing
) -> None:
    """It tells 100 000 subjects at a time, and drops what it is sent faster than it stores."""
    await Ledger(nats_client, keyring, Written()).read()
    js = nats_client.jetstream(timeout=60)
    most, a_time = 100_000, 4_000
    for number in range(1, most + 2):
        if number % a_time and number <= most:
            await nats_client.publish(f"erasures.v1.user.{number}")
        else:
            await js.publish(f"erasures.v1.user.{number}")  # answered behind all before it
    assert (await js.stream_info(STREAM)).state.messages == most + 1
    assert len(await names(nats_client, keyring)) == most + 1
