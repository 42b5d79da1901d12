"""Feeds, webhooks and their sender, for one test."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context
from chargekey_common.outgoing import Outgoing
from chargekey_common.postgres import Postgres
from chargekey_common.process import cancel
from chargekey_common.published.feed import (
    AuthorisationRequiredSet,
    ChargerDisconnected,
    FeedEvent,
)
from chargekey_notifier.feeds.store import Feeds, Telling
from chargekey_notifier.webhooks.endpoint import Endpoint
from chargekey_notifier.webhooks.sending import WebhookSender
from chargekey_notifier.webhooks.store import Webhooks

VOLT, WATT = "volt", "watt"
SECRET = b"s" * 32
REQUIRED = AuthorisationRequiredSet(installation_id="home", authorisation_required=True)
OFFLINE = ChargerDisconnected(installation_id="home", charger_id="left")


def command(command_id: str | None = None, actor: str = "user:ada") -> Context:
    return Context(actor=actor, command_id=command_id or new_id())


class Clock:
    """The machine's, and as much later as a test wants it to be."""

    def __init__(self) -> None:
        self.later = 0

    def __call__(self) -> int:
        return time.time_ns() + self.later


class World:
    """Every partner's feed and webhooks in one directory, or schema."""

    def __init__(self, feeds: Feeds, where: Path | Postgres, *, anywhere: bool = True) -> None:
        self.feeds = feeds
        self.clock = Clock()
        self.webhooks = Webhooks(where, SECRET, clock=self.clock)
        self._anywhere = anywhere

    def tell(self, *events: FeedEvent, partner_id: str = VOLT) -> None:
        with self.feeds.telling() as (_, told):
            told += [Telling(partner_id, new_id(), time.time_ns(), each) for each in events]

    def create(
        self, url: str, *, partner_id: str = VOLT, events: Sequence[str] = (), after: int = 0
    ) -> str:
        webhook_id, _ = self.webhooks.create(
            command(), partner_id=partner_id, url=url, events=events, after=after
        )
        return webhook_id

    def now(self, webhook_id: str) -> Endpoint:
        return self.webhooks.endpoint(webhook_id)

    def results(self, webhook_id: str) -> list[str]:
        log = self.webhooks.attempts(webhook_id, before=None, limit=100)
        return [each.attempt.result for each in reversed(log)]

    @contextlib.asynccontextmanager
    async def sending(self) -> AsyncIterator[WebhookSender]:
        # What ends a request is the sender's deadline, and not that of one of its steps.
        async with Outgoing(deadline=60.0, anywhere=self._anywhere) as outgoing:
            sender = WebhookSender(self.webhooks, self.feeds, outgoing, clock=self.clock)
            running = asyncio.create_task(sender.run())
            try:
                yield sender
            finally:
                ended = running.done()
                await cancel(running)
                assert not ended, running.exception()


@contextlib.contextmanager
def a_world(
    directory: Path, place: Path | Postgres | None = None, *, anywhere: bool = True
) -> Iterator[World]:
    where = directory / "webhooks.db" if place is None else place
    if isinstance(where, Postgres):
        Webhooks.migrate(where)
    feeds = Feeds(directory / "feeds.db")
    world = World(feeds, where, anywhere=anywhere)
    try:
        yield world
    finally:
        world.webhooks.close()
        feeds.close()
