"""Two gateways that share the port of chargers, as `chargekey up --gateways 2` runs them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from chargekey.access.v1 import chargers_pb2, installations_pb2
from chargekey.gateway.v1 import commands_pb2
from chargekey.gateway.v1.commands_pb2_grpc import ChargerCommandServiceStub
from chargekey.identity.v1 import identifications_pb2, users_pb2
from chargekey_common.accounts import Signer
from chargekey_common.grpc.client import channel
from chargekey_common.positions import Position
from chargekey_common.testing.waiting import until
from chargekey_stack import cli
from chargekey_stack.client import Client, connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.ports import Ports, Wanted
from chargekey_stack.programs import Addresses, Program, programs
from chargekey_stack.simulator import ACCEPTED, SimulatedCharger, Version, simulated_charger

from .processes import children
from .running_system import RunningSystem, up

GATEWAYS = ("gateway", "gateway-2")
PIN, CARD = "#8024", "04B1C2D3E4F5A6"
# What the kernel gives to one of two at random is not always the same one.
DRAWS = 50
PATIENCE = 30.0
REMOTELY = ("Remote", "Remote")
# Their metrics tell the two apart by what they speak.
ONE: Version = "1.6"
OTHER: Version = "2.0.1"


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """Run the whole system with two gateways."""
    directory = tmp_path_factory.mktemp("several")
    with up(
        directory / "data", directory / "said", "--gateways", "2", working_directory=directory
    ) as running:
        yield running


class Site(msgspec.Struct, frozen=True):
    """A charger each for two identifications of one user; `positions` tell of all of it."""

    chargers: Sequence[str]
    passwords: Sequence[str]
    user_id: str
    positions: Sequence[str]


async def new_site(client: Client) -> Site:
    made = await client.installations.CreateInstallation(
        installations_pb2.CreateInstallationRequest(name="Wide", time_zone="Europe/Oslo")
    )
    chargers = [
        await client.chargers.AddCharger(
            chargers_pb2.AddChargerRequest(
                installation_id=made.installation_id, ocpp_identity=f"SG-{version}"
            )
        )
        for version in (ONE, OTHER)
    ]
    user = await client.add_local_user(
        users_pb2.AddLocalUserRequest(
            installation_id=made.installation_id, first_name="Ada", last_name="Lovelace"
        )
    )
    added = [
        await client.identifications.AddIdentification(
            identifications_pb2.AddIdentificationRequest(user_id=user.user_id, type=kind, code=code)
        )
        for kind, code in (
            (identifications_pb2.IDENTIFICATION_TYPE_PIN, PIN),
            (identifications_pb2.IDENTIFICATION_TYPE_RFID, CARD),
        )
    ]
    return Site(
        [each.charger_id for each in chargers],
        [each.password for each in chargers],
        user.user_id,
        (user.access_position, added[-1].position),
    )


class Gateways:
    """The two processes, each as its own health address and the process table show it."""

    def __init__(self, system: RunningSystem) -> None:
        self._system = system

    async def have(self, positions: Sequence[str]) -> None:
        """Return once the views of both include these."""
        wanted = [Position.parse(each) for each in positions]
        for name in GATEWAYS:
            await until(partial(self._include, name, wanted))

    async def of(self, version: Version) -> str:
        """Return which one has the charger that speaks this, once one has."""
        await until(lambda: len(self._with(version)) == 1)
        [name] = self._with(version)
        return name

    def kill(self, name: str) -> None:
        """Kill it without a word."""
        wanted = f"CHARGEKEY_GATEWAY_DATA={self._system.data / name}".encode()
        [pid] = [
            pid
            for pid, line in children(self._system.process.pid).items()
            if "chargekey-gateway" in line
            and wanted in (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0")
        ]
        os.kill(pid, signal.SIGKILL)

    async def is_back(self, name: str) -> None:
        """Return once the supervisor says that it runs again, and it says so itself."""
        await until(lambda: f"{name} runs again" in self._system.said.read_text())
        assert self._positions(name)

    def _include(self, name: str, wanted: Sequence[Position]) -> bool:
        there = self._positions(name)
        return all(any(each.includes(position) for each in there) for position in wanted)

    def _positions(self, name: str) -> Sequence[Position]:
        found = re.findall(r"[a-z]+:[0-9a-f]{16}:[0-9]+", self._asked(name, "readyz"))
        return [Position.parse(each) for each in found]

    def _with(self, version: Version) -> Sequence[str]:
        return [name for name in GATEWAYS if self._has(name, version)]

    def _has(self, name: str, version: Version) -> bool:
        try:
            told = self._asked(name, "metrics")
        except OSError:  # killed
            return False
        return any(
            sample.value
            for family in text_string_to_metric_families(told)
            if family.name == "ocpp_connections"
            for sample in family.samples
            if sample.labels["version"] == version
        )

    def _asked(self, name: str, path: str) -> str:
        address = self._system.ready["health"][name]
        with urllib.request.urlopen(f"http://{address}/{path}", timeout=PATIENCE) as answer:
            told: str = answer.read().decode()
        return told


def test_each_gateway_has_what_is_its_own_and_all_share_what_is_asked(
    several: RunningSystem,
) -> None:
    health = several.ready["health"]
    assert set(GATEWAYS) < set(health)
    assert len(set(health.values())) == len(health)
    assert set(several.ready["grpc"]) == set(health) - {"gateway-2", "portal"}
    for name in GATEWAYS:
        assert (several.data / "logs" / f"{name}.log").exists()
        assert (several.data / name).stat().st_mode & 0o777 == 0o700


async def test_two_gateways_on_one_port_serve_as_one_and_without_one_the_other_serves_all(
    several: RunningSystem,
) -> None:
    """S0-13, R12, R22: whichever a charger has come to, and whichever is asked."""
    gateways = Gateways(several)
    data = DataDirectory(several.data)
    async with connected(data) as client:
        site = await new_site(client)
        await gateways.have(site.positions)
        async with at_both(several, gateways, site) as (one, other):
            await one_connection_reaches_the_chargers_of_both(data, several, site)
            assert (await one.start(PIN)).status == ACCEPTED
            assert (await other.start(CARD)).status == ACCEPTED
            blocked = await client.users.BlockUser(users_pb2.BlockUserRequest(user_id=site.user_id))
            async with asyncio.timeout(PATIENCE):
                assert tuple(await asyncio.gather(one.stopped(), other.stopped())) == REMOTELY
            await gateways.have([blocked.position])
            unblocked = await client.users.UnblockUser(
                users_pb2.UnblockUserRequest(user_id=site.user_id)
            )
            await gateways.have([unblocked.position])

            victim = await gateways.of(OTHER)
            assert (await other.start(CARD)).status == ACCEPTED
            gateways.kill(victim)
            await other.disconnected()
            await other.come_back()
            assert await one.authorize(PIN) == ACCEPTED
            assert await gateways.of(OTHER) == await gateways.of(ONE) != victim
            assert await other.stop() == "Local"
            await gateways.is_back(victim)
            await moved(other, gateways, OTHER, victim)
            assert await other.authorize(CARD) == ACCEPTED


@asynccontextmanager
async def at_both(
    system: RunningSystem, gateways: Gateways, site: Site
) -> AsyncIterator[tuple[SimulatedCharger, SimulatedCharger]]:
    """Yield a charger at each gateway."""
    url = system.ready["ocpp"]
    one_password, other_password = site.passwords
    async with (
        simulated_charger(url, f"SG-{ONE}", one_password, version=ONE) as one,
        simulated_charger(url, f"SG-{OTHER}", other_password, version=OTHER) as other,
    ):
        await one.boot()
        await other.boot()
        [elsewhere] = {*GATEWAYS} - {await gateways.of(ONE)}
        await moved(other, gateways, OTHER, elsewhere)
        yield one, other


async def moved(charger: SimulatedCharger, gateways: Gateways, version: Version, to: str) -> None:
    """Have it connect anew until it is there."""
    for _ in range(DRAWS):
        if await gateways.of(version) == to:
            return
        await charger.go_offline()
        await charger.come_back()
    pytest.fail(f"of {DRAWS} connections none has come to {to}")


async def one_connection_reaches_the_chargers_of_both(
    data: DataDirectory, system: RunningSystem, site: Site
) -> None:
    """Whoever calls stays with one of them, and so asks it for a charger that it has not."""
    async with contextlib.AsyncExitStack() as stack:
        calls = channel(system.ready["grpc"]["gateway"], Signer.from_file(data.administrator_key))
        stack.push_async_callback(calls.close)
        commands = ChargerCommandServiceStub(calls)
        for charger_id in site.chargers:
            cleared = await commands.ClearCache(
                commands_pb2.ClearCacheRequest(charger_id=charger_id)
            )
            assert cleared.outcome.outcome in {"accepted", "rejected"}


def test_the_view_of_a_gateway_that_is_not_run_is_kept_no_longer(tmp_path: Path) -> None:
    """It would not hear who is to be forgotten."""
    data = DataDirectory(tmp_path)
    with data.locked():
        kept = {name: data.view(name) for name in (*GATEWAYS, "gateway-3")}
        unfinished = kept["gateway-3"].with_name("view.new")
        for view in (*kept.values(), unfinished):
            view.write_bytes(b"who may charge")
        data.keep_views_of(GATEWAYS)
    assert [view.exists() for view in kept.values()] == [True, True, False]
    assert not unfinished.exists()


def gateways_of(data: DataDirectory, number: int) -> dict[str, Program]:
    with contextlib.closing(Ports()) as ports:
        addresses = Addresses.reserve(ports, Wanted(gateways=number))
        ours = programs(data, addresses, "nats://127.0.0.1:1")
    return {each.name: each for each in ours if each.name.startswith("gateway")}


@pytest.mark.parametrize("number", ["0", "17"])
def test_none_and_more_than_machines_are_made_for_are_refused(tmp_path: Path, number: str) -> None:
    said = CliRunner().invoke(cli.app, ["up", "--data", str(tmp_path), "--gateways", number])
    assert said.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_without_a_word_there_is_one_gateway(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    with data.locked():
        assert set(gateways_of(data, 1)) == {"gateway"}
        assert set(gateways_of(data, 3)) == {*GATEWAYS, "gateway-3"}


def test_gateways_differ_in_where_they_keep_and_tell_and_in_nothing_else(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    with data.locked():
        first, second = gateways_of(data, 2).values()
    assert first.command == second.command
    differing = {
        key.removeprefix("CHARGEKEY_GATEWAY_")
        for key, value in first.environment.items()
        if second.environment[key] != value
    }
    assert differing == {"DATA", "HEALTH_ADDRESS", "SNAPSHOT_FILE"}
    assert second.environment["CHARGEKEY_GATEWAY_SNAPSHOT_FILE"] == str(
        tmp_path / "gateway-2" / "view"
    )
