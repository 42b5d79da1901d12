"""`chargekey-portal` as it is run: settings in, pages out, and an end in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chargekey_common.accounts import make_account, service_account

from .neighbours import NAMES
from .portal import OCPP_URL, Portal, serving

PROGRAM = (sys.executable, str(Path(sysconfig.get_path("scripts")) / "chargekey-portal"))

# A form whose fields are yet to come, once the portal asks for them (RFC 9110 §10.1.1).
HALF_SENT = (
    b"POST /language HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 11\r\n\r\n"
)


class Reserved:
    """A port that nobody else is given, and that the portal may listen on."""

    def __init__(self, held: contextlib.ExitStack) -> None:
        holder = held.enter_context(socket.socket())
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        self.port: int = holder.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"


def environment(**settings: str) -> dict[str, str]:
    return os.environ | {f"CHARGEKEY_PORTAL_{name}": value for name, value in settings.items()}


class Run:
    """A portal's process, and where it answers."""

    def __init__(self, process: asyncio.subprocess.Process, http: int, health: int) -> None:
        self.process = process
        self.pages = Portal(http)
        self.health = Portal(health)


@asynccontextmanager
async def running(neighbour: str, directory: Path) -> AsyncIterator[Run]:
    """Run a portal that is told one address for all services, until the block ends it."""
    (directory / "secret").write_bytes(secrets.token_bytes(32))
    account = make_account(service_account("portal"), keys=directory, accounts=directory)
    with contextlib.ExitStack() as held:
        http, health = Reserved(held), Reserved(held)
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            env=environment(
                HTTP_ADDRESS=http.address,
                HEALTH_ADDRESS=health.address,
                OCPP_URL=OCPP_URL,
                SESSION_SECRET_FILE=str(directory / "secret"),
                ACCOUNT_KEY_FILE=str(account),
                **{f"{name.upper()}_ADDRESS": neighbour for name in NAMES},
            ),
            stderr=subprocess.PIPE,
        )
        run = Run(process, http.port, health.port)
        try:
            async with asyncio.timeout(60):
                while not await _ready(run):
                    await asyncio.sleep(0.05)
            yield run
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _ready(run: Run) -> bool:
    try:
        return (await run.health.get("/readyz")).status == 200
    except ConnectionRefusedError:
        return False


async def test_it_is_ready_and_tells_the_truth_while_nothing_else_runs(tmp_path: Path) -> None:
    with contextlib.ExitStack() as held:
        async with running(Reserved(held).address, tmp_path) as run:
            assert (await run.pages.get("/api/v1/status")).json() == {
                "services": [{"name": name, "state": "UNREACHABLE"} for name in NAMES],
                "ocpp": OCPP_URL,
            }


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_end_it_answers_what_it_was_asked_and_says_nothing(
    how: signal.Signals, tmp_path: Path
) -> None:
    asked = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as neighbour:
        port = neighbour.sockets[0].getsockname()[1]
        async with running(f"127.0.0.1:{port}", tmp_path) as run, asyncio.timeout(30):
            # A connection that asks nothing, as browsers keep them, holds up nobody.
            _, idle = await asyncio.open_connection("127.0.0.1", run.pages.port)
            # A request that is half sent keeps the process until all has been looked at.
            reader, writer = await asyncio.open_connection("127.0.0.1", run.pages.port)
            writer.write(HALF_SENT)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
            answer = asyncio.create_task(run.pages.get("/status"))
            await asked.wait()
            run.process.send_signal(how)
            while (await run.health.get("/readyz")).status != 503:
                pass
            assert (await run.health.get("/healthz")).status == 200
            writer.write(b"language=nb")
            assert (await reader.readline()).startswith(b"HTTP/1.1 303 ")
            assert "5 of 5 services cannot be used now." in (await answer).body
            assert await run.process.wait() == 0
            assert run.process.stderr is not None
            assert await run.process.stderr.read() == b""
            with pytest.raises(ConnectionRefusedError):
                await run.pages.get("/status")
            idle.close()
            writer.close()


async def test_serving_leaves_signals_to_the_process(tmp_path: Path) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    with contextlib.ExitStack() as held:
        nobody = dict.fromkeys(NAMES, Reserved(held).address)
        async with serving(nobody, tmp_path) as portal:
            assert (await portal.get("/status")).status == 200
            assert {each: signal.getsignal(each) for each in before} == before


def test_settings_that_are_missing_or_unknown_are_named_line_by_line() -> None:
    ended = subprocess.run(
        PROGRAM,
        env=environment(HTTP_ADDRESS="127.0.0.1:0", OCPP_URL=OCPP_URL, NATS_URL="nats://bus"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "CHARGEKEY_PORTAL_NATS_URL: no such setting",
        "CHARGEKEY_PORTAL_SESSION_SECRET_FILE: Field required",
        "CHARGEKEY_PORTAL_ACCOUNT_KEY_FILE: Field required",
        *(f"CHARGEKEY_PORTAL_{name.upper()}_ADDRESS: Field required" for name in NAMES),
    ]


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        (None, "secret cannot be used: No such file or directory."),
        (b"", "SESSION_SECRET_FILE has 0 bytes, which can be guessed: put 32 random ones"),
        (b"x" * 31, "SESSION_SECRET_FILE has 31 bytes, which can be guessed: put 32 random ones"),
    ],
)
def test_a_secret_that_could_be_guessed_is_refused_at_the_start(
    secret: bytes | None, said: str, tmp_path: Path
) -> None:
    if secret is not None:
        (tmp_path / "secret").write_bytes(secret)
    account = make_account(service_account("portal"), keys=tmp_path, accounts=tmp_path)
    ended = subprocess.run(
        PROGRAM,
        env=environment(
            HTTP_ADDRESS="127.0.0.1:0",
            HEALTH_ADDRESS="127.0.0.1:0",
            OCPP_URL=OCPP_URL,
            SESSION_SECRET_FILE=str(tmp_path / "secret"),
            ACCOUNT_KEY_FILE=str(account),
            **{f"{name.upper()}_ADDRESS": "127.0.0.1:1" for name in NAMES},
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_caught_mails_are_shown_on_this_machine_alone(tmp_path: Path) -> None:
    ended = subprocess.run(
        PROGRAM,
        env=environment(
            HTTP_ADDRESS="0.0.0.0:0",
            OCPP_URL=OCPP_URL,
            SESSION_SECRET_FILE=str(tmp_path / "secret"),
            ACCOUNT_KEY_FILE=str(tmp_path / "key"),
            CAUGHT_MAILS=str(tmp_path),
            **{f"{name.upper()}_ADDRESS": "127.0.0.1:1" for name in NAMES},
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    assert "CAUGHT_MAILS is for a portal that listens on this machine alone" in ended.stderr
