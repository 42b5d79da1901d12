"""Operators' last answers in a real nats-server: after a restart, on other replicas, lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import pytest_asyncio
from nats.aio.client import Client

from chargekey_common.follower import Follower, Message
from chargekey_common.process import cancel
from chargekey_common.published.sessions import OperatorAnswer
from chargekey_common.testing.streams import make_again
from chargekey_gateway.operators import last_known
from chargekey_gateway.operators.last_known import (
    FRESH,
    KEPT,
    STREAM,
    AnswerKeys,
    Known,
    LastKnown,
    declare_answers,
)

NOW = 1_795_000_000_000_000_000
ALLOWED = OperatorAnswer(status="ALLOWED", reference="ref-1")
BLOCKED = OperatorAnswer(status="BLOCKED")
KEYS = AnswerKeys(b"a secret of 24 bytes, so")
KEY = KEYS.of("volt", "site", "04A1B2C3")
SUBJECT = f"$KV.OPERATOR_ANSWERS.{KEY}"


@pytest_asyncio.fixture
async def bus(nats_client: Client) -> Client:
    await declare_answers(nats_client.jetstream(), replicas=1)
    return nats_client


@asynccontextmanager
async def running(client: Client) -> AsyncIterator[LastKnown]:
    """Run one that has read what is in the bucket."""
    answers = LastKnown(client, clock=lambda: NOW)
    follower = Follower(client, STREAM, answers.follow)
    tasks = [asyncio.create_task(work) for work in (answers.run(), follower.run())]
    async with asyncio.timeout(30):
        await follower.caught_up.wait()
    try:
        yield answers
    finally:
        await answers.tell_the_rest()
        await cancel(*tasks)


async def in_bucket(client: Client) -> Known:
    message = await client.jetstream().get_last_msg(STREAM, SUBJECT)
    return msgspec.json.decode(message.data or b"", type=Known)


async def test_it_is_known_after_a_restart(bus: Client) -> None:
    async with running(bus) as answers:
        answers.remember(KEY, ALLOWED, NOW)
    async with running(bus) as again:
        assert again.of(KEY, NOW + 1) == Known(NOW, ALLOWED)
        assert again.of(KEYS.of("volt", "other", "04A1B2C3"), NOW) is None


async def test_the_newest_answer_wins_wherever_it_was_written_last(bus: Client) -> None:
    """A replica that was asked before and writes after must not let anybody in again."""
    async with running(bus) as answers:
        answers.remember(KEY, BLOCKED, NOW + 2)
        await answers.idle()
        older = msgspec.json.encode(Known(NOW + 1, ALLOWED))
        await bus.jetstream().publish(SUBJECT, older)
        async with asyncio.timeout(30):
            while (await in_bucket(bus)).answer != BLOCKED:
                await asyncio.sleep(0.01)
        assert answers.of(KEY, NOW + 3) == Known(NOW + 2, BLOCKED)


async def test_the_same_answer_again_is_not_written_again_for_a_day(bus: Client) -> None:
    async with running(bus) as answers:
        for later in (0, 1, FRESH - 1, FRESH):
            answers.remember(KEY, ALLOWED, NOW + later)
            await answers.idle()
            kept = 0 if later < FRESH else FRESH
            assert await in_bucket(bus) == Known(NOW + kept, ALLOWED)
        answers.remember(KEY, BLOCKED, NOW + FRESH + 1)
        await answers.idle()
        assert (await in_bucket(bus)).answer == BLOCKED


async def test_an_older_answer_changes_nothing(bus: Client) -> None:
    async with running(bus) as answers:
        answers.remember(KEY, BLOCKED, NOW)
        answers.remember(KEY, ALLOWED, NOW - 1)
        assert answers.of(KEY, NOW) == Known(NOW, BLOCKED)


async def test_of_made_up_tokens_only_so_many_are_remembered(
    nats_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_known, "MOST", 2)
    answers = LastKnown(nats_client, clock=lambda: NOW)
    keys = [KEYS.of("volt", "site", f"04A1B2{number:02}") for number in range(4)]
    for key in keys[:3]:
        answers.remember(key, BLOCKED, NOW)
    answers.remember(keys[3], ALLOWED, NOW)
    known = [answers.of(key, NOW) for key in keys]
    assert known == [Known(NOW, BLOCKED), Known(NOW, BLOCKED), None, Known(NOW, ALLOWED)]
    answers.remember(keys[3], BLOCKED, NOW + 1)
    assert answers.of(keys[3], NOW + 1) == Known(NOW + 1, BLOCKED)


async def test_a_bucket_that_was_lost_is_filled_again(bus: Client) -> None:
    async with running(bus) as answers:
        answers.remember(KEY, ALLOWED, NOW)
        await answers.idle()
        await bus.jetstream().delete_stream(STREAM)
        await make_again(lambda: declare_answers(bus.jetstream(), replicas=1))
        answers.tell_again()
        await answers.idle()
        assert (await in_bucket(bus)).answer == ALLOWED


async def test_the_bucket_keeps_them_for_thirty_days(bus: Client) -> None:
    config = (await bus.jetstream().stream_info(STREAM)).config
    assert config.max_age == KEPT / 10**9
    assert Known(NOW, ALLOWED).over(NOW + KEPT)
    assert not Known(NOW, ALLOWED).over(NOW + KEPT - 1)


async def test_what_others_put_there_is_passed_over(nats_client: Client) -> None:
    answers = LastKnown(nats_client, clock=lambda: NOW)
    good = msgspec.json.encode(Known(NOW, ALLOWED))
    await answers.follow(
        [
            Message(SUBJECT, 1, b"", {}),
            Message(SUBJECT, 2, b"{", {}),
            Message(SUBJECT, 3, b'{"at": "then"}', {}),
            Message("$KV.OPERATOR_ANSWERS.elsewhere", 4, good, {}),
        ]
    )
    assert answers.of(KEY, NOW) is None


def test_keys_differ_by_operator_site_and_token_and_not_by_how_it_is_spelled() -> None:
    """R17: and the token is not in them."""
    assert KEYS.of("volt", "site", "04:a1:b2:c3") == KEY
    others = {
        KEYS.of("watt", "site", "04A1B2C3"),
        KEYS.of("volt", "home", "04A1B2C3"),
        KEYS.of("volt", "site", "04A1B2C4"),
        AnswerKeys(b"another secret of bytes").of("volt", "site", "04A1B2C3"),
    }
    assert len({*others, KEY}) == 5
    assert "04A1B2C3" not in KEY.upper()
