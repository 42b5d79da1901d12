"""Security profiles on real sockets, with certificates made here (O12 to O16)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import resource
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from websockets import ClientConnection
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.headers import build_authorization_basic

from chargekey_common.errors import CannotRunError
from chargekey_common.process import Lifetime
from chargekey_common.testing.authority import DAY, NOW, Authority
from chargekey_common.testing.waiting import until
from chargekey_gateway.api import websocket
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.ocpp.certificates import CertificateFiles
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.ocpp.profiles import SecurityProfiles
from chargekey_gateway.settings import GatewaySettings
from chargekey_gateway.wiring import let_chargers_in

from .conftest import Door
from .test_websocket import PATIENCE, close_code, heartbeat

if TYPE_CHECKING:
    from .conftest import GatewayInMemory

IDENTITY, PASSWORD = "CP/1 ä", "a long enough password"


class Ports:
    """A server with both ports, and its certificates."""

    def __init__(self, gateway: GatewayInMemory, directory: Path) -> None:
        self.gateway = gateway
        self.ours = Authority(directory, "ours")
        self.theirs = Authority(directory, "theirs")
        self.others = Authority(directory, "others")
        self.certificate, self.key = self.ours.sign(
            "gateway", "gateway", san="localhost", usages=(ExtendedKeyUsageOID.SERVER_AUTH,)
        )
        self.server: OcppServer

    async def start(self, *allowed: int, organisation: str | None = None, **limits: float) -> None:
        self.server = OcppServer(
            self.gateway,  # type: ignore[arg-type]
            limits=Limits(close_timeout=0.2, **limits),
            profiles=SecurityProfiles(allowed=frozenset(allowed), organisation=organisation),
        )
        self.files = CertificateFiles(
            certificate=self.certificate,
            key=self.key,
            client_ca=self.theirs.file if 3 in allowed else None,
            required=2 not in allowed,
        )
        await self.server.start("127.0.0.1:0")
        await self.server.start_tls("127.0.0.1:0", self.files.renewed())

    def context(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ours.file)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context

    def open(
        self,
        *,
        tls: bool,
        password: str | None = None,
        context: ssl.SSLContext | None = None,
        user: str = IDENTITY,
    ) -> Any:
        door = Door.__new__(Door)
        door.scheme = "wss" if tls else "ws"
        door.port = self.server.tls_port if tls else self.server.port
        headers = {}
        if password is not None:
            headers["Authorization"] = build_authorization_basic(user, password)
        options: dict[str, Any] = {"additional_headers": headers}
        if tls:
            options |= {"ssl": context or self.context(), "server_hostname": "localhost"}
        return door.open(**options)


@pytest_asyncio.fixture
async def ports(gateway: GatewayInMemory, tmp_path: Path) -> AsyncIterator[Ports]:
    made = Ports(gateway, tmp_path)
    yield made
    await made.server.stop()


async def outcome(opening: Any) -> str:
    """Return whether a charger is `in`, or how it was refused."""
    try:
        async with opening as socket:
            await heartbeat(socket)
            return "in"
    except InvalidStatus as refused:
        return str(refused.response.status_code)
    except (OSError, InvalidHandshake, EOFError):
        return "no TLS"


# Port, certificate, password → what becomes of it, by the profiles that are allowed.
WAYS = {
    "plain, nothing": (False, None, None),
    "plain, wrong": (False, None, "wrong"),
    "plain, right": (False, None, PASSWORD),
    "TLS, nothing": (True, None, None),
    "TLS, wrong": (True, None, "wrong"),
    "TLS, right": (True, None, PASSWORD),
    "own certificate": (True, "own", None),
    "own certificate, wrong": (True, "own", "wrong"),
    "another's certificate": (True, "another", None),
    "another's certificate, right": (True, "another", PASSWORD),
    "another CA's": (True, "another CA's", PASSWORD),
    "expired": (True, "expired", PASSWORD),
    "a server's": (True, "server's", PASSWORD),
}
MATRIX = {
    #         plain: nothing wrong right | TLS: the same | own, wrong | another's, right | bad ones
    (0,): "in 401 in 401 401 401 401 401 401 401 401 401 401",
    (1,): "401 401 in 401 401 401 401 401 401 401 401 401 401",
    (0, 1): "in 401 in 401 401 401 401 401 401 401 401 401 401",
    (2,): "401 401 401 401 401 in 401 401 401 in in in in",
    (1, 2): "401 401 in 401 401 in 401 401 401 in in in in",
    (3,): "401 401 401 no no no in in 401 401 no no no",
    (2, 3): "401 401 401 401 401 in in in 401 401 no no no",
    (1, 2, 3): "401 401 in 401 401 in in in 401 401 no no no",
}


@pytest.mark.parametrize("allowed", MATRIX)
async def test_who_gets_in(ports: Ports, allowed: tuple[int, ...]) -> None:
    """O12, O13, O14, O15. A certificate that nobody asks for is not sent, and counts nothing."""
    certificates = {
        "own": ports.theirs.sign("own", IDENTITY),
        "another": ports.theirs.sign("another", "CP/2 ä"),
        "another CA's": ports.others.sign("stranger", IDENTITY),
        "expired": ports.theirs.sign("expired", IDENTITY, until=NOW - DAY),
        "server's": ports.theirs.sign(
            "server", IDENTITY, usages=(ExtendedKeyUsageOID.SERVER_AUTH,)
        ),
    }
    await ports.start(*allowed, failures_per_identity=0)
    found = {}
    for way, (tls, name, password) in WAYS.items():
        context = ports.context(certificates[name] if name else None)
        found[way] = await outcome(ports.open(tls=tls, password=password, context=context))
    expected = MATRIX[allowed].replace("no", "no_TLS").split()
    assert found == dict(zip(WAYS, (each.replace("_", " ") for each in expected), strict=True))


@pytest.mark.parametrize(
    ("names", "organisation", "san", "expected"),
    [
        ((IDENTITY,), ("Operator",), None, "in"),
        ((IDENTITY,), (), None, "401"),
        ((IDENTITY,), ("Another",), None, "401"),
        ((IDENTITY,), ("Operator", "Another"), None, "401"),
        ((IDENTITY.lower(),), ("Operator",), None, "401"),
        ((IDENTITY + "\x00",), ("Operator",), None, "401"),
        (("Operator",), (IDENTITY,), None, "401"),
        (("serial 5",), ("Operator",), "cp3.example", "401"),
    ],
)
async def test_whose_certificate_it_is(
    ports: Ports, names: tuple[str, ...], organisation: tuple[str, ...], san: str, expected: str
) -> None:
    """O14."""
    certificate = ports.theirs.sign("charger", *names, organisation=organisation, san=san)
    await ports.start(3, organisation="Operator")
    assert await outcome(ports.open(tls=True, context=ports.context(certificate))) == expected


def test_a_certificate_counts_only_where_certificates_do() -> None:
    """O14: whatever the TLS below lets through."""
    certificate = {"subject": ((("commonName", IDENTITY),),)}
    for allowed, expected in (({2, 3}, 3), ({1, 2}, None)):
        profiles = SecurityProfiles(allowed=frozenset(allowed))
        admitted = profiles.admit(
            IDENTITY, [], tls=True, certificate=certificate, password_matches=lambda _: True
        )
        assert admitted == expected


async def test_a_certificate_may_name_its_charger_as_an_alternative(ports: Ports) -> None:
    """O14."""
    ports.gateway.add("third", "cp3.example", "")
    certificate = ports.theirs.sign("charger", "serial 5", san="cp3.example")
    await ports.start(2, 3)
    door = Door.__new__(Door)
    door.scheme, door.port = "wss", ports.server.tls_port
    context = ports.context(certificate)
    options = {"ssl": context, "server_hostname": "localhost", "additional_headers": {}}
    async with door.open("cp3.example", **options) as socket:
        await heartbeat(socket)


async def test_a_replaced_password_closes_who_came_by_it_and_not_who_has_a_certificate(
    ports: Ports,
) -> None:
    """O13, O14, O49."""
    ports.gateway.add("neighbour", "CP-2", PASSWORD)
    certificate = ports.theirs.sign("own", IDENTITY)
    await ports.start(2, 3)
    door = Door.__new__(Door)
    door.scheme, door.port = "wss", ports.server.tls_port
    options = {"ssl": ports.context(), "server_hostname": "localhost"}
    for charger in ports.gateway.chargers.values():
        charger.password_hash = "before"
    async with (
        ports.open(tls=True, context=ports.context(certificate)) as certified,
        door.open("CP-2", user="CP-2", **options) as by_password,
    ):
        await heartbeat(certified)
        await heartbeat(by_password)
        for charger in ports.gateway.chargers.values():
            charger.password_hash = "after"
        ports.server.passwords_changed()
        assert await close_code(by_password) == 1008
        await heartbeat(certified)


async def test_nothing_older_than_tls_1_2_is_spoken(ports: Ports) -> None:
    """O13."""
    await ports.start(2)
    assert ports.files.renewed().current.minimum_version is ssl.TLSVersion.TLSv1_2
    for version, expected in (("TLSv1_1", "no TLS"), ("TLSv1_2", "in"), ("TLSv1_3", "in")):
        context = ports.context()
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # which is the point
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = ssl.TLSVersion[version]
        assert await outcome(ports.open(tls=True, password=PASSWORD, context=context)) == expected


# Renewal.


def shown(socket: ClientConnection) -> int:
    """Return the serial number of the certificate that the gateway showed."""
    der = socket.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(der).serial_number


def expiry() -> float | None:
    return REGISTRY.get_sample_value("tls_cert_expiry_seconds", {"certificate": "ocpp"})


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chargekey_common.certificates.WATCH", 0.01)


async def renewed(ports: Ports, before: int) -> int:
    """Return the serial number of a certificate that is not the one of before."""
    async with asyncio.timeout(PATIENCE):
        while True:
            # Who comes in the middle of it is turned away, and comes again.
            with contextlib.suppress(ConnectionResetError):
                async with ports.open(tls=True, password=PASSWORD) as socket:
                    await heartbeat(socket)
                    if shown(socket) != before:
                        return shown(socket)


@pytest.mark.usefixtures("watched")
async def test_a_certificate_is_renewed_under_open_connections(ports: Ports) -> None:
    """O16."""
    ports.gateway.add("neighbour", "CP-2", PASSWORD)
    await ports.start(2)
    door = Door.__new__(Door)
    door.scheme, door.port = "wss", ports.server.tls_port
    context = {"ssl": ports.context(), "server_hostname": "localhost"}
    async with door.open("CP-2", user="CP-2", **context) as staying:
        before = shown(staying)
        assert expiry() == int((NOW + DAY).timestamp())
        ports.ours.sign(
            "gateway",
            "gateway",
            san="localhost",
            usages=(ExtendedKeyUsageOID.SERVER_AUTH,),
            until=NOW + 5 * DAY,
        )
        assert await renewed(ports, before) != before
        assert expiry() == int((NOW + 5 * DAY).timestamp())
        await heartbeat(staying)
        assert len(ports.server) >= 1


@pytest.mark.usefixtures("watched")
async def test_the_ca_of_chargers_is_renewed_too(ports: Ports) -> None:
    """O16."""
    new = ports.others.sign("new", IDENTITY)
    await ports.start(2, 3)
    assert await outcome(ports.open(tls=True, context=ports.context(new))) == "no TLS"
    ports.theirs.file.write_bytes(ports.others.file.read_bytes())
    async with asyncio.timeout(PATIENCE):
        while await outcome(ports.open(tls=True, context=ports.context(new))) != "in":
            pass


@pytest.mark.parametrize("broken", [b"", b"nonsense", "key of another", "missing", "encrypted"])
def test_files_that_do_not_fit_together_change_nothing(
    gateway: GatewayInMemory, tmp_path: Path, broken: bytes | str
) -> None:
    """O16."""
    ports = Ports(gateway, tmp_path)
    files = CertificateFiles(certificate=ports.certificate, key=ports.key)
    certificates = files.renewed()
    before, key = certificates.current, ports.key.read_bytes()
    assert not certificates.read_again()
    match broken:
        case bytes():
            ports.certificate.write_bytes(broken)
        case "key of another":
            ports.key.write_bytes(ports.ours.sign("x", "x")[1].read_bytes())
        case "encrypted":
            loaded = serialization.load_pem_private_key(key, None)
            ports.key.write_bytes(
                loaded.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.BestAvailableEncryption(b"secret"),
                )
            )
        case _:
            ports.key.unlink()
    for _ in range(2):
        assert not certificates.read_again()
        assert certificates.current is before
    ports.certificate, ports.key = ports.ours.sign("gateway", "gateway", san="localhost")
    assert certificates.read_again()
    assert certificates.current is not before
    assert not certificates.read_again()


# Guessing.


async def test_guessing_a_password_is_limited(ports: Ports) -> None:
    """O2: after so many nothing more is said, and the right one is let in all the same."""
    ports.gateway.add("charger-3", "CP/3", PASSWORD)
    await ports.start(1, failures_per_identity=3, failures_window=1000)
    with capture_logs() as logs:
        found = [await outcome(ports.open(tls=False, password="wrong")) for _ in range(9)]
    assert found == ["401"] * 3 + ["429"] * 6
    assert len([line for line in logs if line["event"] == "charger_unauthorized"]) == 3
    assert await outcome(ports.open(tls=False, password=PASSWORD)) == "in"
    kinds = [event.kind for event in ports.gateway.events]
    assert kinds == ["too_many_failed_authentications"]
    door = Door.__new__(Door)
    door.scheme, door.port = "ws", ports.server.port
    async with door.open("CP%2F2%20%C3%A4", user="CP/2 ä") as neighbour:
        await heartbeat(neighbour)


async def test_a_failure_counts_for_a_while(ports: Ports) -> None:
    await ports.start(1, failures_per_identity=1, failures_window=0.05)
    assert await outcome(ports.open(tls=False, password="wrong")) == "401"
    async with asyncio.timeout(PATIENCE):
        while (found := await outcome(ports.open(tls=False, password="wrong"))) == "429":
            pass
    assert found == "401"


async def test_names_that_are_nobodys_are_limited_together(ports: Ports) -> None:
    """Whoever makes them up is no more than any other."""
    await ports.start(1, failures_per_identity=3, failures_window=1000)
    door = Door.__new__(Door)
    door.scheme, door.port = "ws", ports.server.port
    found = [await outcome(door.open(f"CP-{number}")) for number in range(5)]
    assert found == ["404", "404", "404", "429", "429"]
    assert await outcome(ports.open(tls=False, password="wrong")) == "401"


async def test_an_address_that_tries_many_names_is_limited_where_that_is_set(
    ports: Ports,
) -> None:
    await ports.start(1, failures_per_identity=0, failures_per_address=3, failures_window=1000)
    door = Door.__new__(Door)
    door.scheme, door.port = "ws", ports.server.port
    found = [await outcome(door.open(f"CP-{number}")) for number in range(5)]
    assert found == ["404", "404", "404", "429", "429"]
    assert await outcome(ports.open(tls=False, password="wrong")) == "429"
    assert await outcome(ports.open(tls=False, password=PASSWORD)) == "in"


# What is not finished.


async def closed(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError):
            return await reader.read()
    return b""


@pytest.mark.parametrize("tls", [False, True])
async def test_a_request_that_dribbles_in_is_ended(ports: Ports, tls: bool) -> None:
    """O10: slow-loris."""
    await ports.start(1, 2, opening_timeout=0.3)
    port = ports.server.tls_port if tls else ports.server.port
    options = {"ssl": ports.context(), "server_hostname": "localhost"} if tls else {}
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    gone = asyncio.create_task(closed(reader))
    request = b"GET /ocpp/CP HTTP/1.1\r\n" + b"X: y\r\n" * 1000
    sent = 0
    while not gone.done():
        writer.write(request[sent : sent + 1])
        sent += 1
        await asyncio.wait([gone], timeout=0.01)
    assert sent < len(request)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_a_tls_handshake_that_never_ends_is_ended(ports: Ports) -> None:
    """O10."""
    await ports.start(2, opening_timeout=0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", ports.server.tls_port)
    writer.write(b"\x16\x03\x01")
    assert await closed(reader) == b""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_of_too_many_half_open_the_oldest_goes_and_a_charger_comes_in(ports: Ports) -> None:
    """O10: however many there are."""
    await ports.start(1, opening_connections=20, opening_timeout=1000)
    port = ports.server.port
    half_open = [
        await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.1.{number}", 0))
        for number in range(1, 241)
    ]
    assert await outcome(ports.open(tls=False, password=PASSWORD)) == "in"
    for reader, _ in half_open[:219]:
        assert await closed(reader) == b""
    assert not half_open[-1][0].at_eof()
    await ports.server.stop()
    for reader, writer in half_open:
        assert await closed(reader) == b""
        writer.close()


async def test_whoever_comes_again_and_again_keeps_no_other_network_out(ports: Ports) -> None:
    """O10: nor those who take longer for their request."""
    await ports.start(1, opening_connections=20, opening_timeout=1000)
    port = ports.server.port
    slow = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
    half_open = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
    for reader, _ in half_open[:35]:
        assert await closed(reader) == b""
    slow[1].write(b"GET /ocpp/nobody HTTP/1.1\r\n\r\n")
    assert (await closed(slow[0])).startswith(b"HTTP/1.1 4")
    for _, writer in (*half_open, slow):
        writer.close()


async def test_who_comes_back_with_all_others_waits_and_is_answered(ports: Ports) -> None:
    """O10: from one address far more than may be at their requests at once."""
    await ports.start(1, opening_connections=20)
    request = b"GET /ocpp/nobody HTTP/1.1\r\n\r\n"
    together = []
    for _ in range(100):  # nothing is accepted meanwhile: this does not await
        each = socket.create_connection(("127.0.0.1", ports.server.port))
        each.sendall(request)
        together.append(each)
    for each in together:
        reader, writer = await asyncio.open_connection(sock=each)
        assert (await closed(reader)).startswith(b"HTTP/1.1 4")
        writer.close()


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """Have this process open no file, and accept no connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    with contextlib.ExitStack() as filled:
        with contextlib.suppress(OSError):
            while True:
                filled.callback(os.close, os.dup(0))
        filled.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        yield


