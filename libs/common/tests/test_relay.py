"""What is in the store is in the stream: in order, once, whatever happens."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client
from prometheus_client import REGISTRY

from chargekey_common import jetstream
from chargekey_common.eventstore.store import Context, EventStore, Logged, Work
from chargekey_common.jetstream import BatchRefusedError, OutMessage, publish_atomically
from chargekey_common.nats_server import NatsServer
from chargekey_common.relay import DivergedError, Relay

from .agreement import agree, events, running, stream
from .shelves import Labelled, PlainSeal, Shelves, evolve, publication

OpenStore = Callable[..., EventStore]


def label(shelves: Shelves, *numbers: int) -> None:
    for number in numbers:
        shelves.label(
            Context("me", f"label-{number}"), shelf_id=f"s{number % 3}", label=str(number)
        )


@pytest.fixture
def no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the relay go by what it is told alone: its look at the store comes too late."""
    monkeypatch.setattr("chargekey_common.relay.POLL", 60)


@pytest.mark.usefixtures("no_second_look")
async def test_what_is_saved_before_and_while_it_runs_is_published_in_order(
    nats_client: Client, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    label(shelves, *range(250))
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)
        await asyncio.to_thread(label, shelves, *range(250, 300))
        await agree(nats_client, shelves.store)


