"""What the portal starts sessions with counts where, and while, it was asked for (O45, R17, R23).

Two gateways that only meet in a real nats-server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import pytest_asyncio
from nats.aio.client import Client

from chargekey_common import jetstream
from chargekey_common.errors import UnavailableError
from chargekey_common.follower import Follower
from chargekey_common.keyed_ids import KeyedIds, classify
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import cancel
from chargekey_common.published import access, identity
from chargekey_common.testing.streams import make_again
from chargekey_common.testing.waiting import until
from chargekey_gateway import remote_starts
from chargekey_gateway.application.starting import LONGEST_OFFLINE
from chargekey_gateway.commands import Outcome, RemoteStart, Result
from chargekey_gateway.decision import Decision, Reason
from chargekey_gateway.ocpp.connection import ChargerConnection
from chargekey_gateway.ocpp.frames import CloseCode
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.ocpp16.routes import OCPP16
from chargekey_gateway.remote_starts import GOOD_FOR, KEPT, MOST, SKEW, RemoteStarts
from chargekey_gateway.sessions import stream
from chargekey_gateway.sessions.transactions import Phase
from chargekey_gateway.unknown_codes import UnknownCode

from .replicas import CARD, NOW, SECRET, Replica, events_of

CODE = "APP:ABCD2345ABCD2345"
DAY = 24 * 3600 * 10**9
JUST_AFTER = NOW + 10**9
ANSWERED = Result(outcome=Outcome.ACCEPTED)


def give_an_app(replica: Replica) -> None:
    """Let Ada have an APP identification, and all chargers take it."""
    code_class, canonical = classify(CODE)
    key = KeyedIds(SECRET).of(code_class, canonical, "").hex()
    replica.view.apply(identity.IdentificationKey(identification_id="app", keyed_id=key))
    replica.view.apply(
        identity.IdentificationAdded(
            identification_id="app", user_id="ada", type="APP", status="ACTIVE"
        )
    )
    for charger in ("first", "second", "open"):
        replica.view.apply(
            access.IdentificationTypesSet(
                charger_id=charger,
                installation_id="site",
                identification_types=("RFID", "PIN", "APP"),
            )
        )


@pytest.fixture(autouse=True)
def _time_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_starts, "WITHIN", 30.0)


@asynccontextmanager
async def at_work(replica: Replica) -> AsyncIterator[Replica]:
    """Have it write, and follow what the other wrote."""
    give_an_app(replica)
    starts = replica.gateway.remote_starts
    follower = Follower(replica.client, remote_starts.STREAM, starts.follow)
    tasks = [asyncio.create_task(work) for work in (starts.run(), follower.run())]
    async with asyncio.timeout(30):
        await follower.caught_up.wait()
    yield replica
    await cancel(*tasks)


@pytest_asyncio.fixture
async def bus(nats_client: Client) -> Client:
    js = nats_client.jetstream()
    await stream.declare(js, now=NOW, replicas=1)
    await remote_starts.declare_remote_starts(js, replicas=1)
    return nats_client


@pytest_asyncio.fixture
async def pair(bus: Client, nats_server: NatsServer) -> AsyncIterator[tuple[Replica, Replica]]:
    client = await jetstream.connect(nats_server.bus, "other")
    async with at_work(Replica(bus)) as one, at_work(Replica(client)) as other:
        yield one, other
    await client.close()


def reason(replica: Replica, charger: str = "first", token: str = CODE) -> Reason:
    decision = replica.gateway.deciding.authorize(replica.charger(charger), token)
    assert isinstance(decision, Decision)
    return decision.reason


def covers(starts: RemoteStarts, at: int, charger: str = "c", who: str = "app") -> bool:
    return starts.covers(charger, who, at)


def test_it_counts_there_for_three_minutes_and_nowhere_else() -> None:
    starts = RemoteStarts(Client(), clock=lambda: NOW)
    starts.hear("c", "app", NOW)
    assert covers(starts, NOW)
    assert covers(starts, NOW + GOOD_FOR - 1)
    assert covers(starts, NOW - SKEW)  # of a replica, or a charger, whose clock is behind
    assert not covers(starts, NOW + GOOD_FOR)
    assert not covers(starts, NOW - SKEW - 1)
    assert not covers(starts, NOW, charger="d")
    assert not covers(starts, NOW, who="another")
    assert GOOD_FOR == 180 * 10**9
    # R23: whatever a charger may tell of late.
    assert KEPT >= LONGEST_OFFLINE + GOOD_FOR


def test_of_several_each_counts_and_of_very_many_the_last() -> None:
    """A start that is told late is of the one before."""
    starts = RemoteStarts(Client(), clock=lambda: NOW)
    for number in range(MOST + 1):
        starts.hear("c", "app", NOW + number * DAY)
    assert not covers(starts, NOW)
    for number in range(1, MOST + 1):
        assert covers(starts, NOW + number * DAY)


async def test_a_code_that_nobody_asked_for_is_an_unknown_one(
    pair: tuple[Replica, Replica],
) -> None:
    """O45: which no charger makes count by presenting it; nor does anybody hear of its owner."""
    replica, _ = pair
    assert reason(replica) is Reason.IDENTIFICATION_UNKNOWN
    decision = replica.gateway.deciding.authorize(replica.charger(), CODE)
    assert decision == replica.gateway.deciding.authorize(replica.charger(), "APP:ZZZZ2345ZZZZ2345")
    started = await replica.start(token=CODE)
    assert started.decision.reason is Reason.IDENTIFICATION_UNKNOWN
    [refused] = cast("list[Any]", await events_of(replica.client))
    assert (refused.user_id, refused.inputs.token_type) == (None, "APP")
    assert replica.unknown == cast("list[UnknownCode]", [])
    # Whoever shows a card needs no remote start.
    assert reason(replica, token=CARD) is Reason.INSTALLATION_PERMISSION


async def test_at_an_open_charger_it_says_who_it_is_while_it_was_asked_for(
    pair: tuple[Replica, Replica],
) -> None:
    replica, _ = pair
    opened = replica.charger("open")
    stranger = replica.gateway.deciding.authorize(opened, CODE)
    await replica.gateway.remote_starts.ask("open", "app")
    ada = replica.gateway.deciding.authorize(opened, CODE)
    assert isinstance(stranger, Decision)
    assert isinstance(ada, Decision)
    assert (stranger.reason, stranger.user_id) == (Reason.OPEN_CHARGER, None)
    assert (ada.reason, ada.user_id) == (Reason.OPEN_CHARGER, "ada")


async def test_what_one_gateway_asks_for_counts_at_the_other_and_after_a_restart(
    pair: tuple[Replica, Replica],
) -> None:
    one, other = pair
    await one.gateway.remote_starts.ask("first", "app")
    assert reason(one) is Reason.INSTALLATION_PERMISSION
    await until(lambda: other.gateway.remote_starts.covers("first", "app", NOW))
    assert reason(other) is Reason.INSTALLATION_PERMISSION
    assert reason(other, "second") is Reason.IDENTIFICATION_UNKNOWN
    async with at_work(Replica(one.client)) as another:
        assert reason(another) is Reason.INSTALLATION_PERMISSION
        another.now += GOOD_FOR
        assert reason(another) is Reason.IDENTIFICATION_UNKNOWN


async def test_two_that_are_asked_at_once_both_count_everywhere(
    pair: tuple[Replica, Replica],
) -> None:
    one, other = pair
    other.now = NOW + DAY
    both = one.gateway.remote_starts, other.gateway.remote_starts
    await asyncio.gather(*(starts.ask("first", "app") for starts in both))
    for starts in both:
        await until(lambda starts=starts: covers(starts, NOW, "first"))  # type: ignore[misc] # of the loop
        await until(lambda starts=starts: covers(starts, NOW + DAY, "first"))  # type: ignore[misc] # of the loop


async def test_what_was_written_elsewhere_is_written_on_and_not_over(
    bus: Client,
) -> None:
    """Also by a gateway that has not heard of it yet."""
    for day in range(3):
        starts = RemoteStarts(bus, clock=lambda day=day: NOW + day * DAY)  # type: ignore[misc] # of the loop
        writing = asyncio.create_task(starts.run())  # and reads nothing
        await starts.ask("first", "app")
        await cancel(writing)
    async with at_work(Replica(bus)) as replica:
        for day in range(3):
            assert covers(replica.gateway.remote_starts, NOW + day * DAY, "first")


async def test_it_is_in_the_bucket_before_the_charger_is_told_or_it_is_not_told(
    bus: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it outlives the gateway that told the charger."""
    replica = Replica(bus)
    with monkeypatch.context() as hurried:
        hurried.setattr(remote_starts, "WITHIN", 0.05)
        with pytest.raises(UnavailableError):  # nobody writes
            await replica.gateway.remote_starts.ask("first", "app")
    async with at_work(replica):
        await replica.gateway.remote_starts.ask("first", "app")
        js = bus.jetstream()
        [name] = await (await js.key_value(remote_starts.BUCKET)).keys()
        stored = await js.get_last_msg(remote_starts.STREAM, f"$KV.{remote_starts.BUCKET}.{name}")
        assert name == "first.app"
        assert str(NOW) in (stored.data or b"").decode()
        assert (await js.stream_info(remote_starts.STREAM)).config.max_age == KEPT / 10**9


