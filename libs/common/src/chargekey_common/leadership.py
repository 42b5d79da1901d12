"""One of several replicas does it: an advisory lock of PostgreSQL, held by a session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import Gauge

from chargekey_common.postgres import Postgres
from chargekey_common.process import cancel

if TYPE_CHECKING:
    # A file has one process: whoever has no database imports nothing for one.
    import psycopg

# Seconds between a follower's attempts, and between a leader's looks at its session.
POLL = 0.5
# Seconds after which a session that does not answer is taken for lost.
ANSWER = 5.0
# When the server gives the lock of a leader that has vanished, or stands still, to the next.
_KEEPALIVES = """
    SET tcp_keepalives_idle = 5;
    SET tcp_keepalives_interval = 2;
    SET tcp_keepalives_count = 3;
    SET idle_session_timeout = '5s'"""

_LEADING = Gauge("leading", "Whether this process does what only one may do.", ["work"])

log = structlog.get_logger()


async def lead(
    where: Path | Postgres, name: str, work: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Run `work` whenever this process leads, until it ends or fails.

    A file has one process anyway. On PostgreSQL `work` is cancelled when the
    session that holds the lock is lost, and begun again when this process leads
    again; for some seconds a lost leader may go on beside the next one, so what it
    does must bear that.
    """
    if not isinstance(where, Postgres):
        _LEADING.labels(name).set(1)
        await work()
        return
    import psycopg  # noqa: PLC0415 - as above

    while True:
        _LEADING.labels(name).set(0)
        try:
            async with await psycopg.AsyncConnection.connect(
                where.conninfo, autocommit=True
            ) as session:
                await session.execute(_KEEPALIVES)
                await _elected(session, f"chargekey {where.schema} {name}")
                log.info("leading", work=name)
                _LEADING.labels(name).set(1)
                if await _work_while_leading(session, work):
                    return
        except psycopg.Error as error:
            log.info("leadership_retries", work=name, error=type(error).__name__)
            await asyncio.sleep(POLL)


async def _elected(session: psycopg.AsyncConnection[Any], key: str) -> None:
    while True:
        answer = await session.execute(
            "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (key,)
        )
        row = await answer.fetchone()
        if row is not None and row[0]:
            return
        await asyncio.sleep(POLL)


async def _work_while_leading(
    session: psycopg.AsyncConnection[Any], work: Callable[[], Coroutine[Any, Any, None]]
) -> bool:
    """Return whether the work has ended by itself; raises what it raises."""
    import psycopg  # noqa: PLC0415 - as above

    working = asyncio.create_task(work())
    try:
        while not (await asyncio.wait({working}, timeout=POLL))[0]:
            try:
                async with asyncio.timeout(ANSWER):
                    await session.execute("SELECT 1")
            except (TimeoutError, psycopg.Error) as error:
                log.warning("leadership_lost", error=type(error).__name__)
                return False
        await working
        return True
    finally:
        await cancel(working)
