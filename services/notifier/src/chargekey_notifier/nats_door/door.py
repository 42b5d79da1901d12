"""The door as a whole: its two connections, who is let in, and what is published."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import nkeys
from grpc import aio

from chargekey_common import jetstream
from chargekey_common.jetstream import Bus
from chargekey_common.leadership import lead
from chargekey_common.postgres import Postgres
from chargekey_notifier.feeds.store import Feeds
from chargekey_notifier.nats_door.callout import Callout
from chargekey_notifier.nats_door.publishing import Publisher
from chargekey_notifier.nats_door.streams import TIMEOUT, Streams


class NatsDoor:
    """Runs on every replica; of those that share `where` one publishes.

    `open` is set from when partners are let in.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        feeds: Feeds,
        where: Path | Postgres,
        identity: aio.Channel,
        signer: nkeys.KeyPair,
        days: int,
        replicas: int = 1,
    ) -> None:
        self._bus = bus
        self._feeds = feeds
        self._where = where
        self._identity = identity
        self._signer = signer
        self._days = days
        self._replicas = replicas
        self.open = asyncio.Event()
        self._streams: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Let in and publish until cancelled; NATS is waited for."""
        async with contextlib.AsyncExitStack() as until:
            ours = await jetstream.connect(self._bus, "notifier-callout")
            until.push_async_callback(jetstream.close, ours)
            theirs = await jetstream.connect(self._bus, "notifier-door", user=jetstream.FEEDS)
            until.push_async_callback(jetstream.close, theirs)
            streams = Streams(theirs, days=self._days, replicas=self._replicas)
            self._streams.set_result(streams)
            callout = Callout(ours, self._identity, streams, self._signer, self.open)
            publisher = Publisher(theirs, self._feeds, streams)
            async with asyncio.TaskGroup() as both:
                both.create_task(callout.run())
                both.create_task(lead(self._where, "publishing", publisher.run))

    async def close_to(self, partner_id: str, credential_id: str) -> None:
        """Let the credential pull nothing more, also by a connection it has.

        Raises TimeoutError and nats.errors.Error while NATS is away.
        """
        async with asyncio.timeout(TIMEOUT):
            streams = await asyncio.shield(self._streams)
        await streams.forget_consumer(partner_id, credential_id)
