"""Several replicas on one nats-server: commands, presence, and two with one identity (O9)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.js.errors import NotFoundError
from websockets import ClientConnection
from websockets.exceptions import ConnectionClosed

from chargekey_common import jetstream
from chargekey_common.errors import UnavailableError
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import cancel
from chargekey_common.testing.waiting import until
from chargekey_gateway import lockouts, registry
from chargekey_gateway.announcer import declare_chargers_stream
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.command_errors import ChargerOfflineError, ChargerSilentError
from chargekey_gateway.commands import ClearCache, Outcome, RemoteStart, SendLocalList
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.registry import Claim, Here, Registry, subject
from chargekey_gateway.sessions import stream

from .conftest import NOW, Door, gateway_with_cards
from .test_websocket import OP_PING, OP_TEXT, PATIENCE, close_code, heartbeat, raw

if TYPE_CHECKING:
    from .conftest import GatewayInMemory

FIRST, SECOND = "charger-1", "charger-2"


class Replica(Door):
    """A server with a gateway and a connection to NATS of its own, as a process would have."""

    server: OcppServer
    gateway: GatewayInMemory

    def __init__(self, client: Client, *, within: float = 25.0, **limits: float) -> None:
        gateway = gateway_with_cards()
        bounds = Limits(close_timeout=0.2, **limits)
        self.client = client
        self.registry = Registry(
            client, patience=bounds.displacement_timeout, carry_out_within=within
        )
        server = OcppServer(
            gateway,  # type: ignore[arg-type]
            limits=bounds,
            registry=self.registry,
        )
        self.server, self.gateway, self.scheme = server, gateway, "ws"

    async def listen(self) -> int:
        await self.server.start("127.0.0.1:0")
        self.port = self.server.port
        return self.port

    def kinds(self) -> list[str]:
        """Return what it reported."""
        return [event.kind for event in self.gateway.events]

    async def presences(self) -> dict[str, registry.Presence]:
        found = await self.server.presences(self.gateway.chargers.values())
        return {each.charger_id: each for each in found}


@pytest_asyncio.fixture
async def replica(nats_server: NatsServer) -> AsyncIterator[Callable[..., Any]]:
    """Yield what makes replicas; all end with the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(**options: float) -> Replica:
            client = await jetstream.connect(nats_server.bus, "replica")
            stack.push_async_callback(jetstream.close, client)
            made = Replica(client, **options)
            running = asyncio.create_task(made.registry.run())
            stack.push_async_callback(cancel, running)
            await made.listen()
            stack.push_async_callback(made.server.stop)
            return made

        yield make


