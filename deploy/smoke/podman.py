"""Podman, with a store and a configuration of its own: nobody else's containers are touched."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec

# Seconds for the longest that is asked of it, which is to build images.
LONGEST = 600.0
CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{running}/libpod"
[network]
network_backend = "netavark"
network_config_dir = "{store}/networks"
"""
STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{store}/storage"
runroot = "{running}/storage"
"""


class PodmanError(Exception):
    """It did not do what it was asked; it says why."""


class Podman:
    """The command, on a store below `store`; only one at a time may use that."""

    def __init__(self, program: str, store: Path) -> None:
        running = Path("/run/chargekey-smoke")
        for directory in (store, running, store / "networks"):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._program = program
        self._store = store
        self.environment = dict(os.environ)
        for variable, name, text in (
            ("CONTAINERS_CONF", "containers.conf", CONFIGURATION),
            ("CONTAINERS_STORAGE_CONF", "storage.conf", STORAGE),
        ):
            (store / name).write_text(text.format(store=store, running=running))
            self.environment[variable] = str(store / name)

    async def __call__(self, *arguments: str | Path) -> str:
        """Return what it answers; raises PodmanError."""
        status, said, trouble = await self.tried(*arguments)
        if status:
            message = f"podman {arguments[0]}: {trouble.strip() or said.strip()}"
            raise PodmanError(message)
        return said

    async def tried(self, *arguments: str | Path) -> tuple[int, str, str]:
        """Return its exit status and what it said on standard output and error."""
        process = await asyncio.create_subprocess_exec(
            self._program,
            *map(str, arguments),
            env=self.environment,
            cwd=self._store,  # conmon notes a pod out of memory in a file where it stands
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(LONGEST):
                said, trouble = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, said.decode(), trouble.decode()

    async def inspected(self, *arguments: str) -> dict[str, Any]:
        """Return what it knows of one thing: of a container, or as `network inspect NAME`."""
        words = arguments if len(arguments) > 1 else ("inspect", *arguments)
        found: dict[str, Any] = msgspec.json.decode(await self(*words))[0]
        return found

    async def has_image(self, name: str) -> bool:
        """Whether the image is in the store."""
        status, _, _ = await self.tried("image", "exists", name)
        return status == 0

    async def clear(self) -> None:
        """Remove everything that runs or was made to run; images stay."""
        await self("pod", "rm", "--force", "--all", "--time", "0")
        await self("rm", "--force", "--all", "--time", "0")
        await self("volume", "rm", "--force", "--all")
        await self("network", "prune", "--force")
