"""The pytest plugin: real servers, each with a directory of its own, ended with the tests."""

from __future__ import annotations

import gc
import os
import secrets
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import nkeys
import psycopg
import pytest
import pytest_asyncio
import structlog
from hypothesis import settings
from nats.aio.client import Client
from nkeys import KeyPair
from psycopg import sql

from chargekey_common import jetstream
from chargekey_common.nats_server import NatsServer
from chargekey_common.postgres import Postgres
from chargekey_common.testing.postgres_server import running_postgres

if TYPE_CHECKING:
    # Few tests need it, and its playwright takes long to import.
    from chargekey_common.testing.browser import Chromium, OpenPage


# How long an example takes says something about the machine, and nothing about the code.
settings.register_profile("chargekey", deadline=None)
settings.load_profile("chargekey")


def pytest_configure(config: pytest.Config) -> None:
    """Let the processes that tests start keep their bytecode, in a place of the tests' own.

    Where the environment forbids to write any, each would compile all of its modules anew,
    which is most of its start.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", "") and config.cache is not None:
        os.environ["PYTHONPYCACHEPREFIX"] = str(config.cache.mkdir("bytecode"))
    _begin_grpc()


def _begin_grpc() -> None:
    # A gateway writes its view in a fork, which gRPC would see to, and end now and then. A process
    # of the gateway sets this for itself, so those that tests start are not told.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
    grpc.insecure_channel("unix:nobody").close()  # reads it, once for all
    del os.environ["GRPC_ENABLE_FORK_SUPPORT"]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage in what is collected: it stays until the end, and there is much of it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Start half as many workers again as there are cores: much of the tests is waiting."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # as whoever says so wants it
    return (os.cpu_count() or 1) * 3 // 2


@pytest.fixture(autouse=True)
def _logging_by_default() -> None:
    """Let no test, and no fixture of several, configure logging for everybody after it."""
    structlog.reset_defaults()


@pytest.fixture
def nats_issuer() -> KeyPair:
    """Return what signs for the partners that the test's own server lets in."""
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_ACCOUNT))


@pytest.fixture
def nats_server(tmp_path: Path, nats_issuer: KeyPair) -> Iterator[NatsServer]:
    """Yield a server with JetStream that this test alone uses, and end it afterwards."""
    server = NatsServer(
        tmp_path / "nats",
        token=secrets.token_hex(16),
        issuer=nats_issuer.public_key.decode(),
        # No test cuts the power: what is written outlives a killed server all the same.
        sync="2m",
    )
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture
async def nats_client(nats_server: NatsServer) -> AsyncIterator[Client]:
    """Yield a client of the test's own server."""
    client = await jetstream.connect(nats_server.bus, "test")
    yield client
    await client.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Yield the DSN of a PostgreSQL that this run alone uses."""
    with running_postgres() as dsn:
        with psycopg.connect(dsn, autocommit=True) as session:
            # As with NATS: no test cuts the power.
            session.execute("ALTER SYSTEM SET fsync = off")
            session.execute("ALTER SYSTEM SET full_page_writes = off")
            session.execute("SELECT pg_reload_conf()")
        yield dsn


@contextmanager
def _unused_schema(dsn: str) -> Iterator[Postgres]:
    """Yield a place nobody was in before; drop it, and every schema whose name begins alike."""
    place = Postgres(dsn, f"test_{secrets.token_hex(8)}")
    yield place
    with psycopg.connect(place.dsn, autocommit=True) as connection:
        # A test that leaves a transaction open fails here and does not hang.
        connection.execute("SET lock_timeout = '5s'")
        made = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)", (place.schema,)
        )
        for (schema,) in made.fetchall():
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[Postgres]:
    """Yield a place no test was in before, its schema not made yet; it is dropped afterwards.

    So is every other schema whose name begins with this one's.
    """
    with _unused_schema(postgres_server) as place:
        yield place


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | Postgres:
    """Return where tables can be, first a file and then a schema, nothing made in either."""
    if request.param == "sqlite":
        return tmp_path / "tables.db"
    found: Postgres = request.getfixturevalue("postgres")
    return found


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared_place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path | Postgres]:
    """Yield a `place` for the tests of a module that all leave in it what they found."""
    if request.param == "sqlite":
        yield tmp_path_factory.mktemp("shared") / "tables.db"
        return
    with _unused_schema(request.getfixturevalue("postgres_server")) as place:
        yield place


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    """Yield a running Chromium; `make browser` sees to it that there is one."""
    from chargekey_common.testing.browser import (  # noqa: PLC0415 - as above
        Chromium,
        NoBrowserError,
        executable,
    )

    try:
        path = executable()
    except NoBrowserError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    with Chromium.running(path) as chromium:
        yield chromium


@pytest.fixture
def open_page(browser: Chromium) -> Iterator[OpenPage]:
    """Yield what opens pages, for a test that is no coroutine and has no fixtures that are.

    Fails it afterwards if one of them said an error, asked another origin for something or was
    refused what the test did not mean to be refused.
    """
    from chargekey_common.testing.browser import OpenPage  # noqa: PLC0415 - as above

    with browser.used() as chromium:
        opened = OpenPage(chromium)
        yield opened
        complaints = opened.close()
    if complaints:
        pytest.fail("\n".join(["A page did what none may:", *complaints]), pytrace=False)