@pytest.fixture
def _time_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a replica that lives be found, however busy the machine is.

    Not where a question may meet an unsubscription on its way: nobody answers that.
    """
    monkeypatch.setattr(registry, "LOOK_WITHIN", 20.0)


async def here(socket: ClientConnection) -> None:
    """Return once the charger is let in, and listened for."""
    await heartbeat(socket)


async def listens(door: Replica, socket: ClientConnection) -> None:
    """Return once NATS knows that the charger is there."""
    await here(socket)
    await door.client.flush()


async def answer(socket: ClientConnection, payload: dict[str, Any]) -> str:
    """Answer the next call, and return its action."""
    async with asyncio.timeout(PATIENCE):
        while (call := json.loads(await socket.recv()))[0] != 2:
            pass
    await socket.send(json.dumps([3, call[1], payload]))
    return str(call[2])


# What a charger that is only there takes: there are fifteen thousand of them in a process.


async def test_a_charger_that_is_listened_for_has_no_task_and_few_objects(
    nats_server: NatsServer,
) -> None:
    client = await jetstream.connect(nats_server.bus, "replica")
    try:
        there = Registry(client, patience=PATIENCE)
        place: Any = object()
        await there.arrive("charger-0", place)
        await client.flush()
        tasks, objects = asyncio.all_tasks(), counted()
        for number in range(1, 101):
            await there.arrive(f"charger-{number}", place)
        await client.flush()
        assert asyncio.all_tasks() == tasks
        # What is held and what is taken, and room for others' doing.
        assert (counted() - objects) / 100 < 4
    finally:
        await jetstream.close(client)


def counted() -> int:
    """Count what the garbage collector has to look at."""
    gc.collect()
    return len(gc.get_objects())


# Commands.


async def test_a_command_finds_its_charger_at_whichever_replica(replica: Any) -> None:
    one, two = await replica(), await replica()
    async with one.open() as socket:
        await listens(one, socket)
        for asked in (one, two):
            asking = asyncio.create_task(asked.server.carry_out(FIRST, ClearCache()))
            assert await answer(socket, {"status": "Accepted"}) == "ClearCache"
            assert (await asking).outcome is Outcome.ACCEPTED
        asking = asyncio.create_task(two.server.carry_out(FIRST, RemoteStart(token="CARD")))
        assert await answer(socket, {"status": "Rejected"}) == "RemoteStartTransaction"
        assert (await asking).outcome is Outcome.REJECTED


async def test_a_charger_that_is_nowhere_is_offline(replica: Any) -> None:
    one, two = await replica(), await replica()
    for asked in (one, two):
        with pytest.raises(ChargerOfflineError):
            await asked.server.carry_out(FIRST, ClearCache())
    async with one.open() as socket:
        await listens(one, socket)
    await until(lambda: FIRST not in one.server)
    await one.client.flush()
    for asked in (one, two):
        with pytest.raises(ChargerOfflineError):
            await asked.server.carry_out(FIRST, ClearCache())


@pytest.mark.parametrize("name", ["*", ">", "a.b", "a b", ""])
async def test_a_name_that_would_be_other_subjects_is_nobodys(replica: Any, name: str) -> None:
    one, two = await replica(), await replica()
    async with one.open() as socket:
        await listens(one, socket)
        with pytest.raises(ChargerOfflineError):
            await two.server.carry_out(name, ClearCache())


async def test_a_charger_that_does_not_answer_is_silent_wherever_it_is(replica: Any) -> None:
    one, two = await replica(within=0.1), await replica(within=0.1)
    async with one.open() as socket:
        await listens(one, socket)
        for asked in (one, two):
            with pytest.raises(ChargerSilentError):
                await asked.server.carry_out(FIRST, ClearCache())


async def test_a_charger_that_hangs_up_meanwhile_is_offline(replica: Any) -> None:
    one, two = await replica(), await replica()
    async with one.open() as socket:
        await listens(one, socket)
        asking = asyncio.create_task(two.server.carry_out(FIRST, ClearCache()))
        while json.loads(await socket.recv())[0] != 2:
            pass
    with pytest.raises(ChargerOfflineError):
        await asking


async def test_a_local_list_does_not_travel(replica: Any) -> None:
    """R17: it holds readable codes."""
    one, two = await replica(), await replica()
    heard = []

    async def hear(message: Any) -> None:
        if b"SendLocalList" in message.data:
            heard.append(message)

    async with one.open() as socket:
        await listens(one, socket)
        await two.client.subscribe(f"{registry.SUBJECT}.>", cb=hear)
        with pytest.raises(ChargerOfflineError):
            await two.server.carry_out(FIRST, SendLocalList(version=1, full=True))
        # Nor is it taken from anybody.
        forged = b'{"type":"CarryOut","command":{"type":"SendLocalList","version":1,"full":true}}'
        asking = asyncio.create_task(two.client.request(subject(FIRST), forged, timeout=0.2))
        await here(socket)
        assert (await asyncio.wait({asking}, timeout=5))[1] == set()
        assert asking.exception() is not None
        await until(lambda: bool(heard))
        assert [message.data for message in heard] == [forged]
        asking = asyncio.create_task(
            one.server.carry_out(FIRST, SendLocalList(version=1, full=True))
        )
        assert await answer(socket, {"status": "Accepted"}) == "SendLocalList"
        assert (await asking).accepted


@pytest.mark.usefixtures("_time_to_look")
async def test_nonsense_at_a_chargers_subject_changes_nothing(replica: Any) -> None:
    one, two = await replica(), await replica()
    async with one.open() as socket:
        await listens(one, socket)
        for nonsense in (b"", b"[", b'{"type":"Nothing"}', b'{"type":"CarryOut"}', b"\xff"):
            await two.client.publish(subject(FIRST), nonsense)
        await two.client.flush()
        assert set(await two.presences()) == {FIRST}


async def test_no_stream_keeps_what_is_said_there(nats_client: Client) -> None:
    js = nats_client.jetstream()
    await declare_chargers_stream(nats_client, replicas=1)
    await lockouts.declare_lockouts(js, replicas=1)
    await stream.declare(js, now=NOW, replicas=1)
    with pytest.raises(NotFoundError):
        await js.find_stream_name_by_subject(subject(FIRST))


# Presence.


@pytest.mark.usefixtures("_time_to_look")
async def test_every_replica_knows_who_is_connected_to_any(replica: Any) -> None:
    """S3-55."""
    one, two, three = await replica(), await replica(), await replica()
    async with (
        one.open() as first,
        two.open("CP%2F2%20%C3%A4", user="CP/2 ä") as second,
    ):
        await listens(one, first)
        await listens(two, second)
        told = await one.presences()
        assert set(told) == {FIRST, SECOND}
        assert told == await two.presences() == await three.presences()
        [connector] = told[SECOND].state.connectors
        assert (told[SECOND].ocpp_version, connector.waiting_for_authorisation) == ("1.6", True)
    await until(lambda: not len(one.server) and not len(two.server))
    await one.client.flush()
    await two.client.flush()
    assert await three.presences() == {}


# Two with one identity.


@pytest.mark.usefixtures("_time_to_look")
async def test_a_living_charger_of_another_replica_is_not_displaced(replica: Any) -> None:
    """O9."""
    one, two = await replica(), await replica()
    async with one.open() as first:
        await listens(one, first)
        async with two.open() as second:
            assert await close_code(second) == 1008
        await heartbeat(first)
    assert (one.kinds(), two.kinds()) == ([], ["identity_already_connected"])
    assert two.gateway.told == []


@pytest.mark.usefixtures("_time_to_look")
async def test_a_dead_charger_of_another_replica_is_replaced(replica: Any) -> None:
    """O9: and what its newcomer says meanwhile is not lost."""
    one, two = await replica(displacement_timeout=0.2), await replica(displacement_timeout=0.2)
    async with raw(one) as dead:
        dead.send(OP_TEXT, b'[2,"1","Heartbeat",{}]')
        assert (await dead.receive())[0] == OP_TEXT
        await one.client.flush()
        async with two.open() as alive:
            await heartbeat(alive)
            assert (await dead.receive())[0] == OP_PING
            await dead.gone()
            assert (FIRST in one.server, FIRST in two.server) == (False, True)
    assert [*one.kinds(), *two.kinds()] == []


@pytest.mark.parametrize("at", [0, 1])
async def test_a_living_charger_goes_where_somebody_who_may_says_so(
    replica: Any, *, at: int
) -> None:
    """O9: from whichever replica, and whoever comes next is let in at whichever."""
    one, two = replicas = await replica(), await replica()
    async with one.open() as first:
        await listens(one, first)
        await replicas[at].server.disconnect(FIRST)
        assert await close_code(first) == 1012
        async with two.open() as second:
            await listens(two, second)
            assert (FIRST in one.server, FIRST in two.server) == (False, True)
    assert (one.kinds(), two.kinds()) == (["disconnected_by_hand"], [])
    await until(lambda: FIRST not in two.server)
    await two.client.flush()
    for each in replicas:
        with pytest.raises(ChargerOfflineError):
            await each.server.disconnect(FIRST)


async def test_a_replica_that_does_not_answer_has_perhaps_disconnected_nobody(
    replica: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "LEAVE_WITHIN", 0.1)
    one, two = await replica(), await replica()
    await one.client.subscribe(subject(FIRST), cb=_say_nothing)
    await one.client.flush()
    with pytest.raises(ChargerSilentError):
        await two.server.disconnect(FIRST)


async def _say_nothing(_: Msg) -> None:
    pass


async def test_who_is_not_authenticated_is_not_even_asked_about(replica: Any) -> None:
    """O9."""
    one, two = await replica(), await replica()
    async with raw(one) as silent:
        silent.send(OP_TEXT, b'[2,"1","Heartbeat",{}]')
        assert (await silent.receive())[0] == OP_TEXT
        await one.client.flush()
        with pytest.raises(Exception, match="401"):
            await two.open(password="wrong")
        silent.send(OP_TEXT, b'[2,"1","Heartbeat",{}]')
        assert (await silent.receive())[0] == OP_TEXT  # no ping came first


async def test_a_charger_may_move_between_replicas_as_it_likes(replica: Any) -> None:
    """A question that meets an unsubscription on its way gets no answer, and is asked again."""
    one, two = await replica(displacement_timeout=60), await replica(displacement_timeout=60)
    for door in (one, two) * 20:
        async with door.open() as socket:
            await heartbeat(socket)
    assert [*one.kinds(), *two.kinds()] == []


async def test_a_charger_comes_back_to_the_same_replica_at_once(replica: Any) -> None:
    one = await replica(displacement_timeout=20)
    async with asyncio.timeout(10):
        for _ in range(10):
            async with one.open() as socket:
                await heartbeat(socket)
    assert one.kinds() == []


async def test_of_newcomers_at_once_one_stays(replica: Any) -> None:
    """O9: whichever way they meet."""
    doors = [await replica() for _ in range(3)]

    async def come(door: Replica, stays: asyncio.Event) -> int | None:
        async with door.open() as socket:
            leaving = asyncio.create_task(stays.wait())
            closing = asyncio.create_task(close_code(socket))
            await asyncio.wait({leaving, closing}, return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            if closing.done():
                return closing.result()
            closing.cancel()
            return None

    for _ in range(8):
        enough = asyncio.Event()
        coming = [asyncio.create_task(come(door, enough)) for door in doors]
        await until(lambda: sum(each.done() for each in coming) >= len(doors) - 1)  # noqa: B023
        await until(lambda: sum(FIRST in door.server for door in doors) == 1)
        [staying] = [door for door in doors if FIRST in door.server]
        # It goes on staying: everybody has said what there is to say.
        for door in doors:
            await door.client.flush()
        assert FIRST in staying.server
        enough.set()
        codes = await asyncio.gather(*coming)
        assert sorted(codes, key=str) == [1008, 1008, None]
        await until(lambda: not any(FIRST in door.server for door in doors))
        for door in doors:
            await door.client.flush()


async def test_one_that_heard_of_nobody_meets_the_one_before_it_afterwards(
    replica: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O9: as when both asked before either listened."""
    one, two = await replica(), await replica()

    async def free(*_: object) -> bool:
        return False

    monkeypatch.setattr(Registry, "_is_taken", free)
    async with one.open() as first:
        await listens(one, first)
        async with two.open() as second:
            assert await close_code(second) == 1008
        await heartbeat(first)
    assert two.kinds() == ["identity_already_connected"]


