"""From a command's commit to the view that decides anew, against the barest way of a message.

Access's command, store and relay, a real nats-server, and the gateway's follower and view, on
one event loop with a connection for each side. The floor publishes to a stream of the same kind
and server, and another connection's consumer puts what arrives into a dictionary; as often as
commands commit, since whoever rested a few milliseconds takes longer to wake.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from time import perf_counter

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig

from benchmarks.bus import nats_server
from benchmarks.figures import ROUNDS, Figure, at_most, compared
from benchmarks.population import Population
from benchmarks.views import filled
from chargekey_access.application.chargers import Chargers
from chargekey_access.application.installations import Installations
from chargekey_access.application.permissions import Permissions
from chargekey_access.domain.events import EVENTS
from chargekey_access.domain.permission import Subject, Target
from chargekey_access.projections.directory import Directory
from chargekey_access.published import publication
from chargekey_common import jetstream
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.eventstore.store import Context, EventStore
from chargekey_common.follower import Follower, Message
from chargekey_common.jetstream import StreamClient
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import cancel
from chargekey_common.published import identity
from chargekey_common.relay import Relay
from chargekey_gateway.decision import accept_at_once

COMMANDS = 400
PEOPLE = Population.of(20_000)
# Of one who may charge nowhere yet.
CARD, USER = PEOPLE.identification_id(PEOPLE.identifications), str(uuid.UUID(int=9 << 120))
KEYED_ID = PEOPLE.keyed_id(PEOPLE.identifications)
SOME = b"x" * 250  # as long as what is published of a permission
PATIENCE = 10.0  # seconds


def figures() -> Iterator[Figure]:
    """Measure grants and revocations by turns, each begun when the one before is enforced."""
    with nats_server() as server, tempfile.TemporaryDirectory() as directory:
        rounds = asyncio.run(_measured(server, Path(directory)))
    for name, percent, goal in (("p50", 50, 1.6), ("p99", 99, 2)):
        yield compared(
            f"commit to enforced at the gateway, {name}",
            [(_percentile(one, percent), _percentile(bare, percent)) for one, bare in rounds],
            unit="ms",
            against="js.publish, consumer, dict",
            goal=at_most(goal),
        )


async def _measured(
    server: NatsServer, directory: Path
) -> Sequence[tuple[Sequence[float], Sequence[float]]]:
    async with _Enforced.running(server, directory) as enforced, _Bare.running(server) as bare:
        await enforced.times(COMMANDS // 4)
        rest = enforced.commanding
        await bare.times(COMMANDS // 4, rest)
        rounds = []
        for number in range(ROUNDS):
            if number % 2:
                beside = await bare.times(COMMANDS, rest)
                rounds.append((await enforced.times(COMMANDS), beside))
            else:
                rounds.append((await enforced.times(COMMANDS), await bare.times(COMMANDS, rest)))
    return rounds


class _Enforced:
    """The product's own way, at a site made for it beside many others."""

    def __init__(self, store: EventStore) -> None:
        self._view = filled(PEOPLE)
        for event in (
            identity.IdentificationKey(identification_id=CARD, keyed_id=KEYED_ID.hex(), alias=""),
            identity.IdentificationAdded(
                identification_id=CARD, user_id=USER, type="RFID", status="ACTIVE"
            ),
        ):
            self._view.apply(event)
        directory = Directory(store)
        self._permissions = Permissions(store, directory)
        sites = Installations(store)
        site = sites.create_installation(_context(), name="Site", time_zone="UTC").result
        chargers = Chargers(store, ChargerPasswords(b"a secret for figures only"), directory)
        self._charger_id = chargers.add_charger(
            _context(), installation_id=site, ocpp_identity="CP-1"
        ).result
        self._target = Target(site)
        self.commanding = 0.0  # seconds that a command took until its commit, in the middle
        self._committed = 0.0
        self._awaited = False
        self._enforced: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    @classmethod
    @asynccontextmanager
    async def running(cls, server: NatsServer, directory: Path) -> AsyncIterator[_Enforced]:
        """Yield it, with nobody permitted anything there yet."""
        async with AsyncExitStack() as ending:
            store = ending.enter_context(
                closing(EventStore("access", directory / "access.db", EVENTS))
            )
            enforced = cls(store)
            store.on_saved(enforced.note_commit)  # before the relay is told
            relay = Relay(await _client(ending, server), store, publication)
            follower = Follower(await _client(ending, server), "ACCESS", enforced.follow)
            for running in (relay.run(), follower.run()):
                ending.push_async_callback(cancel, asyncio.create_task(running))
            await follower.caught_up.wait()
            yield enforced

    def note_commit(self, _: object) -> None:
        """Know when the event was committed."""
        self._committed = perf_counter()

    async def follow(self, messages: Sequence[Message]) -> None:
        """Apply what arrives, and look whether the decision is the one that is awaited."""
        await self._view.follow(messages)
        if self._accepted() is self._awaited and not self._enforced.done():
            self._enforced.set_result(perf_counter())

    async def times(self, number: int) -> Sequence[float]:
        """Return how many milliseconds each took, in order."""
        times, commanding = [], []
        for each in range(number):
            began = perf_counter()
            times.append(await self._once(awaited=each % 2 == 0))
            commanding.append(self._committed - began)
        self.commanding = statistics.median(commanding)
        return sorted(times)

    async def _once(self, *, awaited: bool) -> float:
        self._awaited = awaited
        self._enforced = asyncio.get_running_loop().create_future()
        await asyncio.to_thread(self._grant if awaited else self._revoke)
        async with asyncio.timeout(PATIENCE):
            return (await self._enforced - self._committed) * 1000

    def _grant(self) -> None:
        self._permission_id = self._permissions.grant_permission(
            _context(),
            target=self._target,
            subject=Subject(USER),
            roles=["USER"],
            valid_until="",
            invited=True,
        ).result

    def _revoke(self) -> None:
        self._permissions.revoke_permission(_context(), permission_id=self._permission_id)

    def _accepted(self) -> bool:
        charger = self._view.charger(self._charger_id)
        known = self._view.identification(KEYED_ID)
        if charger is None or known is None:
            return False
        return accept_at_once(charger, known, time.time_ns()) is not None


