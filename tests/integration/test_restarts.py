"""Any process stopped and started in any order, under taps and commands.

People are blocked, granted and given other PINs, and chargers start and stop, while
processes are killed, or told to end, one or several at a time. What each person may
do is known from a model of a few lines that shares nothing with the system.

CHARGEKEY_RESTARTS sets how many rounds of killing there are beyond the first ones,
which reach every process both ways; CHARGEKEY_SEED repeats an order.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, closing
from email import message_from_bytes
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from chargekey.access.v1 import chargers_pb2, installations_pb2, permissions_pb2
from chargekey.gateway.v1 import gateway_pb2
from chargekey.identity.v1 import identifications_pb2, users_pb2
from chargekey_stack import supervisor
from chargekey_stack.client import Client, connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.supervisor import running
from chargekey_stack.system import System
from chargekey_stack.words import VERDICTS

from .garage import eventually
from .outages import PATIENCE, PROCESSES, Outages, insist, pids
from .records import notifications, stored, streamed
from .stubborn_charger import StubbornCharger, stubborn_charger

ROUNDS = int(os.environ.get("CHARGEKEY_RESTARTS", "0"))
SEED = int(os.environ.get("CHARGEKEY_SEED") or time.time_ns() % 2**32)
PERSONS = 3
# Seconds between two rounds of somebody: else most of the machine is his, and who is to come back
# takes as much longer.
PAUSE = 0.1

Answer = TypeVar("Answer")


def told(answer: Any) -> dict[str, Any]:
    """Return what a command answers the same for good: all but how far the stores are."""
    return {
        field.name: value
        for field, value in answer.ListFields()
        if not field.name.endswith("position") and field.name != "pending"
    }


class Person:
    """Somebody with a PIN, and what must hold for him: the model."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.user_id = self.identification_id = self.permission_id = ""
        self.pin = ""
        self.blocked = self.granted = False
        self.status = identifications_pb2.IDENTIFICATION_STATUS_ACTIVE
        self._positions: dict[str, str] = {}

    @property
    def positions(self) -> Sequence[str]:
        """From where all that was done about this person is visible."""
        return tuple(self._positions.values())

    def moved(self, *positions: str) -> None:
        """Keep the last position of each service."""
        self._positions |= {each.partition(":")[0]: each for each in positions}

    def may_charge(self) -> str:
        if self.blocked or self.status == identifications_pb2.IDENTIFICATION_STATUS_BLOCKED:
            return "Blocked"
        if self.status == identifications_pb2.IDENTIFICATION_STATUS_INACTIVE or not self.granted:
            return "Invalid"
        return "Accepted"


