"""Told to end, a process says so at once, finishes what it was asked, and loses nothing of it."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sqlite3
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

import pytest
from grpc import aio
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from chargekey.access.v1 import installations_pb2
from chargekey.access.v1.installations_pb2_grpc import InstallationServiceStub
from chargekey.gateway.v1 import gateway_pb2
from chargekey.gateway.v1.gateway_pb2_grpc import GatewayServiceStub
from chargekey.history.v1 import history_pb2
from chargekey.history.v1.history_pb2_grpc import HistoryServiceStub
from chargekey.identity.v1 import users_pb2
from chargekey.identity.v1.users_pb2_grpc import UserServiceStub
from chargekey.notifier.v1 import mails_pb2
from chargekey.notifier.v1.mails_pb2_grpc import MailServiceStub
from chargekey_common.accounts import ADMINISTRATOR, Signer
from chargekey_common.grpc.client import channel
from chargekey_common.nats_server import NatsServer
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.ports import Ports
from chargekey_stack.programs import Addresses, Program, programs
from chargekey_stack.readiness import wait_until_ready

from .outages import PATIENCE
from .records import stored, streamed
from .test_bus_away import answer

# Those that have the streams which others wait for.
STREAMS = ("access", "identity", "gateway")
# Seconds that a process may rest which has nothing to wait for.
AT_ONCE = 3.0
# `chargekey-<service>`, which waits for others as long as the test makes it.
PROCESS = """
from chargekey_common import process
from chargekey_{service} import __main__

imported = process.imported


def patient(start):
    # Not sooner: what gRPC reads when it is imported, the process has to set before.
    found = imported(start)
    from chargekey_common.eventstore.sqlite import SQLiteRecorder
    from chargekey_common.grpc import client, server

    client.channel.__kwdefaults__["deadline"] = {patience}
    # A connection to somebody who stands still is lost otherwise.
    client.PING_EVERY = client.PING_ANSWER = {patience} * 1000
    server.LONGEST_CALL = {patience}
    server.Server.stop.__defaults__ = ({patience},)
    SQLiteRecorder.__init__.__kwdefaults__["lock_timeout"] = {patience}
    return found


