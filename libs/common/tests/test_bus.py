"""NATS by TLS, and with what is let in there by now: certificates and tokens that change."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from nats.aio.client import Client
from structlog.testing import capture_logs

from chargekey_common import jetstream
from chargekey_common.errors import CannotRunError
from chargekey_common.eventstore.store import Context
from chargekey_common.jetstream import Bus
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import Lifetime, cancel
from chargekey_common.reactions import On, Reactions
from chargekey_common.relay import Relay
from chargekey_common.settings import ServiceSettings
from chargekey_common.testing.authority import BOTH, Authority
from chargekey_common.testing.waiting import until

from .conftest import OpenStore
from .shelves import ShelfLabelled, Shelves, publication

# What a TLS connection begins with: a handshake's record.
HANDSHAKE = b"\x16\x03"


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chargekey_common.certificates.WATCH", 0.01)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def secure(tmp_path: Path, authority: Authority) -> Iterator[NatsServer]:
    """Yield a server that speaks TLS as `localhost`."""
    server = NatsServer(
        tmp_path / "nats",
        token=secrets.token_hex(16),
        sync="2m",
        tls=authority.sign("nats", san="localhost", usages=BOTH),
    )
    server.start()
    yield server
    server.stop()


def settings(directory: Path, port: int, token: str, **more: Any) -> ServiceSettings:
    (directory / "token").write_text(token)
    return ServiceSettings(
        data=directory,
        nats_url=f"nats://localhost:{port}",
        nats_token_file=directory / "token",
        nats_ca_file=directory / "ours.pem",
        accounts=directory,
        account_key_file=directory / "unused",
        **more,
    )


@asynccontextmanager
async def told(given: ServiceSettings) -> AsyncIterator[Bus]:
    """Yield what a process makes of its settings for as long as it lives."""
    lifetime = Lifetime()
    try:
        yield jetstream.bus(lifetime, given)
    finally:
        await lifetime.close()


@asynccontextmanager
async def connected(bus: Bus) -> AsyncIterator[Client]:
    async with asyncio.timeout(30):
        client = await jetstream.connect(bus, "test")
    try:
        yield client
    finally:
        await jetstream.close(client)


class Hearing:
    """A service that tells of its shelves, and one that hears of them."""

    def __init__(self, bus: Bus, open_store: OpenStore) -> None:
        self.bus = bus
        self.shelves = Shelves(open_store())
        self.heard: list[str] = []
        mirror = Shelves(open_store("mirror"))
        self.reactions = Reactions("mirror", bus, mirror.store, On(ShelfLabelled, self._react))

    async def _react(self, event: ShelfLabelled, _: object) -> None:
        self.heard.append(event.shelf_id)

    async def run(self) -> None:
        both = [asyncio.create_task(each) for each in (self.reactions.run(), self._tell())]
        try:
            await asyncio.gather(*both)
        finally:
            # No group of tasks: that cancels them once, which Python 3.11's wait_for may swallow.
            await cancel(*both)

    async def _tell(self) -> None:
        client = await jetstream.connect(self.bus, "test")
        try:
            await Relay(client, self.shelves.store, publication).run()
        finally:
            await jetstream.close(client)

    async def tells_of(self, shelf_id: str) -> None:
        context = Context("me", shelf_id)
        await asyncio.to_thread(self.shelves.label, context, shelf_id=shelf_id, label="x")
        await until(lambda: shelf_id in self.heard)


async def test_what_is_told_is_heard_by_tls_and_after_the_certificate_is_anothers(
    secure: NatsServer, tmp_path: Path, open_store: OpenStore
) -> None:
    """Who comes back believes the new authority."""
    async with told(settings(tmp_path, secure.port, secure.token)) as bus:
        hearing = Hearing(bus, open_store)
        running = asyncio.create_task(hearing.run())
        await hearing.tells_of("a")

        await asyncio.to_thread(secure.stop)
        newer = Authority(tmp_path, "newer")
        newer.sign("nats", san="localhost", usages=BOTH)
        (tmp_path / "ours.pem").write_bytes(newer.file.read_bytes())
        await asyncio.to_thread(secure.start)
        await hearing.tells_of("b")
        await cancel(running)


async def test_whoever_shows_anothers_certificate_hears_nothing_until_it_is_believed(
    secure: NatsServer, tmp_path: Path, open_store: OpenStore
) -> None:
    """Neither who connects at first nor who comes back waits for good for what has failed."""
    ours = (tmp_path / "ours.pem").read_bytes()
    strangers = Authority(tmp_path, "strangers").file.read_bytes()
    (tmp_path / "ours.pem").write_bytes(strangers)

    def failed() -> int:
        return len([each for each in logs if each.get("error") == "SSLCertVerificationError"])

    with capture_logs() as logs:
        async with told(settings(tmp_path, secure.port, secure.token)) as bus:
            hearing = Hearing(bus, open_store)
            running = asyncio.create_task(hearing.run())
            await until(lambda: failed() > 3)
            (tmp_path / "ours.pem").write_bytes(ours)
            await hearing.tells_of("a")

            (tmp_path / "ours.pem").write_bytes(strangers)
            before = failed()
            await asyncio.to_thread(secure.stop)
            await asyncio.to_thread(secure.start)
            await until(lambda: failed() > before + 3)
            # Whoever ends now ends at once, too.
            async with asyncio.timeout(30):
                await cancel(running)


async def test_to_whoever_speaks_no_tls_not_a_word_is_said_in_the_clear(
    authority: Authority, tmp_path: Path
) -> None:
    """As somebody in between would, who tells a client that no TLS is needed."""
    heard = asyncio.Queue[bytes]()

    async def in_between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.14.0","max_payload":1048576}\r\n')
        with contextlib.suppress(OSError):
            heard.put_nowait(await reader.read(4096))
        writer.close()

    assert authority.file.exists()
    async with await asyncio.start_server(in_between, "localhost", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with told(settings(tmp_path, port, "the token")) as bus:
            connecting = asyncio.create_task(jetstream.connect(bus, "test"))
            for _ in range(2):
                assert (await heard.get()).startswith(HANDSHAKE)
            await cancel(connecting)


async def test_a_processs_own_certificate_is_shown_and_renewed(
    authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.sign("own", san="localhost", usages=BOTH)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.file)
    context.load_cert_chain(*authority.sign("nats", san="localhost", usages=BOTH))
    context.verify_mode = ssl.CERT_REQUIRED
    shown: list[int] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown.append(int(writer.get_extra_info("peercert")["serialNumber"], 16))
        writer.close()

    def serial() -> int:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number

    async with await asyncio.start_server(accept, "localhost", 0, ssl=context) as server:
        files = {
            "tls_certificate_file": certificate,
            "tls_key_file": key,
            "tls_ca_file": authority.file,
        }
        port = server.sockets[0].getsockname()[1]
        async with told(settings(tmp_path, port, "the token", **files)) as bus:
            connecting = asyncio.create_task(jetstream.connect(bus, "test"))
            await until(lambda: serial() in shown)
            authority.sign("own", san="localhost", usages=BOTH)
            await until(lambda: serial() in shown)
            await cancel(connecting)


async def test_a_token_that_was_changed_is_told_at_the_next_connection(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    given = settings(tmp_path, nats_server.port, nats_server.token)
    async with (
        told(given.model_copy(update={"nats_ca_file": None})) as bus,
        connected(bus) as client,
    ):
        await asyncio.to_thread(nats_server.stop)
        nats_server.token = "another"
        await asyncio.to_thread(nats_server.start)
        await until(lambda: not client.is_connected)
        (tmp_path / "token").write_text("another\n")
        await until(lambda: client.is_connected)
        assert await client.jetstream().account_info()


async def test_a_process_does_not_start_with_what_is_unusable(
    authority: Authority, tmp_path: Path
) -> None:
    given = settings(tmp_path, 1, "the token")
    authority.file.write_bytes(b"nonsense")
    with pytest.raises(CannotRunError, match="NATS_CA_FILE"):
        jetstream.bus(Lifetime(), given)
    (tmp_path / "token").unlink()
    with pytest.raises(FileNotFoundError):
        jetstream.bus(Lifetime(), given.model_copy(update={"nats_ca_file": None}))
