from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chargekey_common.accounts import (
    ADMINISTRATOR,
    NOBODY,
    Caller,
    Signer,
    Verifier,
    is_administrator,
    make_account,
    person_of,
)
from chargekey_common.errors import UnauthenticatedError
from chargekey_common.testing.grpc import Issuer
from chargekey_common.tokens import ALGORITHM, AUDIENCE, LIFETIME

ANNA = "0d1f7a64-5c52-4b76-8a08-0c2fd1a3a111"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_account(ADMINISTRATOR, keys=tmp_path / "keys", accounts=tmp_path)


def verifier_of(accounts: Path) -> Verifier:
    return Verifier(accounts, Issuer().keys())


def claims(**changes: object) -> dict[str, object]:
    now = int(time.time())
    return {
        "iss": ADMINISTRATOR,
        "sub": ADMINISTRATOR,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + LIFETIME,
        **changes,
    }


def signed(key: Path, payload: dict[str, object], kid: str = ADMINISTRATOR) -> str:
    return jwt.encode(payload, key.read_bytes(), algorithm=ALGORITHM, headers={"kid": kid})


async def test_a_token_tells_who_signed_it(key: Path, tmp_path: Path) -> None:
    verifier = verifier_of(tmp_path)
    token = Signer.from_file(key).token()
    assert await verifier.verify(token) == ADMINISTRATOR
    assert await verifier.verify(token) == ADMINISTRATOR


def test_a_private_key_is_its_owners_alone_and_made_once(key: Path, tmp_path: Path) -> None:
    assert key.stat().st_mode & 0o077 == 0
    before = key.read_bytes()
    make_account(ADMINISTRATOR, keys=tmp_path / "keys", accounts=tmp_path)
    assert key.read_bytes() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(time.time()) - 3600, "iat": int(time.time()) - 3700},
        {"exp": int(time.time()) + 86400},
        {"aud": "somebody else"},
        {"exp": str(int(time.time()) + 86400)},
        {"sub": "service:gateway"},
        {"iss": "service:gateway"},
    ],
)
async def test_a_token_that_is_late_too_long_or_not_ours_is_refused(
    key: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    with pytest.raises(UnauthenticatedError):
        await verifier_of(tmp_path).verify(signed(key, claims(**changes)))


@pytest.mark.parametrize(
    "kid",
    ["service:nobody", "service:" + "x" * 300, "../keys/x:y", "administrator:../x", "", ":"],
)
async def test_a_token_of_an_unknown_account_is_refused(
    key: Path, tmp_path: Path, kid: str
) -> None:
    with pytest.raises(UnauthenticatedError):
        await verifier_of(tmp_path).verify(signed(key, claims(iss=kid, sub=kid), kid))


async def test_a_token_signed_by_another_key_is_refused(key: Path, tmp_path: Path) -> None:
    other = make_account(Caller("service:eve"), keys=tmp_path / "keys", accounts=tmp_path)
    verifier = verifier_of(tmp_path)
    assert await verifier.verify(signed(key, claims()))
    with pytest.raises(UnauthenticatedError):
        await verifier.verify(signed(other, claims()))


@pytest.mark.usefixtures("key")
async def test_an_unsigned_token_and_noise_are_refused(tmp_path: Path) -> None:
    unsigned = jwt.encode(claims(), None, algorithm="none", headers={"kid": ADMINISTRATOR})
    stranger = jwt.encode(
        claims(), Ed25519PrivateKey.generate(), algorithm=ALGORITHM, headers={"kid": ADMINISTRATOR}
    )
    for token in (unsigned, stranger, "", "a.b.c", "x" * 10_000):
        with pytest.raises(UnauthenticatedError):
            await verifier_of(tmp_path).verify(token)


async def test_a_removed_account_is_let_in_with_no_new_token(key: Path, tmp_path: Path) -> None:
    verifier = verifier_of(tmp_path)
    assert await verifier.verify(signed(key, claims()))
    (tmp_path / "administrator_local.pem").unlink()
    with pytest.raises(UnauthenticatedError):
        await verifier.verify(signed(key, claims(jti="another")))


async def test_an_account_that_changes_its_key_is_let_in_by_either_while_both_stand_there(
    key: Path, tmp_path: Path
) -> None:
    anew = make_account(ADMINISTRATOR, keys=tmp_path / "new", accounts=tmp_path / "new")
    file = tmp_path / "administrator_local.pem"
    replacement = (tmp_path / "new" / "administrator_local.pem").read_bytes()
    file.write_bytes(file.read_bytes() + replacement)
    verifier = verifier_of(tmp_path)
    for each in (key, anew):
        assert await verifier.verify(signed(each, claims())) == ADMINISTRATOR
    damaged = b"-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n"
    file.write_bytes(damaged + b"-----BEGIN PUBLIC KEY-----\n" + replacement)
    assert await verifier.verify(signed(anew, claims(jti="one"))) == ADMINISTRATOR
    with pytest.raises(UnauthenticatedError):
        await verifier.verify(signed(key, claims(jti="another")))


async def test_a_clock_that_was_set_back_leaves_no_token_from_the_future(
    key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    signer = Signer.from_file(key)
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    ahead = signer.token()
    monkeypatch.setattr(time, "time", lambda: now)
    with pytest.raises(UnauthenticatedError):
        await verifier_of(tmp_path).verify(ahead)
    assert await verifier_of(tmp_path).verify(signer.token()) == ADMINISTRATOR


@pytest.mark.parametrize(
    ("caller", "is_one", "person"),
    [
        (ADMINISTRATOR, True, "local"),
        (f"administrator:{ANNA}", True, ANNA),
        (f"user:{ANNA}", False, ANNA),
        ("user:administrator:local", False, "administrator:local"),
        (f"partner:{ANNA}", False, None),
        ("service:administrator", False, None),
        ("administrators:local", False, None),
        (NOBODY, False, None),
        ("", False, None),
    ],
)
def test_a_caller_tells_whether_an_administrator_calls_and_which_person(
    *, caller: str, is_one: bool, person: str | None
) -> None:
    assert is_administrator(caller) is is_one
    assert person_of(caller) == person
