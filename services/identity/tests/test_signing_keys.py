"""The keys that access tokens are signed with, in a file and in a schema."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chargekey_common import tokens
from chargekey_common.eventstore.store import StoreUnavailableError
from chargekey_common.postgres import NotMigratedError, Postgres
from chargekey_identity.tables import signing_keys
from chargekey_identity.tables.signing_keys import ANNOUNCED, KEPT, PERIOD, SigningKeys

from .conftest import MASTER

START = 1_800_000_000
ANNA = "user:0d1f7a64-5c52-4b76-8a08-0c2fd1a3a111"

Open = Callable[..., SigningKeys]


class Clock:
    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(place: Path | Postgres, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Return what opens the keys, as one replica after the other; each looks every time."""
    monkeypatch.setattr(signing_keys, "LOOK", 0.0)
    if isinstance(place, Postgres):
        SigningKeys.migrate(place)
    replicas: list[SigningKeys] = []

    def open_one(master: bytes = MASTER, its_clock: Clock = clock) -> SigningKeys:
        replicas.append(SigningKeys(place, master, clock=its_clock))
        return replicas[-1]

    yield open_one
    for each in replicas:
        each.close()


def told(keys: SigningKeys) -> dict[str, Any]:
    """Return the JWK Set by kid, as PyJWT reads it."""
    return {str(each.key_id): each for each in jwt.PyJWKSet.from_json(keys.jwks()).keys}


def signer_of(token: str) -> str:
    return tokens.key_id(token)


def holds(keys: SigningKeys, token: str, clock: Clock) -> bool:
    """Whether a service that asks now can verify a token of now."""
    claims = jwt.decode(
        token,
        told(keys)[signer_of(token)],
        algorithms=["EdDSA"],
        audience="chargekey",
        issuer="chargekey-identity",
        options={"verify_exp": False, "verify_iat": False},
    )
    return bool(claims["iat"] <= clock.now < claims["exp"] and claims["sub"] == ANNA)


def test_a_token_is_what_every_service_expects(opened: Open, clock: Clock) -> None:
    keys = opened()
    token = keys.sign(ANNA)
    assert holds(keys, token.text, clock)
    assert token.expires_at == (START + 300) * 10**9
    assert token.text not in repr(token)


def test_only_public_parts_are_told(opened: Open) -> None:
    keys = opened()
    [key] = json.loads(keys.jwks())["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "alg", "use"}
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("OKP", "Ed25519", "EdDSA", "sig")
    assert ":" not in key["kid"]  # an account's has one


def test_keys_survive_a_restart(opened: Open) -> None:
    first = opened()
    token = first.sign(ANNA).text
    first.close()
    again = opened()
    assert signer_of(token) in told(again)
    assert signer_of(again.sign(ANNA).text) == signer_of(token)


def test_a_new_key_is_announced_then_signs_and_the_old_one_is_kept_for_its_last_token(
    opened: Open, clock: Clock
) -> None:
    keys = opened()
    old = signer_of(keys.sign(ANNA).text)
    clock.now = START + PERIOD - ANNOUNCED - 1
    assert set(told(keys)) == {old}
    clock.now += 1
    assert signer_of(keys.sign(ANNA).text) == old
    [new] = set(told(keys)) - {old}
    clock.now = START + PERIOD - 1
    last = keys.sign(ANNA).text
    assert signer_of(last) == old
    clock.now += 1
    assert signer_of(keys.sign(ANNA).text) == new
    clock.now += KEPT - 1
    assert set(told(keys)) == {old, new}
    clock.now += 1
    assert set(told(keys)) == {new}
    assert KEPT > tokens.LIFETIME + tokens.LEEWAY
    assert ANNOUNCED > 2 * tokens.FRESH


def test_after_a_long_absence_the_new_key_is_announced_all_the_same(
    opened: Open, clock: Clock
) -> None:
    keys = opened()
    old = signer_of(keys.sign(ANNA).text)
    clock.now += PERIOD * 10
    assert signer_of(keys.sign(ANNA).text) == old
    [new] = set(told(keys)) - {old}
    clock.now += ANNOUNCED
    assert signer_of(keys.sign(ANNA).text) == new


def test_replicas_that_start_at_once_agree_on_one_key(opened: Open) -> None:
    replicas = [opened() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        signed = [
            future.result().text
            for future in [threads.submit(each.sign, ANNA) for each in replicas * 4]
        ]
    assert len({signer_of(token) for token in signed}) == 1
    assert len({each.jwks() for each in replicas}) == 1


def test_replicas_that_rotate_at_once_agree_on_the_next_key(opened: Open, clock: Clock) -> None:
    replicas = [opened() for _ in range(4)]
    old = signer_of(replicas[0].sign(ANNA).text)
    clock.now += PERIOD
    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(each.sign, ANNA) for each in replicas * 4]:
            assert signer_of(future.result().text) == old
    assert {len(told(each)) for each in replicas} == {2}
    assert len({each.jwks() for each in replicas}) == 1


def test_a_replica_whose_clock_is_behind_signs_too(opened: Open) -> None:
    ahead, behind = Clock(), Clock()
    behind.now -= 20
    first = opened(its_clock=ahead).sign(ANNA).text
    assert signer_of(opened(its_clock=behind).sign(ANNA).text) == signer_of(first)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.tuples(st.integers(0, PERIOD), st.integers(0, 1)), max_size=12))
