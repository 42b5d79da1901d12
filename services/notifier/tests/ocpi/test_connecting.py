from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest
from sqlalchemy import select

from chargekey.access.v1 import decision_endpoints_pb2 as endpoints
from chargekey_common import http_server
from chargekey_common.errors import ChargekeyError, UnavailableError
from chargekey_common.testing.askers import noted_askers
from chargekey_common.testing.waiting import until
from chargekey_notifier.errors import (
    OcpiConnectedError,
    OcpiEndpointsMissingError,
    OcpiNotConnectedError,
    OcpiRefusedError,
    OcpiTokenMalformedError,
    OcpiUnreachableError,
    OcpiUrlMalformedError,
    OcpiVersionMissingError,
)
from chargekey_notifier.ocpi import http, tables
from chargekey_notifier.ocpi.calls import NotNowError
from chargekey_notifier.ocpi.messages import CredentialsRole
from chargekey_notifier.ocpi.peers import Peer
from chargekey_notifier.sealing import Seal, UnsealableError

from .between import SECRET, VOLT, Us, us
from .msp import Msp, token

BOTH = pytest.mark.parametrize("msp", ["encoded", "plain"], indirect=True)


def peer_of(here: Us) -> Peer:
    peer = here.ocpi.peers.get(VOLT)
    assert peer is not None
    return peer


def is_settled(here: Us) -> bool:
    peer = peer_of(here)
    return not peer.unsettled and peer.pulled_at > 0


@BOTH
async def test_an_operator_registers_by_an_offer_and_is_called_as_it_calls(
    here: Us, msp: Msp
) -> None:
    """P1, P3: both tokens are new, the one that was offered is void, encoding is the peer's."""
    offered = await here.offered()
    versions = await here.call("GET", "/versions", offered)
    assert versions["data"] == [{"version": "2.2.1", "url": f"{here.url}/ocpi/2.2.1"}]
    details = await here.call("GET", "/2.2.1", offered)
    endpoints_there = {
        (each["identifier"], each["role"]): each["url"] for each in details["data"]["endpoints"]
    }
    where = endpoints_there["credentials", "RECEIVER"].removeprefix(f"{here.url}/ocpi")
    msp.called_with = "token-b"
    answer = await here.call("POST", where, offered, msp.mine("token-b"))
    mine = answer["data"]
    assert mine["url"] == f"{here.url}/ocpi/versions"
    assert mine["token"] not in {offered, "token-b"}
    assert mine["roles"] == [
        {
            "role": "CPO",
            "party_id": "CKY",
            "country_code": "NO",
            "business_details": {"name": "Chargekey"},
        }
    ]
    assert ("tokens", "RECEIVER") in endpoints_there
    assert ("commands", "RECEIVER") in endpoints_there
    # `msp` takes tokens in its own encoding alone, and was called while it registered.
    peer = peer_of(here)
    assert peer.tokens_encoded is not msp.plain
    assert (await here.call("GET", where, mine["token"]))["data"] == mine
    await here.call("GET", "/versions", offered, expected=(401, 2000))


@BOTH
async def test_we_register_at_an_operator_that_tells_where_and_with_what(
    here: Us, msp: Msp
) -> None:
    """P2: and again under the same command's id nothing happens."""
    context = here.context("the-command")
    for _ in range(2):
        await here.ocpi.connecting.connect(
            context, VOLT, versions_url=f"{msp.url}/versions", token="token-a-of-volt"
        )
    peer = peer_of(here)
    assert peer.state == "connected"
    assert peer.credential is not None
    assert (peer.credential.token, peer.credential.encoded) == ("token-c-of-volt", not msp.plain)
    assert [each.identifier for each in peer.modules][::2] == ["credentials", "tokens", "sessions"]
    assert isinstance(peer.operator, CredentialsRole)
    await here.call("GET", "/2.2.1", msp.registered["token"])
    with pytest.raises(OcpiConnectedError):
        await here.offered()
    with pytest.raises(OcpiConnectedError):
        await here.ocpi.connecting.connect(
            here.context(), VOLT, versions_url=f"{msp.url}/versions", token="token-a-of-volt"
        )


async def test_a_handshake_that_fails_leaves_nothing(here: Us, msp: Msp) -> None:
    """P2."""

    async def connect(url: str = f"{msp.url}/versions", secret: str = msp.called_with) -> None:
        await here.ocpi.connecting.connect(here.context(), VOLT, versions_url=url, token=secret)

    for url in ("", "volt", "ftp://volt.example", "https://volt.example/ ", "https://" + "x" * 255):
        with pytest.raises(OcpiUrlMalformedError):
            await connect(url)
    for secret in ("", "two words", "æ", "x" * 65):
        with pytest.raises(OcpiTokenMalformedError):
            await connect(secret=secret)
    with pytest.raises(OcpiRefusedError):
        await connect(secret="another")
    with pytest.raises(OcpiUnreachableError):
        await connect("http://127.0.0.1:1/versions")
    with pytest.raises(OcpiRefusedError):
        await connect(f"{msp.url}/nowhere")
    msp.versions = ("2.1.1", "2.3.0")
    with pytest.raises(OcpiVersionMissingError):
        await connect()
    msp.versions, msp.modules = ("2.2.1",), ("tokens",)
    with pytest.raises(OcpiEndpointsMissingError):
        await connect()
    assert here.ocpi.peers.get(VOLT) is None
    assert not msp.registered


