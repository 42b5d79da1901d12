"""Signing in at an OpenID Connect provider, with a real one over HTTP that is caught lying."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import jwt
import pytest
import pytest_asyncio

from chargekey_common.postgres import Postgres
from chargekey_common.testing.openid import (
    CLIENT_ID,
    CLIENT_SECRET,
    KEYS,
    REDIRECT_URI,
    Claims,
    OpenIdServer,
    openid_server,
)
from chargekey_identity import openid_provider
from chargekey_identity.domain.email import Email
from chargekey_identity.domain.errors import (
    EmailMalformedError,
    OpenIdEmailUnverifiedError,
    OpenIdRefusedError,
    OpenIdStateUnknownError,
    OpenIdUnavailableError,
)
from chargekey_identity.domain.user import OpenIdAccount
from chargekey_identity.openid_provider import Client, OpenIdProvider
from chargekey_identity.tables.openid_states import LIFETIME, Begun, OpenIdStates

from .conftest import MASTER

NOW = 1_800_000_000 * 10**9
BEGUN = Begun("a-state", "a-nonce", "a-verifier-of-at-least-forty-three-characters", REDIRECT_URI)


@pytest.fixture
def server() -> Iterator[OpenIdServer]:
    with openid_server() as running:
        yield running


@pytest_asyncio.fixture
async def provider(server: OpenIdServer) -> AsyncIterator[OpenIdProvider]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        yield OpenIdProvider(Client(server.issuer, CLIENT_ID, CLIENT_SECRET, {REDIRECT_URI}), http)


async def signed_in(provider: OpenIdProvider, server: OpenIdServer) -> tuple[OpenIdAccount, Email]:
    """Go there and come back."""
    state, code = server.sign_in(await provider.authorization_url(BEGUN))
    assert state == BEGUN.state
    return await provider.who(BEGUN, code)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_whoever_comes_back_is_known_by_issuer_subject_and_verified_address(
    provider: OpenIdProvider, server: OpenIdServer, algorithm: str, method: str
) -> None:
    server.algorithm, server.keys, server.methods = algorithm, {"1": algorithm}, [method]
    account, address = await signed_in(provider, server)
    assert account == OpenIdAccount(server.issuer, "0042")
    assert address == "anna@example.org"
    await signed_in(provider, server)
    assert server.asked.count("/.well-known/openid-configuration") == 1
    assert server.asked.count("/keys") == 1


async def test_nothing_that_is_secret_stands_in_the_address_of_the_provider(
    provider: OpenIdProvider, server: OpenIdServer
) -> None:
    url = await provider.authorization_url(BEGUN)
    asked = dict(parse_qsl(urlsplit(url).query))
    assert set(asked) == {
        *("response_type", "scope", "client_id", "redirect_uri"),
        *("state", "nonce", "code_challenge", "code_challenge_method"),
    }
    assert BEGUN.verifier not in url
    assert server.asked == ["/.well-known/openid-configuration"]
    for shown in (BEGUN, Client(server.issuer, CLIENT_ID, CLIENT_SECRET, {REDIRECT_URI})):
        assert not any(each in repr(shown) for each in (*BEGUN_SECRETS, CLIENT_SECRET))


BEGUN_SECRETS = (BEGUN.state, BEGUN.nonce, BEGUN.verifier)


async def test_an_endpoint_may_have_a_query_of_its_own(
    provider: OpenIdProvider, server: OpenIdServer
) -> None:
    server.discovery = {"authorization_endpoint": f"{server.issuer}/authorize?tenant=7"}
    url = await provider.authorization_url(BEGUN)
    assert dict(parse_qsl(urlsplit(url).query))["tenant"] == "7"
    assert url.count("?") == 1


@pytest.mark.parametrize("verified", [True, "true"])
async def test_an_address_may_come_from_the_user_info(
    provider: OpenIdProvider, server: OpenIdServer, verified: object
) -> None:
    server.user_info = {**server.person, "email_verified": verified}
    server.lie = lambda claims: {
        name: value for name, value in claims.items() if not name.startswith("email")
    }
    _, address = await signed_in(provider, server)
    assert address == "anna@example.org"


async def test_user_info_about_somebody_else_is_refused(
    provider: OpenIdProvider, server: OpenIdServer
) -> None:
    """OpenID Connect Core 1.0 §5.3.2."""
    server.user_info = {**server.person, "sub": "0043"}
    server.lie = lambda claims: {**claims, "email": ""}
    with pytest.raises(OpenIdRefusedError):
        await signed_in(provider, server)


@pytest.mark.parametrize("verified", [None, False, "false", "", "yes", 1])
async def test_an_address_that_nobody_verified_lets_nobody_in(
    provider: OpenIdProvider, server: OpenIdServer, verified: object
) -> None:
    server.person["email_verified"] = verified
    if verified is None:
        del server.person["email_verified"]
    with pytest.raises((OpenIdEmailUnverifiedError, OpenIdRefusedError)):
        await signed_in(provider, server)


@pytest.mark.parametrize("email", [None, ""])
async def test_somebody_without_an_address_is_let_in_by_nobody(
    provider: OpenIdProvider, server: OpenIdServer, email: str | None
) -> None:
    server.person = {
        "sub": "0042",
        "email_verified": True,
        **({} if email is None else {"email": email}),
    }
    with pytest.raises(OpenIdEmailUnverifiedError):
        await signed_in(provider, server)


async def test_an_address_that_is_none_is_refused(
    provider: OpenIdProvider, server: OpenIdServer
) -> None:
    server.person["email"] = "no address"
    with pytest.raises(EmailMalformedError):
        await signed_in(provider, server)


def _now() -> int:
    return int(time.time())


LIES: dict[str, Claims] = {
    "of another issuer": {"iss": "https://evil.example"},
    "for another client": {"aud": "another"},
    "for several, this one among them, by nobody knows whom": {"aud": [CLIENT_ID, "another"]},
    "authorised for another": {"azp": "another"},
    "for several, authorised for another": {"aud": [CLIENT_ID, "another"], "azp": "another"},
    "expired": {"exp": _now() - 3600},
    "from the future": {"iat": _now() + 36000, "exp": _now() + 36600},
    "of another sign-in": {"nonce": "another"},
    "of another kind of nonce": {"nonce": 7},
    "about nobody": {"sub": ""},
    "about a number": {"sub": 42},
    "about somebody with too long a name": {"sub": "x" * 256},
    **{f"without {name}": {name: None} for name in ("iss", "aud", "exp", "iat", "nonce", "sub")},
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_token_that_is_not_for_this_sign_in_is_refused(
    provider: OpenIdProvider, server: OpenIdServer, lie: str
) -> None:
    """OpenID Connect Core 1.0 §3.1.3.7."""
    changes = LIES[lie]
    server.lie = lambda claims: {
        name: value for name, value in {**claims, **changes}.items() if value is not None
    }
    with pytest.raises(OpenIdRefusedError):
        await signed_in(provider, server)


async def test_several_audiences_are_fine_where_the_token_says_it_is_for_us(
    provider: OpenIdProvider, server: OpenIdServer
) -> None:
    server.lie = lambda claims: {**claims, "aud": [CLIENT_ID, "another"], "azp": CLIENT_ID}
    await signed_in(provider, server)


def _none(claims: Claims) -> str:
    return jwt.encode(claims, "", algorithm="none", headers={"kid": "1"})


def _secret(claims: Claims) -> str:
    """Signed with the client's own secret, which a provider may do and nobody here believes."""
    return jwt.encode(claims, CLIENT_SECRET * 2, algorithm="HS256", headers={"kid": "1"})


