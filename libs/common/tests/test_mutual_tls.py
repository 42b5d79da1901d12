"""gRPC by mutual TLS on real sockets: who is let on the wire, and certificates that are renewed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from cryptography import x509
from grpc import aio

from chargekey.access.v1 import check_pb2 as pb
from chargekey.access.v1.check_pb2_grpc import (
    CheckServiceServicer,
    CheckServiceStub,
    add_CheckServiceServicer_to_server,
)
from chargekey_common.accounts import ADMINISTRATOR, Signer, Verifier, make_account
from chargekey_common.certificates import Certificates, TlsFiles
from chargekey_common.grpc import client
from chargekey_common.grpc.client import channel
from chargekey_common.grpc.server import Server, Service
from chargekey_common.process import cancel
from chargekey_common.testing.authority import BOTH, DAY, NOW, Authority
from chargekey_common.testing.grpc import Issuer
from chargekey_common.testing.waiting import until


class Seeing:
    """Answers which certificate its caller shows; to what is slow when it is told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.waiting = 0

    async def Check(self, request: pb.CheckRequest, context: Any) -> pb.CheckResponse:
        if request.object == "slow":
            self.waiting += 1
            await self.go_on.wait()
        [pem] = context.auth_context()["x509_pem_cert"]
        certificate = x509.load_pem_x509_certificate(pem)
        return pb.CheckResponse(refusal_sentence=str(certificate.serial_number))


def _add(seeing: Seeing, server: aio.Server) -> None:
    class Complete(CheckServiceServicer):
        Check = seeing.Check

    add_CheckServiceServicer_to_server(Complete(), server)  # type: ignore[abstract, no-untyped-call] # the rest is not called


async def anybody_may(*_: str) -> None:
    pass


class Inside:
    """A server and the files of who calls it, signed by one authority."""

    def __init__(self, directory: Path) -> None:
        self.ours = Authority(directory, "ours")
        self.strangers = Authority(directory, "strangers")
        self.server_files = self.files("server")
        self.callers_files = self.files("caller")
        self.seeing = Seeing()
        accounts = directory / "accounts"
        key = make_account(ADMINISTRATOR, keys=directory / "keys", accounts=accounts)
        self.signer = Signer.from_file(key)
        self.certificates = self.server_files.renewed()
        self.server = Server(
            Service("chargekey.access.v1.CheckService", _add, self.seeing, {"Check": lambda _: ""}),
            Verifier(accounts, Issuer().keys()),
            anybody_may,
            certificates=self.certificates,
        )
        self.port = 0

    def files(self, name: str, authority: Authority | None = None, **how: Any) -> TlsFiles:
        how = {"san": "localhost", "usages": BOTH} | how
        return TlsFiles(*(authority or self.ours).sign(name, **how), self.ours.file)

    def channel(self, certificates: Certificates | None, host: str = "localhost") -> aio.Channel:
        return channel(f"{host}:{self.port}", self.signer, certificates, deadline=5)

    async def seen(self, caller: aio.Channel, about: str = "system") -> int:
        """Return the serial number of the certificate that the server sees of the caller."""
        request = pb.CheckRequest(caller="user:u", action="access.Read", object=about)
        return int((await CheckServiceStub(caller).Check(request)).refusal_sentence)

    async def shown(self) -> int:
        """Return the serial number of the certificate that a new connection is shown."""
        context = ssl.create_default_context(cafile=self.ours.file)
        context.load_cert_chain(self.callers_files.certificate, self.callers_files.key)
        context.set_alpn_protocols(["h2"])
        _, writer = await asyncio.open_connection("localhost", self.port, ssl=context)
        number = int(writer.get_extra_info("peercert")["serialNumber"], 16)
        writer.transport.abort()
        return number


def serial(file: Path) -> int:
    return x509.load_pem_x509_certificate(file.read_bytes()).serial_number


@pytest_asyncio.fixture
async def inside(tmp_path: Path) -> AsyncIterator[Inside]:
    made = Inside(tmp_path)
    made.port = await made.server.start("localhost:0")
    await made.server.ready()
    yield made
    await made.server.stop(grace=0)


async def test_a_certificate_of_the_authority_lets_on_the_wire(inside: Inside) -> None:
    """S7: mutual TLS; the token says who calls, as ever."""
    async with inside.channel(inside.callers_files.renewed()) as caller:
        assert await inside.seen(caller) == serial(inside.callers_files.certificate)
    nobody = channel(f"localhost:{inside.port}", None, inside.callers_files.renewed())
    async with nobody:
        # Who has a certificate and no token is nobody, as in the clear.
        assert await inside.seen(nobody) == serial(inside.callers_files.certificate)


@pytest.mark.parametrize(
    "how",
    [
        "in the clear",
        "a stranger's certificate",
        "one that has expired",
        "one that is for servers alone",
    ],
)
async def test_nobody_else_is_let_on_it(inside: Inside, how: str) -> None:
    match how:
        case "in the clear":
            shown = None
        case "a stranger's certificate":
            shown = inside.files("stranger", inside.strangers).renewed()
        case "one that has expired":
            shown = inside.files("late", until=NOW - DAY).renewed()
        case _:
            shown = inside.files("server-only", usages=BOTH[:1]).renewed()
    async with inside.channel(shown) as caller:
        with pytest.raises(aio.AioRpcError) as refused:
            await inside.seen(caller)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    async with inside.channel(inside.callers_files.renewed()) as caller:
        assert await inside.seen(caller)