def test_whoever_asks_once_in_five_minutes_can_verify_every_token(
    tmp_path: Path, steps: list[tuple[int, int]]
) -> None:
    """Whenever and by whichever replica it was signed, and until it ends."""
    where = tmp_path / "keys.db"
    where.unlink(missing_ok=True)
    clock = Clock()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(signing_keys, "LOOK", 0.0)
        replicas = [SigningKeys(where, MASTER, clock=clock) for _ in range(2)]
        try:
            for seconds, which in steps:
                clock.now += seconds
                known_before = set(told(replicas[1 - which])) if seconds > 300 else None
                token = replicas[which].sign(ANNA).text
                assert known_before is None or signer_of(token) in known_before
                assert holds(replicas[1 - which], token, clock)
                clock.now += tokens.LIFETIME
                assert signer_of(token) in told(replicas[1 - which])
        finally:
            for each in replicas:
                each.close()


def test_another_master_key_opens_nothing(opened: Open) -> None:
    opened().sign(ANNA)
    other = opened(b"another key of sixteen bytes")
    with pytest.raises(InvalidTag):
        other.sign(ANNA)


def test_private_keys_stand_nowhere_in_plain_and_old_ones_nowhere_at_all(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_keys, "LOOK", 0.0)
    file = tmp_path / "keys.db"
    keys = SigningKeys(file, MASTER, clock=clock)
    keys.sign(ANNA)
    plain = keys._keys[0].private.private_bytes_raw()  # noqa: SLF001 - what must not be found
    with sqlite3.connect(file) as looking:
        [(sealed,)] = looking.execute("SELECT sealed FROM signing_keys").fetchall()
    looking.close()
    for seconds in (PERIOD, ANNOUNCED, KEPT):
        clock.now += seconds
        keys.sign(ANNA)
    keys.close()
    bytes_on_disk = b"".join(each.read_bytes() for each in tmp_path.glob("keys.db*"))
    assert plain not in bytes_on_disk
    assert sealed not in bytes_on_disk


def test_a_schema_without_the_table_is_told_so(postgres: Postgres) -> None:
    with pytest.raises(NotMigratedError):
        SigningKeys(postgres, MASTER)


def test_a_store_that_cannot_be_used_is_said_to_be(tmp_path: Path) -> None:
    keys = SigningKeys(tmp_path / "keys.db", MASTER)
    keys.close()
    with pytest.raises(StoreUnavailableError):
        keys.sign(ANNA)