def _other_hash(claims: Claims) -> str:
    return jwt.encode(claims, KEYS["RS256"], algorithm="RS512", headers={"kid": "1"})


def _unknown_key(claims: Claims) -> str:
    return jwt.encode(claims, KEYS["RS256"], algorithm="RS256", headers={"kid": "unknown"})


def _other_key(claims: Claims) -> str:
    return jwt.encode(claims, KEYS["ES256"], algorithm="ES256", headers={"kid": "1"})


def _unsigned(claims: Claims) -> str:
    return jwt.encode(claims, KEYS["RS256"], "RS256", headers={"kid": "1"})[:-8] + "AAAAAAAA"


def _noise(_: Claims) -> str:
    return "a.b.c"


@pytest.mark.parametrize(
    "sign", [_none, _secret, _other_hash, _unknown_key, _other_key, _unsigned, _noise]
)
async def test_a_token_that_the_provider_did_not_sign_as_agreed_is_refused(
    provider: OpenIdProvider, server: OpenIdServer, sign: Any
) -> None:
    server.sign = sign
    with pytest.raises(OpenIdRefusedError):
        await signed_in(provider, server)


async def test_an_algorithm_that_the_provider_does_not_claim_is_refused(
    provider: OpenIdProvider, server: OpenIdServer
) -> None:
    server.discovery = {"id_token_signing_alg_values_supported": ["ES256"]}
    with pytest.raises(OpenIdRefusedError):
        await signed_in(provider, server)


