from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
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
from chargekey_stack.ports import HOST, Ports
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
        addresses = Addresses.reserve(ports)
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
        assert await system.lines.get() == f"{victim} runs again"
        assert child.pid not in (crashed, 0)
        await wait_until_ready(system.access)
        client = await jetstream.connect(system.server.bus, "test")
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
            assert await lines.get() == "fickle runs again"
            assert child.pid != crashed
    assert [line.partition(" again in ")[2].split(" s.")[0] for line in told] == [
        "0.01",
        "0.02",
        "0.03",
        "0.03",
    ]


async def test_a_process_that_crashes_before_it_is_ready_does_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "DELAYS", (0.01,))
    lines: asyncio.Queue[str] = asyncio.Queue()
    # Greets the first time and crashes ever after.
    once = (
        "import os, socket, sys\n"
        f"os.mkdir({str(tmp_path / 'been')!r})\n"
        "server = socket.create_server(('127.0.0.1', int(sys.argv[1])), reuse_port=True)\n"
        "while True:\n"
        "    server.accept()[0].sendall(b'220 \\r\\n')\n"
    )
    with contextlib.closing(Ports()) as ports:
        port = ports.reserve()
        program = Program(
            "wrong",
            (sys.executable, "-c", once, str(port)),
            dict(os.environ),
            smtp=f"{HOST}:{port}",
        )
        async with supervised(tmp_path / "data", lines) as running, asyncio.timeout(20):
            child = ProgramChild(program, tmp_path / "log")
            await running.start([child])
            os.kill(child.pid, signal.SIGTERM)
            told = [await lines.get() for _ in range(4)]
    assert [line.partition(";")[0] for line in told] == [
        "wrong ended unexpectedly (SIGTERM)",
        *["wrong ended unexpectedly (exit status 1)"] * 3,
    ]


async def test_what_cannot_be_started_again_is_tried_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "DELAYS", (0.01,))
    lines: asyncio.Queue[str] = asyncio.Queue()
    logs = tmp_path / "logs"
    logs.mkdir()
    async with supervised(tmp_path / "data", lines) as running, asyncio.timeout(20):
        child = ProgramChild(script("homeless", "import time; time.sleep(60)"), logs / "log")
        await running.start([child])
        shutil.rmtree(logs)
        os.kill(child.pid, signal.SIGKILL)
        assert (await lines.get()).startswith("homeless ended unexpectedly (SIGKILL)")
        assert (await lines.get()).startswith("homeless: No such file or directory; starting it")
        logs.mkdir()
        while (line := await lines.get()) != "homeless runs again":
            assert line.startswith("homeless: No such file or directory")
        assert alive(child.pid)
    assert not alive(child.pid)


async def test_nats_whose_port_is_taken_is_tried_until_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "DELAYS", (0.05,))
    lines: asyncio.Queue[str] = asyncio.Queue()
    server = NatsServer(tmp_path / "nats", token="t")
    async with supervised(tmp_path / "data", lines) as running, asyncio.timeout(30):
        nats = NatsChild(server)
        await running.start([nats])
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            os.kill(nats.pid, signal.SIGKILL)
            assert "nats ended unexpectedly (SIGKILL)" in await lines.get()
            thief.bind((HOST, server.port))
            thief.listen()
            assert "nats ended unexpectedly (exit status 1)" in await lines.get()
        while await lines.get() != "nats runs again":
            pass  # bounded by the timeout above
        client = await jetstream.connect(server.bus, "test")
        await client.close()
    assert not alive(nats.pid)


async def test_nobody_reading_the_lines_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "DELAYS", (0.01,))
    said: list[str] = []

    def into_a_closed_pipe(line: str) -> None:
        said.append(line)
        raise BrokenPipeError

    data = DataDirectory(tmp_path)
    async with asyncio.timeout(20):
        with data.locked() as lock, contextlib.closing(Guard(lock, data.system_file)) as guard:
            running = Supervisor(guard, into_a_closed_pipe)
            child = ProgramChild(script("fickle", "import time; time.sleep(60)"), tmp_path / "log")
            await running.start([child])
            for crashes in (1, 2):
                os.kill(child.pid, signal.SIGKILL)
                while said[2 * crashes - 1 :] != ["fickle runs again"]:
                    await asyncio.sleep(0.01)  # bounded by the timeout above
            await running.stop()


