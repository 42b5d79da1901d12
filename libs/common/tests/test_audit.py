"""Every way in which a store and its stream can part is found, and named at its place."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Literal

import grpc
import msgspec
import pytest
from grpc import aio
from nats.aio.client import Client

from chargekey.audit.v1 import audit_pb2 as pb
from chargekey.audit.v1.audit_pb2_grpc import AuditServiceStub
from chargekey_common.accounts import Caller
from chargekey_common.audit import service as audit
from chargekey_common.audit.changes import Changes
from chargekey_common.audit.comparison import SENTENCES, Comparison
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.eventstore.store import Context, EventStore
from chargekey_common.follower import Message
from chargekey_common.grpc.client import remote_error
from chargekey_common.jetstream import OutMessage, publish_atomically
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import cancel
from chargekey_common.relay import Relay, record_hash
from chargekey_common.testing.grpc import served

from .conftest import OpenStore
from .shelves import Shelves, publication

STREAM = "SHELVES"


@asynccontextmanager
async def audited(
    store: EventStore, directory: Path, server: NatsServer
) -> AsyncIterator[AuditServiceStub]:
    """Serve the audit of `store`, and yield who asks for it."""

    async def check(caller: Caller, action: str, obj: str) -> None:
        if (caller, action, obj) != ("administrator:local", "audit.Verify", "system"):
            raise PermissionDeniedError

    service = audit.service(store, publication, server.bus, Changes(store, publication))
    async with served(service, directory, check) as as_caller:
        yield AuditServiceStub(as_caller())


async def verify(
    store: EventStore, directory: Path, server: NatsServer
) -> tuple[pb.Result, list[pb.Progress]]:
    async with audited(store, directory, server) as stub:
        told = [each async for each in stub.Verify(pb.VerifyRequest())]
    *progress, last = told
    assert last.WhichOneof("told") == "result"
    assert last.result.stream == STREAM
    return last.result, [each.progress for each in progress]


async def relay(client: Client, store: EventStore) -> None:
    """Publish everything that is in the store."""
    task = asyncio.create_task(Relay(client, store, publication).run())
    end = store.position()
    js = client.jetstream()
    deadline = time.monotonic() + 20
    try:
        while True:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
            try:
                last = await js.get_last_msg(STREAM, "shelves.v1.shelf.*.*")
            except Exception:  # noqa: BLE001, S112 - not there yet
                continue
            if (last.headers or {})["Chargekey-Position"] == str(end):
                return
    finally:
        await cancel(task)


async def nth(client: Client, number: int) -> int:
    """Return the sequence of the stream's message of this number, from 1."""
    config = (await client.jetstream().stream_info(STREAM)).config
    return (config.first_seq or 1) + number - 1


async def messages(client: Client) -> list[Any]:
    js = client.jetstream()
    info = await js.stream_info(STREAM)
    return [
        await js.get_msg(STREAM, number)
        for number in range(info.state.first_seq, info.state.last_seq + 1)
    ]


async def publish(client: Client, *outgoing: OutMessage) -> None:
    # Of a message that was read back, without its place in the batch that it came in.
    anew = [
        msgspec.structs.replace(
            each,
            headers={
                name: value for name, value in each.headers.items() if not name.startswith("Nats-")
            },
        )
        for each in outgoing
    ]
    await publish_atomically(client, anew, batch_id="by hand")


def label(shelves: Shelves, *numbers: int) -> None:
    for number in numbers:
        shelves.label(
            Context("me", f"label-{number}"), shelf_id=f"s{number % 3}", label=str(number)
        )


@pytest.fixture
def shelves(open_sqlite_store: OpenStore) -> Shelves:
    return Shelves(open_sqlite_store())


def tampered(directory: Path, statement: str) -> None:
    """Change the store behind its back."""
    with closing(sqlite3.connect(directory / "shelves.db")) as database:
        database.execute(statement)
        database.commit()


