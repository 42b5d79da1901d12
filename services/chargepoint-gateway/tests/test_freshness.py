"""How old the view is, as a real nats-server tells, and one that does not answer any more."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig
from prometheus_client import REGISTRY

from chargekey_common.follower import Follower, Message
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import Lifetime
from chargekey_common.testing.waiting import until
from chargekey_gateway import freshness
from chargekey_gateway.decision import Decision, Reason
from chargekey_gateway.freshness import Freshness
from chargekey_gateway.operators.last_known import LastKnown
from chargekey_gateway.reading import Reading
from chargekey_gateway.view.view import SERVICES

from .replicas import CARD, Replica

DAY = 24 * 3600.0


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "LOOK", 0.01)
    monkeypatch.setattr(freshness, "PATIENCE", 0.2)


@pytest.fixture
async def lifetime() -> AsyncIterator[Lifetime]:
    lifetime = Lifetime()
    yield lifetime
    await lifetime.close()


async def declare(client: Client, *services: str) -> None:
    for service in services:
        await client.jetstream().add_stream(
            StreamConfig(name=service.upper(), subjects=[f"{service}.v1.>"])
        )


def lag(service: str) -> float | None:
    return REGISTRY.get_sample_value("view_lag_events", {"service": service})


class Aging:
    """A replica whose view is as old as its clock says, and already too old."""

    def __init__(self, client: Client, lifetime: Lifetime) -> None:
        self.replica = Replica(client)
        self.view = self.replica.view
        self._shift = 0.0
        self.handles = asyncio.Event()
        self.handles.set()
        followers = [Follower(client, name.upper(), self._follow) for name in SERVICES]
        fresh = Freshness(self.view, followers, lambda: time.monotonic() + self._shift)
        self.later()
        self.view.set_staleness(2 * DAY)
        for follower in followers:
            lifetime.own(follower.run(), f"follow {follower.stream}")
        lifetime.own(fresh.run(), "freshness")

    async def _follow(self, messages: Sequence[Message]) -> None:
        await self.handles.wait()
        await self.view.follow(messages)

    def later(self) -> None:
        """Let more time go by than the site allows."""
        self._shift += 2 * DAY

    @property
    def is_behind(self) -> bool:
        return self.view.is_behind(self.replica.charger())

    def is_behind_later(self) -> bool:
        self.later()
        return self.is_behind

    def tap(self) -> Reason:
        decision = self.replica.gateway.deciding.authorize(self.replica.charger(), CARD)
        assert isinstance(decision, Decision)
        return decision.reason


@pytest.mark.parametrize("frozen", [True, False])
async def test_a_server_that_is_frozen_or_gone_makes_a_view_old_until_it_is_back(
    nats_server: NatsServer, nats_client: Client, lifetime: Lifetime, *, frozen: bool
) -> None:
    """O50: taps go on from memory, up to the site's bound."""
    await declare(nats_client, *SERVICES)
    aging = Aging(nats_client, lifetime)
    assert aging.tap() is Reason.VIEW_BEHIND
    await until(lambda: not aging.is_behind)
    assert aging.tap() is Reason.INSTALLATION_PERMISSION
    assert [lag(service) for service in SERVICES] == [0, 0]

    process = nats_server.process
    assert process is not None
    if frozen:
        process.send_signal(signal.SIGSTOP)
    else:
        await asyncio.to_thread(nats_server.kill)
    try:
        await until(aging.is_behind_later)
        assert aging.tap() is Reason.VIEW_BEHIND
        told = REGISTRY.get_sample_value("view_staleness_seconds")
        assert told is not None
        assert told > DAY
        assert aging.view.staleness == told
    finally:
        if frozen:
            process.send_signal(signal.SIGCONT)
    if not frozen:
        await asyncio.to_thread(nats_server.start)
    await until(lambda: not aging.is_behind)
    assert aging.tap() is Reason.INSTALLATION_PERMISSION


@pytest.mark.parametrize(("here", "missing"), [SERVICES, SERVICES[::-1]])
async def test_one_stream_alone_says_nothing_of_the_other(
    nats_client: Client, lifetime: Lifetime, here: str, missing: str
) -> None:
    """O50: a revocation is in the one, a block in the other."""
    await declare(nats_client, here)
    await nats_client.jetstream().publish(f"{here}.v1.something", b"")
    aging = Aging(nats_client, lifetime)
    looked: list[float] = []
    original = aging.view.set_staleness

    def notice(seconds: float) -> None:
        looked.append(seconds)
        original(seconds)

    aging.view.set_staleness = notice  # type: ignore[method-assign] # to see that it was looked
    await until(lambda: len(looked) > 5)
    assert aging.is_behind
    await declare(nats_client, missing)
    await until(lambda: not aging.is_behind)


async def test_what_is_not_read_yet_and_a_view_that_is_not_whole_are_not_fresh(
    nats_client: Client, lifetime: Lifetime
) -> None:
    """O50."""
    await declare(nats_client, *SERVICES)
    aging = Aging(nats_client, lifetime)
    await until(lambda: not aging.is_behind)
    aging.handles.clear()
    await nats_client.jetstream().publish("access.v1.something", b"")
    aging.later()
    # A look that was under way has it behind before any has seen what is missing.
    await until(lambda: aging.is_behind and lag("access") == 1)
    aging.handles.set()
    await until(lambda: not aging.is_behind)
    aging.view.reset("identity")
    aging.later()
    await until(lambda: aging.is_behind)
    aging.view.mended()
    await until(lambda: not aging.is_behind)


async def test_whoever_reads_the_streams_looks(nats_client: Client, lifetime: Lifetime) -> None:
    """O50."""
    await declare(nats_client, *SERVICES)
    replica = Replica(nats_client)
    gateway = replica.gateway
    replica.view.set_staleness(2 * DAY)
    Reading(
        nats_client,
        replica.view,
        replica.running,
        gateway.lockouts,
        LastKnown(nats_client, clock=lambda: 0),
        gateway.confirmed,
        gateway.remote_starts,
    ).begin(lifetime)
    await until(lambda: not replica.view.is_behind(replica.charger()))
