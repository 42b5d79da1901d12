"""Webhooks in tables: commands that count once, secrets that are sealed, a log that ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from chargekey_common.eventstore.store import CommandIdMalformedError, CommandIdReusedError
from chargekey_common.postgres import Postgres
from chargekey_notifier.errors import (
    AnswerUnreadableError,
    EventNameUnknownError,
    TooManyWebhooksError,
    UrlMalformedError,
    WebhookUnknownError,
)
from chargekey_notifier.webhooks.endpoint import MOST, event_names, url
from chargekey_notifier.webhooks.retention import KEPT
from chargekey_notifier.webhooks.store import WEBHOOKS, Attempt, Webhooks

from .world import SECRET, VOLT, WATT, Clock, command

HOOK = "https://volt.example/hook"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def webhooks(place: Path | Postgres, clock: Clock) -> Iterator[Webhooks]:
    if isinstance(place, Postgres):
        Webhooks.migrate(place)
    webhooks = Webhooks(place, SECRET, clock=clock)
    yield webhooks
    webhooks.close()


def create(webhooks: Webhooks, command_id: str | None = None, partner_id: str = VOLT) -> str:
    webhook_id, _ = webhooks.create(
        command(command_id), partner_id=partner_id, url=HOOK, events=(), after=7
    )
    return webhook_id


def attempt(number: int, at: int, result: str = "delivered") -> Attempt:
    return Attempt(
        sequence=number,
        event_id=f"e{number}",
        event="ChargerDisconnected",
        at=at,
        took_ms=3,
        result=result,
    )


def test_a_command_that_comes_again_answers_as_the_first_time(webhooks: Webhooks) -> None:
    """F29."""
    made = [
        webhooks.create(command("c1"), partner_id=VOLT, url=HOOK, events=(), after=0)
        for _ in range(2)
    ]
    assert made[0] == made[1]
    [webhook_id, secret] = made[0]
    rotated = [webhooks.rotate(command("c2"), webhook_id) for _ in range(2)]
    assert rotated[0] == rotated[1]
    assert webhooks.secrets(webhooks.endpoint(webhook_id)) == [rotated[0], secret]
    for _ in range(2):
        webhooks.remove(command("c3"), webhook_id)
    with pytest.raises(CommandIdReusedError):
        webhooks.rotate(command("c1"), webhook_id)
    with pytest.raises(CommandIdReusedError):
        webhooks.create(
            command("c1", actor="user:bo"), partner_id=VOLT, url=HOOK, events=(), after=0
        )
    with pytest.raises(CommandIdMalformedError):
        create(webhooks, "no id")


def test_what_a_command_answered_under_another_secret_is_said_to_be_lost(
    place: Path | Postgres, webhooks: Webhooks
) -> None:
    """F29: and it is not done again."""
    create(webhooks, "c1")
    webhooks.close()
    with contextlib.closing(Webhooks(place, b"another secret of so many bytes.")) as others:
        with pytest.raises(AnswerUnreadableError):
            create(others, "c1")
        assert len(others.of(VOLT)) == 1


def test_two_of_one_command_at_the_same_time_are_one(webhooks: Webhooks) -> None:
    """F29."""
    made: list[str] = []
    both = [threading.Thread(target=lambda: made.append(create(webhooks, "c1"))) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(made) == 2
    assert [each.id for each in webhooks.of(VOLT)] == made[:1] == made[1:]


def test_a_command_is_forgotten_with_what_was_tried(webhooks: Webhooks, clock: Clock) -> None:
    first = create(webhooks, "c1")
    webhooks.forget(clock() + 10**9)
    assert create(webhooks, "c1") != first


def test_a_command_that_is_refused_has_not_happened(webhooks: Webhooks) -> None:
    with pytest.raises(WebhookUnknownError):
        webhooks.rotate(command("c1"), "nothing")
    create(webhooks, "c1")


def test_a_partner_has_its_own_and_twenty_of_them(webhooks: Webhooks) -> None:
    others = create(webhooks, partner_id=WATT)
    mine = [create(webhooks) for _ in range(MOST)]
    with pytest.raises(TooManyWebhooksError):
        create(webhooks)
    assert [each.id for each in webhooks.of(VOLT)] == mine
    assert [each.id for each in webhooks.of(WATT)] == [others]
    assert {webhooks.partner_of(each) for each in mine} == {VOLT}
    webhooks.remove(command(), mine[0])
    create(webhooks)


def test_what_is_removed_is_gone_but_for_whose_it_was(webhooks: Webhooks, clock: Clock) -> None:
    webhook_id = create(webhooks)
    webhooks.delivered(webhooks.endpoint(webhook_id), 8, attempt(8, clock()))
    webhooks.remove(command(), webhook_id)
    assert (list(webhooks.of(VOLT)), list(webhooks.enabled())) == ([], [])
    assert list(webhooks.attempts(webhook_id, before=None, limit=10)) == []
    changes: list[Callable[[], object]] = [
        lambda: webhooks.endpoint(webhook_id),
        lambda: webhooks.change(command(), webhook_id, url=HOOK),
        lambda: webhooks.rotate(command(), webhook_id),
        lambda: webhooks.replay(command(), webhook_id, after=0),
        lambda: webhooks.remove(command(), webhook_id),
    ]
    for each in changes:
        with pytest.raises(WebhookUnknownError):
            each()
    assert webhooks.partner_of(webhook_id) == VOLT
    with webhooks._db.reading() as connection:  # noqa: SLF001 - what nothing shows any more
        [row] = connection.execute(select(WEBHOOKS)).all()
    assert (row.secret, row.secret_before, row.url) == (b"", None, "")
    clock.later = KEPT + 10**9
    webhooks.forget(clock() - KEPT)
    with pytest.raises(WebhookUnknownError):
        webhooks.partner_of(webhook_id)


def test_only_what_is_given_changes(webhooks: Webhooks) -> None:
    webhook_id = create(webhooks)
    webhooks.change(command(), webhook_id, events=["SessionStarted"])
    webhooks.change(command(), webhook_id, enabled=False)
    webhooks.change(command(), webhook_id, url=f"{HOOK}/2")
    now = webhooks.endpoint(webhook_id)
    assert (now.url, now.events, now.disabled_because, now.delivered) == (
        f"{HOOK}/2",
        ("SessionStarted",),
        "by_hand",
        7,
    )
    assert list(webhooks.enabled()) == []
    webhooks.change(command(), webhook_id, enabled=True)
    assert [each.id for each in webhooks.enabled()] == [webhook_id]


def test_a_place_moves_on_and_never_back_but_by_a_replay(webhooks: Webhooks, clock: Clock) -> None:
    """F27. Also where a leader that was lost still sends."""
    webhook_id = create(webhooks)
    as_read = webhooks.endpoint(webhook_id)
    assert webhooks.delivered(as_read, 9)
    assert not webhooks.delivered(as_read, 8, attempt(8, clock()))
    assert webhooks.endpoint(webhook_id).delivered == 9
    webhooks.replay(command(), webhook_id, after=2)
    assert not webhooks.delivered(as_read, 10, attempt(10, clock()))
    webhooks.failed(as_read, attempt(10, clock(), "timeout"), since=clock(), next_attempt_at=1)
    assert not webhooks.disable(as_read, attempt(10, clock(), "http_410"), "gone", since=clock())
    now = webhooks.endpoint(webhook_id)
    assert (now.delivered, now.failures, now.disabled_because) == (2, 0, None)
    log = webhooks.attempts(webhook_id, before=None, limit=10)
    assert [each.attempt.result for each in log] == ["http_410", "timeout", *["delivered"] * 2]


def test_attempts_are_listed_in_pages_the_newest_first_and_for_thirty_days(
    webhooks: Webhooks, clock: Clock
) -> None:
    """F29."""
    webhook_id, other = create(webhooks), create(webhooks)
    tried = [attempt(number, clock() - KEPT + number - 11) for number in (8, 9, 10)]
    tried += [attempt(number, clock()) for number in (11, 12)]
    for each in tried:
        webhooks.delivered(webhooks.endpoint(webhook_id), each.sequence, each)
    webhooks.delivered(webhooks.endpoint(other), 8, attempt(8, clock()))
    first = webhooks.attempts(webhook_id, before=None, limit=2)
    assert [each.attempt for each in first] == tried[:-3:-1]
    rest = webhooks.attempts(webhook_id, before=first[-1].number, limit=10)
    assert [each.attempt for each in rest] == tried[2::-1]
    assert webhooks.forget(clock() - KEPT) == 3
    assert [e.attempt.sequence for e in webhooks.attempts(webhook_id, before=None, limit=9)] == [
        12,
        11,
    ]


def test_the_secret_before_signs_for_a_day_and_is_then_forgotten(
    webhooks: Webhooks, clock: Clock
) -> None:
    """F21. Rotated twice, the first no longer signs: somebody may have it."""
    webhook_id, first = webhooks.create(command(), partner_id=VOLT, url=HOOK, events=(), after=0)
    second = webhooks.rotate(command(), webhook_id)
    assert webhooks.secrets(webhooks.endpoint(webhook_id)) == [second, first]
    third = webhooks.rotate(command(), webhook_id)
    webhooks.forget(0)
    assert webhooks.secrets(webhooks.endpoint(webhook_id)) == [third, second]
    clock.later = 24 * 3600 * 10**9 + 10**9
    assert webhooks.secrets(webhooks.endpoint(webhook_id)) == [third]
    webhooks.forget(0)
    assert webhooks.endpoint(webhook_id).secret_before is None
    assert len({first, second, third}) == 3


def test_secrets_are_nowhere_to_be_read(tmp_path: Path) -> None:
    webhooks = Webhooks(tmp_path / "webhooks.db", SECRET)
    webhook_id, secret = webhooks.create(command(), partner_id=VOLT, url=HOOK, events=(), after=0)
    rotated = webhooks.rotate(command(), webhook_id)
    shown = repr(webhooks.endpoint(webhook_id))
    webhooks.close()
    kept = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert HOOK.encode() in kept
    for each in (secret, rotated):
        assert each.removeprefix("whsec_").encode() not in kept
        assert each not in shown
    again = Webhooks(tmp_path / "webhooks.db", b"another secret")
    assert again.secrets(again.endpoint(webhook_id)) == []
    again.close()


@pytest.mark.parametrize(
    "text",
    [
        "https://volt.example",
        "https://volt.example:8443/a/b?tenant=7&x=%20",
        "HTTPS://Volt.Example/",
        "https://" + "x" * 92 + ".example/" + "y" * 391,
    ],
)
def test_what_can_be_called_is_an_address(text: str) -> None:
    assert url(text, anywhere=False) == text


def test_without_tls_is_for_development() -> None:
    assert url("http://127.0.0.1:8000/", anywhere=True)
    with pytest.raises(UrlMalformedError):
        url("http://volt.example/", anywhere=False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "volt.example",
        "ftp://volt.example/",
        "https://a:b@volt.example/",
        "https://volt.example/#here",
        "https://volt.example:0/",
        "https://volt.example:65536/",
        "https://volt.example/\r\nx: y",
        "https://volt.example/\n",
        "https://vølt.example/",
        "https://[::1]/",
        "https://volt.example/" + "x" * 480,
    ],
)
def test_what_cannot_be_called_is_none(text: str) -> None:
    with pytest.raises(UrlMalformedError):
        url(text, anywhere=True)


def test_events_have_their_names() -> None:
    assert event_names(["SessionStarted", "ChargerAdded", "SessionStarted"]) == (
        "ChargerAdded",
        "SessionStarted",
    )
    with pytest.raises(EventNameUnknownError):
        event_names(["sessionstarted"])
