"""The pods that run, seen as a cluster sees them: by their probes, their cgroups, their ends."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from pathlib import Path

import httpx2
import msgspec

from smoke.manifests import Manifests, Probe, Workload
from smoke.podman import Podman

NETWORK = "chargekey-smoke"
# Seconds for whoever starts to be ready, and between two looks.
PATIENCE = 60.0
POLL = 0.05
ASKING = 2.0
# Addresses of the network that podman hands out itself.
FIRST = 10


class NotReadyError(Exception):
    """A pod that should have become ready did not."""


class Ended(msgspec.Struct, frozen=True):
    """How a container ended."""

    status: int
    seconds: float


class Memory(msgspec.Struct, frozen=True):
    """Bytes of a container: what it may have, what it has, the most it has had."""

    limit: int
    used: int
    most: int


class Process(msgspec.Struct, frozen=True):
    """What the kernel lets a container's first process do."""

    user: int
    capabilities: int
    no_new_privileges: bool
    filtered: bool
    read_only: bool


class Pods:
    """Plays workloads on a network of their own, each at an address that stays its own."""

    def __init__(self, podman: Podman, manifests: Manifests, work: Path) -> None:
        self._podman = podman
        self._manifests = manifests
        self._work = work
        self._addresses: dict[str, str] = {}

    async def open_network(self) -> None:
        """Make the network, and say who has which address there."""
        await self._podman("network", "create", NETWORK)
        network = await self._podman.inspected("network", "inspect", NETWORK)
        subnet = ipaddress.ip_network(network["subnets"][0]["subnet"])
        self._addresses = {
            name: str(subnet[FIRST + number])
            for number, name in enumerate(sorted(self._manifests.workloads))
        }

    def address(self, name: str) -> str:
        """Return a workload's address."""
        return self._addresses[name]

    def workload(self, name: str) -> Workload:
        """Return what the manifests say of it."""
        return self._manifests.workloads[name]

    async def play(self, name: str) -> Workload:
        """Start a workload, in place of what may be left of it."""
        workload = self._manifests.workloads[name]
        file = self._work / f"{name}.yaml"
        self._manifests.write(workload, file)
        place = f"{NETWORK}:ip={self.address(name)},alias={name}"
        await self._podman("kube", "play", "--network", place, file)
        return workload

    async def until_ready(self, name: str) -> None:
        """Return once it is ready; raises NotReadyError, with the end of its log."""
        workload = self._manifests.workloads[name]
        try:
            async with asyncio.timeout(PATIENCE):
                while not await self.ready(name):
                    await asyncio.sleep(POLL)
        except TimeoutError:
            _, said, log = await self._podman.tried("logs", "--tail", "20", workload.container)
            message = f"{name} is not ready after {PATIENCE:g} s:\n{said}{log}"
            raise NotReadyError(message) from None

    async def start(self, name: str) -> float:
        """Start a workload and return after how many seconds it is ready."""
        began = time.monotonic()
        await self.play(name)
        await self.until_ready(name)
        return time.monotonic() - began

    async def finish(self, name: str) -> float:
        """Run a job to its end and return its seconds; raises NotReadyError where it failed."""
        began = time.monotonic()
        workload = await self.play(name)
        status = (await self._podman("wait", workload.container)).strip()
        if status != "0":
            _, said, log = await self._podman.tried("logs", workload.container)
            message = f"{name} ended with {status}:\n{said}{log}"
            raise NotReadyError(message)
        return time.monotonic() - began

    async def alive(self, name: str) -> bool:
        """Whether its liveness probe would do."""
        return await self._passes(name, self._manifests.workloads[name].alive)

    async def ready(self, name: str) -> bool:
        """Whether its readiness probe would do; without one, whether it runs."""
        return await self._passes(name, self._manifests.workloads[name].ready)

    async def run_in(self, name: str, *command: str) -> tuple[int, str, str]:
        """Run a command in a workload's first container: its status, and what it said."""
        container = self._manifests.workloads[name].container
        return await self._podman.tried("exec", container, *command)

    async def stop(self, name: str) -> Ended:
        """Tell it to end, and return how it did within its grace period, or was killed after."""
        workload = self._manifests.workloads[name]
        began = time.monotonic()
        await self._podman("stop", "--time", str(workload.grace), workload.container)
        seconds = time.monotonic() - began
        state = (await self._podman.inspected(workload.container))["State"]
        return Ended(status=state["ExitCode"], seconds=seconds)

    async def remove(self, name: str) -> None:
        """Remove a pod."""
        await self._podman("pod", "rm", "--force", "--time", "0", name)

    async def memory(self, name: str) -> Memory:
        """Return what the kernel says of a workload's first container."""
        state = (await self._podman.inspected(self._manifests.workloads[name].container))["State"]
        return await asyncio.to_thread(_memory, Path(f"/proc/{state['Pid']}"))

    async def process(self, name: str) -> Process:
        """Return what the kernel lets a workload's first container do."""
        found = await self._podman.inspected(self._manifests.workloads[name].container)
        process = Path(f"/proc/{found['State']['Pid']}")
        lines = process.joinpath("status").read_text().splitlines()
        status = {key: value.split() for key, _, value in (each.partition(":") for each in lines)}
        mounts = process.joinpath("mounts").read_text().splitlines()
        root = next(each.split() for each in mounts if each.split()[1] == "/")
        return Process(
            user=int(status["Uid"][0]),
            capabilities=int(status["CapBnd"][0], 16),
            no_new_privileges=status["NoNewPrivs"] == ["1"],
            filtered=status["Seccomp"] == ["2"],
            read_only="ro" in root[3].split(","),
        )

    async def overfilled(self, name: str) -> int:
        """Return how one ends that is played as this, and takes more memory than it may."""
        greedy = self._manifests.workloads[name].with_command(
            "greedy", "python", "-c", "taken = [bytes(2**20) * 2 for _ in range(2**20)]"
        )
        file = self._work / "greedy.yaml"
        self._manifests.write(greedy, file)
        await self._podman("kube", "play", "--network", NETWORK, file)
        return int(await self._podman("wait", greedy.container))

    async def _passes(self, name: str, probe: Probe | None) -> bool:
        if probe is None:
            return True
        if probe.command:
            status, _, _ = await self.run_in(name, *probe.command)
            return status == 0
        try:
            async with httpx2.AsyncClient(timeout=ASKING) as client:
                url = f"http://{self.address(name)}:{probe.port}{probe.path}"
                return (await client.get(url)).is_success
        except httpx2.TransportError:
            return False


def _memory(process: Path) -> Memory:
    """Return what a process's cgroup says, of either version; as kubelet counts what is used."""
    groups = process.joinpath("cgroup").read_text().splitlines()
    own = next(each for each in groups if each.split(":")[1] in {"memory", ""})
    path = own.split(":", 2)[2].lstrip("/")
    if own.split(":")[1]:
        group = Path("/sys/fs/cgroup/memory") / path
        limit, used, most = (
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "memory.max_usage_in_bytes",
        )
        idle = "total_inactive_file"
    else:
        group = Path("/sys/fs/cgroup") / path
        limit, used, most, idle = "memory.max", "memory.current", "memory.peak", "inactive_file"
    statistics = dict(
        each.split() for each in group.joinpath("memory.stat").read_text().splitlines()
    )
    return Memory(
        limit=int(group.joinpath(limit).read_text()),
        used=int(group.joinpath(used).read_text()) - int(statistics[idle]),
        most=int(group.joinpath(most).read_text()),
    )
