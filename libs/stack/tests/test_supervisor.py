from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from msgspec import structs

from chargekey_common import jetstream
from chargekey_common.nats_server import NatsServer
from chargekey_stack import supervisor
from chargekey_stack.children import Child, NatsChild, ProgramChild
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.errors import DataInUseError, StartFailedError
from chargekey_stack.guard import Guard
from chargekey_stack.ports import Ports
from chargekey_stack.programs import Addresses, Program, programs
from chargekey_stack.readiness import wait_until_ready
from chargekey_stack.supervisor import Supervisor

from .processes import alive, children


class System:
    """NATS and access, under a supervisor."""

    def __init__(self, server: NatsServer, children: list[Child], access: Program) -> None:
        self.server = server
        self.nats, self.access_child = children
        self.access = access
        self.lines: asyncio.Queue[str] = asyncio.Queue()


@asynccontextmanager
async def supervised(path: Path, tell: asyncio.Queue[str]) -> AsyncIterator[Supervisor]:
    data = DataDirectory(path)
    with data.locked() as lock:
        guard = Guard(lock, data.system_file)
        supervised = Supervisor(guard, tell.put_nowait)
        try:
            yield supervised
        finally:
            await supervised.stop()
            guard.close()


@asynccontextmanager
async def nats_and_access(path: Path) -> AsyncIterator[System]:
    async with AsyncExitStack() as stack:
        lines: asyncio.Queue[str] = asyncio.Queue()
        running = await stack.enter_async_context(supervised(path, lines))
        ports = Ports()
        stack.callback(ports.close)
        data = DataDirectory(path)
        server = NatsServer(data.nats, token=data.token("nats_token").read_text())
        nats = NatsChild(server)
        await running.start([nats])
        addresses = Addresses.reserve(ports, ocpp_port=0)
        access = next(
            each for each in programs(data, addresses, server.url) if each.name == "access"
        )
        child = ProgramChild(access, data.log("access"))
        await running.start([child])
        system = System(server, [nats, child], access)
        system.lines = lines
        yield system


def script(name: str, text: str) -> Program:
    return Program(name, (sys.executable, "-c", text), dict(os.environ))


async def test_processes_serve_from_start_to_stop_and_none_is_left(tmp_path: Path) -> None:
    before = children(os.getpid())
    async with nats_and_access(tmp_path) as system:
        await wait_until_ready(system.access)
        pids = [system.nats.pid, system.access_child.pid]
        assert all(map(alive, pids))
    assert not any(map(alive, pids))
    assert children(os.getpid()) == before


@pytest.mark.parametrize("victim", ["nats", "access"])
async def test_a_crashed_process_is_started_again_with_a_line_saying_so(
    tmp_path: Path, victim: str
) -> None:
    async with nats_and_access(tmp_path) as system, asyncio.timeout(30):
        child = system.nats if victim == "nats" else system.access_child
        crashed = child.pid
        os.kill(crashed, signal.SIGKILL)
        line = await system.lines.get()
        assert line.startswith(f"{victim} ended unexpectedly (SIGKILL); starting it again in 0.5 s")
        while child.pid in (crashed, 0):
            await asyncio.sleep(0.02)  # bounded by the timeout above
        await wait_until_ready(system.access)
        client = await jetstream.connect(system.server.url, "test", token=system.server.token)
        await client.close()


async def test_delays_between_crashes_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "DELAYS", (0.01, 0.02, 0.03))
    lines: asyncio.Queue[str] = asyncio.Queue()
    child = ProgramChild(script("fickle", "import time; time.sleep(60)"), tmp_path / "log")
    told: list[str] = []
    async with supervised(tmp_path, lines) as running, asyncio.timeout(20):
        await running.start([child])
        for _ in range(4):
            crashed = child.pid
            os.kill(crashed, signal.SIGKILL)
            told.append(await lines.get())
            while child.pid == crashed:
                await asyncio.sleep(0.01)  # bounded by the timeout above
    assert [line.partition(" again in ")[2].split(" s.")[0] for line in told] == [
        "0.01",
        "0.02",
        "0.03",
        "0.03",
    ]


async def test_a_process_that_cannot_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    async with supervised(tmp_path, asyncio.Queue()) as running:
        program = script("wrong", "print('first', flush=True); raise SystemExit('no such setting')")
        child = ProgramChild(structs.replace(program, smtp="127.0.0.1:1"), tmp_path / "log")
        with pytest.raises(
            StartFailedError, match=r"wrong ended with exit status 1\. no such setting"
        ):
            await running.start([child])


async def test_a_process_that_never_gets_ready_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "START_TIMEOUT", 0.3)
    async with supervised(tmp_path, asyncio.Queue()) as running:
        program = script("lazy", "import time; time.sleep(60)")
        child = ProgramChild(structs.replace(program, smtp="127.0.0.1:1"), tmp_path / "log")
        with pytest.raises(StartFailedError, match=r"lazy is not ready after 0\.3 s"):
            await running.start([child])


async def test_processes_end_in_reverse_order_each_before_the_next(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    leave = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    time.sleep(0.1)\n"
        "    open({ended!r}, 'a').write('{name} ')\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    names = ("first", "second", "third")
    async with supervised(tmp_path / "data", asyncio.Queue()) as running:
        for name in names:
            text = leave.format(ended=str(ended), name=name)
            await running.start([ProgramChild(script(name, text), tmp_path / name)])
        async with asyncio.timeout(10):
            while not all((tmp_path / name).read_text() for name in names):
                await asyncio.sleep(0.01)  # until each can be told to end
    assert ended.read_text().split() == ["third", "second", "first"]


async def test_who_does_not_end_when_told_is_killed_after_a_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "STOP_GRACE", 0.2)
    stubborn = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    log = tmp_path / "log"
    async with supervised(tmp_path / "data", asyncio.Queue()) as running:
        child = ProgramChild(script("stubborn", stubborn), log)
        await running.start([child])
        async with asyncio.timeout(10):
            while not log.read_text():
                await asyncio.sleep(0.01)  # until it ignores
    assert not alive(child.pid)


# A supervisor that is killed, with a child that takes a moment to end.
KILLED = """
import asyncio, os, pathlib, signal, sys
from chargekey_stack.children import ProgramChild
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.guard import Guard
from chargekey_stack.programs import Program
from chargekey_stack.supervisor import Supervisor

LEISURELY = (
    "import signal, sys, time\\n"
    "def end(*_):\\n"
    "    time.sleep(0.5)\\n"
    "    sys.exit()\\n"
    "signal.signal(signal.SIGTERM, end)\\n"
    "print('ready', flush=True)\\n"
    "time.sleep(60)\\n"
)

async def main():
    data = DataDirectory(pathlib.Path(sys.argv[1]))
    with data.locked() as lock:
        supervisor = Supervisor(Guard(lock, data.system_file), print)
        data.system_file.write_text("it runs")
        leisurely = Program("leisurely", (sys.executable, "-c", LEISURELY), {})
        child = ProgramChild(leisurely, data.path / "log")
        await supervisor.start([child])
        while not child.log.read_text():
            await asyncio.sleep(0.01)
        print(child.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_children_of_a_killed_supervisor_end_and_only_then_the_lock_is_free(
    tmp_path: Path,
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(tmp_path / "data"), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    pid = int(output)
    deadline = time.monotonic() + 10
    while True:
        try:
            with DataDirectory(tmp_path / "data").locked():
                break
        except DataInUseError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
    assert not alive(pid)
    assert not (tmp_path / "data" / "run" / "system.json").exists()
