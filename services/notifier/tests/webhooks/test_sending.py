"""What endpoints are sent, over real HTTP: everything, in order, signed, and at their own pace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.postgres import Postgres
from chargekey_common.process import cancel
from chargekey_common.testing.askers import noted_askers
from chargekey_common.testing.waiting import until
from chargekey_notifier.feeds.store import Feeds
from chargekey_notifier.webhooks import retrying, sending
from chargekey_notifier.webhooks.retention import KEPT, Retention
from chargekey_notifier.webhooks.store import Webhooks

from .endpoint_server import (
    Behave,
    Posted,
    an_endpoint,
    answer,
    drop_by_drop,
    endless,
    hang_up,
    in_turn,
    never,
)
from .world import OFFLINE, REQUIRED, VOLT, WATT, World, a_world, command

DAY = 24 * 3600 * 10**9


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        yield world


@pytest.fixture(autouse=True)
def _nobody_looks_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is done in this process be heard of in no other way than it should."""
    monkeypatch.setattr(sending, "LOOK", 3600.0)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again after milliseconds."""
    monkeypatch.setattr(retrying, "FIRST_DELAY", 10**6)
    monkeypatch.setattr(retrying, "LONGEST_DELAY", 10**7)


async def test_each_event_is_posted_in_order_with_the_bytes_of_the_feed(world: World) -> None:
    """F20."""
    world.tell(REQUIRED)
    async with an_endpoint() as endpoint, world.sending():
        webhook_id = world.create(endpoint.url)
        world.tell(OFFLINE, REQUIRED)
        await endpoint.has(1, 2, 3)
        entries = world.feeds.read(VOLT)
        assert [each.body for each in endpoint.posted] == [each.document for each in entries]
        assert [each.headers["webhook-id"] for each in endpoint.posted] == [e.id for e in entries]
        assert {(each.method, each.target) for each in endpoint.posted} == {("POST", "/hook")}
        assert {each.headers["content-type"] for each in endpoint.posted} == {
            "application/cloudevents+json"
        }
        await until(lambda: world.now(webhook_id).delivered == 3)
    assert world.results(webhook_id) == ["delivered"] * 3


async def test_an_endpoint_is_looked_up_in_its_partners_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F33."""
    noted = noted_askers(monkeypatch)
    async with an_endpoint() as endpoint, world.sending():
        world.create(endpoint.url)
        world.tell(REQUIRED)
        await endpoint.has(1)
    assert noted == {VOLT}