class _Bare:
    """A message, a consumer and a dictionary."""

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js
        self._known: dict[int, bytes] = {}
        self._arrived: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    @classmethod
    @asynccontextmanager
    async def running(cls, server: NatsServer) -> AsyncIterator[_Bare]:
        """Yield it, with a stream and a consumer of its own."""
        async with AsyncExitStack() as ending:
            js = (await _client(ending, server)).jetstream()
            await js.add_stream(
                StreamConfig(name="BARE", subjects=["bare"], storage=StorageType.FILE)
            )
            bare = cls(js)
            hearing = (await _client(ending, server)).jetstream()
            await hearing.subscribe("bare", cb=bare.hear, ordered_consumer=True)
            yield bare

    async def hear(self, message: Msg) -> None:
        """Put it into the dictionary."""
        self._known[len(self._known)] = message.data
        self._arrived.set_result(perf_counter())

    async def times(self, number: int, rest: float) -> Sequence[float]:
        """Return how many milliseconds each took, in order; `rest` is seconds before each."""
        return sorted([await self._once(rest) for _ in range(number)])

    async def _once(self, rest: float) -> float:
        await asyncio.sleep(rest)
        self._arrived = asyncio.get_running_loop().create_future()
        began = perf_counter()
        await self._js.publish("bare", SOME)
        async with asyncio.timeout(PATIENCE):
            return (await self._arrived - began) * 1000


async def _client(ending: AsyncExitStack, server: NatsServer) -> StreamClient:
    client = await jetstream.connect(server.bus, "figures")
    ending.push_async_callback(jetstream.close, client)
    return client


def _context() -> Context:
    return Context(actor="administrator:local", command_id=str(uuid.uuid4()))


def _percentile(times: Sequence[float], percent: int) -> float:
    return times[len(times) * percent // 100]