class World:
    """What the loops did and were answered, to be held against what the system tells later."""

    def __init__(self, client: Client, data: DataDirectory, rng: random.Random) -> None:
        self.client = client
        self.data = data
        self.rng = rng
        self.ending = False
        self.installation_id = ""
        self.persons = [Person(number) for number in range(PERSONS + 1)]
        self.chargers: list[StubbornCharger] = []
        # Transaction ids.
        self.accepted: set[int] = set()
        self.refused: set[int] = set()
        self.commands = self.blocks = self.grants = 0
        self._pins = itertools.count(1000)
        self._steps: Counter[str] = Counter()
        self._stepped = asyncio.Condition()

    async def build(self, system: System, stack: AsyncExitStack) -> None:
        """Build a site with a charger for each person, and two to contend for."""
        site = installations_pb2.CreateInstallationRequest(name="Home", time_zone="Europe/Oslo")
        self.installation_id = (
            await self.command(self.client.installations.CreateInstallation, site)
        ).installation_id
        for number in range(PERSONS + 2):
            identity = f"CP-{number}"
            charger = chargers_pb2.AddChargerRequest(
                installation_id=self.installation_id, ocpp_identity=identity
            )
            password = (await self.command(self.client.chargers.AddCharger, charger)).password
            self.chargers.append(
                await stack.enter_async_context(stubborn_charger(system.ocpp, identity, password))
            )

    def next_pin(self) -> str:
        return f"#{next(self._pins)}"

    async def step(self, who: str) -> None:
        await asyncio.sleep(PAUSE)
        async with self._stepped:
            self._steps[who] += 1
            self._stepped.notify_all()

    async def progress(self, loops: Sequence[asyncio.Task[None]]) -> None:
        """Return once every loop has come round again; raises what ended one."""
        before = Counter(self._steps)

        async def all_stepped() -> None:
            async with self._stepped:
                await self._stepped.wait_for(
                    lambda: (
                        len(self._steps) == len(loops)
                        and all(count > before[who] for who, count in self._steps.items())
                    )
                )

        stepping = asyncio.create_task(all_stepped())
        try:
            await asyncio.wait(
                {stepping, *loops}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED
            )
            for loop in loops:
                if loop.done():
                    await loop
            assert stepping.done(), (before, self._steps)
        finally:
            stepping.cancel()
            await asyncio.gather(stepping, return_exceptions=True)

    async def command(self, method: Callable[..., Awaitable[Answer]], request: Any) -> Answer:
        """Have a command done once; sent again it is answered the same."""
        request.command_id = str(uuid.uuid4())
        self.commands += 1
        answer = await insist(method, request)
        if self.rng.random() < 0.3:
            again = await insist(method, request)
            assert told(again) == told(answer)
        return answer

    async def start(self, charger: StubbornCharger, pin: str) -> tuple[int, str]:
        """Start; a start whose answer was lost gets the same id and verdict (R23)."""
        start = charger.start_of(pin)
        if self.rng.random() < 0.2:
            asyncio.get_running_loop().call_soon(charger.lose_connection)
        answered = await charger.start(start)
        if self.rng.random() < 0.3:
            assert await charger.start(start) == answered
        transaction_id, verdict = answered
        assert transaction_id not in self.accepted | self.refused
        (self.accepted if verdict == "Accepted" else self.refused).add(transaction_id)
        return answered

    async def stop(self, charger: StubbornCharger, transaction_id: int) -> None:
        """Stop; a stop whose answer was lost is answered again."""
        await charger.stop(transaction_id)
        if self.rng.random() < 0.3:
            await charger.stop(transaction_id)

    async def authorize(self, identity: str, pin: str, at_least: Sequence[str]) -> str:
        answer = await insist(
            self.client.gateway.Authorize,
            gateway_pb2.AuthorizeRequest(
                ocpp_identity=identity, code=pin, at_least=at_least, explain=True
            ),
        )
        return VERDICTS.word(answer.status)


async def add(world: World, person: Person) -> None:
    """Add a person: the permission follows from the user by itself."""
    adding = users_pb2.AddLocalUserRequest(
        installation_id=world.installation_id,
        first_name=f"Number {person.number}",
        last_name="Person",
    )
    user = await world.command(world.client.users.AddLocalUser, adding)
    while user.pending:  # somebody was killed in between: the permission follows later
        user = await insist(world.client.users.AddLocalUser, adding)
    person.user_id = user.user_id
    person.granted = True
    world.grants += 1
    granted = permissions_pb2.ListPermissionsRequest(installation_id=world.installation_id)
    permissions = (await insist(world.client.permissions.ListPermissions, granted)).permissions
    [person.permission_id] = [each.id for each in permissions if each.user_id == user.user_id]
    person.pin = world.next_pin()
    added = await world.command(
        world.client.identifications.AddIdentification,
        identifications_pb2.AddIdentificationRequest(
            user_id=person.user_id,
            type=identifications_pb2.IDENTIFICATION_TYPE_PIN,
            code=person.pin,
        ),
    )
    person.identification_id = added.identification_id
    person.moved(user.access_position, added.position)


async def change(world: World, person: Person) -> None:
    """Do one command, anything."""
    client = world.client
    match world.rng.choice(("block", "pin", "status", "grant")):
        case "block" if person.blocked:
            answer: Any = await world.command(
                client.users.UnblockUser, users_pb2.UnblockUserRequest(user_id=person.user_id)
            )
            person.blocked = False
        case "block":
            answer = await world.command(
                client.users.BlockUser, users_pb2.BlockUserRequest(user_id=person.user_id)
            )
            person.blocked = True
            world.blocks += 1
        case "pin":
            pin = world.next_pin()
            answer = await world.command(
                client.identifications.ChangeIdentification,
                identifications_pb2.ChangeIdentificationRequest(
                    identification_id=person.identification_id, code=pin
                ),
            )
            person.pin = pin
        case "status":
            status = world.rng.choice(
                (
                    identifications_pb2.IDENTIFICATION_STATUS_ACTIVE,
                    identifications_pb2.IDENTIFICATION_STATUS_BLOCKED,
                    identifications_pb2.IDENTIFICATION_STATUS_INACTIVE,
                )
            )
            answer = await world.command(
                client.identifications.ChangeIdentification,
                identifications_pb2.ChangeIdentificationRequest(
                    identification_id=person.identification_id, status=status
                ),
            )
            person.status = status
        case "grant" if person.granted:
            answer = await world.command(
                client.permissions.RevokePermission,
                permissions_pb2.RevokePermissionRequest(permission_id=person.permission_id),
            )
            person.granted = False
        case _:
            answer = await world.command(
                client.permissions.GrantPermission,
                permissions_pb2.GrantPermissionRequest(
                    installation_id=world.installation_id,
                    user_id=person.user_id,
                    roles=[permissions_pb2.ROLE_USER],
                ),
            )
            person.granted = True
            world.grants += 1
    person.moved(answer.position)