async def test_a_bucket_that_was_lost_is_told_again(bus: Client) -> None:
    replica, js = Replica(bus), bus.jetstream()
    async with at_work(replica):
        starts = replica.gateway.remote_starts
        await starts.ask("first", "app")
        await js.delete_stream(remote_starts.STREAM)
        await make_again(lambda: remote_starts.declare_remote_starts(js, replicas=1))
        starts.tell_again()
        await starts.ask("second", "app")
        assert await (await js.key_value(remote_starts.BUCKET)).keys() == [
            "first.app",
            "second.app",
        ]


async def test_what_is_over_is_forgotten_and_nothing_before(
    bus: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_starts, "SWEEP", 0.01)
    replica = Replica(bus)
    async with at_work(replica):
        starts = replica.gateway.remote_starts
        await starts.ask("first", "app")
        replica.now = NOW + KEPT
        await starts.ask("second", "app")  # which takes a sweep or two
        assert covers(starts, NOW, "first")
        replica.now += 1
        await until(lambda: not covers(starts, NOW, "first"))
        assert covers(starts, NOW + KEPT, "second")


class Wire:
    """Takes down what is sent, and what the gateway would have said to the code by then."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.reasons: list[Reason] = []

    def send(self, _: bytes) -> None:
        self.reasons.append(reason(self.replica))

    def close(self, code: CloseCode, reason: str) -> None:
        raise AssertionError(code, reason)


async def test_a_quick_charger_is_known_to_have_been_told(bus: Client) -> None:
    """Also where what another gateway wrote into the bucket has not arrived yet."""
    replica = Replica(bus)
    give_an_app(replica)
    wire = Wire(replica)
    connection = ChargerConnection(
        replica.charger(),
        gateway=replica.gateway,
        dialect=OCPP16,
        wire=wire,
        limits=Limits(),
        clock=lambda: NOW,
    )
    command = RemoteStart(token=CODE, connector=1, identification_id="app", asked_at=NOW)
    task = asyncio.create_task(connection.carry_out(command))
    await until(lambda: bool(wire.reasons))
    await cancel(task)
    assert wire.reasons == [Reason.INSTALLATION_PERMISSION]


async def test_a_start_told_later_counts_as_of_when_it_began_and_keeps_its_verdict(
    pair: tuple[Replica, Replica],
) -> None:
    """R23: the charger lost its connection after it was told; nor does another start pass."""
    one, other = pair
    await one.gateway.remote_starts.ask("first", "app")
    await until(lambda: other.gateway.remote_starts.covers("first", "app", NOW))
    other.now = NOW + 3 * DAY
    late = await other.start(token=CODE, started_at=NOW + GOOD_FOR, meter_start=7)
    assert late.decision.reason is Reason.IDENTIFICATION_UNKNOWN
    started = await other.start(token=CODE, started_at=JUST_AFTER)
    assert started.decision.reason is Reason.INSTALLATION_PERMISSION
    one.now = NOW + 4 * DAY
    assert await one.start(token=CODE, started_at=JUST_AFTER) == started
    assert await one.start(token=CODE, started_at=NOW + GOOD_FOR, meter_start=7) == late


async def test_a_charger_whose_clock_is_wrong_starts_what_was_asked_for_all_the_same(
    pair: tuple[Replica, Replica],
) -> None:
    """The server's clock decides (R18)."""
    replica, _ = pair
    await replica.gateway.remote_starts.ask("first", "app")
    started = await replica.start(token=CODE, started_at=NOW - DAY)
    assert started.decision.reason is Reason.INSTALLATION_PERMISSION


