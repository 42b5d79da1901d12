"""How far a relay, a follower and reactions are: none says too early that it is up to date."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc import aio
from nats.aio.client import Client
from nats.js.api import StreamConfig

from chargekey.audit.v1 import standing_pb2 as pb
from chargekey.audit.v1.standing_pb2_grpc import StandingServiceStub
from chargekey_common import jetstream
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.audit.standings import Standings
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.eventstore.store import Context, EventStore, Reaction
from chargekey_common.follower import Follower, Message
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import cancel
from chargekey_common.reactions import On, Reactions
from chargekey_common.relay import GENERATION, Relay, relayed
from chargekey_common.standing import Standing
from chargekey_common.testing.grpc import served
from chargekey_common.testing.waiting import SOON

from .conftest import OpenStore
from .shelves import ShelfLabelled, Shelves, publication

OTHER = "0123456789abcdef"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take no server that is slow for one that is silent."""
    monkeypatch.setattr("chargekey_common.standing.PATIENCE", 30)


@asynccontextmanager
async def running(work: Follower | Relay | Reactions) -> AsyncIterator[None]:
    task = asyncio.create_task(work.run())
    try:
        yield
    finally:
        await cancel(task)


async def told(ask: Callable[[], Awaitable[Standing]], behind: int | None) -> Standing:
    """Return what is told once it is so far behind."""
    async with asyncio.timeout(30):
        while (standing := await ask()).behind != behind:
            await asyncio.sleep(SOON)
    return standing