@pytest.mark.usefixtures("no_second_look")
async def test_what_this_process_saves_is_told_without_being_read(
    nats_client: Client, open_sqlite_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for what is personal, whose user may be erased by now (R20)."""
    shelves = Shelves(open_sqlite_store(seal=PlainSeal()))
    found: set[int] = set()

    def read(after: int, limit: int) -> Sequence[Logged]:
        rows = EventStore.read(shelves.store, after, limit)
        found.update(number for number, _, _ in rows)
        return rows

    label(shelves, 1)
    with monkeypatch.context() as watched:
        watched.setattr(shelves.store, "read", read)
        async with running(Relay(nats_client, shelves.store, publication)):
            for number, save in enumerate(
                (
                    lambda: None,
                    functools.partial(label, shelves, 2),
                    functools.partial(
                        shelves.name, Context("me", "3"), shelf_id="s3", user_id="u1", name="Kari"
                    ),
                    functools.partial(label, shelves, 4),
                ),
                start=1,
            ):
                await asyncio.to_thread(save)
                async with asyncio.timeout(20):
                    while len(await events(nats_client)) < number:
                        await asyncio.sleep(0.01)
    assert found == {1, 3}
    await agree(nats_client, shelves.store)


@pytest.mark.usefixtures("no_second_look")
async def test_what_many_save_at_once_is_told_in_the_order_of_the_log(
    nats_client: Client, open_store: OpenStore
) -> None:
    """The last of them may be heard of first, and more of them than a batch holds."""
    store = open_store()
    async with running(Relay(nats_client, store, publication)):
        for number in (1, 250):
            await asyncio.to_thread(fill, store, "s0", number)
            await agree(nats_client, store)
        await asyncio.gather(
            *(
                asyncio.to_thread(fill, store, f"s{each}", number)
                for each, number in enumerate([1, 2, 120, 3] * 10)
            )
        )
        await agree(nats_client, store)


def fill(store: EventStore, shelf_id: str, number: int) -> None:
    """Save so many events at once."""

    def decide(work: Work) -> None:
        shelf = work.load(evolve, shelf_id)
        work.record(shelf, *(Labelled(label=str(each)) for each in range(number)))

    store.execute("fill", lambda: None, Context("me", f"{shelf_id}-{number}"), decide)


@pytest.mark.usefixtures("no_second_look")
async def test_what_two_replicas_save_is_told_in_the_order_of_the_log(
    nats_client: Client, open_postgres_store: OpenStore
) -> None:
    first, second = (Shelves(open_postgres_store()) for _ in range(2))
    async with running(Relay(nats_client, first.store, publication)):
        await asyncio.gather(
            asyncio.to_thread(label, first, *range(0, 100, 2)),
            asyncio.to_thread(label, second, *range(1, 101, 2)),
        )
        await agree(nats_client, first.store)
        await asyncio.to_thread(label, second, 101)
        await agree(nats_client, first.store)


async def test_an_event_is_a_cloudevent(nats_client: Client, open_store: OpenStore) -> None:
    shelves = Shelves(open_store())
    label(shelves, 1)
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)
    [message] = await events(nats_client)
    assert message.subject == "shelves.v1.shelf.s1.ShelfLabelled"
    assert msgspec.json.decode(message.data) == {"shelf_id": "s1", "label": "1"}
    assert message.headers["ce-specversion"] == "1.0"
    assert message.headers["ce-type"] == "chargekey.shelves.v1.ShelfLabelled"
    assert message.headers["ce-source"] == "/chargekey/shelves"
    assert message.headers["ce-sequence"] == "0" * 19 + "1"
    assert message.headers["ce-time"].endswith("Z")


async def test_a_private_message_goes_before_its_event_and_is_gone_after_the_event_that_erases_it(
    nats_client: Client, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    label(shelves, 1, 2)
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)
        assert [message.subject for message in await stream(nats_client)] == [
            "shelves.v1.key.s1",
            "shelves.v1.shelf.s1.ShelfLabelled",
            "shelves.v1.key.s2",
            "shelves.v1.shelf.s2.ShelfLabelled",
        ]
        await asyncio.to_thread(shelves.clear, Context("me", "clear"), shelf_id="s1")
        await agree(nats_client, shelves.store)
        subjects = [message.subject for message in await stream(nats_client)]
    assert "shelves.v1.key.s1" not in subjects
    assert "shelves.v1.key.s2" in subjects


async def test_a_private_message_is_erased_when_it_and_its_end_are_caught_up_with_at_once(
    nats_client: Client, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    label(shelves, 1)
    shelves.clear(Context("me", "clear"), shelf_id="s1")
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)
    assert [message.subject for message in await stream(nats_client)] == [
        "shelves.v1.shelf.s1.ShelfLabelled",
        "shelves.v1.shelf.s1.ShelfCleared",
    ]


async def test_a_restarted_relay_goes_on_behind_the_last_message(
    nats_client: Client, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    for start in range(0, 30, 10):
        label(shelves, *range(start, start + 10))
        async with running(Relay(nats_client, shelves.store, publication)):
            await agree(nats_client, shelves.store)


async def test_two_relays_of_one_store_publish_every_event_once(
    nats_client: Client, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    first = Relay(nats_client, shelves.store, publication)
    second = Relay(nats_client, shelves.store, publication)
    async with running(first), running(second):
        for start in range(0, 100, 10):
            await asyncio.to_thread(label, shelves, *range(start, start + 10))
        await agree(nats_client, shelves.store)


async def test_whoever_ends_waits_until_all_that_is_stored_is_told(
    nats_client: Client,
    nats_server: NatsServer,
    open_store: OpenStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chargekey_common.relay.FINISH", 60)
    shelves = Shelves(open_store())
    relay = Relay(nats_client, shelves.store, publication)
    async with running(relay):
        await asyncio.to_thread(label, shelves, 1)
        await relay.finish()
        assert len(await events(nats_client)) == 1
        assert nats_server.process is not None
        nats_server.process.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(label, shelves, *range(2, 300))
        finishing = asyncio.create_task(relay.finish())
        # The store is asked, and nobody answers for the stream.
        assert not (await asyncio.wait({finishing}, timeout=0.05))[0]
        nats_server.process.send_signal(signal.SIGCONT)
        await finishing
    await agree(nats_client, shelves.store)


async def test_whoever_ends_waits_for_no_bus_that_is_away_and_for_no_other_replica(
    nats_client: Client,
    nats_server: NatsServer,
    open_store: OpenStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chargekey_common.relay.FINISH", 0.1)
    shelves = Shelves(open_store())
    relay = Relay(nats_client, shelves.store, publication)
    async with asyncio.timeout(20):
        async with running(relay):
            await asyncio.to_thread(label, shelves, 1)
            await agree(nats_client, shelves.store)
            nats_server.stop()
            await asyncio.to_thread(label, shelves, 2)
            await relay.finish()
        monkeypatch.setattr("chargekey_common.relay.FINISH", 60)
        await relay.finish()
    nats_server.start()
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)


async def test_a_batch_that_expects_an_older_stream_is_refused_as_a_whole(
    nats_client: Client, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    label(shelves, 1, 2, 3)
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)
    zombie = [OutMessage("shelves.v1.shelf.z.ShelfCleared", b"{}")] * 2
    with pytest.raises(BatchRefusedError):
        await publish_atomically(nats_client, zombie, batch_id="z", expected_last_sequence=2)
    await agree(nats_client, shelves.store)


async def test_a_truncated_stream_is_filled_up_again(
    nats_client: Client, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    label(shelves, *range(10))
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)
    js = nats_client.jetstream()
    for message in (await stream(nats_client))[-6:]:
        await js.delete_msg("SHELVES", message.seq)
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)


async def test_a_stream_cut_between_a_private_message_and_its_event_gets_the_event_again(
    nats_client: Client, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    label(shelves, 1, 2)
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)
    last = (await stream(nats_client))[-1]
    assert last.subject == "shelves.v1.shelf.s2.ShelfLabelled"
    await nats_client.jetstream().delete_msg("SHELVES", last.seq)
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store, private=False)
        await asyncio.to_thread(shelves.clear, Context("me", "clear"), shelf_id="s2")
        await agree(nats_client, shelves.store)
    assert "shelves.v1.key.s2" not in [message.subject for message in await stream(nats_client)]


@pytest.mark.parametrize("cut", [10, 400, 700, 1000, 10_000])
async def test_a_stream_whose_disk_lost_its_tail_is_filled_up_again_while_the_relay_runs(
    nats_client: Client, nats_server: NatsServer, open_sqlite_store: OpenStore, cut: int
) -> None:
    """A power cut without sync; the tail may end in the middle of a batch, or a message."""
    shelves = Shelves(open_sqlite_store())
    label(shelves, *range(10))
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)
        await asyncio.to_thread(nats_server.kill)
        lose_tail(nats_server, cut)
        await asyncio.to_thread(nats_server.start)
        await asyncio.to_thread(label, shelves, 10)
        other = await jetstream.connect(nats_server.bus, "other")
        await agree(other, shelves.store, private=False)
        for shelf in ("s0", "s1", "s2"):
            await asyncio.to_thread(shelves.clear, Context("me", f"clear-{shelf}"), shelf_id=shelf)
        # Nothing private is left of it, however often it was told.
        await agree(other, shelves.store)
        await other.close()


def lose_tail(server: NatsServer, size: int) -> None:
    [block] = server.directory.rglob("*.blk")
    whole = block.stat().st_size
    os.truncate(block, max(whole - size, 0))
    for index in server.directory.rglob("index.db"):
        index.unlink()


async def test_the_lag_grows_while_the_bus_is_away(
    nats_client: Client, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    relay = Relay(nats_client, shelves.store, publication)
    async with running(relay):
        label(shelves, 1)
        await agree(nats_client, shelves.store)
    await nats_client.close()
    async with running(relay), asyncio.timeout(10):
        await asyncio.to_thread(label, shelves, 2, 3)
        while REGISTRY.get_sample_value("relay_lag_events", {"stream": "SHELVES"}) != 2:
            await asyncio.sleep(0.02)


async def test_a_bus_that_lost_its_disk_while_running_is_refilled_with_the_same_events(
    nats_client: Client, nats_server: NatsServer, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    label(shelves, *range(10))
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)
        before = [message.headers["ce-id"] for message in await events(nats_client)]
        await asyncio.to_thread(nats_server.kill)
        shutil.rmtree(nats_server.directory / "jetstream")
        await asyncio.to_thread(nats_server.start)
        other = await jetstream.connect(nats_server.bus, "other")
        await agree(other, shelves.store)
        assert [message.headers["ce-id"] for message in await events(other)] == before
        await other.close()


async def test_a_new_generation_of_the_store_fills_the_stream_anew(
    nats_client: Client, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    label(shelves, *range(5))
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)
    shelves.store.recorder.begin_new_generation()
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)


async def test_an_empty_store_takes_no_full_stream_over(
    nats_client: Client, open_store: OpenStore
) -> None:
    """A forgotten volume: the events are in the stream alone by now."""
    shelves = Shelves(open_store())
    label(shelves, 1)
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)
    empty = Relay(nats_client, open_store("empty"), publication)
    with pytest.raises(DivergedError):
        await asyncio.wait_for(empty.run(), 20)
    await agree(nats_client, shelves.store)


def back_up(directory: Path) -> None:
    with (
        closing(sqlite3.connect(directory / "shelves.db")) as source,
        closing(sqlite3.connect(directory / "restored.db")) as backup,
    ):
        source.backup(backup)


async def test_a_restored_store_begins_no_generation_by_itself_and_publishes_nothing(
    nats_client: Client, open_sqlite_store: OpenStore, tmp_path: Path
) -> None:
    """Its future is in the stream; before and after new events came to stand in its place."""
    lost = Shelves(open_sqlite_store())
    label(lost, 1)
    back_up(tmp_path)
    label(lost, 2)
    async with running(Relay(nats_client, lost.store, publication)):
        await agree(nats_client, lost.store)
    restored = Shelves(open_sqlite_store("restored"))
    for numbers in ((), (5,), (6,)):
        label(restored, *numbers)
        with pytest.raises(DivergedError):
            await asyncio.wait_for(Relay(nats_client, restored.store, publication).run(), 20)
        await agree(nats_client, lost.store)


async def test_events_keep_their_ids_in_a_new_generation_and_later_ones_take_no_lost_ones_id(
    nats_client: Client, open_sqlite_store: OpenStore, tmp_path: Path
) -> None:
    lost = Shelves(open_sqlite_store())
    label(lost, 1)
    back_up(tmp_path)
    label(lost, 4)  # on the same shelf
    async with running(Relay(nats_client, lost.store, publication)):
        await agree(nats_client, lost.store)
    before = [message.headers["ce-id"] for message in await events(nats_client)]
    restored = Shelves(open_sqlite_store("restored"))
    restored.store.recorder.begin_new_generation()
    label(restored, 7)  # there too, where the lost event stood
    async with running(Relay(nats_client, restored.store, publication)):
        await agree(nats_client, restored.store)
    after = [message.headers["ce-id"] for message in await events(nats_client)]
    assert after[0] == before[0]
    assert after[1] not in before


async def test_a_stream_that_tells_another_story_stops_the_relay_loudly(
    nats_client: Client, open_store: OpenStore
) -> None:
    """A store restored from a backup without beginning a new generation."""
    shelves = Shelves(open_store())
    label(shelves, 1)
    async with running(Relay(nats_client, shelves.store, publication)):
        await agree(nats_client, shelves.store)
    other = Shelves(open_store("other"))
    other.store.recorder.generation = shelves.store.recorder.generation
    label(other, 2)
    async with running(Relay(nats_client, other.store, publication)) as task:
        with pytest.raises(DivergedError):
            await asyncio.wait_for(task, 20)


async def test_a_relay_whose_stream_another_generation_took_over_stops_and_writes_nothing_into_it(
    nats_client: Client, open_sqlite_store: OpenStore, tmp_path: Path
) -> None:
    """A store restored from a backup, while the old one still runs somewhere."""
    old = Shelves(open_sqlite_store())
    label(old, 1)
    back_up(tmp_path)
    label(old, 2)
    restored = Shelves(open_sqlite_store("restored"))
    restored.store.recorder.begin_new_generation()
    async with running(Relay(nats_client, old.store, publication)) as task:
        await agree(nats_client, old.store)
        async with running(Relay(nats_client, restored.store, publication)):
            with pytest.raises(DivergedError):
                await asyncio.wait_for(task, 20)
            await agree(nats_client, restored.store)