async def be_someone(world: World, person: Person, charger: StubbornCharger) -> None:
    """Command, tap, start, stop, all about one person at one charger."""
    identity = charger.identity
    await add(world, person)
    while not world.ending:
        await world.step(identity)
        old_pin = person.pin
        if world.rng.random() < 0.5:
            await change(world, person)
        # The first answer that includes the change; from then on every one does.
        assert await world.authorize(identity, person.pin, person.positions) == person.may_charge()
        assert await world.authorize(identity, person.pin, ()) == person.may_charge()
        assert await charger.authorize(person.pin) == person.may_charge()
        if old_pin != person.pin:
            assert await charger.authorize(old_pin) == "Invalid"
        transaction_id, verdict = await world.start(charger, person.pin)
        assert verdict == person.may_charge()
        if verdict == "Accepted" and world.rng.random() < 0.3:
            await world.command(
                world.client.users.BlockUser,
                users_pb2.BlockUserRequest(user_id=person.user_id),
            )
            person.blocked = True
            world.blocks += 1
            await charger.wait_until_told_to_stop(transaction_id)  # R12
        await world.stop(charger, transaction_id)
        if person.may_charge() != "Accepted" and world.rng.random() < 0.5:
            await restore(world, person)


async def restore(world: World, person: Person) -> None:
    while person.may_charge() != "Accepted":
        await change(world, person)


async def contend(world: World, person: Person, chargers: Sequence[StubbornCharger]) -> None:
    """Start with one PIN at several chargers at once: one session at a time (R21)."""
    await add(world, person)
    await world.authorize(chargers[0].identity, person.pin, person.positions)
    charging: set[int] = set()

    async def start_and_stop(charger: StubbornCharger) -> str:
        transaction_id, verdict = await world.start(charger, person.pin)
        if verdict == "Accepted":
            charging.add(transaction_id)
            assert charging == {transaction_id}
            assert await charger.authorize(person.pin) == "Accepted"
            charging.remove(transaction_id)
        await world.stop(charger, transaction_id)
        return verdict

    while not world.ending:
        await world.step("contest")
        verdicts = set(await asyncio.gather(*map(start_and_stop, chargers)))
        # No lock outlives its session: somebody gets it.
        assert verdicts in ({"Accepted"}, {"Accepted", "ConcurrentTx"})


def blows(
    rng: random.Random, processes: Sequence[str]
) -> Iterator[tuple[signal.Signals, Sequence[str]]]:
    """Yield how to strike, and whom together: everybody both ways, then anybody anyhow."""
    for how in (signal.SIGKILL, signal.SIGTERM):
        names = rng.sample(processes, len(processes))
        while names:
            together = rng.randint(1, 3)
            yield how, names[:together]
            del names[:together]
    for _ in range(ROUNDS):
        how = rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
        yield how, rng.sample(processes, rng.choice((1, 1, 2, 3, len(processes))))


async def strike(world: World, outages: Outages, loops: Sequence[asyncio.Task[None]]) -> None:
    """Strike blow after blow, until all run again after the last."""
    processes = sorted(pids())
    assert len(processes) >= len(PROCESSES) - 1
    for number, (how, names) in enumerate(blows(world.rng, processes)):
        outages.strike(how, *names)
        # In the first rounds everybody is there; later a blow may fall on who is starting.
        if number < 2 * len(processes) or world.rng.random() < 0.7:
            await outages.until_all_run()
            await world.progress(loops)
    await outages.until_all_run()
    assert set(outages.struck.values()) == set(processes)


