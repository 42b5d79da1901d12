"""JetStream's directory is deleted while the system runs: what the bus knew comes back.

ACCESS and IDENTITY are refilled from the event stores, SESSIONS is told by the gateway
of what still runs, and who reacted to an event, or kept it, does so no second time.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from chargekey.access.v1 import chargers_pb2
from chargekey.identity.v1 import identifications_pb2, users_pb2
from chargekey_stack import supervisor
from chargekey_stack.client import Client, connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.supervisor import running
from chargekey_stack.system import System

from .garage import CHARGER, authorize, create_garage, eventually, refusals, sessions
from .outages import PATIENCE, Outages, insist
from .records import Rows, messages, notifications, stored, streamed
from .stubborn_charger import StubbornCharger, stubborn_charger

ADAS, BOBS, NOBODYS, CAROLS = "#2468", "#1357", "#9999", "#8642"
OTHER_CHARGER = "CP-2"
SERVICES = ("access", "identity", "gateway", "history", "notifier")


class Site:
    """A garage with two chargers and a past: Bob has charged and is blocked, Carol may charge."""

    first: StubbornCharger
    second: StubbornCharger
    ada: str
    installation_id: str

    def __init__(
        self, data: DataDirectory, system: System, client: Client, outages: Outages
    ) -> None:
        self.data = data
        self.system = system
        self.client = client
        self.outages = outages

    async def build(self, stack: AsyncExitStack) -> None:
        """Build it and live through its past."""
        garage = await create_garage(self.client, ADAS)
        self.ada, self.installation_id = garage.user_id, garage.installation_id
        other = await self.client.chargers.AddCharger(
            chargers_pb2.AddChargerRequest(
                installation_id=garage.installation_id, ocpp_identity=OTHER_CHARGER
            )
        )
        bob, *his = await self.add(garage.installation_id, "Bob", BOBS)
        _, *hers = await self.add(garage.installation_id, "Carol", CAROLS)
        await authorize(self.client, ADAS, *garage.positions, other.position, *his, *hers)
        self.first, self.second = [
            await stack.enter_async_context(stubborn_charger(self.system.ocpp, name, password))
            for name, password in ((CHARGER, garage.password), (OTHER_CHARGER, other.password))
        ]
        over, verdict = await self.second.start(self.second.start_of(BOBS))
        assert verdict == "Accepted"
        await self.second.stop(over)
        refused, verdict = await self.second.start(self.second.start_of(NOBODYS))
        assert verdict == "Invalid"
        await self.second.stop(refused)
        await self.block(bob)
        assert await self.mails(1) == 1

    async def add(self, installation_id: str, name: str, pin: str) -> tuple[str, str, str]:
        """Add somebody; return his id, and the positions that include him."""
        user = await self.client.add_local_user(
            users_pb2.AddLocalUserRequest(
                installation_id=installation_id, first_name=name, last_name="Somebody"
            )
        )
        added = await self.client.identifications.AddIdentification(
            identifications_pb2.AddIdentificationRequest(
                user_id=user.user_id, type=identifications_pb2.IDENTIFICATION_TYPE_PIN, code=pin
            )
        )
        return user.user_id, user.access_position, added.position

    async def block(self, user_id: str) -> None:
        request = users_pb2.BlockUserRequest(command_id=f"block-{user_id}", user_id=user_id)
        await insist(self.client.users.BlockUser, request)

    async def mails(self, least: int) -> int:
        """Return how many mails there are, once there are so many."""

        async def look() -> int:
            return len(list(self.data.mail.glob("*.eml")))

        return await eventually(look, lambda found: found >= least, PATIENCE)

    def lose_disk(self) -> None:
        """Delete JetStream's directory under the running server."""
        # Away at once: the server makes files in it while it is being deleted.
        lost = self.data.nats.rename(self.data.path / "lost")
        shutil.rmtree(lost)

    def rows(self) -> dict[str, Rows]:
        """Return what the event stores hold."""
        return {service: stored(self.data, service) for service in ("access", "identity")}

    async def refilled(self, sessions_running: int) -> None:
        """Return once every stream says again what the stores do, and what runs."""

        async def rows() -> dict[str, Rows]:
            return {name: await streamed(self.data, self.system.nats, name) for name in self.rows()}

        async def told() -> int:
            found = await messages(self.data, self.system.nats, "SESSIONS")
            return sum((each.subject or "").endswith(".SessionStarted") for each in found)

        await eventually(rows, self.rows().__eq__, PATIENCE)
        assert await eventually(told, sessions_running.__le__, PATIENCE) == sessions_running

    async def past(self) -> Counter[tuple[int, bool]]:
        """Return the sessions on record: their transaction ids, and whether they are over."""
        found = await sessions(self.client)
        return Counter((each.transaction_id, each.HasField("ended_at")) for each in found)


