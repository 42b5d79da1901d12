"""Of several replicas one does it, and when it is gone another."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from chargekey_common.leadership import lead
from chargekey_common.postgres import Postgres
from chargekey_common.process import cancel
from chargekey_common.testing.waiting import SOON

WITHIN = 20


class Work:
    """Work that tells who does it, and goes on until it is cancelled."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.doing: set[str] = set()

    async def do(self, name: str) -> None:
        self.doing.add(name)
        assert len(self.doing) == 1
        await self.begun.put(name)
        try:
            await asyncio.Event().wait()
        finally:
            self.doing.remove(name)


async def sessions(postgres: Postgres) -> list[int]:
    """Return who holds the lock, by the server's process id."""
    async with await psycopg.AsyncConnection.connect(postgres.dsn) as connection:
        found = await connection.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory'")
        return [pid for (pid,) in await found.fetchall()]


async def end(postgres: Postgres, pid: int) -> None:
    async with await psycopg.AsyncConnection.connect(postgres.dsn, autocommit=True) as connection:
        await connection.execute("SELECT pg_terminate_backend(%s)", (pid,))


async def test_one_works_and_when_it_ends_another(postgres: Postgres) -> None:
    work = Work()
    replicas = {
        name: asyncio.create_task(lead(postgres, "sending", lambda name=name: work.do(name)))
        for name in ("first", "second", "third")
    }
    async with asyncio.timeout(WITHIN):
        for _ in range(3):
            leader = await work.begun.get()
            assert work.doing == {leader}
            task = replicas.pop(leader)
            await cancel(task)
        # The server ends a session that was closed when it gets to it.
        while await sessions(postgres):
            await asyncio.sleep(SOON)


async def test_work_is_ended_when_the_session_is_lost_and_begun_again(postgres: Postgres) -> None:
    work = Work()
    replica = asyncio.create_task(lead(postgres, "sending", lambda: work.do("it")))
    async with asyncio.timeout(WITHIN):
        await work.begun.get()
        [session] = await sessions(postgres)
        await end(postgres, session)
        await work.begun.get()
    await cancel(replica)
    assert work.doing == set()


async def test_different_works_have_a_leader_each(postgres: Postgres) -> None:
    works = {name: Work() for name in ("relay", "sending")}
    replicas = [
        asyncio.create_task(lead(postgres, name, lambda name=name: works[name].do(name)))
        for name in works
    ]
    async with asyncio.timeout(WITHIN):
        for work in works.values():
            await work.begun.get()
    await cancel(*replicas)


async def fail() -> None:
    raise LookupError


@pytest.mark.parametrize("database", ["file", "postgres"])
async def test_what_the_work_raises_ends_it(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where = tmp_path / "it.db" if database == "file" else request.getfixturevalue("postgres")
    async with asyncio.timeout(WITHIN):
        with pytest.raises(LookupError):
            await lead(where, "sending", fail)


async def test_an_unreachable_database_is_waited_for(tmp_path: Path) -> None:
    nobody = Postgres(f"postgresql://user@/database?host={tmp_path}", "x")
    replica = asyncio.create_task(lead(nobody, "sending", fail))
    done, _ = await asyncio.wait({replica}, timeout=1.2)
    await cancel(replica)
    assert not done
