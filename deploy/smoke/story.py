"""What is shown: the main job through the manifests, and what a cluster does to pods."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from typing import Any

import msgspec

from chargekey_stack.answers import say
from chargekey_stack.client import connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.simulator import ACCEPTED, simulated_charger
from chargekey_stack.story import Story, eventually, expect
from chargekey_stack.system import System
from smoke.chargers import COUNT, Charging, charging, sessions
from smoke.manifests import OURS
from smoke.pods import Pods

PIN = "#2468"
MIGRATIONS = ("access-migrate", "identity-migrate", "history-migrate", "notifier-migrate")
# What is started after the gateway and NATS, all at once.
OTHERS = ("access", "identity", "history", "notifier", "portal", "cli")
ALL = ("postgres", "nats", "gateway", *OTHERS)
GRPC = ("access", "identity", "gateway", "history", "notifier")
# Those with a shell, whose root is tried to write to.
WITH_SHELL = ("gateway", *OTHERS)
# Seconds that a gateway without NATS is watched.
WITHOUT_NATS = 3.0
POLL = 0.1
# In a second as many times more connections may be closed than if each took its turn.
UNEVEN = 4
MIB = 2**20
KILLED = 137


class Smoke:
    """The steps, one after the other, on pods that run nowhere else."""

    def __init__(self, pods: Pods, data: DataDirectory, *, closing_spread: float) -> None:
        self._pods = pods
        self._data = data
        self._spread = closing_spread
        self.story = Story(say, shown=False)

    async def tell(self) -> None:
        """Tell all of it; raises DemoDifferedError where something is not as it should be."""
        await self._start()
        await self._main_job()
        with self._data.announced(msgspec.json.encode(self._system())):
            await self._drain()
        await self._confinement()

    async def _start(self) -> None:
        tell, pods = self.story.tell, self._pods
        with self.story.step("PostgreSQL runs"):
            await pods.start("postgres")
        with self.story.step("The migration jobs have made the tables"):
            await _all({name: pods.finish(name) for name in MIGRATIONS})
        with self.story.step("The gateway, started before NATS, is alive and not ready"):
            await self._gateway_alone()
        began = time.monotonic()
        with self.story.step("With NATS and the others there, everything is ready"):
            seconds = await _all(
                {name: pods.start(name) for name in ("nats", *OTHERS)} | {"gateway": self._ready()}
            )
        tell(f"    in {time.monotonic() - began:.1f} s, all starting at once; each in seconds:")
        tell("    " + ", ".join(f"{name} {taken:.1f}" for name, taken in seconds.items()))
        used = {name: (await pods.memory(name)).used // MIB for name in ALL}
        tell("    MiB: " + ", ".join(f"{name} {mib}" for name, mib in used.items()))

    async def _gateway_alone(self) -> None:
        await self._pods.play("gateway")
        await eventually("its health", lambda: self._pods.alive("gateway"), bool)
        deadline = time.monotonic() + WITHOUT_NATS
        while time.monotonic() < deadline:
            expect("whether it is alive", await self._pods.alive("gateway"), wanted=True)
            expect("whether it is ready", await self._pods.ready("gateway"), wanted=False)
            await asyncio.sleep(POLL)

    async def _ready(self) -> float:
        began = time.monotonic()
        await self._pods.until_ready("gateway")
        return time.monotonic() - began

    async def _main_job(self) -> None:
        with self.story.step("An installation, a charger, and Ada with a PIN, by the command line"):
            site = await self._chargekey(
                *("installation", "create", "--name", "Smoke", "--time-zone", "Europe/Oslo")
            )
            charger = await self._chargekey(
                *("charger", "add", "--installation", site["id"], "--ocpp-identity", "SMOKE-1")
            )
            ada = await self._chargekey(
                *("user", "add-local", "--installation", site["id"]),
                *("--first-name", "Ada", "--last-name", "Lovelace"),
            )
            await self._chargekey(
                "identification", "add", "--user", ada["id"], "--type", "pin", "--code", PIN
            )
            given = await self._chargekey("permission", "list", "--installation", site["id"])
            expect("who may charge", [it["user_id"] for it in given["permissions"]], [ada["id"]])
        url = self._system().ocpp
        async with simulated_charger(url, "SMOKE-1", charger["password"]) as socket:
            with self.story.step(f"Her charger connects, {PIN} is accepted, a session begins"):
                await socket.boot()
                await eventually(
                    "the permission", lambda: socket.authorize(PIN), lambda it: it == ACCEPTED
                )
                expect("the answer", (await socket.start(PIN)).status, ACCEPTED)
            with self.story.step("She is blocked: the session is stopped, the next tap refused"):
                await self._chargekey("user", "block", ada["id"])
                expect("why it stopped", await socket.stopped(), "Remote")
                expect("the answer", await socket.authorize(PIN), "Blocked")
        decision = await self._chargekey("authorize", "--charger", "SMOKE-1", "--code", PIN)
        expect("the reason", decision["reason"], "user_blocked")

    async def _drain(self) -> None:
        tell, pods = self.story.tell, self._pods
        began = time.monotonic()
        async with connected(self._data) as client, charging(client) as fleet:
            tell(
                f"  ✓ {COUNT} chargers charge; made and started in {time.monotonic() - began:.0f} s"
            )
            memory = await pods.memory("gateway")
            tell(f"    The gateway has {memory.used // MIB} MiB then, of {memory.limit // MIB}.")
            before = fleet.transactions()
            expect("how many sessions run", len(before), COUNT)
            await eventually(
                "the sessions in history",
                lambda: sessions(client, fleet.site, running=True),
                lambda found: before <= found,
            )
            with self.story.step("The gateway is told to end, and does so in order"):
                how = await self._end_gateway(fleet)
            tell(how)
            with self.story.step("A new one is ready"):
                await pods.remove("gateway")
                seconds = await pods.start("gateway")
            began = time.monotonic()
            with self.story.step("Every charger is back"):
                await fleet.all_online()
            back = time.monotonic() - began
            tell(f"    It was ready in {seconds:.1f} s, and all were back {back:.1f} s later.")
            with self.story.step("No session is lost: all run, under the numbers they had"):
                expect("what chargers know", fleet.transactions(), before)
                expect(
                    "what history knows", await sessions(client, fleet.site, running=True), before
                )
            with self.story.step("They end as sessions do, and there are no others"):
                await fleet.stop()
                await eventually(
                    "the ends",
                    lambda: sessions(client, fleet.site, running=True),
                    lambda found: not found,
                )
                expect("all", await sessions(client, fleet.site, running=False), before)

    async def _end_gateway(self, fleet: Charging) -> str:
        """Let it end while all charge; return what was measured."""
        losses, began = fleet.losses, time.monotonic()
        ending = asyncio.create_task(self._pods.stop("gateway"))
        while await self._pods.ready("gateway"):
            await asyncio.sleep(POLL)
        unready = time.monotonic() - began
        still_there = COUNT - len(losses.at)
        ended = await ending
        expect("the exit status", ended.status, 0)
        expect("what connections were closed with", dict(losses.by), {"1012": COUNT})
        first, last = min(losses.at) - began, max(losses.at) - began
        most = losses.most_within(1.0)
        expect("whether closing is paced", most * self._spread <= UNEVEN * COUNT, wanted=True)
        grace = self._pods.workload("gateway").grace
        return (
            f"    Not ready after {unready:.1f} s, when {still_there} were connected."
            f" All closed with 1012,\n    from {first:.1f} s to {last:.1f} s, at most {most} within"
            f" a second. Ended with 0 after {ended.seconds:.1f} s of {grace}."
        )

    async def _confinement(self) -> None:
        pods = self._pods
        with self.story.step("Nobody is root, may become it, or can write where he is not to"):
            for name in ALL:
                process = await pods.process(name)
                expect(f"the user of {name}", process.user, OURS)
                expect(f"the capabilities of {name}", process.capabilities, 0)
                expect(f"no new privileges of {name}", process.no_new_privileges, wanted=True)
                expect(f"seccomp of {name}", process.filtered, wanted=True)
                expect(f"the read-only root of {name}", process.read_only, wanted=True)
            for name in WITH_SHELL:
                status, _, trouble = await pods.run_in(name, "touch", "/written")
                expect(f"writing to / of {name}", status != 0, wanted=True)
                expect(f"why not, in {name}", "Read-only file system" in trouble, wanted=True)
        with self.story.step("The limits of memory are in force"):
            for name in ALL:
                limit = pods.workload(name).memory
                expect(f"the limit of {name}", (await pods.memory(name)).limit, limit)
            expect("the end of one that takes more", await pods.overfilled("history"), KILLED)
        memory = {name: await pods.memory(name) for name in ALL}
        self.story.tell("    MiB used, the most with what files were read, and the limit:")
        for name, it in memory.items():
            figures = (each // MIB for each in (it.used, it.most, it.limit))
            self.story.tell(f"    {name:<10}" + "".join(f"{each:>7}" for each in figures))

    def _system(self) -> System:
        address = self._pods.address
        return System(
            ocpp=f"ws://{address('gateway')}:9000/ocpp",
            portal=f"http://{address('portal')}:8080",
            administrator="administrator@chargekey.test",
            partners=f"http://{address('notifier')}:8080",
            nats=f"nats://{address('nats')}:4222",
            grpc={name: f"{address(name)}:50051" for name in GRPC},
            data=str(self._data.path),
        )

    async def _chargekey(self, *arguments: str) -> dict[str, Any]:
        """Return what the command answers in the pod that is there for it."""
        status, said, trouble = await self._pods.run_in("cli", "chargekey", *arguments, "--json")
        expect(f"the status of {arguments[0]} {arguments[1]} ({trouble.strip()})", status, 0)
        answer: dict[str, Any] = msgspec.json.decode(said)
        return answer


async def _all(work: Mapping[str, Awaitable[float]]) -> dict[str, float]:
    """Do all at once; return what each took."""
    return dict(zip(work, await asyncio.gather(*work.values()), strict=True))
