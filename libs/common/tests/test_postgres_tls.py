"""PostgreSQL by TLS, as a URL asks for it: certificates are verified, and read again."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
import psycopg
import pytest

from chargekey_common.eventstore.postgres import PostgresRecorder
from chargekey_common.eventstore.store import Context, EventStore
from chargekey_common.leadership import lead
from chargekey_common.postgres import DatabaseUnreachableError, Postgres
from chargekey_common.process import cancel
from chargekey_common.testing.authority import BOTH, Authority

from .shelves import EVENTS, Shelves

# How a client asks whether TLS is spoken, in PostgreSQL's protocol.
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@asynccontextmanager
async def by_tls(dsn: str, files: tuple[Path, Path]) -> AsyncIterator[int]:
    """Speak TLS for the tests' server, which was built without; yield the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    [directory] = parse_qs(urlsplit(dsn).query)["host"]
    carrying: set[asyncio.Task[None]] = set()

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)

    async def secured(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8) == SSL_REQUEST
        writer.write(b"S")
        await writer.start_tls(context)
        there, back = await asyncio.open_unix_connection(f"{directory}/.s.PGSQL.5432")
        ways = [asyncio.create_task(carry(*way)) for way in ((reader, back), (there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(*ways)
            back.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = asyncio.current_task()
        assert own is not None
        carrying.add(own)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await secured(reader, writer)
        writer.transport.abort()

    async with await asyncio.start_server(accept, "localhost", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await cancel(*carrying)


async def test_everything_of_a_store_goes_by_tls_to_whom_the_url_names(
    postgres: Postgres, tmp_path: Path
) -> None:
    """`sslmode=verify-full`: the authority and the host name are checked."""
    ours, strangers = Authority(tmp_path, "ours"), Authority(tmp_path, "strangers")
    files = ours.sign("postgres", san="localhost", usages=BOTH)
    async with by_tls(postgres.dsn, files) as port:

        def place(host: str, authority: Authority) -> Postgres:
            parts = urlsplit(postgres.dsn)
            verified = f"sslmode=verify-full&sslrootcert={quote(str(authority.file))}"
            url = f"postgresql://{parts.username}@{host}:{port}{parts.path}?{verified}"
            return msgspec.structs.replace(postgres, dsn=url)

        secure = place("localhost", ours)
        await asyncio.to_thread(PostgresRecorder.migrate, secure)
        store = await asyncio.to_thread(EventStore, "shelves", secure, EVENTS)
        with contextlib.closing(store):
            shelves = Shelves(store)
            await asyncio.to_thread(shelves.label, Context("me", "1"), shelf_id="a", label="b")
            assert await asyncio.to_thread(store.end) == 1
            leading = asyncio.Event()

            async def work() -> None:
                leading.set()
                await asyncio.Event().wait()

            electing = asyncio.create_task(lead(secure, "relay", work))
            await asyncio.wait_for(leading.wait(), 20)
            await cancel(electing)

        for wrong in (place("localhost", strangers), place("127.0.0.1", ours)):
            with pytest.raises(DatabaseUnreachableError, match="certificate"):
                await asyncio.to_thread(PostgresRecorder.migrate, wrong)

        # What the URL names is read at each connection.
        strangers.file.write_bytes(ours.file.read_bytes())
        with await asyncio.to_thread(place("localhost", strangers).connect) as session:
            assert session.info.status is psycopg.pq.ConnStatus.OK
            assert session.pgconn.ssl_in_use