async def verify(world: World, system: System) -> None:
    """Hold what the system tells in the end against what it was asked and has answered."""
    client = world.client
    for person in world.persons:
        for charger in world.chargers:
            asked = await world.authorize(charger.identity, person.pin, person.positions)
            assert asked == person.may_charge()
            assert await charger.authorize(person.pin) == person.may_charge()
    all_users = users_pb2.ListUsersRequest(installation_id=world.installation_id)
    users = (await insist(client.users.ListUsers, all_users)).users
    assert {each.id: each.blocked for each in users} == {
        person.user_id: person.blocked for person in world.persons
    }
    about = permissions_pb2.ListPermissionsRequest(installation_id=world.installation_id)
    permissions = (await insist(client.permissions.ListPermissions, about)).permissions
    assert sorted(each.user_id for each in permissions) == sorted(
        person.user_id for person in world.persons if person.granted
    )

    # Acknowledged commands are there, each once.
    topics = Counter(
        each.topic
        for service in ("access", "identity")
        for each in notifications(world.data, service)
    )
    assert topics["access.PermissionGranted"] == world.grants
    assert topics["identity.UserBlocked"] == world.blocks
    for service in ("access", "identity"):
        look = partial(streamed, world.data, system.nats, service)
        await eventually(look, stored(world.data, service).__eq__, PATIENCE)

    # So are starts and stops, also where they came again.
    def past(table: str) -> Sequence[tuple[int, bool]]:
        with closing(
            sqlite3.connect(f"file:{world.data.path}/history/history.db?mode=ro", uri=True)
        ) as db:
            return db.execute(f"SELECT {table}").fetchall()

    async def sessions() -> Sequence[tuple[int, bool]]:
        # The end of a refused start is kept too, where energy flowed all the same.
        began = "started_at IS NOT NULL ORDER BY transaction_id"
        return past(f"transaction_id, ended_at IS NOT NULL FROM sessions WHERE {began}")

    expected = [(number, True) for number in sorted(world.accepted)]
    assert await eventually(sessions, lambda found: found == expected, PATIENCE) == expected

    async def refused() -> int:
        [(count, _)] = past("count(*), 0 FROM refusals WHERE stage = 'start'")
        return count

    refusals = len(world.refused)
    assert await eventually(refused, refusals.__le__, PATIENCE) == refusals

    # One mail a block; the mail sink may have got one twice, under one id.
    async def mails() -> set[str]:
        found = (message_from_bytes(each.read_bytes()) for each in world.data.mail.glob("*.eml"))
        return {str(each["Message-ID"]) for each in found}

    await eventually(mails, lambda found: len(found) >= world.blocks, PATIENCE)
    assert len(await mails()) == world.blocks


@pytest.mark.timeout(150 + 15 * ROUNDS)
async def test_decisions_and_sessions_stay_right_whatever_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S0-24, R12, R21, R23; no acknowledged command is lost, none is done twice."""
    print("CHARGEKEY_SEED", SEED)  # noqa: T201 - shown with a failure
    monkeypatch.setattr(supervisor, "DELAYS", (0.05,))
    data = DataDirectory(tmp_path / "data")
    outages = Outages()
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(running(data, tell=outages.tell))
        client = await stack.enter_async_context(connected(data))
        world = World(client, data, random.Random(SEED))  # noqa: S311 - an order, no secret
        await world.build(system, stack)
        loops = [
            *(
                asyncio.create_task(be_someone(world, person, charger))
                for person, charger in zip(world.persons[:PERSONS], world.chargers, strict=False)
            ),
            asyncio.create_task(contend(world, world.persons[-1], world.chargers[PERSONS:])),
        ]
        try:
            await world.progress(loops)
            await strike(world, outages, loops)
            world.ending = True
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*loops)
            await verify(world, system)
        finally:
            print(*outages.lines, sep="\n")  # noqa: T201 - shown with a failure
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
        print(  # noqa: T201 - what a long run is run for
            f"{len(outages.struck)} blows, {len(world.accepted)} sessions,"
            f" {len(world.refused)} refused starts, {world.commands} commands,"
            f" {sum(each.connections for each in world.chargers)} connections: {outages.ends()}"
        )
    assert outages.ends().total() == len(outages.struck)
    # Nobody fell because another did, and whoever is told to end does so well.
    assert {how for _, how in outages.ends()} <= {"SIGKILL", "SIGTERM", "exit status 0"}