async def test_of_two_that_meet_afterwards_a_dead_one_does_not_stay(
    replica: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await replica(displacement_timeout=0.1), await replica(displacement_timeout=0.1)

    async def free(*_: object) -> bool:
        return False

    monkeypatch.setattr(Registry, "_is_taken", free)
    async with raw(one) as dead:
        dead.send(OP_TEXT, b'[2,"1","Heartbeat",{}]')
        assert (await dead.receive())[0] == OP_TEXT
        async with two.open() as alive:
            await heartbeat(alive)
            await until(lambda: FIRST not in one.server)
            await heartbeat(alive)


async def silent(*_: object, **__: object) -> None:
    return


async def not_taken(*_: object) -> bool:
    return False


async def test_the_first_of_two_is_told_of_the_second_when_it_speaks(
    replica: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O9: as when what the second one said was lost."""
    one, two = await replica(), await replica()
    async with one.open() as first:
        await listens(one, first)
        with monkeypatch.context() as deaf:
            deaf.setattr(two.registry, "_is_taken", not_taken)
            deaf.setattr(two.registry, "_say_here", silent)
            second = await two.open()
            await listens(two, second)
        here_again = Here(one.registry.replica, 0)
        await one.client.publish(subject(FIRST), msgspec.json.encode(here_again))
        assert await close_code(second) == 1008
        await heartbeat(first)


async def test_whoever_has_lost_the_bus_says_again_who_is_there(
    replica: Any, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O9."""
    one, two = await replica(), await replica()
    async with one.open() as first:
        await listens(one, first)
        with monkeypatch.context() as deaf:
            deaf.setattr(two.registry, "_is_taken", not_taken)
            deaf.setattr(two.registry, "_say_here", silent)
            second = await two.open()
            await listens(two, second)
        nats_server.stop()
        await until(lambda: not one.client.is_connected and not two.client.is_connected)
        nats_server.start()
        assert await close_code(second) == 1008
        await heartbeat(first)


async def test_without_the_bus_chargers_come_in_and_it_is_sorted_out_later(
    replica: Any, nats_server: NatsServer
) -> None:
    """O9: availability first."""
    one, two = await replica(), await replica()
    nats_server.stop()
    await until(lambda: not one.client.is_connected and not two.client.is_connected)
    async with one.open() as first:
        await heartbeat(first)
        async with two.open() as second:
            await heartbeat(second)
            with pytest.raises(UnavailableError):
                await two.server.carry_out(SECOND, ClearCache())
            assert set(await two.presences()) == {FIRST}
            nats_server.start()
            assert await close_code(second) == 1008
        await heartbeat(first)
    assert two.kinds() == ["identity_already_connected"]


async def test_a_replica_that_stops_sends_chargers_to_the_others(replica: Any) -> None:
    one, two = await replica(), await replica()
    async with one.open() as first:
        await listens(one, first)
        stopping = asyncio.create_task(one.server.stop())
        assert await close_code(first) == 1012
        async with two.open() as again:
            await heartbeat(again)
        await stopping


async def test_a_replica_that_does_not_answer_holds_nobody_up_for_long(
    replica: Any, nats_client: Client
) -> None:
    """Frozen, say: NATS still takes it for a listener."""

    async def silence(_: Any) -> None:
        return

    await nats_client.subscribe(subject(FIRST), cb=silence)
    await nats_client.flush()
    one = await replica(displacement_timeout=60)
    async with one.open() as socket:
        await heartbeat(socket)


async def test_an_answer_that_nobody_understands_keeps_no_charger_out(
    replica: Any, nats_client: Client
) -> None:
    """Of a replica of another release, say."""

    async def strange(message: Msg) -> None:
        if message.reply:
            await message.respond(b'{"type":"SomethingNew"}')

    await nats_client.subscribe(subject(FIRST), cb=strange)
    await nats_client.flush()
    one, two = await replica(), await replica()
    with pytest.raises(UnavailableError):
        await two.server.carry_out(FIRST, ClearCache())
    async with one.open() as socket:
        await heartbeat(socket)


async def test_one_that_hangs_up_while_it_is_asked_about_is_not_let_in(
    replica: Any, nats_client: Client
) -> None:
    asked = asyncio.Event()

    async def silence(_: Any) -> None:
        asked.set()

    await nats_client.subscribe(subject(FIRST), cb=silence)
    await nats_client.flush()
    one = await replica(displacement_timeout=20)
    async with one.open():
        async with asyncio.timeout(PATIENCE):
            await asked.wait()
        stopping = asyncio.create_task(one.server.stop())
    await stopping
    assert one.gateway.told == []


async def test_one_whose_arrival_fails_is_sent_away_and_may_come_again(
    replica: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whatever: else it would wait for its place for good."""

    async def fail(*_: object) -> bool:
        raise AssertionError

    one = await replica()
    with monkeypatch.context() as patched:
        patched.setattr(one.registry, "arrive", fail)
        async with one.open() as socket:
            assert await close_code(socket) == 1012
    async with one.open() as again:
        await heartbeat(again)


def test_what_travels_shows_no_code() -> None:
    """R17: a repr ends up in logs."""
    assert "CARD" not in repr(registry.CarryOut(RemoteStart(token="CARD")))
    decoded = msgspec.json.decode(msgspec.json.encode(Here("r", 5)), type=Here | Claim)
    assert decoded == Here("r", 5, lives=False)


# Processes.

PROCESS = textwrap.dedent(
    """
    import asyncio, sys
    sys.path.insert(0, {tests!r})
    from chargekey_common import jetstream
    from {module} import Replica

    async def main():
        url, token = sys.stdin.readline().split()
        client = await jetstream.connect(jetstream.Bus(url, lambda: token), "replica")
        replica = Replica(client)
        print(await replica.listen(), flush=True)
        await replica.registry.run()

    asyncio.run(main())
    """
)


@contextlib.asynccontextmanager
async def process(nats_server: NatsServer) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run a replica in a process of its own, and yield it with its port."""
    root = Path(__file__).parents[2]
    script = PROCESS.format(tests=str(root), module="tests.ocpp.test_registry")
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert started.stdin is not None
    assert started.stdout is not None
    try:
        started.stdin.write(f"{nats_server.url} {nats_server.token}\n".encode())
        yield started, int(await started.stdout.readline())
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(started.pid, signal.SIGKILL)
        await started.wait()


async def test_a_charger_of_a_killed_replica_is_offline_and_comes_back_to_another(
    replica: Any, nats_server: NatsServer
) -> None:
    """O9: nothing of a killed replica is in its way."""
    two = await replica(displacement_timeout=20)
    async with process(nats_server) as (killed, port):
        elsewhere = Door(two.server, two.gateway)
        elsewhere.port = port
        async with elsewhere.open() as first:
            await heartbeat(first)
            async with asyncio.timeout(PATIENCE):
                while FIRST not in await two.presences():
                    pass  # its replica is heard before NATS has heard of it
            asking = asyncio.create_task(two.server.carry_out(FIRST, ClearCache()))
            assert await answer(first, {"status": "Accepted"}) == "ClearCache"
            assert (await asking).accepted
            killed.kill()
            with contextlib.suppress(ConnectionClosed):
                await first.recv()
            await killed.wait()
        async with asyncio.timeout(10):
            while True:  # until NATS has noticed, too
                try:
                    await two.client.request(subject(FIRST), b"{}", timeout=0.1)
                except NoRespondersError:
                    break
                except TimeoutError:
                    pass
            with pytest.raises(ChargerOfflineError):
                await two.server.carry_out(FIRST, ClearCache())
            async with two.open() as again:
                await heartbeat(again)
    assert two.kinds() == []