class Gate:
    """Handles what it is let through."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def handle(self, _: Sequence[Message]) -> None:
        self.reached.set()
        await self.open.wait()


async def fill(client: Client, subject: str, count: int) -> None:
    for _ in range(count):
        await client.jetstream().publish(subject, b"")


@pytest.mark.usefixtures("patient")
async def test_a_follower_is_behind_by_what_it_has_not_handled(nats_client: Client) -> None:
    """What was delivered to it counts until it is handled, and what it does not read never."""
    await nats_client.jetstream().add_stream(
        StreamConfig(name="THINGS", subjects=["things.>"], metadata={GENERATION: OTHER})
    )
    gate = Gate()
    follower = Follower(nats_client, "THINGS", gate.handle, subjects=["things.mine"])

    async def ask() -> Standing:
        return await follower.standing("view")

    # Nobody reads yet: nobody can tell.
    await fill(nats_client, "things.mine", 3)
    assert (await ask()).behind is None
    async with running(follower):
        await gate.reached.wait()
        await fill(nats_client, "things.mine", 4)
        await fill(nats_client, "things.other", 2)
        held = await told(ask, 7)
        assert (held.applied, held.last, held.moved_at) == (0, 9, 0)
        gate.open.set()
        caught_up = await told(ask, 0)
    assert (caught_up.part, caught_up.stream, caught_up.generation) == ("view", "THINGS", OTHER)
    assert (caught_up.applied, caught_up.last) == (7, 9)
    assert caught_up.moved_at > 0
    ended = await ask()
    assert (ended.behind, ended.last) == (None, 9)


async def test_a_follower_tells_what_it_knows_while_the_bus_is_away(
    nats_server: NatsServer,
) -> None:
    client = await jetstream.connect(nats_server.bus, "test")
    await client.jetstream().add_stream(StreamConfig(name="THINGS", subjects=["things.>"]))
    gate = Gate()
    gate.open.set()
    follower = Follower(client, "THINGS", gate.handle)

    async def ask() -> Standing:
        return await follower.standing("past")

    try:
        async with running(follower):
            await fill(client, "things.mine", 2)
            known = await told(ask, 0)
            await asyncio.to_thread(nats_server.stop)
            away = await told(ask, None)
    finally:
        await jetstream.close(client)
    assert away == Standing("past", "THINGS", applied=2, moved_at=known.moved_at)


@pytest.mark.usefixtures("patient")
async def test_a_relay_is_behind_by_what_the_stream_does_not_tell(
    nats_client: Client, open_store: OpenStore
) -> None:
    shelves = Shelves(open_store())
    generation = shelves.store.recorder.generation

    async def ask() -> Standing:
        return await relayed(nats_client, shelves.store)

    assert await ask() == Standing("relay", "SHELVES", generation, behind=0)
    for number in range(3):
        context = Context("me", f"label-{number}")
        await asyncio.to_thread(shelves.label, context, shelf_id="s", label=str(number))
    end = shelves.store.end()
    assert await ask() == Standing("relay", "SHELVES", generation, last=end, behind=end)
    async with running(Relay(nats_client, shelves.store, publication)):
        done = await told(ask, 0)
    assert (done.applied, done.last) == (end, end)
    assert done.moved_at > 0


@pytest.mark.usefixtures("patient")
async def test_a_stream_of_another_generation_tells_nothing_of_this_store(
    nats_client: Client, open_store: OpenStore
) -> None:
    before, after = Shelves(open_store("before")), Shelves(open_store("after"))
    for shelves in (before, after):
        await asyncio.to_thread(shelves.label, Context("me", "1"), shelf_id="s", label="1")

    async def ask(store: EventStore) -> Standing:
        return await relayed(nats_client, store)

    async with running(Relay(nats_client, before.store, publication)):
        await told(lambda: ask(before.store), 0)
    assert (await ask(after.store)).behind == after.store.end()


async def test_reactions_are_behind_until_they_have_reacted(
    nats_client: Client, nats_server: NatsServer, open_store: OpenStore
) -> None:
    shelves, mirror = Shelves(open_store()), Shelves(open_store("mirror"))
    may = asyncio.Event()

    async def react(event: ShelfLabelled, reaction: Reaction) -> None:
        await may.wait()
        await asyncio.to_thread(mirror.react, reaction, event.shelf_id)

    on = On(ShelfLabelled, react)
    reactions = Reactions("mirror", nats_server.bus, mirror.store, on)

    async def ask() -> Standing:
        [standing] = await reactions.standings()
        return standing

    assert await ask() == Standing("reactions", "SHELVES")
    async with running(reactions), running(Relay(nats_client, shelves.store, publication)):
        for number in range(3):
            context = Context("me", f"label-{number}")
            await asyncio.to_thread(shelves.label, context, shelf_id="s", label=str(number))
        await told(ask, 3)
        may.set()
        done = await told(ask, 0)
    assert done.applied == done.last
    assert done.generation == shelves.store.recorder.generation


@pytest.fixture
def standings() -> Standings:
    return Standings()


@pytest.fixture
async def as_caller(
    standings: Standings, tmp_path: Path
) -> AsyncIterator[Callable[[Caller], aio.Channel]]:
    async def check(caller: Caller, action: str, obj: str) -> None:
        if (caller, action, obj) != (ADMINISTRATOR, "audit.ListStandings", "system"):
            raise PermissionDeniedError

    async with served(standings.service(), tmp_path, check) as as_caller:
        yield as_caller


async def test_a_service_tells_of_all_that_is_included_whenever_that_was(
    standings: Standings, as_caller: Callable[[Caller], aio.Channel]
) -> None:
    stub = StandingServiceStub(as_caller(ADMINISTRATOR))
    assert not (await stub.ListStandings(pb.ListStandingsRequest())).standings

    async def known() -> Sequence[Standing]:
        return [Standing("relay", "ACCESS", OTHER, applied=4, last=9, behind=5, moved_at=1)]

    async def unknown() -> Sequence[Standing]:
        return [Standing("view", "ACCESS"), Standing("view", "IDENTITY", behind=0)]

    standings.include(known)
    standings.include(unknown)
    relay, *views = (await stub.ListStandings(pb.ListStandingsRequest())).standings
    assert relay == pb.Standing(
        part="relay",
        stream="ACCESS",
        generation=OTHER,
        applied=4,
        last=9,
        behind=5,
        moved_at=1,
    )
    # Not to know is something else than to be up to date.
    assert [each.HasField("behind") for each in views] == [False, True]


async def test_nobody_but_administrators_is_told(
    as_caller: Callable[[Caller], aio.Channel],
) -> None:
    stub = StandingServiceStub(as_caller(Caller("user:owner")))
    with pytest.raises(aio.AioRpcError) as refused:
        await stub.ListStandings(pb.ListStandingsRequest())
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