async def test_what_is_wrong_with_an_operators_server_is_told_in_ocpis_words(
    here: Us, msp: Msp
) -> None:
    """P4: §7.1.3, and it may try again with the same token."""
    offered = await here.offered()
    msp.called_with = "token-b"
    nowhere = msp.mine("token-b") | {"url": "http://127.0.0.1:1/versions"}
    await here.call("POST", "/2.2.1/credentials", offered, nowhere, expected=(200, 3001))
    msp.versions = ("2.1.1",)
    mine = msp.mine("token-b")
    await here.call("POST", "/2.2.1/credentials", offered, mine, expected=(200, 3002))
    msp.versions, msp.modules = ("2.2.1",), ("tokens",)
    await here.call("POST", "/2.2.1/credentials", offered, mine, expected=(200, 3003))
    msp.modules = ("credentials",)
    for broken in ({}, mine | {"roles": []}, mine | {"token": "two words"}, [mine]):
        await here.call("POST", "/2.2.1/credentials", offered, broken, expected=(400, 2001))
    await here.call("POST", "/2.2.1/credentials", offered, mine)


async def test_credentials_are_registered_once_changed_then_and_ended(here: Us, msp: Msp) -> None:
    """P5: §7.2.2-7.2.4."""
    offered = await here.offered()
    mine = msp.mine("token-b")
    msp.called_with = "token-b"
    await here.call("PUT", "/2.2.1/credentials", offered, mine, expected=(405, 2000))
    await here.call("DELETE", "/2.2.1/credentials", offered, expected=(405, 2000))
    first = (await here.call("POST", "/2.2.1/credentials", offered, mine))["data"]["token"]
    await here.call("POST", "/2.2.1/credentials", first, mine, expected=(405, 2000))
    msp.called_with = "token-b2"
    changed = await here.call("PUT", "/2.2.1/credentials", first, msp.mine("token-b2"))
    second = changed["data"]["token"]
    await here.call("GET", "/2.2.1/credentials", first, expected=(401, 2000))
    peer = peer_of(here)
    assert peer.credential is not None
    assert peer.credential.token == "token-b2"
    await here.call("DELETE", "/2.2.1/credentials", second)
    await here.call("GET", "/2.2.1/credentials", second, expected=(401, 2000))


async def test_two_registrations_with_one_token_are_one(here: Us, msp: Msp) -> None:
    """P5: of two at once one is answered, and it is the one that counts."""
    offered = await here.offered()
    msp.called_with = "token-b"

    async def post() -> tuple[int, str]:
        answer = await here.http.post(
            "/ocpi/2.2.1/credentials",
            json=msp.mine("token-b"),
            headers={"authorization": msp.header(offered)},
        )
        return answer.status_code, answer.json().get("data", {}).get("token", "")

    answers = await asyncio.gather(*(post() for _ in range(5)))
    good = [secret for status, secret in answers if status == 200]
    assert len(good) == 1
    assert {status for status, _ in answers} <= {200, 401, 405, 409}
    await here.call("GET", "/2.2.1/credentials", good[0])


async def test_one_handshake_is_made_with_an_operator_at_a_time(here: Us, msp: Msp) -> None:
    """P38: also where its server does not answer; what is said then is told, and passes."""
    secret = await here.registered()
    asked, turn = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await turn.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        slow = msp.mine("token-b2") | {"url": f"http://127.0.0.1:{port}/"}
        where = "/2.2.1/credentials"
        first = asyncio.create_task(here.call("PUT", where, secret, slow, expected=(200, 3001)))
        await asked.wait()
        await here.call("PUT", where, secret, slow, expected=(409, 2000))
        turn.set()
        await first
    msp.called_with = "token-b2"
    await here.call("PUT", where, secret, msp.mine("token-b2"))


async def test_who_only_has_the_token_to_register_with_gets_no_further(here: Us) -> None:
    """P4: §4.1.1."""
    offered = await here.offered()
    for path in ("/cpo/2.2.1/tokens/NO/VLT/04A1B2C3", "/cpo/2.2.1/commands/STOP_SESSION"):
        method = "POST" if "commands" in path else "GET"
        await here.call(method, path, offered, {}, expected=(401, 2000))
    for header in ("", "Token", "Bearer " + offered, "Token another", "Token =="):
        answer = await here.http.get("/ocpi/versions", headers={"authorization": header})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Token"