@asynccontextmanager
async def site(path: Path) -> AsyncIterator[Site]:
    data, outages = DataDirectory(path), Outages()
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(running(data, tell=outages.tell))
        client = await stack.enter_async_context(connected(data))
        built = Site(data, system, client, outages)
        await built.build(stack)
        yield built


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "DELAYS", (0.05,))


@pytest.mark.parametrize(
    ("how", "restarted"),
    [(signal.SIGKILL, False), (signal.SIGTERM, True)],
    ids=["others run on", "all restarted"],
)
async def test_a_deleted_bus_is_filled_again_and_nothing_is_done_twice(
    tmp_path: Path, how: signal.Signals, restarted: bool
) -> None:
    """R21, R23."""
    async with site(tmp_path / "data") as here:
        start = here.first.start_of(ADAS)
        started, verdict = await here.first.start(start)
        assert verdict == "Accepted"
        past = await eventually(here.past, lambda found: (started, False) in found)
        refused = await eventually(lambda: refusals(here.client), bool)
        rows = here.rows()

        here.lose_disk()
        here.outages.strike(how, "nats")
        await here.outages.until_all_run()
        await here.refilled(1)
        if restarted:
            here.outages.strike(signal.SIGTERM, *SERVICES)
            await here.outages.until_all_run()
        await goes_on(here, start, started)

        # Nobody was granted anything again, and what history knew it still knows.
        assert here.rows()["access"] == rows["access"]
        assert len(here.rows()["identity"]) == len(rows["identity"]) + 1  # Ada's block
        assert past - await here.past() == Counter({(started, False): 1})
        assert list(await refusals(here.client))[-len(refused) :] == list(refused)
    assert here.outages.ends().total() == len(here.outages.struck)


async def goes_on(here: Site, start: object, started: int) -> None:
    """Ada charges as before: the same id, her lock, her stop; and the mails are as many."""
    assert (await authorize(here.client, ADAS)).reason == "installation_permission"
    assert await here.second.authorize(BOBS) == "Blocked"
    contending, verdict = await here.second.start(here.second.start_of(ADAS))
    assert verdict == "ConcurrentTx"
    await here.second.stop(contending)
    assert await here.first.start(start) == (started, "Accepted")
    await here.first.stop(started)
    await eventually(here.past, lambda found: (started, True) in found, PATIENCE)
    again, verdict = await here.second.start(here.second.start_of(ADAS))
    assert verdict == "Accepted"
    assert again > contending > started
    # In order, so a mail sent again would come before this one.
    await here.block(here.ada)
    await here.second.wait_until_told_to_stop(again)
    await here.second.stop(again)
    await eventually(here.past, lambda found: (again, True) in found, PATIENCE)
    assert await here.mails(2) == 2


async def test_a_bus_that_runs_on_without_its_disk_is_filled_again_once_it_is_restarted(
    tmp_path: Path,
) -> None:
    """Until then what was stored in vain is not lost: chargers ask again, stores have it."""
    async with site(tmp_path / "data") as here:
        start = here.first.start_of(ADAS)
        started, _ = await here.first.start(start)
        here.lose_disk()
        carols = here.second.start_of(CAROLS)
        starting = asyncio.create_task(here.second.start(carols))
        request = users_pb2.AddLocalUserRequest(
            command_id="dave",
            installation_id=here.installation_id,
            first_name="Dave",
            last_name="Somebody",
        )
        dave = await insist(here.client.users.AddLocalUser, request)
        assert await here.first.authorize(ADAS) == "Accepted"

        here.outages.strike(signal.SIGTERM, "nats")
        await here.outages.until_all_run()
        carol, verdict = await starting
        assert verdict == "Accepted"
        await here.refilled(2)
        assert await here.second.start(carols) == (carol, "Accepted")
        await here.second.stop(carol)
        await goes_on(here, start, started)
        while dave.pending:
            dave = await insist(here.client.users.AddLocalUser, request)
        grants = [each.topic for each in notifications(here.data, "access")]
        assert grants.count("access.PermissionGranted") == 4
        assert (await here.past())[carol, True] == 1
    assert here.outages.ends().total() == len(here.outages.struck)