async def test_a_stream_that_tells_its_store_agrees_with_it(
    nats_client: Client, nats_server: NatsServer, open_store: OpenStore, tmp_path: Path
) -> None:
    shelves = Shelves(open_store())
    label(shelves, *range(600))
    shelves.clear(Context("me", "clear"), shelf_id="s1")
    shelves.label(Context("me", "label-again"), shelf_id="s1", label="again")
    await relay(nats_client, shelves.store)
    result, progress = await verify(shelves.store, tmp_path, nats_server)
    assert not result.HasField("difference"), result
    assert (result.records, result.behind) == (602, 0)
    assert progress[0].end == 602


async def test_an_erased_private_message_is_no_difference(
    nats_client: Client, nats_server: NatsServer, shelves: Shelves, tmp_path: Path
) -> None:
    label(shelves, 1, 2)
    await relay(nats_client, shelves.store)
    shelves.clear(Context("me", "clear"), shelf_id="s1")
    await relay(nats_client, shelves.store)
    result, _ = await verify(shelves.store, tmp_path, nats_server)
    assert not result.HasField("difference"), result
    assert result.records == 3


async def test_a_private_message_erased_for_an_event_still_to_come_is_no_difference(
    nats_client: Client, nats_server: NatsServer, shelves: Shelves, tmp_path: Path
) -> None:
    """The relay erases first and publishes then."""
    label(shelves, 1)
    await relay(nats_client, shelves.store)
    shelves.clear(Context("me", "clear"), shelf_id="s1")
    [key, _] = await messages(nats_client)
    await nats_client.jetstream().delete_msg(STREAM, key.seq)
    result, _ = await verify(shelves.store, tmp_path, nats_server)
    assert not result.HasField("difference"), result
    assert (result.records, result.behind) == (1, 1)


async def test_a_store_ahead_of_its_stream_is_told_as_lag(
    nats_client: Client, nats_server: NatsServer, shelves: Shelves, tmp_path: Path
) -> None:
    label(shelves, 1, 2)
    result, _ = await verify(shelves.store, tmp_path, nats_server)
    assert (result.records, result.behind) == (0, 2)
    await relay(nats_client, shelves.store)
    label(shelves, 3, 4, 5)
    result, _ = await verify(shelves.store, tmp_path, nats_server)
    assert not result.HasField("difference")
    assert (result.records, result.behind) == (2, 3)


async def test_a_private_message_repeated_after_a_lost_event_is_no_difference(
    nats_client: Client, nats_server: NatsServer, shelves: Shelves, tmp_path: Path
) -> None:
    label(shelves, 1)
    await relay(nats_client, shelves.store)
    [_, event] = await messages(nats_client)
    await nats_client.jetstream().delete_msg(STREAM, event.seq)
    result, _ = await verify(shelves.store, tmp_path, nats_server)
    assert (result.records, result.behind) == (0, 1)
    await relay(nats_client, shelves.store)
    result, _ = await verify(shelves.store, tmp_path, nats_server)
    assert not result.HasField("difference"), result
    assert (result.records, result.behind) == (1, 0)


@pytest.mark.parametrize(
    ("statement", "code", "number"),
    [
        (
            "UPDATE stored_events SET state=CAST('{\"at\": 1}' AS BLOB) WHERE rowid=3",
            "record_changed",
            3,
        ),
        ("UPDATE stored_events SET state='{' WHERE rowid=3", "record_changed", 3),
        (
            "UPDATE stored_events SET originator_id='another' WHERE rowid=4",
            "record_changed",
            4,
        ),
        ("DELETE FROM stored_events WHERE rowid=2", "record_missing", 2),
        ("DELETE FROM stored_events WHERE rowid>3", "record_missing", 4),
    ],
)
async def test_a_store_changed_behind_its_back_is_found(
    nats_client: Client,
    nats_server: NatsServer,
    shelves: Shelves,
    tmp_path: Path,
    statement: str,
    code: str,
    number: int,
) -> None:
    label(shelves, 1, 2, 3, 4, 5)
    await relay(nats_client, shelves.store)
    tampered(tmp_path, statement)
    result, _ = await verify(shelves.store, tmp_path, nats_server)
    assert result.difference.code == code
    assert result.difference.position == str(shelves.store.position(number))
    # Two messages a record, and the private one is the first that is met.
    assert result.difference.sequence == await nth(nats_client, 2 * number - 1)
    assert result.records == number - 1