@pytest.mark.parametrize("delay", [0.0, 30.0], ids=["while it starts", "before it starts"])
async def test_a_stop_in_the_middle_of_a_restart_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delay: float
) -> None:
    monkeypatch.setattr(supervisor, "DELAYS", (delay,))
    before = children(os.getpid())
    async with asyncio.timeout(30):
        async with nats_and_access(tmp_path) as system:
            for child in (system.nats, system.access_child):
                os.kill(child.pid, signal.SIGKILL)
            told = 0
            while told < 2:  # the first may run again before the other is seen to have ended
                told += "ended unexpectedly" in await system.lines.get()
    assert children(os.getpid()) == before


async def test_a_process_that_cannot_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    async with supervised(tmp_path, asyncio.Queue()) as running:
        program = script("wrong", "print('first', flush=True); raise SystemExit('no such setting')")
        child = ProgramChild(structs.replace(program, smtp="127.0.0.1:1"), tmp_path / "log")
        with pytest.raises(
            StartFailedError, match=r"wrong ended with exit status 1\. no such setting"
        ):
            await running.start([child])


LOGGED = """
import json
print(json.dumps({"level": "error", "event": "cannot_run", "reason": "Do this first."}))
print(json.dumps({"level": "warning", "event": "nats_disconnected"}))
raise SystemExit(1)
"""


async def test_of_a_log_the_reason_of_the_last_error_is_told_and_none_of_an_earlier_start(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with supervised(tmp_path / "data", asyncio.Queue()) as running:
        child = ProgramChild(structs.replace(script("wrong", LOGGED), smtp="127.0.0.1:1"), log)
        with pytest.raises(StartFailedError, match=r"exit status 1\. Do this first\. - its log"):
            await running.start([child])
        silent = script("silent", "raise SystemExit(1)")
        child = ProgramChild(structs.replace(silent, smtp="127.0.0.1:1"), log)
        with pytest.raises(StartFailedError, match=r"exit status 1\. It said nothing - its log"):
            await running.start([child])


async def test_a_process_that_gives_up_is_started_again_with_its_reason_told(
    tmp_path: Path,
) -> None:
    lines: asyncio.Queue[str] = asyncio.Queue()
    started = tmp_path / "started"
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(started)!r}).exists():\n"
    async with supervised(tmp_path / "data", lines) as running:
        text = f"{wait}    time.sleep(0.01)\n{LOGGED}"
        child = ProgramChild(script("wrong", text), tmp_path / "log")
        await running.start([child])
        started.touch()
        async with asyncio.timeout(20):
            line = await lines.get()
    assert line.startswith("wrong ended unexpectedly (exit status 1): Do this first; starting it")


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


# A supervisor that is killed while NATS, which has just crashed, is starting again.
KILLED_RESTARTING = """
import asyncio, os, pathlib, signal, sys
from chargekey_common.nats_server import NatsServer
from chargekey_stack import supervisor
from chargekey_stack.children import NatsChild
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.guard import Guard

async def main():
    supervisor.DELAYS = (0.0,)
    data = DataDirectory(pathlib.Path(sys.argv[1]))
    with data.locked() as lock:
        running = supervisor.Supervisor(Guard(lock, data.system_file), lambda line: None)
        nats = NatsChild(NatsServer(data.nats, token="t"))
        await running.start([nats])
        crashed = nats.pid
        os.kill(crashed, signal.SIGKILL)
        while nats.pid == crashed:
            await asyncio.sleep(0)
        print(nats.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize("killed", [KILLED, KILLED_RESTARTING], ids=["running", "restarting"])
async def test_children_of_a_killed_supervisor_end_and_only_then_the_lock_is_free(
    tmp_path: Path, killed: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", killed, str(tmp_path / "data"), stdout=asyncio.subprocess.PIPE
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
