"""Our side of OCPI on real tables, a real feed and real sockets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from starlette.applications import Starlette

from chargekey.access.v1 import installations_pb2
from chargekey_common.http_server import HttpServer
from chargekey_common.outgoing import Outgoing
from chargekey_common.postgres import Postgres
from chargekey_common.process import Lifetime
from chargekey_common.published import feed
from chargekey_notifier.feeds.store import Feeds, Telling
from chargekey_notifier.ocpi import tables
from chargekey_notifier.ocpi.calls import Calls
from chargekey_notifier.ocpi.following import Following
from chargekey_notifier.ocpi.http import Door
from chargekey_notifier.ocpi.lists import Lists
from chargekey_notifier.ocpi.objects import Objects
from chargekey_notifier.ocpi.peers import Peers, Registration
from chargekey_notifier.ocpi.pushing import Pushing
from chargekey_notifier.ocpi.starts import Starts
from chargekey_notifier.ocpi.telling import Teller
from chargekey_notifier.ocpi.tokens import Tokens
from chargekey_notifier.sealing import Seal

from ..neighbours import Neighbours  # noqa: TID252 - there is no other way to name it
from .given import NOON, PLACE, SITE, US

SECRET = b"0" * 32
VOLT, WATT = "volt", "watt"
OFFERED = "what-they-registered-with"


class Clock:
    """Nanoseconds since the epoch, as the test says."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now


class Cpo:
    """Everything that follows feeds, pushes, and is pulled from; nothing runs by itself."""

    def __init__(self, where: Path | Postgres, feeds: Feeds, neighbours: Neighbours) -> None:
        self.clock = Clock()
        self.feeds = feeds
        self.database = tables.opened(where)
        self.peers = Peers(self.database, Seal(SECRET, b"ocpi"))
        self.objects = Objects(self.database)
        self.tokens = Tokens(self.database, Seal(SECRET, b"ocpi"), SECRET)
        self.starts = Starts(self.database, Seal(SECRET, b"ocpi starts"))
        self.teller = Teller(US, "NOK", self.tokens, self.starts)
        self.access = neighbours.access
        self.following = Following(
            self.objects, self.starts, feeds, neighbours.access_channel, clock=self.clock
        )
        self._told = 0

    def tell(self, *events: feed.FeedEvent, partner_id: str = VOLT, at: int | None = None) -> None:
        """Have a partner's feed tell this."""
        with self.feeds.telling() as (_, told):
            for event in events:
                self._told += 1
                told.append(Telling(partner_id, f"event-{self._told}", at or self.clock(), event))

    def place(self, address: str = PLACE.address) -> None:
        """Have access know where the site is."""
        self.access.sites[SITE] = ("Home", PLACE.time_zone)
        self.access.addresses[SITE] = installations_pb2.Address(
            address=address,
            postal_code=PLACE.postal_code,
            city=PLACE.city,
            country=PLACE.country,
            latitude=PLACE.latitude,
            longitude=PLACE.longitude,
        )

    async def catch_up(self) -> None:
        """Make objects of everything, and see to what is due."""
        await self.following.follow()
        await self.following.see_to()

    def connect(self, registration: Registration, partner_id: str = VOLT) -> str:
        """Connect an operator; return what it calls us with."""
        token = f"what-{partner_id}-calls-us-with"
        with self.database.writing() as connection:
            assert self.peers.offer(connection, partner_id, OFFERED + partner_id)
            assert self.peers.register(
                connection, partner_id, OFFERED + partner_id, registration, token
            )
        return token

    def disconnect(self, partner_id: str = VOLT) -> None:
        """End the connection."""
        with self.database.writing() as connection:
            self.peers.end(connection, partner_id)
        self.peers.forget(partner_id)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow and push while this is entered."""
        lifetime = Lifetime()
        async with Outgoing(deadline=5, anywhere=True) as outgoing:
            pushing = Pushing(
                self.objects, self.peers, Calls(outgoing, US), self.teller, chance=lambda: 0.0
            )
            lifetime.own(self.following.run(), "following")
            lifetime.own(pushing.run(), "pushing")
            try:
                yield
            finally:
                assert await lifetime.close()

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[Puller]:
        """Answer operators over HTTP while this is entered."""
        door = Door(self.peers, public_url="http://cpo.test", clock=self.clock)
        lists = Lists(door, self.objects, self.teller)
        server = HttpServer(Starlette(routes=list(lists.routes())), "127.0.0.1:0")
        lifetime = Lifetime()
        lifetime.own(server.run(), "http")
        lifetime.closing.push_async_callback(server.stop)
        try:
            async with httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{server.port}/ocpi/cpo/2.2.1"
            ) as client:
                yield Puller(client)
        finally:
            assert await lifetime.close()


class Puller:
    """An operator that pulls."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, token: str) -> httpx2.Response:
        """Return what is answered."""
        return await self.client.get(path, headers={"authorization": f"Token {token}"})

    async def data(self, path: str, token: str) -> Any:
        """Return the data of what is answered well."""
        answer = await self.get(path, token)
        envelope = msgspec.json.decode(answer.content)
        assert (answer.status_code, envelope["status_code"]) == (200, 1000)
        return envelope["data"]
