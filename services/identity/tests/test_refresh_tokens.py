"""Refresh tokens, in a file and in a schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from structlog.testing import capture_logs

from chargekey_common.eventstore.store import StoreUnavailableError
from chargekey_common.postgres import Postgres
from chargekey_identity.domain.errors import SignInEndedError
from chargekey_identity.domain.secret import Secrets
from chargekey_identity.tables import refresh_tokens
from chargekey_identity.tables.refresh_tokens import IDLE, RefreshTokens

from .conftest import MASTER

ANNA, GRACE = "anna", "grace"
NOW = 1_800_000_000 * 10**9
AGAIN = refresh_tokens.GRACE

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


def test_a_token_shown_again_within_the_grace_is_answered_as_before(opened: Open) -> None:
    """Several tabs of a browser, or an answer that was lost; at any replica, and by any clock."""
    first, second = opened(), opened()
    token = first.begin(ANNA, at=NOW)
    answers = {
        replica.refresh(token, at=NOW + passed).token
        for replica, passed in (
            (first, 0),
            (second, AGAIN - 1),
            (first, AGAIN - 1),
            # Whose clock is behind.
            (second, -AGAIN),
        )
    }
    [following] = answers
    assert following != token
    # What is answered again is not used again: the sign-in goes on as from the first time.
    assert ended(first, following, NOW + IDLE)
    assert not ended(second, following, NOW + IDLE - 1)


def test_what_follows_a_token_is_known_to_nobody_without_the_master_key(
    tokens: RefreshTokens,
) -> None:
    """Whoever has an old token alone can show that one, which ends its sign-in."""
    token = tokens.begin(ANNA, at=NOW)
    key, _, secret = token.partition(".")
    guessed = Secrets(b"another key of enough bytes", b"identity-refresh").derive(key, secret)
    assert tokens.refresh(token, at=NOW).token != f"{key}.{guessed}"
    assert ended(tokens, f"{key}.{guessed}")


@pytest.mark.parametrize("passed", [AGAIN, AGAIN + 1, IDLE - 1])
def test_a_token_that_was_used_long_ago_ends_its_sign_in_and_no_other(
    tokens: RefreshTokens, passed: int
) -> None:
    """For whoever has the newer one as well, and somebody can be told."""
    stolen = tokens.begin(ANNA, at=NOW)
    hers_elsewhere = tokens.begin(ANNA, at=NOW)
    following = tokens.refresh(stolen, at=NOW).token
    with capture_logs() as logs:
        assert ended(tokens, stolen, NOW + passed)
    assert [(each["event"], each["user_id"]) for each in logs] == [("refresh_token_reused", ANNA)]
    assert ended(tokens, following)
    assert not ended(tokens, hers_elsewhere)


def test_a_token_older_than_the_last_two_ends_its_sign_in_at_once(tokens: RefreshTokens) -> None:
    """Whoever used the one after it had its answer."""
    oldest = tokens.begin(ANNA, at=NOW)
    before = tokens.refresh(oldest, at=NOW).token
    last = tokens.refresh(before, at=NOW).token
    assert ended(tokens, oldest)
    assert ended(tokens, before)
    assert ended(tokens, last)


@pytest.mark.parametrize("threads", [2, 8])
def test_all_who_use_one_token_at_once_are_given_the_same(opened: Open, threads: int) -> None:
    """At two replicas: there is one that follows, and with it the sign-in goes on."""
    replicas = [opened(), opened()]
    token = replicas[0].begin(ANNA, at=NOW)
    for _ in range(5):

        def use(number: int, token: str = token) -> str:
            return replicas[number % 2].refresh(token, at=NOW).token

        with ThreadPoolExecutor(threads) as pool:
            [token] = set(pool.map(use, range(threads)))


def test_whoever_is_slow_does_not_put_back_the_token_that_others_went_on_from(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two replicas: what one has looked at, the other does not change until it is done."""
    quick = opened()
    looked, went_on = Event(), Event()

    class Slow(Secrets):
        def matches(self, expected: str, *parts: str) -> bool:
            looked.set()
            # Which they do not, as long as this one is not done.
            went_on.wait(0.5)
            return super().matches(expected, *parts)

    monkeypatch.setattr(refresh_tokens, "Secrets", Slow)
    slow = opened()
    token = quick.begin(ANNA, at=NOW)

    def go_on() -> str:
        assert looked.wait(30)
        following = quick.refresh(token, at=NOW).token
        last = quick.refresh(following, at=NOW).token
        went_on.set()
        return last

    with ThreadPoolExecutor(1) as pool:
        others = pool.submit(go_on)
        slow.refresh(token, at=NOW)
        last = others.result()
    assert not ended(quick, last)


@pytest.mark.parametrize("threads", [2, 8])
def test_a_sign_in_that_is_ended_while_its_token_is_used_has_ended(
    opened: Open, threads: int
) -> None:
    """Whoever came first: no token that was answered meanwhile opens it again."""
    replicas = [opened(), opened()]
    for _ in range(5):
        token = replicas[0].begin(ANNA, at=NOW)

        def use(number: int, token: str = token) -> str | None:
            if number == threads - 1:
                replicas[1].end(token)
                return None
            try:
                return replicas[number % 2].refresh(token, at=NOW).token
            except SignInEndedError:
                return None

        with ThreadPoolExecutor(threads) as pool:
            answers = [answer for answer in pool.map(use, range(threads)) if answer]
        assert all(ended(replicas[0], each) for each in (token, *answers))


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
    assert ended(tokens, token)
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