async def test_a_session_goes_on_and_ends_with_what_began_it_however_long_it_runs(
    pair: tuple[Replica, Replica],
) -> None:
    """E05 of OCPP 2.x, §4.10 of 1.6: also where a revocation ends sessions."""
    replica, _ = pair
    replica.view.apply(
        access.PoliciesSet(
            installation_id="site",
            on_block="STOP",
            on_revoke="STOP",
            on_operator_timeout="DENY",
            pin_length=4,
        )
    )
    for charger in ("first", "second"):
        await replica.gateway.remote_starts.ask(charger, "app")
    began = await replica.take(token=CODE, at=NOW)
    assert began is not None
    assert began.reason is Reason.INSTALLATION_PERMISSION
    replica.now = NOW + DAY
    assert reason(replica) is Reason.IDENTIFICATION_UNKNOWN
    verified = await replica.take(Phase.UPDATED, number=1, token=CODE, at=replica.now)
    assert verified is not None
    assert verified.accepted
    stopped = await replica.take(Phase.ENDED, number=2, token=CODE, at=replica.now, stops=True)
    assert stopped is not None
    assert stopped.accepted
    assert replica.running.of_charger("first") == []
    replica.now = NOW
    started = await replica.start("second", token=CODE, started_at=NOW)
    assert started.decision.accepted
    replica.now = NOW + DAY
    await replica.end(started.transaction_id, "second", token=CODE, ended_at=NOW + DAY)
    assert replica.running.of_charger("second") == []
