"""Open chargers that cannot vend freely are started from here, those that can are let be (R1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
from nats.aio.client import Client

from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.keyed_ids import CodeClass, KeyedIds, classify, is_malformed
from chargekey_common.published import access
from chargekey_common.published.sessions import Inputs, SessionEnded, SessionStarted
from chargekey_gateway.application.free_vending import AFTER, FreeVending
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.commands import ANONYMOUS, Command, Outcome, RemoteStart, Result
from chargekey_gateway.decision import Decision
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.unknown_codes import UnknownCode
from chargekey_gateway.view.entries import Charger, Installation
from chargekey_gateway.view.view import View

from .replicas import Replica

SECRET = b"a secret of 24 bytes, so"
VERSIONS = ("1.6", "2.0.1", "2.1")
PLUGGED_IN = {"1.6": "Preparing", "2.0.1": "Occupied", "2.1": "Occupied"}
START = RemoteStart(token=ANONYMOUS, connector=1)


class Connected:
    """A connected charger at an open site, which remembers what it is told to do."""

    def __init__(self, version: str = "1.6") -> None:
        self.charger = Charger(
            "garage",
            Installation("site", authorisation_required=False),
            identification_types=frozenset({"RFID"}),
            registered=True,
        )
        self.version = version
        self.told: list[Command] = []
        self.something = asyncio.Event()

    async def carry_out(self, command: Command) -> Result:
        self.told.append(command)
        self.something.set()
        return Result(outcome=Outcome.REJECTED)


class World:
    def __init__(self, after: float) -> None:
        self.running = RunningSessions()
        self.vending = FreeVending(self.running, after=dict.fromkeys(VERSIONS, after))
        self.connected = Connected()

    def connect(self, version: str = "1.6") -> None:
        self.connected.version = version
        self.vending.connected(self.connected)

    def told(self, *statuses: str, connector: int = 1) -> None:
        for status in statuses:
            self.vending.told(self.connected.charger, connector, status)

    async def later(self) -> list[Command]:
        """Return what was told once every timer set so far has rung, and what it began is over."""
        rung = asyncio.Event()
        asyncio.get_running_loop().call_later(self.after_all, rung.set)
        await rung.wait()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self.connected.told

    after_all = 0.02


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World(after=0.005)
    made.connect()
    yield made
    await made.vending.close()


def _session() -> SessionStarted:
    return SessionStarted(
        installation_id="site",
        charger_id="garage",
        session_id="session",
        connector=1,
        started_at=0,
        meter_start=0,
        status="Accepted",
        reason="open_charger",
        inputs=Inputs(at=0),
    )


def _end() -> SessionEnded:
    return SessionEnded(
        installation_id="site",
        charger_id="garage",
        session_id="session",
        transaction_id=1,
        connector=1,
        ended_at=1,
        meter_stop=0,
        reason="Local",
    )


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_open_charger_that_does_not_begin_is_started(world: World, version: str) -> None:
    """O42: in every version, at the connector that was plugged into, and once."""
    world.connect(version)
    world.told("Available", PLUGGED_IN[version], PLUGGED_IN[version])
    assert await world.later() == [START]


async def test_a_charger_that_begins_by_itself_is_let_be(world: World) -> None:
    """O42."""
    world.told("Available", "Preparing", "Charging")
    assert await world.later() == []


async def test_one_whose_session_is_known_is_let_be(world: World) -> None:
    """O42: OCPP 2.x stays Occupied while it charges."""
    world.connect("2.0.1")
    world.told("Available", "Occupied")
    world.running.started(1, _session())
    assert await world.later() == []


@pytest.mark.parametrize("before", ["Finishing", "Charging", "SuspendedEV", "SuspendedEVSE"])
async def test_what_somebody_has_ended_is_not_begun_again(world: World, before: str) -> None:
    world.told("Available", before, "Preparing")
    assert await world.later() == []


async def test_where_something_must_be_presented_nothing_is_started(world: World) -> None:
    """O42, R1, R2: nor where an operator decides, nor where the setting has changed meanwhile."""
    site = world.connected.charger.installation
    world.told("Preparing")
    site.authorisation_required = True
    assert await world.later() == []
    world.told("Available", "Preparing")
    site.authorisation_required = False
    assert await world.later() == []
    site.external = True
    world.told("Available", "Preparing")
    assert await world.later() == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_who_waits_at_a_charger_that_is_opened_is_started(world: World, version: str) -> None:
    """R1, O42: by its site or by itself, once, and nobody at another site."""
    charger = world.connected.charger
    world.connect(version)
    charger.installation.authorisation_required = True
    world.told("Available", PLUGGED_IN[version])
    charger.installation.authorisation_required = False
    world.vending.site_changed("another")
    world.vending.charger_changed("another")
    assert await world.later() == []
    world.vending.site_changed("site")
    world.vending.charger_changed("garage")
    assert await world.later() == [START]
    world.vending.charger_changed("garage")
    assert await world.later() == [START]


async def test_who_unplugs_after_an_opening_is_not_started(world: World) -> None:
    site = world.connected.charger.installation
    site.authorisation_required = True
    world.told("Available", "Preparing")
    site.authorisation_required = False
    world.vending.site_changed("site")
    world.vending.charger_changed("garage")
    world.told("Available")
    assert await world.later() == []


async def test_one_that_was_restricted_and_is_opened_again_is_started(world: World) -> None:
    site = world.connected.charger.installation
    world.told("Preparing")
    site.authorisation_required = True
    assert await world.later() == []
    site.authorisation_required = False
    world.vending.site_changed("site")
    assert await world.later() == [START]


@pytest.mark.parametrize("leaves", ["unplugs", "charges", "disconnects"])
async def test_who_no_longer_waits_is_not_started_by_an_opening(world: World, leaves: str) -> None:
    """In OCPP 2.x whoever has charged and ended it stays plugged in, and Occupied."""
    world.connect("2.0.1")
    site = world.connected.charger.installation
    site.authorisation_required = True
    world.told("Available", "Occupied")
    match leaves:
        case "unplugs":
            world.told("Available")
        case "charges":
            world.running.started(1, _session())
            world.running.ended(2, _end())
        case "disconnects":
            world.vending.disconnected(world.connected)
    site.authorisation_required = False
    world.vending.site_changed("site")
    assert await world.later() == []


async def test_the_whole_charger_is_no_connector(world: World) -> None:
    world.told("Preparing", connector=0)
    assert await world.later() == []


async def test_a_charger_that_has_gone_is_not_started(world: World) -> None:
    world.told("Preparing")
    world.vending.disconnected(world.connected)
    world.told("Available", "Preparing")
    assert await world.later() == []


async def test_a_connection_that_was_replaced_takes_nothing_with_it(world: World) -> None:
    old, world.connected = world.connected, Connected()
    world.connect()
    world.told("Preparing")
    world.vending.disconnected(old)
    assert await world.later() == [START]


async def test_nothing_is_started_at_the_end(world: World) -> None:
    world.told("Preparing")
    await world.vending.close()
    assert await world.later() == []


def test_every_version_has_its_patience() -> None:
    """O42."""
    assert set(AFTER) == set(VERSIONS)


def test_what_stands_for_nobody_fits_everywhere_and_is_nobodys_code() -> None:
    """R16: and it is never told as a card that nobody knows."""
    assert len(ANONYMOUS) <= 20
    assert classify(ANONYMOUS) == (CodeClass.OTHER, ANONYMOUS)
    assert is_malformed(ANONYMOUS) is False


@pytest.mark.parametrize(
    "opening",
    [
        access.AuthorisationRequiredSet(installation_id="site", authorisation_required=False),
        access.AuthorisationOverrideSet(
            installation_id="site", charger_id="first", authorisation_override="NOT_REQUIRED"
        ),
    ],
)
async def test_the_gateway_starts_who_waits_where_site_or_charger_is_opened(
    monkeypatch: pytest.MonkeyPatch, opening: access.AuthorisationRequiredSet
) -> None:
    """R1, O42: switched live."""
    monkeypatch.setitem(cast("dict[str, float]", AFTER), "1.6", 0.005)
    replica, connected = Replica(Client()), Connected()
    connected.charger = replica.charger("first")
    gateway = replica.gateway
    gateway.connected(connected)
    gateway.reports.connector_status(
        connected.charger, connector=1, status="Preparing", error_code="NoError"
    )
    replica.view.apply(opening)
    async with asyncio.timeout(10):
        while START not in connected.told:
            connected.something.clear()
            await connected.something.wait()
    gateway.disconnected(connected)
    await gateway.reconciler.close()
    await gateway.free_vending.close()


async def test_the_gateway_starts_its_open_chargers_and_tells_nobody_of_an_unknown_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """O42, R16: where the site is restricted meanwhile, it is refused like any other."""
    monkeypatch.setitem(cast("dict[str, float]", AFTER), "1.6", 0.005)
    unknown: list[UnknownCode] = []
    gateway = Gateway(
        Client(),
        view=View(),
        running=RunningSessions(),
        keyed_ids=KeyedIds(SECRET),
        start_keys=StartKeys(SECRET),
        passwords=ChargerPasswords(SECRET),
        unknown=unknown.append,
        clock=lambda: 1_000,
    )
    connected = Connected()
    gateway.connected(connected)
    gateway.reports.connector_status(
        connected.charger, connector=1, status="Preparing", error_code="NoError"
    )
    async with asyncio.timeout(10):
        while START not in connected.told:  # beside what every charger is told
            connected.something.clear()
            await connected.something.wait()
    decision = gateway.deciding.authorize(connected.charger, ANONYMOUS)
    assert isinstance(decision, Decision)
    assert (decision.accepted, decision.user_id) == (True, None)
    connected.charger.installation.authorisation_required = True
    for token in (ANONYMOUS, "04A1B2C3"):
        decision = gateway.deciding.authorize(connected.charger, token)
        assert isinstance(decision, Decision)
        assert decision.reason == "identification_unknown"
    assert [each.code for each in unknown] == ["04A1B2C3"]
    connected.charger.installation.authorisation_required = False
    gateway.reports.connector_status(
        connected.charger, connector=2, status="Preparing", error_code="NoError"
    )
    gateway.disconnected(connected)
    await gateway.reconciler.close()
    await gateway.free_vending.close()
    assert connected.told.count(START) == 1
