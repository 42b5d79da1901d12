"""Tokens that identity issues, and the keys they are verified with, as every service does it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from chargekey_common import tokens
from chargekey_common.accounts import ADMINISTRATOR, Caller, Signer, Verifier, make_account
from chargekey_common.errors import UnauthenticatedError, UnavailableError
from chargekey_common.testing.grpc import Issuer
from chargekey_common.tokens import ALGORITHM, AUDIENCE, FRESH, IDENTITY, LEEWAY, LIFETIME, KeySet

ANNA = Caller("user:0d1f7a64-5c52-4b76-8a08-0c2fd1a3a111")
ANNA_AS_ADMINISTRATOR = Caller("administrator:0d1f7a64-5c52-4b76-8a08-0c2fd1a3a111")
OPERATOR = Caller("partner:8b6f6f3e-8a6c-4a4f-9d3c-3a1f2b7c9d00")


class Identity:
    """Tells the keys of its issuers, and can be away."""

    def __init__(self, *issuers: Issuer) -> None:
        self.issuers = list(issuers)
        self.asked = 0
        self.away = False

    async def tell(self) -> str:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise UnavailableError
        return json.dumps({"keys": [each.jwk() for each in self.issuers]})


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def verifier(issuer: Issuer, tmp_path: Path) -> Verifier:
    return Verifier(tmp_path, issuer.keys())


async def refused(verifying: Awaitable[object]) -> None:
    with pytest.raises(UnauthenticatedError):
        await verifying


def forged(issuer: Issuer, *, headers: dict[str, object] | None = None, **changes: object) -> str:
    """Return a token signed by the right key, with other claims; None leaves one out."""
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": IDENTITY,
        "sub": ANNA,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + LIFETIME,
        **changes,
    }
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        issuer.key,
        algorithm=ALGORITHM,
        headers={"kid": issuer.kid, **(headers or {})},
    )


@pytest.mark.parametrize("caller", [ANNA, OPERATOR, ANNA_AS_ADMINISTRATOR])
async def test_a_token_of_identity_tells_whose_it_is(
    verifier: Verifier, issuer: Issuer, caller: Caller
) -> None:
    token = issuer.token(caller)
    assert [await verifier.verify(token) for _ in range(2)] == [caller] * 2


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "somebody else"},
        {"iss": "somebody else"},
        {"iss": ANNA},
        {"iss": ADMINISTRATOR},
        {"sub": ""},
        {"sub": 7},
        {"sub": ADMINISTRATOR},
        {"sub": "administrator:anna"},
        {"sub": "administrator:"},
        {"sub": f"{ANNA_AS_ADMINISTRATOR}\n"},
        {"sub": f"{ANNA_AS_ADMINISTRATOR}0"},
        {"sub": ANNA_AS_ADMINISTRATOR.upper()},
        {"sub": "service:access"},
        {"sub": "service:0d1f7a64-5c52-4b76-8a08-0c2fd1a3a111"},
        {"sub": "anonymous:nobody"},
        {"sub": f"{ANNA}\n"},
        {"sub": "user:../../x"},
        {"sub": "user:"},
        *({name: None} for name in ("exp", "iat", "iss", "sub", "aud")),
    ],
)
async def test_no_other_claims_are_believed(
    verifier: Verifier, issuer: Issuer, changes: dict[str, Any]
) -> None:
    """For others, by others, about accounts, or with a part missing."""
    assert await verifier.verify(forged(issuer)) == ANNA
    await refused(verifier.verify(forged(issuer, **changes)))


@pytest.mark.parametrize(
    ("issued", "expires"), [(-LIFETIME, -LEEWAY - 60), (0, LIFETIME * 2), (3600, 3700)]
)
async def test_no_other_times_are_believed(
    verifier: Verifier, issuer: Issuer, issued: int, expires: int
) -> None:
    """Late, too long, too early; of the test's own time, which is not that of its collection."""
    now = int(time.time())
    await refused(verifier.verify(forged(issuer, iat=now + issued, exp=now + expires)))


async def test_no_other_algorithm_is_believed(verifier: Verifier, issuer: Issuer) -> None:
    """None at all, the public key taken for a secret, another family of keys."""
    header = {"kid": issuer.kid}
    claims = jwt.decode(forged(issuer), options={"verify_signature": False})
    public = issuer.key.public_key()
    # PyJWT itself refuses to sign with what looks like a public key: raw bytes do not.
    as_secret = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    rsa = generate_private_key(65537, 2048)
    for token in (
        jwt.encode(claims, None, algorithm="none", headers=header),
        jwt.encode(claims, as_secret, algorithm="HS256", headers=header),
        jwt.encode(claims, rsa, algorithm="RS256", headers=header),
        forged(Issuer()),
        forged(issuer, headers={"crit": ["b64"], "b64": False}),
        forged(issuer)[:-4] + "AAAA",
        forged(issuer).rsplit(".", 1)[0] + ".",
        "..",
        "\ud800.a.b",
    ):
        await refused(verifier.verify(token))