async def test_what_is_posted_is_signed_as_standard_webhooks_says(world: World) -> None:
    """F21."""
    async with an_endpoint() as endpoint, world.sending():
        webhook_id, secret = world.webhooks.create(
            command(), partner_id=VOLT, url=endpoint.url, events=(), after=0
        )
        world.tell(REQUIRED)
        await until(lambda: world.now(webhook_id).delivered == 1)
        rotated = world.webhooks.rotate(command(), webhook_id)
        world.tell(OFFLINE)
        await until(lambda: world.now(webhook_id).delivered == 2)
        world.clock.later = DAY + 1
        world.tell(OFFLINE)
        await until(lambda: world.now(webhook_id).delivered == 3)
    # An event that a command met on its way is sent again.
    first, second, third = {each.number: each for each in endpoint.posted}.values()
    for posted, secrets in ((first, [secret]), (second, [rotated, secret])):
        for each in secrets:
            said = Webhook(each).verify(posted.body, posted.headers)
            assert said["id"] == posted.headers["webhook-id"]
    assert len(second.headers["webhook-signature"].split(" ")) == 2
    # A day later, of which the library would say that it is not now.
    assert len(third.headers["webhook-signature"].split(" ")) == 1
    with pytest.raises(WebhookVerificationError):
        Webhook(rotated).verify(first.body, first.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(first.body + b" ", first.headers)


async def test_only_the_events_that_are_wanted_are_posted(world: World) -> None:
    """F22. Others are passed over, also where nothing wanted comes behind them."""
    async with an_endpoint() as endpoint, world.sending():
        webhook_id = world.create(endpoint.url, events=["ChargerDisconnected"])
        world.tell(REQUIRED, OFFLINE, REQUIRED, OFFLINE, REQUIRED)
        await until(lambda: world.now(webhook_id).delivered == 5)
        assert endpoint.numbers == [2, 4]
        world.webhooks.change(command(), webhook_id, events=())
        world.tell(REQUIRED)
        await endpoint.has(2, 4, 6)


@pytest.mark.usefixtures("hasty")
async def test_an_event_that_is_not_taken_holds_back_those_behind_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F23."""

    def giving_the_next(seconds: float, behave: Behave) -> Behave:
        async def so(posted: Posted, writer: asyncio.StreamWriter) -> None:
            monkeypatch.setattr(sending, "DEADLINE", seconds)
            await behave(posted, writer)

        return so

    # Short for those alone that are to run into it: an answer is waited for on a busy machine.
    monkeypatch.setattr(sending, "DEADLINE", 30.0)
    async with an_endpoint() as endpoint, world.sending():
        endpoint.behave = in_turn(
            [
                answer(500),
                hang_up,
                giving_the_next(1.5, answer(302, "location: /elsewhere")),
                never,
                giving_the_next(30.0, drop_by_drop),
                answer(404),
            ],
            then=answer(204),
        )
        webhook_id = world.create(endpoint.url)
        world.tell(REQUIRED, OFFLINE)
        await endpoint.has(1, 1, 1, 1, 1, 1, 1, 2)
        await until(lambda: world.now(webhook_id).delivered == 2)
    results = world.results(webhook_id)
    assert results.count("timeout") >= 2, "once more where the machine is busy"
    assert [each for each in results if each != "timeout"] == [
        *("http_500", "connection", "http_302", "http_404"),
        *("delivered", "delivered"),
    ]
    now = world.now(webhook_id)
    assert (now.failures, now.failing_since, now.next_attempt_at) == (0, None, None)


async def test_nobody_waits_for_an_endpoint_that_is_slow_or_dead(world: World) -> None:
    """F24. Of the same partner or of another."""
    async with an_endpoint() as slow, an_endpoint() as dead, an_endpoint() as well:
        slow.behave = never
        await dead.stop()
        async with world.sending():
            world.create(slow.url)
            world.create(dead.url)
            world.create(well.url)
            world.create(well.url, partner_id=WATT)
            world.tell(*[REQUIRED] * 3)
            world.tell(*[OFFLINE] * 3, partner_id=WATT)
            await until(lambda: sorted(well.numbers) == [1, 1, 2, 2, 3, 3])
            await slow.has(1)


@pytest.mark.usefixtures("hasty")
async def test_what_fails_for_three_days_is_disabled_and_goes_on_where_it_stood(
    world: World,
) -> None:
    """F25."""
    async with an_endpoint() as endpoint, world.sending():
        endpoint.behave = answer(500)
        webhook_id = world.create(endpoint.url)
        world.tell(REQUIRED, OFFLINE)
        await until(lambda: world.now(webhook_id).failures >= 2)
        since = world.now(webhook_id).failing_since
        assert since is not None
        world.clock.later = 3 * DAY
        await until(lambda: world.now(webhook_id).disabled_because == "failing")
        assert world.now(webhook_id).failing_since == since
        endpoint.behave = answer()
        tried = len(endpoint.posted)
        world.tell(REQUIRED)
        world.webhooks.change(command(), webhook_id, enabled=True)
        await until(lambda: world.now(webhook_id).delivered == 3)
        assert endpoint.numbers[tried:] == [1, 2, 3]


async def test_410_disables_at_once(world: World) -> None:
    """F26."""
    async with an_endpoint() as endpoint, world.sending():
        endpoint.behave = answer(410)
        webhook_id = world.create(endpoint.url)
        world.tell(REQUIRED, OFFLINE)
        await until(lambda: world.now(webhook_id).disabled_because == "gone")
        endpoint.behave = answer()
        world.webhooks.change(command(), webhook_id, enabled=True)
        await endpoint.has(1, 1, 2)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("status", [429, 503])
async def test_who_asks_to_be_left_alone_is(world: World, status: int) -> None:
    """F26."""
    async with an_endpoint() as endpoint, world.sending() as sender:
        endpoint.behave = in_turn([answer(status, "retry-after: 3600")], then=answer())
        webhook_id = world.create(endpoint.url)
        before = world.clock()
        world.tell(REQUIRED)
        await until(lambda: world.now(webhook_id).failures == 1)
        again = world.now(webhook_id).next_attempt_at
        assert again is not None
        assert again - before >= 3600 * 10**9
        # Only then does it have to be woken.
        await until(lambda: sender._lines[webhook_id][0].resting)  # noqa: SLF001 - tells nobody
        # More events change nothing, and a person's word does.
        world.tell(OFFLINE)
        world.webhooks.change(command(), webhook_id, enabled=True)
        await endpoint.has(1, 1, 2)


async def test_a_replay_sends_again_in_order_with_the_same_ids(world: World) -> None:
    """F27."""
    async with an_endpoint() as endpoint, world.sending():
        webhook_id = world.create(endpoint.url)
        world.tell(REQUIRED, OFFLINE, REQUIRED)
        await until(lambda: world.now(webhook_id).delivered == 3)
        world.webhooks.replay(command(), webhook_id, after=1)
        await endpoint.has(1, 2, 3, 2, 3)
        ids = [each.headers["webhook-id"] for each in endpoint.posted]
        assert ids[3:] == ids[1:3]
        await until(lambda: world.now(webhook_id).delivered == 3)
        world.tell(OFFLINE)
        await endpoint.has(1, 2, 3, 2, 3, 4)


async def test_a_replay_while_an_event_is_on_its_way_counts(world: World) -> None:
    """F27. What comes of the event then is in the log, and moves nothing."""
    async with an_endpoint() as endpoint, world.sending():
        webhook_id = world.create(endpoint.url)
        world.tell(REQUIRED, OFFLINE)
        await until(lambda: world.now(webhook_id).delivered == 2)

        async def replay(_: object, writer: object) -> None:
            endpoint.behave = answer()
            world.webhooks.replay(command(), webhook_id, after=0)
            await answer()(_, writer)  # type: ignore[arg-type]

        endpoint.behave = replay
        world.tell(REQUIRED, OFFLINE)
        await endpoint.has(1, 2, 3, 1, 2, 3, 4)
        await until(lambda: world.now(webhook_id).delivered == 4)


async def test_our_own_network_is_not_for_others_to_have_requests_sent_into(
    tmp_path: Path,
) -> None:
    """F28."""
    async with an_endpoint() as endpoint:
        with a_world(tmp_path, anywhere=False) as world:
            async with world.sending():
                plain = world.create(endpoint.url)
                inside = world.create(f"https://127.0.0.1:{endpoint.port}/")
                named = world.create(f"https://localhost:{endpoint.port}/")
                world.tell(REQUIRED)
                for each in (plain, inside, named):
                    await until(lambda each=each: world.results(each))  # type: ignore[misc]
                    assert world.results(each) == ["unsafe_address"]
        assert endpoint.posted == []


async def test_a_webhook_begins_behind_what_the_feed_held_and_ends_with_its_removal(
    world: World,
) -> None:
    world.tell(REQUIRED, OFFLINE)
    async with an_endpoint() as endpoint, world.sending():
        webhook_id = world.create(endpoint.url, after=2)
        world.tell(REQUIRED)
        await endpoint.has(3)
        endpoint.behave = never
        world.tell(OFFLINE)
        await endpoint.has(3, 4)
        world.webhooks.remove(command(), webhook_id)
        other = world.create(endpoint.url, after=4)
        endpoint.behave = answer()
        world.tell(REQUIRED)
        await until(lambda: world.now(other).delivered == 5)
        assert endpoint.numbers == [3, 4, 5]


async def test_a_request_ends_with_its_webhook(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = asyncio.Event()

    async def until_gone(posted: Posted, _: asyncio.StreamWriter) -> None:
        """Say nothing, and note that nobody waits for it any more."""
        try:
            await posted.connection.read()
        finally:
            gone.set()

    # By itself it would not end while it is waited for here.
    monkeypatch.setattr(sending, "DEADLINE", 60.0)
    async with an_endpoint() as endpoint, world.sending():
        endpoint.behave = until_gone
        first = world.create(endpoint.url)
        world.tell(REQUIRED)
        await endpoint.has(1)
        world.webhooks.change(command(), first, enabled=False)
        async with asyncio.timeout(30):
            await gone.wait()
        # What was to be told of it is told by when another's time is over.
        monkeypatch.setattr(sending, "DEADLINE", 1.5)
        endpoint.behave = never
        second = world.create(endpoint.url)
        await until(lambda: world.results(second) == ["timeout"])
        assert world.results(first) == []


async def test_a_secret_that_cannot_be_opened_is_told_and_a_new_one_mends_it(
    tmp_path: Path,
) -> None:
    with a_world(tmp_path) as world:
        async with an_endpoint() as endpoint:
            webhook_id = world.create(endpoint.url)
            world.webhooks._seal = type(world.webhooks._seal)(b"another", b"webhooks")  # noqa: SLF001 - as a lost secret file
            async with world.sending():
                world.tell(REQUIRED)
                await until(lambda: world.results(webhook_id) == ["secret_unreadable"])
                world.webhooks.rotate(command(), webhook_id)
                await endpoint.has(1)


async def test_what_it_says_beside_its_status_is_not_read_to_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "DEADLINE", 20.0)
    async with an_endpoint() as endpoint, world.sending():
        endpoint.behave = endless
        webhook_id = world.create(endpoint.url)
        world.tell(REQUIRED)
        await until(lambda: world.results(webhook_id) == ["delivered"])


async def test_a_database_that_is_away_lets_nothing_be_sent_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "FIRST_WAIT", 0.001)
    delivered, away = world.webhooks.delivered, iter(range(3))

    def sometimes(*args: Any) -> bool:
        if next(away, None) is not None:
            raise DatabaseUnavailableError
        return delivered(*args)

    monkeypatch.setattr(world.webhooks, "delivered", sometimes)
    async with an_endpoint() as endpoint, world.sending():
        webhook_id = world.create(endpoint.url)
        world.tell(REQUIRED, OFFLINE)
        await until(lambda: world.now(webhook_id).delivered == 2)
        assert endpoint.numbers == [1, 2]


async def test_what_other_replicas_tell_and_command_is_seen(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "LOOK", 0.02)
    Feeds.migrate(postgres)
    Webhooks.migrate(postgres)
    here, there = (World(Feeds(postgres), postgres) for _ in range(2))
    async with an_endpoint() as endpoint, here.sending():
        webhook_id = there.create(endpoint.url)
        there.tell(REQUIRED)
        await until(lambda: there.now(webhook_id).delivered == 1)
        for number in range(2, 9):
            there.tell(OFFLINE)
            await until(lambda number=number: there.now(webhook_id).delivered == number)  # type: ignore[misc]
        there.webhooks.replay(command(), webhook_id, after=7)
        await endpoint.has(*range(1, 9), 8)
        await until(lambda: there.now(webhook_id).delivered == 8)
    for each in (here, there):
        each.webhooks.close()
        each.feeds.close()


async def test_metrics_tell_what_waits_and_what_became_of_attempts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F25."""
    monkeypatch.setattr(sending, "LOOK", 0.02)

    def told(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0

    refused = told("webhook_attempts_total", result="http_4xx")
    gone = told("webhooks_disabled_total", because="gone")
    async with an_endpoint() as endpoint, world.sending():
        endpoint.behave = answer(404)
        webhook_id = world.create(endpoint.url)
        world.tell(REQUIRED, OFFLINE)
        await until(lambda: told("webhook_lag_events") == 2)
        await until(lambda: told("webhook_attempts_total", result="http_4xx") == refused + 1)
        endpoint.behave = answer(410)
        world.webhooks.change(command(), webhook_id, enabled=True)
        await until(lambda: told("webhooks_disabled_total", because="gone") == gone + 1)
        await until(lambda: told("webhook_lag_events") == 0)


async def test_what_was_tried_is_forgotten_after_thirty_days(world: World) -> None:
    """F29."""
    async with an_endpoint() as endpoint, world.sending():
        webhook_id = world.create(endpoint.url)
        world.tell(REQUIRED)
        await until(lambda: world.now(webhook_id).delivered == 1)
        endpoint.behave = answer(410)
        world.clock.later = 2 * DAY
        world.tell(OFFLINE)
        await until(lambda: world.results(webhook_id) == ["delivered", "http_410"])
    world.clock.later = KEPT + DAY
    forgetting = asyncio.create_task(Retention(world.webhooks, clock=world.clock).run())
    await until(lambda: world.results(webhook_id) == ["http_410"])
    await cancel(forgetting)
