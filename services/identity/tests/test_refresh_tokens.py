"""Refresh tokens, in a file and in a schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from chargekey_common.eventstore.store import StoreUnavailableError
from chargekey_common.postgres import Postgres
from chargekey_identity.domain.errors import SignInEndedError
from chargekey_identity.tables.refresh_tokens import IDLE, RefreshTokens

from .conftest import MASTER

ANNA, GRACE = "anna", "grace"
NOW = 1_800_000_000 * 10**9

Open = Callable[[], RefreshTokens]


@pytest.fixture
def opened(place: Path | Postgres) -> Iterator[Open]:
    if isinstance(place, Postgres):
        RefreshTokens.migrate(place)
    replicas: list[RefreshTokens] = []

    def open_one() -> RefreshTokens:
        replicas.append(RefreshTokens(place, MASTER))
        return replicas[-1]

    yield open_one
    for each in replicas:
        each.close()


@pytest.fixture
def tokens(opened: Open) -> RefreshTokens:
    return opened()


def ended(tokens: RefreshTokens, token: str, at: int = NOW) -> bool:
    try:
        tokens.refresh(token, at=at)
    except SignInEndedError:
        return True
    return False


def test_each_token_brings_the_next_one_at_any_replica(opened: Open) -> None:
    first, second = opened(), opened()
    token = first.begin(ANNA, at=NOW)
    seen = {token}
    for replica in (second, first, second):
        refreshed = replica.refresh(token, at=NOW)
        assert refreshed.user_id == ANNA
        assert refreshed.token not in repr(refreshed)
        token = refreshed.token
        seen.add(token)
    assert len(seen) == 4


def test_a_token_that_was_used_ends_its_sign_in_and_no_other(tokens: RefreshTokens) -> None:
    """For whoever has the newer one as well, and somebody can be told."""
    stolen = tokens.begin(ANNA, at=NOW)
    hers_elsewhere = tokens.begin(ANNA, at=NOW)
    following = tokens.refresh(stolen, at=NOW).token
    with capture_logs() as logs:
        assert ended(tokens, stolen)
    assert [(each["event"], each["user_id"]) for each in logs] == [("refresh_token_reused", ANNA)]
    assert ended(tokens, following)
    assert not ended(tokens, hers_elsewhere)


@pytest.mark.parametrize("threads", [2, 8])
def test_of_those_who_use_one_token_at_once_one_is_answered_and_the_sign_in_ends(
    opened: Open, threads: int
) -> None:
    """Two replicas, and a thief who is exactly as fast as the person."""
    replicas = [opened(), opened()]
    for _ in range(5):
        token = replicas[0].begin(ANNA, at=NOW)

        def use(number: int, token: str = token) -> str | None:
            try:
                return replicas[number % 2].refresh(token, at=NOW).token
            except SignInEndedError:
                return None

        with ThreadPoolExecutor(threads) as pool:
            answers = [answer for answer in pool.map(use, range(threads)) if answer]
        assert len(answers) == 1
        assert ended(replicas[0], answers[0])


@pytest.mark.parametrize(
    "form",
    [
        "",
        "{key}",
        "{key}.",
        "{key}.{secret}A",
        "{key}.{secret}\n",
        "{key}:{secret}",
        " {key}.{secret}",
        f"{'0' * 32}.{'A' * 43}",
        "x' OR 1=1 --",
    ],
)
def test_what_is_no_token_is_refused_and_harms_nobody(tokens: RefreshTokens, form: str) -> None:
    token = tokens.begin(ANNA, at=NOW)
    key, _, secret = token.partition(".")
    shown = form.format(key=key, secret=secret)
    assert ended(tokens, shown)
    tokens.end(shown)
    assert not ended(tokens, token)


def test_a_sign_in_ends_thirty_days_after_its_last_refresh(tokens: RefreshTokens) -> None:
    token = tokens.begin(ANNA, at=NOW)
    token = tokens.refresh(token, at=NOW + IDLE - 1).token
    token = tokens.refresh(token, at=NOW + 2 * IDLE - 2).token
    assert ended(tokens, token, NOW + 3 * IDLE - 2)


def test_who_signs_out_has_signed_out_for_every_later_token(tokens: RefreshTokens) -> None:
    """Also by an old one, and also twice."""
    token = tokens.begin(ANNA, at=NOW)
    other = tokens.begin(ANNA, at=NOW)
    following = tokens.refresh(token, at=NOW).token
    tokens.end(token)
    tokens.end(token)
    assert ended(tokens, following)
    assert not ended(tokens, other)


def test_a_user_who_is_forgotten_has_no_sign_in_left(tokens: RefreshTokens) -> None:
    """R20."""
    hers = [tokens.begin(ANNA, at=NOW) for _ in range(3)]
    his = tokens.begin(GRACE, at=NOW)
    tokens.forget(ANNA)
    assert all(ended(tokens, each) for each in hers)
    assert not ended(tokens, his)


def test_neither_tokens_nor_forgotten_users_stand_in_the_file(tmp_path: Path) -> None:
    """R20: nor does anything remain of sign-ins that ended idle."""
    tokens = RefreshTokens(tmp_path / "sign-ins.db", MASTER)
    token = tokens.begin("a-user-who-is-forgotten", at=NOW)
    token = tokens.refresh(token, at=NOW).token
    tokens.forget("a-user-who-is-forgotten")
    tokens.begin("a-user-who-never-came-back", at=NOW)
    tokens.begin(GRACE, at=NOW + IDLE)
    tokens.close()
    on_disk = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert token.partition(".")[2].encode() not in on_disk
    assert b"a-user-who" not in on_disk
    assert GRACE.encode() in on_disk


def test_a_store_that_cannot_be_used_is_said_to_be(tmp_path: Path) -> None:
    tokens = RefreshTokens(tmp_path / "sign-ins.db", MASTER)
    token = tokens.begin(ANNA, at=NOW)
    tokens.close()
    with pytest.raises(StoreUnavailableError):
        tokens.refresh(token, at=NOW)
