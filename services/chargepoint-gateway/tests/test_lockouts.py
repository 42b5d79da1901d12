"""PIN guessing at chargers, seen by gateways that only meet in a real nats-server (R14)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import pytest_asyncio
from nats.aio.client import Client

from chargekey_common import jetstream
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.follower import Follower
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import cancel
from chargekey_common.published import access, identity
from chargekey_common.published.chargers import (
    EVENTS,
    PinLockedOut,
    PinLockedOutAtInstallation,
)
from chargekey_common.published.envelope import Catalogue, PublishedEvent
from chargekey_common.testing.streams import make_again
from chargekey_common.testing.waiting import until
from chargekey_gateway import lockouts
from chargekey_gateway.announcer import CHARGERS_STREAM, declare_chargers_stream
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.decision import Reason, Status
from chargekey_gateway.guessing import MOST_AT_CHARGER, MOST_AT_INSTALLATION
from chargekey_gateway.ocpp16.id_tag_info import id_tag_info
from chargekey_gateway.sessions import stream
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.entries import Charger
from chargekey_gateway.view.view import View

from .replicas import PATIENCE

SECRET = b"a secret of 24 bytes, so"
NOW = 1_800_000_000_000_000_000
MINUTE = 60 * 10**9
PIN, CARD = "#2468", "04A1B2C3"
WRONG = [f"#{number}" for number in range(5000, 5000 + MOST_AT_CHARGER)]


class Clock:
    """One for all replicas; never twice the same."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        self.now += 1
        return self.now