async def test_an_account_never_speaks_for_people_nor_identity_for_accounts(
    issuer: Issuer, tmp_path: Path
) -> None:
    """Whatever the account's name and whatever it puts into its tokens."""
    verifier = Verifier(tmp_path, issuer.keys())
    for name in (ADMINISTRATOR, Caller("service:gateway"), ANNA, OPERATOR, ANNA_AS_ADMINISTRATOR):
        key = make_account(name, keys=tmp_path / "keys", accounts=tmp_path).read_bytes()
        for issued_by in (name, IDENTITY):
            for kid in (name, issuer.kid):
                for person in (ANNA, OPERATOR, ANNA_AS_ADMINISTRATOR):
                    if person == name == issued_by == kid == ANNA_AS_ADMINISTRATOR:
                        continue  # an account may be called so
                    token = tokens.sign(key, kid, issuer=issued_by, subject=person, now=time.time())
                    await refused(verifier.verify(token))
    for account in (ADMINISTRATOR, Caller("service:gateway")):
        for issued_by in (account, IDENTITY):
            for kid in (account, issuer.kid):
                token = tokens.sign(
                    issuer.key, kid, issuer=issued_by, subject=account, now=time.time()
                )
                await refused(verifier.verify(token))
    gateway = Signer.from_file(tmp_path / "keys" / "service_gateway.key")
    assert await verifier.verify(gateway.token()) == "service:gateway"


@pytest.mark.parametrize("kid", ["", "unknown", "a-signing-key ", "A-SIGNING-KEY", "x" * 5000])
async def test_a_key_that_identity_does_not_tell_of_is_refused(
    verifier: Verifier, issuer: Issuer, kid: str
) -> None:
    await refused(verifier.verify(issuer.token(ANNA, kid=kid)))


async def test_a_token_without_a_kid_is_refused(verifier: Verifier, issuer: Issuer) -> None:
    claims = jwt.decode(forged(issuer), options={"verify_signature": False})
    await refused(verifier.verify(jwt.encode(claims, issuer.key, algorithm=ALGORITHM)))


async def test_a_new_key_is_asked_for_when_its_first_token_comes(
    issuer: Issuer, tmp_path: Path, clock: Clock
) -> None:
    identity = Identity(issuer)
    verifier = Verifier(tmp_path, KeySet(identity.tell, clock=clock))
    assert await verifier.verify(issuer.token(ANNA)) == ANNA
    newer = Issuer("a-newer-key")
    identity.issuers.append(newer)
    clock.now += 2
    assert await verifier.verify(newer.token(OPERATOR)) == OPERATOR
    assert await verifier.verify(issuer.token(OPERATOR)) == OPERATOR
    assert identity.asked == 2


async def test_made_up_keys_hammer_nobody(issuer: Issuer, clock: Clock) -> None:
    """A thousand at once and a thousand in a row are one question a second."""
    identity = Identity(issuer)
    keys = KeySet(identity.tell, clock=clock)

    async def one(number: int) -> None:
        await refused(keys.key(f"made-up-{number}"))

    await asyncio.gather(*(one(number) for number in range(1000)))
    assert identity.asked == 1
    for second in range(3):
        clock.now += 1
        for number in range(1000):
            await one(number)
        assert identity.asked == second + 2
    await keys.key(issuer.kid)


async def test_known_keys_go_on_counting_while_identity_is_away(
    issuer: Issuer, tmp_path: Path, clock: Clock
) -> None:
    """Also once they are old, and what is not known can be tried again later."""
    identity = Identity(issuer)
    verifier = Verifier(tmp_path, KeySet(identity.tell, clock=clock))
    await verifier.verify(issuer.token(ANNA))
    identity.away = True
    clock.now += FRESH * 10
    assert await verifier.verify(issuer.token(OPERATOR)) == OPERATOR
    with pytest.raises(UnavailableError):
        await verifier.verify(Issuer("never-heard-of").token(ANNA))
    identity.away = False
    clock.now += 1
    await refused(verifier.verify(Issuer("never-heard-of").token(ANNA)))


async def test_a_service_that_never_reached_identity_says_so(clock: Clock) -> None:
    identity = Identity(Issuer())
    identity.away = True
    keys = KeySet(identity.tell, clock=clock)
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await keys.key("a-signing-key")
    assert identity.asked == 1
    identity.away = False
    clock.now += 1
    await keys.key("a-signing-key")


async def test_a_key_that_was_taken_back_stops_counting(issuer: Issuer, clock: Clock) -> None:
    """Known keys are asked for again, now and then, though nothing unknown turned up."""
    newer = Issuer("a-newer-key")
    identity = Identity(issuer, newer)
    keys = KeySet(identity.tell, clock=clock)
    await keys.key(issuer.kid)
    identity.issuers.remove(issuer)
    clock.now += FRESH + 1
    await keys.key(newer.kid)
    await refused(keys.key(issuer.kid))


async def test_whoever_has_a_known_key_does_not_wait_for_who_has_none(
    issuer: Issuer, clock: Clock
) -> None:
    going_on = asyncio.Event()
    identity = Identity(issuer)

    async def slowly() -> str:
        if identity.asked:
            await going_on.wait()
        return await identity.tell()

    keys = KeySet(slowly, clock=clock)
    await keys.key(issuer.kid)
    clock.now += FRESH + 1
    stranger = asyncio.create_task(refused(keys.key("unknown")))
    await asyncio.sleep(0)
    await asyncio.wait_for(keys.key(issuer.kid), 5)
    going_on.set()
    await stranger


@pytest.mark.parametrize(
    "told",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"keys": 7}',
        '{"keys": [{"kty": "oct", "k": "AAAA", "alg": "none"}]}',
    ],
)
async def test_what_is_no_key_set_leaves_the_known_keys_alone(
    issuer: Issuer, clock: Clock, told: str
) -> None:
    good: Callable[[], Awaitable[str]] = Identity(issuer).tell
    answers = iter((await good(), told))

    async def fetch() -> str:
        return next(answers)

    keys = KeySet(fetch, clock=clock)
    await keys.key(issuer.kid)
    clock.now += FRESH + 1
    await keys.key(issuer.kid)