@pytest.mark.parametrize("at", [0, 1], ids=["private", "event"])
async def test_a_message_that_is_missing_is_found(
    nats_client: Client, nats_server: NatsServer, shelves: Shelves, tmp_path: Path, at: int
) -> None:
    label(shelves, 1, 2, 3)
    await relay(nats_client, shelves.store)
    await nats_client.jetstream().delete_msg(STREAM, await nth(nats_client, 3 + at))
    result, _ = await verify(shelves.store, tmp_path, nats_server)
    assert result.difference.code == "message_missing"
    assert result.difference.position == str(shelves.store.position(2))


async def test_a_private_message_of_an_earlier_record_is_no_other_ones(
    nats_client: Client, nats_server: NatsServer, shelves: Shelves, tmp_path: Path
) -> None:
    label(shelves, 1, 4)  # of the same shelf
    await relay(nats_client, shelves.store)
    await nats_client.jetstream().delete_msg(STREAM, await nth(nats_client, 3))
    result, _ = await verify(shelves.store, tmp_path, nats_server)
    assert result.difference.code == "message_missing"
    assert result.difference.position == str(shelves.store.position(2))


async def test_a_difference_in_what_comes_at_the_end_is_found(
    nats_client: Client,
    nats_server: NatsServer,
    shelves: Shelves,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is being compared when all that there was at first has been."""
    label(shelves, 1, 2)
    await relay(nats_client, shelves.store)
    [_, event, _, last] = await messages(nats_client)
    begun, more, awaited = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    class Awaited(asyncio.Lock):
        async def acquire(self) -> Literal[True]:
            if self.locked():
                awaited.set()
            return await super().acquire()

    begin, take, end = audit._Verification.__init__, Comparison.take, shelves.store.end  # noqa: SLF001 - nobody else knows when it waits

    def watched(self: Any, *how: Any) -> None:
        begin(self, *how)
        self._comparing = Awaited()

    def taken(self: Comparison, batch: Sequence[Message]) -> None:
        if begun.is_set():
            more.set()
            assert awaited.wait(20)
        take(self, batch)
        if batch[-1].sequence == last.seq:  # they may come in more than one batch
            loop.call_soon_threadsafe(begun.set)

    def end_when_more_is_compared() -> int:
        assert more.wait(20)
        return end()

    monkeypatch.setattr(audit._Verification, "__init__", watched)  # noqa: SLF001 - as above
    monkeypatch.setattr(Comparison, "take", taken)
    monkeypatch.setattr(shelves.store, "end", end_when_more_is_compared)
    verifying = asyncio.create_task(verify(shelves.store, tmp_path, nats_server))
    await begun.wait()
    await publish(nats_client, OutMessage(event.subject, event.data, event.headers))
    result, _ = await verifying
    assert result.difference.code == "message_repeated"


async def test_a_message_told_again_is_found(
    nats_client: Client, nats_server: NatsServer, shelves: Shelves, tmp_path: Path
) -> None:
    label(shelves, 1, 2)
    await relay(nats_client, shelves.store)
    [_, event, *_] = await messages(nats_client)
    await publish(nats_client, OutMessage(event.subject, event.data, event.headers))
    result, _ = await verify(shelves.store, tmp_path, nats_server)
    assert result.difference.code == "message_repeated"
    assert result.difference.position == str(shelves.store.position(1))
    assert result.difference.sequence == await nth(nats_client, 5)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"data": b'{"shelf_id":"s2","label":"other"}'}, "message_changed"),
        ({"ce-actor": "another"}, "message_changed"),
        ({"ce-id": ""}, "message_changed"),
        ({"Chargekey-Record": "0" * 32}, "record_changed"),
        ({"Chargekey-Position": "shelves:0000000000000000:2"}, "generation_differs"),
        ({"Chargekey-Position": "others:0000000000000000:2"}, "message_foreign"),
        ({"Chargekey-Position": ""}, "message_foreign"),
        ({"subject": "shelves.v1.shelf.s2.ShelfCleared"}, "message_foreign"),
    ],
)
async def test_a_message_that_says_something_else_is_found(
    nats_client: Client,
    nats_server: NatsServer,
    shelves: Shelves,
    tmp_path: Path,
    change: dict[str, Any],
    code: str,
) -> None:
    label(shelves, 1, 2)
    await relay(nats_client, shelves.store)
    told = (await messages(nats_client))[-1]
    await nats_client.jetstream().delete_msg(STREAM, told.seq)
    subject, data = change.pop("subject", told.subject), change.pop("data", told.data)
    await publish(nats_client, OutMessage(subject, data, told.headers | change))
    result, _ = await verify(shelves.store, tmp_path, nats_server)
    assert result.difference.code == code
    assert result.difference.sequence == await nth(nats_client, 5)
    if code == "message_changed":
        [part] = change or ["data"]
        assert result.difference.message.endswith(f"It differs in {part}.")
    assert (result.records, result.behind) == (1, 0)


async def test_a_stream_ahead_of_its_store_is_found(
    nats_client: Client, nats_server: NatsServer, shelves: Shelves, tmp_path: Path
) -> None:
    label(shelves, 1)
    await relay(nats_client, shelves.store)
    told = (await messages(nats_client))[-1]
    ahead = {"Chargekey-Position": str(shelves.store.position(2))}
    await publish(nats_client, OutMessage(told.subject, told.data, told.headers | ahead))
    result, _ = await verify(shelves.store, tmp_path, nats_server)
    assert result.difference.code == "record_missing"
    assert result.difference.position == str(shelves.store.position(2))


async def test_a_stream_of_another_generation_is_told_at_its_first_message(
    nats_client: Client, nats_server: NatsServer, shelves: Shelves, tmp_path: Path
) -> None:
    label(shelves, 1)
    await relay(nats_client, shelves.store)
    shelves.store.recorder.begin_new_generation()
    result, _ = await verify(shelves.store, tmp_path, nats_server)
    assert result.difference.code == "generation_differs"
    assert result.difference.sequence == await nth(nats_client, 1)


async def test_a_record_that_this_version_cannot_read_is_found(
    nats_client: Client, nats_server: NatsServer, shelves: Shelves, tmp_path: Path
) -> None:
    """The row is the one that was published, and nobody can read it."""
    label(shelves, 1)
    await relay(nats_client, shelves.store)
    told = (await messages(nats_client))[-1]
    assert told.headers
    # A topic of another version: the message's hash is made to fit the row.
    tampered(tmp_path, "UPDATE stored_events SET topic='shelves.Painted'")
    [row] = shelves.store.rows(0, 1)
    js = nats_client.jetstream()
    for number in (1, 2):
        await js.delete_msg(STREAM, await nth(nats_client, number))
    fitting = told.headers | {"Chargekey-Record": record_hash(row)}
    await publish(nats_client, OutMessage(told.subject, told.data, fitting))
    result, _ = await verify(shelves.store, tmp_path, nats_server)
    assert result.difference.code == "record_unreadable"
    assert result.difference.position == str(shelves.store.position(1))


async def test_where_nats_is_away_the_audit_says_so(
    nats_server: NatsServer, shelves: Shelves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PATIENCE", 0.3)
    nats_server.stop()
    with pytest.raises(aio.AioRpcError) as refused:
        await verify(shelves.store, tmp_path, nats_server)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert remote_error(refused.value).code == "audit_interrupted"


def test_every_difference_stands_in_the_contract() -> None:
    proto = Path(__file__).parents[3] / "proto" / "chargekey" / "audit" / "v1" / "audit.proto"
    text = proto.read_text()
    assert all(f"`{code}`" in text for code in SENTENCES)