class Replica:
    """A gateway with a memory of its own and twelve chargers, as one process would have."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.clock = clock
        self.view = View()
        self.gateway = Gateway(
            client,
            view=self.view,
            running=RunningSessions(),
            keyed_ids=KeyedIds(SECRET),
            start_keys=StartKeys(SECRET),
            passwords=ChargerPasswords(SECRET),
            unknown=[].append,
            clock=clock,
            patience=PATIENCE,
        )
        self.knows = self.gateway.lockouts.locked
        _fill(self.view)

    def charger(self, name: str = "c0") -> Charger:
        charger = self.view.charger(name)
        assert charger is not None
        return charger

    def types(self, token: str, charger: str = "c0") -> Reason:
        return self.gateway.deciding.authorize(self.charger(charger), token).reason

    def guesses(self, charger: str = "c0") -> list[Reason]:
        return [self.types(token, charger) for token in WRONG]

    def locked(self, charger: str = "c0") -> bool:
        return self.knows(self.charger(charger), self.clock())


def _fill(view: View) -> None:
    for number in range(12):
        view.apply(
            access.ChargerAdded(
                charger_id=f"c{number}",
                installation_id="home",
                ocpp_identity=f"CP-{number}",
                authorisation_override="INHERIT",
                identification_types=("RFID", "PIN"),
            )
        )
    for name, type_, token in (("pin", "PIN", PIN), ("card", "RFID", CARD)):
        key = KeyedIds(SECRET).of_token(token, "home")[1].hex()
        view.apply(identity.IdentificationKey(identification_id=name, keyed_id=key))
        view.apply(
            identity.IdentificationAdded(
                identification_id=name, user_id="ada", type=type_, status="ACTIVE"
            )
        )
    view.apply(
        access.PermissionGranted(
            installation_id="home", permission_id="ada", user_id="ada", roles=("USER",)
        )
    )


@asynccontextmanager
async def running(client: Client, clock: Clock) -> AsyncIterator[Replica]:
    """Run a replica that has read what is in the bucket."""
    replica = Replica(client, clock)
    gateway = replica.gateway
    follower = Follower(client, lockouts.STREAM, gateway.lockouts.follow)
    tasks = [
        asyncio.create_task(work)
        for work in (gateway.run(), gateway.lockouts.run(), follower.run())
    ]
    async with asyncio.timeout(30):
        await follower.caught_up.wait()
    yield replica
    await cancel(*tasks)


@pytest_asyncio.fixture
async def bus(nats_client: Client) -> Client:
    js = nats_client.jetstream()
    await lockouts.declare_lockouts(js, replicas=1)
    await declare_chargers_stream(nats_client, replicas=1)
    await stream.declare(js, now=NOW, replicas=1)
    return nats_client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def replicas(
    bus: Client, clock: Clock, nats_server: NatsServer
) -> AsyncIterator[tuple[Replica, Replica]]:
    other = await jetstream.connect(nats_server.bus, "other")
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(running(bus, clock)),
            await stack.enter_async_context(running(other, clock)),
        )
    await other.close()


async def told(client: Client) -> list[tuple[str, PublishedEvent]]:
    """Return what CHARGERS tells of lockouts, with the ids."""
    js = client.jetstream()
    state = (await js.stream_info(CHARGERS_STREAM)).state
    found = []
    for sequence in range(1, state.last_seq + 1):
        message = await js.get_msg(CHARGERS_STREAM, seq=sequence)
        event = Catalogue(*EVENTS).decode(message.subject or "", message.data or b"")
        if isinstance(event, PinLockedOut | PinLockedOutAtInstallation):
            found.append(((message.headers or {})["ce-id"], event))
    return found


def offline() -> Replica:
    return Replica(Client(), Clock())


def test_five_wrong_pins_lock_pins_for_five_minutes_and_no_card() -> None:
    """R14: at this charger, at once, and without NATS."""
    here = offline()
    assert here.guesses() == [Reason.IDENTIFICATION_UNKNOWN] * 5
    assert here.types(PIN) is Reason.PIN_LOCKED_OUT
    assert here.types("#12") is Reason.PIN_LOCKED_OUT
    assert here.types(CARD) is Reason.INSTALLATION_PERMISSION
    assert here.types(PIN, "c1") is Reason.INSTALLATION_PERMISSION
    here.clock.now += 5 * MINUTE
    assert here.types(PIN) is Reason.INSTALLATION_PERMISSION


def test_a_charger_is_told_the_same_of_unknown_wrong_and_locked_out_pins() -> None:
    """R14: whoever guesses does not learn that he is locked out, nor that he has hit."""
    here = offline()
    before = [here.gateway.deciding.authorize(here.charger(), token) for token in ("#9999", "#12")]
    here.guesses()
    behind = [
        here.gateway.deciding.authorize(here.charger(), token) for token in ("#9999", "#12", PIN)
    ]
    answers = {id_tag_info(each) for each in (*before, *behind)}
    assert [each.status for each in answers] == [Status.INVALID]


def test_a_malformed_pin_counts_and_an_unknown_card_does_not() -> None:
    here = offline()
    for _ in range(5):
        here.types("04D1E2F3")
    assert not here.locked()
    for _ in range(5):
        here.types("#1")
    assert here.locked()


def test_a_right_pin_resets_the_charger_and_not_its_installation() -> None:
    """R14: else whoever has a PIN himself could try out all others."""
    here = offline()
    tried = 0
    while not here.locked():
        assert here.types(WRONG[tried % 5]) is Reason.IDENTIFICATION_UNKNOWN
        tried += 1
        if tried % 4 == 0:
            here.types(PIN)
    assert tried == MOST_AT_INSTALLATION
    assert here.locked("c11")
    assert here.types(CARD) is Reason.INSTALLATION_PERMISSION


def test_where_anybody_may_charge_a_pin_is_no_success_and_no_guess() -> None:
    here = offline()
    here.guesses()
    here.view.apply(
        access.InstallationCreated(
            installation_id="home", name="", time_zone="UTC", authorisation_required=False
        )
    )
    assert here.types("#9999") is Reason.OPEN_CHARGER
    assert here.locked()


def test_dry_runs_see_a_lock_and_make_none() -> None:
    """R14."""
    here = offline()
    for _ in range(10):
        here.gateway.deciding.dry_run(here.charger(), "#9999")
    assert here.types(PIN) is Reason.INSTALLATION_PERMISSION
    here.guesses()
    assert (
        here.gateway.deciding.dry_run(here.charger(), PIN).decision.reason is Reason.PIN_LOCKED_OUT
    )


def test_a_charger_that_is_moved_leaves_its_lockout_behind() -> None:
    """R11: also where it comes back to."""
    here = offline()
    here.guesses()
    assert here.locked()
    for there, back in (("home", "office"), ("office", "home")):
        here.view.apply(
            access.ChargerMoved(charger_id="c0", from_installation_id=there, installation_id=back)
        )
        assert not here.locked()
    assert here.types(PIN) is Reason.INSTALLATION_PERMISSION


def test_counting_keeps_no_charger_waiting() -> None:
    """A hundred wrong PINs and what follows from them, each in well under a millisecond."""
    here = offline()
    began = time.process_time()  # our own work: the machine has other things to do
    for number in range(1_000):
        here.types(f"#{number:04}", f"c{number % 12}")
    assert time.process_time() - began < 1


async def test_a_lockout_holds_at_every_replica_and_the_owner_is_told(
    replicas: tuple[Replica, Replica], bus: Client
) -> None:
    """R14."""
    here, there = replicas
    here.guesses()
    await until(there.locked)
    assert there.types(PIN) is Reason.PIN_LOCKED_OUT
    await here.gateway.tell_the_rest(30)
    [(_, event)] = await told(bus)
    assert isinstance(event, PinLockedOut)
    assert (event.charger_id, event.installation_id) == ("c0", "home")
    assert there.knows(there.charger(), event.until - 1)
    assert not there.knows(there.charger(), event.until)


async def test_wrong_pins_at_two_replicas_add_up(
    replicas: tuple[Replica, Replica], bus: Client
) -> None:
    """R14: a charger that reconnects elsewhere, and the chargers of one installation."""
    here, there = replicas
    for number in range(12):
        for token in WRONG[:4]:
            (here if number % 2 else there).types(token, f"c{number}")
    assert not any(each.locked() for each in replicas)
    for number, each in enumerate(replicas, start=10):
        await each.gateway.lockouts.idle()
        assert each.types("#9998", f"c{number}") is Reason.IDENTIFICATION_UNKNOWN
    await until(lambda: all(each.locked("c0") for each in replicas))
    for each in replicas:
        await each.gateway.tell_the_rest(30)
    at_site = [(id_, event) for id_, event in await told(bus) if "At" in type(event).__name__]
    assert len({id_ for id_, _ in at_site}) == 1  # of several that tell one is enough


async def test_a_lockout_outlives_the_gateways(bus: Client, clock: Clock) -> None:
    """R14."""
    async with running(bus, clock) as before:
        before.guesses()
        await before.gateway.lockouts.idle()
    async with running(bus, clock) as later:
        assert later.types(PIN) is Reason.PIN_LOCKED_OUT
        clock.now += 5 * MINUTE
        later.guesses()
        clock.now += 5 * MINUTE
        assert later.types(PIN) is Reason.PIN_LOCKED_OUT  # it was the second: ten minutes


async def test_without_nats_the_counting_goes_on_and_is_told_later(
    replicas: tuple[Replica, Replica], nats_server: NatsServer, bus: Client
) -> None:
    """R14: never slower, and nothing is lost."""
    here, there = replicas
    for token in WRONG[:2]:
        there.types(token)
    await there.gateway.lockouts.idle()
    nats_server.stop()
    await until(lambda: not bus.is_connected)
    for token in WRONG[2:]:
        here.types(token)
    nats_server.start()
    await until(lambda: here.locked() and there.locked())


async def test_a_start_counts_once_however_often_it_is_sent(bus: Client, clock: Clock) -> None:
    """R14, R23: a charger may start without asking first, and may repeat itself."""
    async with running(bus, clock) as here:

        async def start(number: int) -> Reason:
            started = await here.gateway.charging.start(
                here.charger(),
                connector=1,
                token="#9999",
                started_at=NOW - MINUTE + number,
                meter_start=0,
            )
            return started.decision.reason

        for _ in range(6):
            assert await start(0) is Reason.IDENTIFICATION_UNKNOWN
        assert not here.locked()
        for number in range(1, 5):
            assert await start(number) is Reason.IDENTIFICATION_UNKNOWN
        assert here.locked()
        assert await start(5) is Reason.PIN_LOCKED_OUT
        assert await start(4) is Reason.IDENTIFICATION_UNKNOWN


@pytest.mark.parametrize("ago", [0, MINUTE, 24 * 60 * MINUTE])
async def test_guesses_count_when_they_come_whatever_time_the_charger_gives_them(
    bus: Client, clock: Clock, ago: int
) -> None:
    """R14: else nobody who chooses the time of his starts would ever be locked out."""
    async with running(bus, clock) as here:

        async def start(token: str) -> Reason:
            started = await here.gateway.charging.start(
                here.charger(), connector=1, token=token, started_at=NOW - ago, meter_start=0
            )
            return started.decision.reason

        for number in range(5):
            assert await start(f"#77{number:02}") is Reason.IDENTIFICATION_UNKNOWN
        assert here.locked()
        assert await start(PIN) is Reason.PIN_LOCKED_OUT


async def test_what_others_put_into_the_bucket_harms_nobody(
    bus: Client, replicas: tuple[Replica, Replica]
) -> None:
    here, there = replicas
    js = bus.jetstream()
    for key, data in (
        ("nonsense", b"{}"),
        ("charger", b"\xff"),
        ("charger.home.c0.0", b"\xff"),
        ("installation.home", b""),
    ):
        await js.publish(f"$KV.{lockouts.BUCKET}.{key}", data)
    here.guesses()
    await until(there.locked)


async def test_a_bucket_that_is_lost_is_filled_again(bus: Client, clock: Clock) -> None:
    async with running(bus, clock) as here:
        here.guesses()
        await here.gateway.lockouts.idle()
        await bus.jetstream().delete_stream(lockouts.STREAM)
        await make_again(lambda: lockouts.declare_lockouts(bus.jetstream(), replicas=1))
        here.gateway.lockouts.tell_again()
        await here.gateway.lockouts.idle()
        async with running(bus, clock) as other:
            assert other.locked()