process.imported = patient
__main__.main()
"""


def busy(pid: int) -> dict[str, int]:
    """Return how long each thread has had something to do, or queued for a core; nanoseconds."""
    found = {}
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended, or one of them
        for thread in Path(f"/proc/{pid}/task").iterdir():
            run, queued, _ = (thread / "schedstat").read_text().split()
            found[thread.name] = int(run) + int(queued)
    return found


class System:
    """Processes that a test ends, one by one."""

    def __init__(self, nats_server: NatsServer, directory: Path) -> None:
        self.nats = nats_server.url
        self.data = DataDirectory(directory / "data")
        self.processes: dict[str, Process] = {}
        self._token = nats_server.token

    @asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[System]:
        with closing(Ports()) as ports, self.data.locked():
            self.data.token("nats_token").write_text(self._token)
            key = self.data.account(ADMINISTRATOR)
            ours = programs(self.data, Addresses.reserve(ports), self.nats)
            self.programs: dict[str, Program] = {each.name: each for each in ours}
            async with AsyncExitStack() as stack:
                for name in names:
                    program = self.programs[name]
                    process = PROCESS.format(service=name, patience=int(PATIENCE))
                    self.processes[name] = await asyncio.create_subprocess_exec(
                        sys.executable, "-c", process, env=program.environment
                    )
                    stack.push_async_callback(self._kill, name)
                for name in names:
                    await wait_until_ready(self.programs[name])
                self.channels = {
                    name: await stack.enter_async_context(
                        channel(
                            self.programs[name].grpc or "",
                            Signer.from_file(key),
                            deadline=PATIENCE,
                        )
                    )
                    for name in names
                }
                yield self

    async def _kill(self, name: str) -> None:
        if self.processes[name].returncode is None:
            self.processes[name].kill()
        await self.processes[name].wait()

    async def being_asked(self, name: str, asking: Awaitable[object]) -> asyncio.Future[object]:
        """Return a question that has arrived: another behind it on its connection was answered."""
        asked = asyncio.ensure_future(asking)
        await asyncio.sleep(0)
        await HealthStub(self.channels[name]).Check(HealthCheckRequest())  # type: ignore[attr-defined] # untyped there
        assert not asked.done()
        return asked

    async def tell_to_end(self, name: str) -> None:
        """Return once it is not ready any more, and alive."""
        self.processes[name].terminate()
        async with asyncio.timeout(20):
            while await answer(self.programs[name], "/readyz") != b"503":
                pass
        assert await answer(self.programs[name], "/healthz") == b"200"
        assert self.processes[name].returncode is None

    async def ends_well(self, name: str, within: float) -> None:
        """Return once it has ended; all that it rested meanwhile is less than `within` seconds."""
        process = self.processes[name]
        rested, since, known = 0.0, time.monotonic(), busy(process.pid)
        ended = asyncio.ensure_future(process.wait())
        async with asyncio.timeout(60):
            while not ended.done():
                await asyncio.wait({ended}, timeout=0.05)
                now, found = time.monotonic(), busy(process.pid)
                spent = [(each - known.get(thread, 0)) / 1e9 for thread, each in found.items()]
                # One thread's may be more: queuing is counted when it gets its core.
                active = max(min(sum(spent), now - since), *spent, 0.0)
                rested = max(0.0, rested + now - since - active)
                since, known = now, known | found
        assert await ended == 0
        assert rested < within


@pytest.fixture
def system(nats_server: NatsServer, tmp_path: Path) -> System:
    return System(nats_server, tmp_path)


ASK: dict[str, Callable[[aio.Channel], Awaitable[object]]] = {
    "identity": lambda to: UserServiceStub(to).ResolveEmail(
        users_pb2.ResolveEmailRequest(email="ada@example.com")
    ),
    "gateway": lambda to: GatewayServiceStub(to).ListConnections(
        gateway_pb2.ListConnectionsRequest()
    ),
    "history": lambda to: HistoryServiceStub(to).ListSessions(history_pb2.ListSessionsRequest()),
    "notifier": lambda to: MailServiceStub(to).GetMailChoices(
        mails_pb2.GetMailChoicesRequest(user_id="u")
    ),
}


@pytest.mark.parametrize("name", ASK)
async def test_whoever_was_asked_answers_and_is_not_asked_any_more(
    system: System, name: str
) -> None:
    """S7: what may be asked is access's to say, which takes its time here."""
    async with system.running(*dict.fromkeys((*STREAMS, name))):
        access = system.processes["access"]
        await ASK[name](system.channels[name])
        access.send_signal(signal.SIGSTOP)
        try:
            asked = await system.being_asked(name, ASK[name](system.channels[name]))
            await system.tell_to_end(name)
            assert not asked.done()
        finally:
            access.send_signal(signal.SIGCONT)
        await asked
        await system.ends_well(name, AT_ONCE)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Let nobody else write there."""
    with closing(sqlite3.connect(file, isolation_level=None)) as store:
        store.execute("BEGIN IMMEDIATE")
        yield
        store.execute("ROLLBACK")


COMMAND: dict[str, Callable[[aio.Channel], Awaitable[object]]] = {
    "access": lambda to: InstallationServiceStub(to).CreateInstallation(
        installations_pb2.CreateInstallationRequest(name="Home", time_zone="Europe/Oslo")
    ),
    "identity": lambda to: UserServiceStub(to).ResolveEmail(
        users_pb2.ResolveEmailRequest(email=f"{secrets.token_hex(4)}@example.com")
    ),
}


@pytest.mark.parametrize("name", COMMAND)
async def test_what_a_command_records_while_its_service_ends_is_told_before_it_has(
    system: System, name: str
) -> None:
    """S7: nobody has to start it again for what was answered to take effect."""
    async with system.running("access", "identity"):
        await COMMAND[name](system.channels[name])
        with locked(system.data.path / name / f"{name}.db"):
            commanded = await system.being_asked(name, COMMAND[name](system.channels[name]))
            await system.tell_to_end(name)
            assert not commanded.done()
        await commanded
        await system.ends_well(name, AT_ONCE)
        kept: Sequence[tuple[int, str]] = stored(system.data, name)
        assert await streamed(system.data, system.nats, name) == kept