async def test_who_comes_while_there_is_no_room_is_let_in_later(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O10: the process has as many files open as it may, for a while."""
    await ports.start(1)
    monkeypatch.setattr(websocket, "ROOM_AGAIN", 0.01)
    charger = socket.socket()
    charger.settimeout(0)
    with capture_logs() as logs, no_more_files():
        address = "127.0.0.1", ports.server.port
        await asyncio.get_running_loop().sock_connect(charger, address)
        await until(lambda: any(line["event"] == "connection_not_accepted" for line in logs))
    reader, writer = await asyncio.open_connection(sock=charger)
    writer.write(b"GET /ocpp/nobody HTTP/1.1\r\n\r\n")
    assert (await closed(reader)).startswith(b"HTTP/1.1 4")
    writer.close()


async def test_who_waits_when_the_server_stops_is_sent_away(ports: Ports) -> None:
    """O10: of those that were accepted, and of those that were not yet."""
    await ports.start(1, opening_connections=20)
    together = [socket.create_connection(("127.0.0.1", ports.server.port)) for _ in range(100)]
    await asyncio.sleep(0)
    await ports.server.stop()
    for each in together:
        reader, writer = await asyncio.open_connection(sock=each)
        with contextlib.suppress(ConnectionResetError):
            assert await closed(reader) == b""
        writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /ocpp/CP HTTP/1.1\r\n\r\n",
        b"GET /ocpp/CP HTTP/1.0\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET /ocpp/CP HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        b"GET /ocpp/CP HTTP/1.1\r\nA\r\n\r\n",
        b"GET /ocpp/\x00 HTTP/1.1\r\n\r\n",
        b"GET /ocpp/CP HTTP/1.1\r\nAuthorization: Basic " + b"A" * 14_000 + b"\r\n\r\n",
        b"GET /ocpp/CP%2F1%20%C3%A4 HTTP/1.1\r\nAuthorization: Basic "
        + base64.b64encode(f"{IDENTITY}:{PASSWORD}".encode())
        + b"\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n",
    ],
)
async def test_what_is_no_upgrade_is_refused_and_forgotten(ports: Ports, request_: bytes) -> None:
    """O10."""
    await ports.start(1)
    reader, writer = await asyncio.open_connection("127.0.0.1", ports.server.port)
    writer.write(request_)
    assert (await closed(reader)).startswith(b"HTTP/1.1 4")
    writer.close()
    assert (ports.gateway.told, len(ports.server)) == ([], 0)


# As the process puts it together.


def settings(ports: Ports, **values: Any) -> GatewaySettings:
    needed = ("data", "accounts", "account_key_file", "keyed_id_secret_file")
    nowhere = dict.fromkeys((*needed, "charger_password_secret_file"), Path("/nowhere"))
    addresses = dict.fromkeys(("nats_url", "access_address", "identity_address"), "nowhere:1")
    tls = {
        "ocpp_tls_address": "127.0.0.1:0",
        "ocpp_tls_certificate_file": ports.certificate,
        "ocpp_tls_key_file": ports.key,
    }
    return GatewaySettings(**nowhere, **addresses, **(tls | values))


@pytest.mark.parametrize(
    ("values", "plain", "tls"),
    [
        ({"security_profiles": "1"}, True, False),
        ({"security_profiles": "2"}, False, True),
        ({}, True, True),
        ({"security_profiles": "0,1", "ocpp_tls_address": None}, True, False),
    ],
)
async def test_only_ports_of_allowed_profiles_are_open(
    ports: Ports, values: dict[str, Any], plain: bool, tls: bool
) -> None:
    """O15: none at all is said so, loudly."""
    if "ocpp_tls_address" in values:
        values |= {"ocpp_tls_certificate_file": None, "ocpp_tls_key_file": None}
    told, lifetime = settings(ports, **values), Lifetime()
    ports.server = OcppServer(
        ports.gateway,  # type: ignore[arg-type]
        profiles=told.profiles,
        limits=told.limits,
    )
    with capture_logs() as logs:
        await let_chargers_in(lifetime, told, ports.server)
    for is_open, way in ((plain, False), (tls, True)):
        if is_open:
            assert await outcome(ports.open(tls=way, password=PASSWORD)) == "in"
        else:
            with pytest.raises(RuntimeError):
                ports.open(tls=way)
    warned = [entry for entry in logs if entry["event"] == "security_profile_0"]
    assert len(warned) == (0 in told.profiles.allowed)
    assert await lifetime.close()


async def test_a_certificate_that_is_none_ends_the_process_with_a_sentence(ports: Ports) -> None:
    ports.certificate.write_text("nonsense")
    told, lifetime = settings(ports), Lifetime()
    ports.server = OcppServer(ports.gateway)  # type: ignore[arg-type]
    with pytest.raises(CannotRunError, match="CHARGEKEY_GATEWAY_OCPP_TLS"):
        await let_chargers_in(lifetime, told, ports.server)
    assert await lifetime.close()