async def test_what_is_at_no_address_is_answered_in_an_envelope(here: Us) -> None:
    """P4: §4.1.7, with the ids of the request; also where an address is not for the method."""
    for method, path, status in (
        ("GET", "/ocpi/2.1.1", 404),
        ("GET", "/ocpi/cpo/2.2.1/tariffs", 404),
        ("DELETE", "/ocpi/versions", 405),
    ):
        answer = await here.http.request(method, path, headers={"x-request-id": "request-1"})
        assert (answer.status_code, answer.json()["status_code"]) == (status, 2000)
        assert answer.headers["x-request-id"] == "request-1"
        assert answer.headers.get("allow") == ("GET" if status == 405 else None)


async def test_a_body_that_does_not_come_is_not_waited_for(
    here: Us, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P16: what else an operator sends is answered meanwhile, and its connection ends."""
    secret = await here.registered()
    monkeypatch.setattr(http, "PATIENCE", 0.05)
    # In which the head has to come, too.
    monkeypatch.setattr(http_server, "PATIENCE", 1.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", here.http.base_url.port)
    head = (
        "PUT /ocpi/cpo/2.2.1/tokens/NO/VLT/04A1B2C3 HTTP/1.1\r\nHost: here\r\n"
        f"Authorization: {here.msp.header(secret)}\r\nContent-Length: 1000\r\n\r\n{{"
    )
    writer.write(head.encode())
    async with asyncio.timeout(30):
        said = await reader.read()
    assert said.startswith(b"HTTP/1.1 408 ")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["status_code"] == 2001
    writer.close()


async def test_who_calls_with_wrong_tokens_all_the_time_hears_when_to_try_again(
    here: Us, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P16: and keeps out nobody who calls with the right one, though from the same address."""
    monkeypatch.setattr(here.ocpi.door._strangers, "_most", 2)  # noqa: SLF001 - 600 are many
    secret = await here.registered()
    for expected in (401, 401, 429):
        answer = await here.http.get("/ocpi/versions", headers={"authorization": "Token x"})
        assert (answer.status_code, answer.json()["status_code"]) == (expected, 2000)
        assert ("retry-after" in answer.headers) == (expected == 429)
    for _ in range(3):
        await here.call("GET", "/versions", secret)


async def test_answers_carry_the_ids_and_the_route_of_their_requests(here: Us) -> None:
    """P4: §4.2, §4.3."""
    secret = await here.registered()
    encoded = base64.b64encode(secret.encode()).decode()
    answer = await here.http.get(
        "/ocpi/versions",
        headers={
            "authorization": f"token {encoded}",
            "x-request-id": "request-1",
            "x-correlation-id": "correlation-1",
            "ocpi-from-country-code": "NO",
            "ocpi-from-party-id": "VLT",
            "ocpi-to-country-code": "SE",
            "ocpi-to-party-id": "CKY",
        },
    )
    wanted = {
        "x-request-id": "request-1",
        "x-correlation-id": "correlation-1",
        "ocpi-to-country-code": "NO",
        "ocpi-to-party-id": "VLT",
        "ocpi-from-country-code": "SE",
        "ocpi-from-party-id": "CKY",
    }
    assert wanted.items() <= dict(answer.headers).items()
    envelope = answer.json()
    assert set(envelope) == {"data", "status_code", "timestamp"}
    assert envelope["timestamp"].endswith("Z")


@BOTH
async def test_a_connection_has_the_operator_asked_at_its_tokens_module(here: Us, msp: Msp) -> None:
    """P6, P45: in its encoding, again after access was away, and no longer once it is over."""
    here.access.failures = [UnavailableError()]
    await here.registered()
    await until(lambda: not here.access.failures)

    def is_asked() -> bool:
        here.ocpi.keeping.changed()
        return here.access.endpoint is not None

    await until(is_asked)
    endpoint = here.access.endpoint
    assert endpoint is not None
    plain = endpoints.DECISION_ENDPOINT_KIND_OCPI_PLAIN
    encoded = endpoints.DECISION_ENDPOINT_KIND_OCPI
    assert endpoint.kind == (plain if msp.plain else encoded)
    assert (endpoint.url, endpoint.secret) == (f"{msp.url}/2.2.1/tokens", "token-b")
    assert endpoint.parties == endpoints.OcpiParties(
        from_country_code="NO", from_party_id="CKY", to_country_code="NO", to_party_id="VLT"
    )
    await until(lambda: is_settled(here))
    await here.ocpi.connecting.disconnect(here.context(), VOLT)
    assert msp.ended
    await until(lambda: here.access.endpoint is None)
    await until(lambda: here.ocpi.peers.get(VOLT) is None)


async def test_whatever_an_operator_is_called_for_its_names_are_looked_up_in_its_name(
    here: Us, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F33: at the handshake, for its tokens, and when it is told that all is over."""
    noted = noted_askers(monkeypatch)
    await here.registered()
    await until(lambda: is_settled(here))
    await here.ocpi.connecting.disconnect(here.context(), VOLT)
    assert noted == {VOLT}


async def test_what_the_partner_has_set_by_hand_stays(here: Us) -> None:
    """P6."""
    by_hand = endpoints.SetDecisionEndpointRequest(
        partner_id=VOLT,
        kind=endpoints.DECISION_ENDPOINT_KIND_WEBHOOK,
        url="https://volt.example/decide",
    )
    here.access.endpoint = by_hand
    secret = await here.registered()
    await until(lambda: is_settled(here))
    assert here.access.endpoint == by_hand
    await here.call("DELETE", "/2.2.1/credentials", secret)
    await until(lambda: here.ocpi.peers.get(VOLT) is None)
    assert here.access.endpoint == by_hand


async def test_an_operator_that_is_away_is_disconnected_all_the_same(here: Us, msp: Msp) -> None:
    """P5."""
    secret = await here.registered()
    msp.called_with = "what-we-do-not-have"
    context = here.context("once")
    await here.ocpi.connecting.disconnect(context, VOLT)
    await here.call("GET", "/versions", secret, expected=(401, 2000))
    await here.ocpi.connecting.disconnect(context, VOLT)
    with pytest.raises(OcpiNotConnectedError):
        await here.ocpi.connecting.disconnect(here.context(), VOLT)
    # And it may come again.
    offered = await here.offered()
    assert await here.ocpi.connecting.offer(here.context("again"), VOLT) != offered


async def test_an_offer_repeated_is_the_same_and_another_voids_it(here: Us) -> None:
    """P1."""
    context = here.context("one")
    offered = await here.ocpi.connecting.offer(context, VOLT)
    assert await here.ocpi.connecting.offer(context, VOLT) == offered
    await here.offered()
    await here.call("GET", "/versions", offered, expected=(401, 2000))


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
async def test_a_copy_of_the_tables_tells_no_token(
    store: str, msp: Msp, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """P3: neither side's, nor any driver's; on both databases."""
    where = tmp_path / "ocpi.db"
    if store == "postgres":
        where = request.getfixturevalue("postgres")
        tables.migrate(where)
    async with us(where, msp, tmp_path) as here:
        secret = await here.registered()
        card = token("04A1B2C3D4E5F6", whitelist="ALWAYS")
        await here.call("PUT", "/cpo/2.2.1/tokens/NO/VLT/04A1B2C3D4E5F6", secret, card)
        rows = ""
        with here.ocpi.peers.database.reading() as connection:
            peers = connection.execute(tables.PEERS.select()).all()
        with here.ocpi.peers.database.reading() as connection:
            rows = repr((peers, connection.execute(tables.TOKENS.select()).all()))
        for told in (secret, "token-b", "04A1B2C3D4E5F6", "C12345678"):
            assert told not in rows
        assert peer_of(here).credential is not None


async def test_what_a_command_answered_is_nothing_to_call_anybody_with(here: Us) -> None:
    """P3: not even of a command that is called like the partner."""
    await here.ocpi.connecting.offer(here.context(VOLT), VOLT)
    with here.ocpi.peers.database.reading() as connection:
        answer = connection.execute(select(tables.RECEIPTS.c.answer)).scalar_one()
    with pytest.raises(UnsealableError):
        Seal(SECRET, b"ocpi").open(answer, VOLT)


async def test_what_was_sealed_under_another_secret_stops_nothing(msp: Msp, tmp_path: Path) -> None:
    """P5: the operator calls us as before, and is called again once it has registered anew."""
    where = tmp_path / "ocpi.db"
    async with us(where, msp, tmp_path) as here:
        secret = await here.registered()
        await here.call("PUT", "/cpo/2.2.1/tokens/NO/VLT/04A1B2C3", secret, token())
        await until(lambda: is_settled(here))
    async with us(where, msp, tmp_path, secret=b"the one that came after it, here") as here:
        with pytest.raises(NotNowError):
            await here.ocpi.keeping.pull(peer_of(here))
        msp.called_with = "token-b"
        await here.call("PUT", "/2.2.1/credentials", secret, msp.mine("token-b"))
        await until(lambda: is_settled(here))


def test_no_error_of_ours_says_what_was_sent() -> None:
    """P3."""
    for kind in (OcpiRefusedError, OcpiUnreachableError, OcpiTokenMalformedError):
        assert issubclass(kind, ChargekeyError)
        assert "token-a" not in str(kind())