async def test_who_shows_no_certificate_at_all_is_not_let_on_it(inside: Inside) -> None:
    trusting = grpc.ssl_channel_credentials(inside.ours.file.read_bytes())
    async with aio.secure_channel(f"localhost:{inside.port}", trusting) as caller:
        with pytest.raises(aio.AioRpcError) as refused:
            await inside.seen(caller)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("how", ["another's name", "a stranger's", "expired"])
async def test_who_calls_speaks_to_nobody_but_whom_the_address_names(
    tmp_path: Path, how: str
) -> None:
    inside = Inside(tmp_path)
    match how:
        case "another's name":
            inside.files("server", san="history")
        case "a stranger's":
            inside.files("server", inside.strangers)
        case _:
            inside.files("server", until=NOW - DAY)
    assert inside.certificates.read_again()
    inside.port = await inside.server.start("localhost:0")
    async with inside.channel(inside.callers_files.renewed()) as caller:
        with pytest.raises(aio.AioRpcError) as refused:
            await inside.seen(caller)
    await inside.server.stop(grace=0)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_servers_new_certificate_is_shown_to_who_comes_and_no_call_fails(
    inside: Inside,
) -> None:
    async with inside.channel(inside.callers_files.renewed()) as caller:
        before = await inside.shown()
        assert before == serial(inside.server_files.certificate)
        slow = asyncio.create_task(inside.seen(caller, "slow"))
        await until(lambda: inside.seeing.waiting)
        inside.files("server")
        assert inside.certificates.read_again()
        assert await inside.shown() == serial(inside.server_files.certificate) != before
        assert await inside.shown() == serial(inside.server_files.certificate)
        inside.seeing.go_on.set()
        assert await slow == await inside.seen(caller)


async def test_a_callers_new_certificate_is_shown_by_its_next_call_and_no_call_fails(
    inside: Inside,
) -> None:
    """Also of a stub that was made before, as all of a process are."""
    certificates = inside.callers_files.renewed()
    async with inside.channel(certificates) as caller:
        before = await inside.seen(caller)
        stub = CheckServiceStub(caller)
        slow = asyncio.create_task(inside.seen(caller, "slow"))
        await until(lambda: inside.seeing.waiting)
        inside.files("caller")
        assert certificates.read_again()
        answer = await stub.Check(pb.CheckRequest(caller="user:u", action="a", object="o"))
        assert int(answer.refusal_sentence) == serial(inside.callers_files.certificate) != before
        await caller.channel_ready()
        assert caller.get_state() is grpc.ChannelConnectivity.READY
        inside.seeing.go_on.set()
        assert await slow == before


async def test_calls_go_on_while_an_authority_takes_the_place_of_another(
    inside: Inside, tmp_path: Path
) -> None:
    """Both are believed meanwhile: first all believe the new one, then all show it."""
    certificates = inside.callers_files.renewed()
    calls = 0

    async def call_endlessly() -> None:
        nonlocal calls
        while True:
            await inside.seen(caller)
            calls += 1

    async def some_more() -> None:
        begun = calls
        await until(lambda: calls > begun + 20 or calling.done())
        assert not calling.done(), calling

    def read_again() -> None:
        assert inside.certificates.read_again()
        assert certificates.read_again()

    async with inside.channel(certificates) as caller:
        calling = asyncio.create_task(call_endlessly())
        await some_more()
        new = Authority(tmp_path, "newer")
        old = inside.ours.file.read_bytes()
        inside.ours.file.write_bytes(old + new.file.read_bytes())
        read_again()
        await some_more()
        for name in ("server", "caller"):
            inside.files(name, new)
        read_again()
        await some_more()
        inside.ours.file.write_bytes(new.file.read_bytes())
        read_again()
        await some_more()
        await cancel(calling)
        assert await inside.seen(caller) == serial(inside.callers_files.certificate)
        assert await inside.shown() == serial(inside.server_files.certificate)


async def test_a_connection_of_before_a_renewal_ends_when_no_call_can_need_it(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "STREAM_DEADLINE", 0.01)
    certificates = inside.callers_files.renewed()
    async with inside.channel(certificates) as caller:
        slow = asyncio.create_task(inside.seen(caller, "slow"))
        await until(lambda: inside.seeing.waiting)
        inside.files("caller")
        certificates.read_again()
        await inside.seen(caller)
        with pytest.raises((aio.AioRpcError, asyncio.CancelledError)):
            await slow
        assert await inside.seen(caller)


async def test_a_channel_that_is_closed_leaves_none_of_its_connections(inside: Inside) -> None:
    certificates = inside.callers_files.renewed()
    caller = inside.channel(certificates)
    slow = asyncio.create_task(inside.seen(caller, "slow"))
    await until(lambda: inside.seeing.waiting)
    inside.files("caller")
    certificates.read_again()
    await inside.seen(caller)
    await caller.close()
    with pytest.raises((aio.AioRpcError, asyncio.CancelledError)):
        await slow
    assert not [each for each in asyncio.all_tasks() if "_close_later" in repr(each)]