async def test_an_algorithm_that_is_not_on_the_list_is_refused_whatever_the_provider_claims(
    provider: OpenIdProvider, server: OpenIdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = server._jwk  # noqa: SLF001 - the provider's own
    monkeypatch.setattr(server, "_jwk", lambda *of: {**whole(*of), "alg": "RS512"})
    server.discovery = {"id_token_signing_alg_values_supported": ["RS256", "RS512"]}
    server.sign = _other_hash
    with pytest.raises(OpenIdRefusedError):
        await signed_in(provider, server)


async def test_a_key_for_encryption_signs_nothing(
    provider: OpenIdProvider, server: OpenIdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = server._jwk  # noqa: SLF001 - the provider's own
    monkeypatch.setattr(server, "_jwk", lambda *of: {**whole(*of), "use": "enc"})
    with pytest.raises(OpenIdRefusedError):
        await signed_in(provider, server)


async def test_a_new_key_of_the_provider_is_asked_for(
    provider: OpenIdProvider, server: OpenIdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await signed_in(provider, server)
    monkeypatch.setattr("chargekey_common.tokens.PAUSE", 0.0)
    server.kid, server.keys = "2", {"1": "RS256", "2": "RS256"}
    await signed_in(provider, server)
    assert server.asked.count("/keys") == 2


async def test_a_provider_with_one_key_need_not_name_it(
    provider: OpenIdProvider, server: OpenIdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenID Connect Core 1.0 §10.1."""
    server.sign = lambda claims: jwt.encode(claims, KEYS["RS256"], "RS256")
    await signed_in(provider, server)
    monkeypatch.setattr("chargekey_common.tokens.FRESH", -1.0)
    monkeypatch.setattr("chargekey_common.tokens.PAUSE", 0.0)
    server.keys = {"1": "RS256", "2": "ES256"}
    with pytest.raises(OpenIdRefusedError):
        await signed_in(provider, server)


async def test_a_code_or_a_verifier_of_another_sign_in_is_refused(
    provider: OpenIdProvider, server: OpenIdServer
) -> None:
    """RFC 7636: who only caught the code on its way back gets nowhere with it."""
    _, code = server.sign_in(await provider.authorization_url(BEGUN))
    other = Begun(BEGUN.state, BEGUN.nonce, "another-verifier" * 3, REDIRECT_URI)
    for begun, shown in ((other, code), (BEGUN, code), (BEGUN, "made-up"), (BEGUN, "")):
        with pytest.raises(OpenIdRefusedError):
            await provider.who(begun, shown)


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys", "/token"])
async def test_a_provider_that_fails_is_said_to_be_away_and_works_again_later(
    provider: OpenIdProvider,
    server: OpenIdServer,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("chargekey_common.tokens", "chargekey_identity.openid_provider"):
        monkeypatch.setattr(f"{module}.PAUSE", 0.0)
    server.failing = {path}
    with pytest.raises(OpenIdUnavailableError):
        await signed_in(provider, server)
    server.failing = set()
    await signed_in(provider, server)


async def test_a_provider_that_hangs_is_waited_for_no_longer_than_its_deadline(
    provider: OpenIdProvider, server: OpenIdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openid_provider, "DEADLINE", 0.2)
    server.hanging.clear()
    with pytest.raises(OpenIdUnavailableError):
        await provider.authorization_url(BEGUN)


async def test_those_who_come_after_do_not_wait_for_a_provider_that_hangs(
    provider: OpenIdProvider, server: OpenIdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openid_provider, "DEADLINE", 1.0)
    monkeypatch.setattr(openid_provider, "PAUSE", 60.0)  # in which they all come
    server.hanging.clear()
    for _ in range(20):
        with pytest.raises(OpenIdUnavailableError):
            await provider.authorization_url(BEGUN)
    assert len(server.asked) == 1


async def test_a_provider_that_is_not_there_is_said_to_be_away() -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        nowhere = OpenIdProvider(Client("http://127.0.0.1:1", CLIENT_ID, "", {REDIRECT_URI}), http)
        with pytest.raises(OpenIdUnavailableError):
            await nowhere.authorization_url(BEGUN)


async def test_what_it_told_of_itself_is_believed_while_it_is_away(
    provider: OpenIdProvider, server: OpenIdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await provider.authorization_url(BEGUN)
    monkeypatch.setattr(openid_provider, "FRESH", -1.0)
    server.failing = {"/.well-known/openid-configuration"}
    assert await provider.authorization_url(BEGUN) == url


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://evil.example"},
        {"issuer": "http://127.0.0.1"},
        {"token_endpoint": "ftp://127.0.0.1/token"},
        {"jwks_uri": 7},
        {"authorization_endpoint": None},
    ],
)
async def test_a_discovery_document_that_cannot_be_right_is_not_believed(
    provider: OpenIdProvider, server: OpenIdServer, discovery: Claims
) -> None:
    """OpenID Connect Discovery 1.0 §4.3."""
    server.discovery = discovery
    with pytest.raises(OpenIdUnavailableError):
        await provider.authorization_url(BEGUN)


@pytest.fixture
def states(place: Path | Postgres) -> Iterator[OpenIdStates]:
    if isinstance(place, Postgres):
        OpenIdStates.migrate(place)
    opened = OpenIdStates(place, MASTER)
    yield opened
    opened.close()


def test_what_was_begun_is_completed_once_within_ten_minutes(states: OpenIdStates) -> None:
    begun = states.begin(REDIRECT_URI, at=NOW)
    late = states.begin(REDIRECT_URI, at=NOW)
    assert states.take(begun.state, at=NOW + LIFETIME - 1) == begun
    for state, at in ((begun.state, NOW), (late.state, NOW + LIFETIME), (late.state, NOW)):
        with pytest.raises(OpenIdStateUnknownError):
            states.take(state, at=at)


@pytest.mark.parametrize("state", ["", "made-up", "x" * 10_000])
def test_a_state_that_was_not_begun_here_is_refused(states: OpenIdStates, state: str) -> None:
    states.begin(REDIRECT_URI, at=NOW)
    with pytest.raises(OpenIdStateUnknownError):
        states.take(state, at=NOW)


def test_no_two_sign_ins_share_anything(states: OpenIdStates) -> None:
    """RFC 7636 §4.1: a verifier has 43 to 128 characters."""
    begun = [states.begin(REDIRECT_URI, at=NOW) for _ in range(10)]
    for secrets in zip(*((each.state, each.nonce, each.verifier) for each in begun), strict=True):
        assert len(set(secrets)) == 10
        assert {len(each) for each in secrets} == {43}


def test_nothing_of_a_sign_in_stands_in_the_file(tmp_path: Path) -> None:
    states = OpenIdStates(tmp_path / "states.db", MASTER)
    begun = states.begin(REDIRECT_URI, at=NOW)
    states.close()
    on_disk = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    for secret in (begun.state, begun.nonce, begun.verifier):
        assert secret.encode() not in on_disk
