"""The notifier killed while it tells partners: every door gets everything, in order, gapless.

What a partner's feed must hold is known from the commands alone. An event may come twice
where the notifier died between sending and noting, and nowhere else; so may a mail, under
the same Message-ID.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from email import policy
from pathlib import Path
from typing import Any

import httpx2
import nats
import nats.errors
import pytest
from nats.js import JetStreamContext
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chargekey.access.v1 import installations_pb2, partners_pb2, permissions_pb2
from chargekey.identity.v1 import credentials_pb2
from chargekey.notifier.v1 import feeds_pb2, webhooks_pb2
from chargekey_common import jetstream
from chargekey_common.http_server import HttpServer
from chargekey_stack import supervisor
from chargekey_stack.client import Client, connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.supervisor import running
from chargekey_stack.system import System

from .garage import eventually
from .outages import PATIENCE, Outages, insist

# In each the notifier is killed once by what comes out of every door.
ROUNDS = 1 + int(os.environ.get("CHARGEKEY_RESTARTS", "0"))
SEED = int(os.environ.get("CHARGEKEY_SEED") or time.time_ns() % 2**32)
# Seconds until a partner's program tries again.
RETRY = 0.05
LEAST = 12


class Door:
    """What came by one door, in the order it came: documents, byte for byte."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self._more = asyncio.Condition()

    async def take(self, document: bytes) -> None:
        async with self._more:
            self.taken.append(document)
            self._more.notify_all()

    async def has_taken(self, count: int) -> None:
        """Return once that many different events have come."""
        async with asyncio.timeout(PATIENCE), self._more:
            await self._more.wait_for(lambda: len(set(self.taken)) >= count)

    def is_whole(self, feed: Sequence[bytes], *, repeats: int) -> None:
        """Fail unless everything came in its order, and hardly anything twice."""
        places = [feed.index(each) for each in self.taken]
        behind = 0
        for place in places:
            assert place <= behind, "left out, or overtaken"
            behind = max(behind, place + 1)
        assert behind == len(feed)
        assert len(places) - len(feed) <= repeats


class Receiver(Door):
    """A partner's own server, which takes what is posted to it; and one that never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.secret = ""
        # Who waits for an answer that never comes, and whether anything was taken beside that.
        self.hanging = 0
        self.taken_beside = False
        routes = [
            Route("/taking", self._take, methods=["POST"]),
            Route("/hanging", self._hang, methods=["POST"]),
        ]
        self._server = HttpServer(Starlette(routes=routes), "127.0.0.1:0")
        self.url = f"http://127.0.0.1:{self._server.port}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Receiver]:
        running = asyncio.create_task(self._server.run())
        try:
            yield self
        finally:
            await self._server.stop()
            await running

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        Webhook(self.secret).verify(body, dict(request.headers))
        assert request.headers["webhook-id"] == json.loads(body)["id"]
        await self.take(body)
        self.taken_beside |= self.hanging > 0
        return Response(status_code=204)

    async def _hang(self, request: Request) -> Response:
        await request.body()
        self.hanging += 1
        try:
            # Nothing comes behind the body until the notifier gives up, or is gone.
            await request.receive()
        finally:
            self.hanging -= 1
        return Response(status_code=204)


class Streamed(Door):
    """A partner's program that reads server-sent events, and connects again where it stood."""

    async def run(self, url: str, credential: tuple[str, str]) -> None:
        """Read until cancelled."""
        last: dict[str, str] = {}
        async with httpx2.AsyncClient(timeout=None, trust_env=False) as client:
            while True:
                try:
                    form = {"grant_type": "client_credentials"}
                    got = await client.post(f"{url}/v1/token", data=form, auth=credential)
                    headers = {"authorization": f"Bearer {got.json()['access_token']}", **last}
                    async with client.stream(
                        "GET", f"{url}/v1/events/stream", headers=headers
                    ) as events:
                        async for line in events.aiter_lines():
                            name, _, value = line.partition(": ")
                            if name == "id":
                                last = {"last-event-id": value}
                            elif name == "data":
                                await self.take(value.encode())
                except (httpx2.TransportError, KeyError):
                    # As a browser does: it is being started again.
                    await asyncio.sleep(RETRY)


class Pulled(Door):
    """A partner's program that pulls from NATS, and acknowledges what it has."""

    @asynccontextmanager
    async def connected(
        self, url: str, partner_id: str, credential: tuple[str, str]
    ) -> AsyncIterator[JetStreamContext.PullSubscription]:
        """Connect while the notifier can say who this is; the connection outlives it."""
        user, password = credential
        prefix = f"_INBOX.{user}".encode()
        client = await nats.connect(url, user=user, password=password, inbox_prefix=prefix)
        try:
            js = client.jetstream()
            yield await js.pull_subscribe_bind(user, stream=partner_id)
        finally:
            await client.close()

    async def run(self, pulling: JetStreamContext.PullSubscription) -> None:
        """Pull until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):  # nats-py raises its own, and the plain one
                for message in await pulling.fetch(10, timeout=1):
                    await self.take(message.data)
                    await message.ack()


class Partner:
    """A service partner at one site, its webhooks, and what it is told there."""

    def __init__(self, client: Client, data: DataDirectory, receiver: Receiver) -> None:
        self.client = client
        self.data = data
        self.receiver = receiver
        self.id = self.site = ""
        self.required: list[bool] = [True]
        self.invited: list[str] = []
        self.credential = ("", "")

    async def build(self) -> None:
        """Build the site, and give the partner access once its webhooks are there."""
        site = installations_pb2.CreateInstallationRequest(name="Home", time_zone="Europe/Oslo")
        self.site = (await self.client.installations.CreateInstallation(site)).installation_id
        partner = partners_pb2.CreatePartnerRequest(
            name="Fix AS",
            kind=partners_pb2.PARTNER_KIND_SERVICE_PARTNER,
            contact="help@fix.example",
        )
        self.id = (await self.client.partners.CreatePartner(partner)).partner_id
        issue = credentials_pb2.IssuePartnerCredentialRequest(partner_id=self.id, label="doors")
        issued = await self.client.credentials.IssuePartnerCredential(issue)
        self.credential = (issued.credential_id, issued.secret)
        await self.webhook("http://127.0.0.1:9/nobody")
        await self.webhook(f"{self.receiver.url}/hanging")
        self.receiver.secret = await self.webhook(f"{self.receiver.url}/taking")
        grant = permissions_pb2.GrantPermissionRequest(
            installation_id=self.site, partner_id=self.id, roles=[permissions_pb2.ROLE_SERVICE]
        )
        await self.client.permissions.GrantPermission(grant)

    async def webhook(self, url: str) -> str:
        """Have the feed posted there; return the secret."""
        request = webhooks_pb2.CreateWebhookRequest(partner_id=self.id, url=url)
        secret: str = (await insist(self.client.webhooks.CreateWebhook, request)).secret
        return secret

    async def toggle(self) -> None:
        """Open the site, or restrict it."""
        required = not self.required[-1]
        request = installations_pb2.SetAuthorisationRequiredRequest(
            installation_id=self.site, authorisation_required=required
        )
        await self.client.installations.SetAuthorisationRequired(request)
        self.required.append(required)

    async def invite(self) -> None:
        """Give somebody new access, who is mailed."""
        address = f"person{len(self.invited)}@doors.example"
        request = permissions_pb2.GrantPermissionRequest(
            installation_id=self.site, email=address, roles=[permissions_pb2.ROLE_USER]
        )
        granted = await self.client.permissions.GrantPermission(request)
        self.invited.append(granted.permission_id)

    async def live(self) -> None:
        """Let LEAST things happen at the site, and what follows from them."""
        for _ in range(3):
            await self.invite()
            for _ in range(3):
                await self.toggle()

    async def feed(self) -> Sequence[bytes]:
        """Return the whole feed, once all that was done is in it."""

        async def told() -> Sequence[bytes]:
            request = feeds_pb2.ListFeedEventsRequest(partner_id=self.id, limit=1000)
            found = (await insist(self.client.feeds.ListFeedEvents, request)).events
            return [each.document for each in found]

        def is_all(found: Sequence[bytes]) -> bool:
            documents = [json.loads(each) for each in found]
            required = facts(documents, "AuthorisationRequiredSet", "authorisation_required")
            granted = facts(documents, "PermissionGranted", "permission_id")
            return (required, granted) == (self.required, self.invited)

        found = await eventually(told, is_all, PATIENCE)
        documents = [json.loads(each) for each in found]
        assert documents[0]["type"] == "chargekey.feed.v1.AccessStarted"
        assert [each["sequence"] for each in documents] == [
            f"{number:020d}" for number in range(1, len(documents) + 1)
        ]
        assert len({each["id"] for each in documents}) == len(documents)
        return found

    async def has_noted(self, feed: Sequence[bytes]) -> None:
        """Return once the notifier knows that its posts were taken: none of them comes again."""
        request = webhooks_pb2.ListWebhooksRequest(partner_id=self.id)

        async def delivered() -> str:
            webhooks = (await insist(self.client.webhooks.ListWebhooks, request)).webhooks
            [sequence] = [
                each.delivered_sequence for each in webhooks if each.url.endswith("/taking")
            ]
            return str(sequence)

        last = json.loads(feed[-1])["sequence"]
        await eventually(delivered, last.__eq__, PATIENCE)

    async def has_mailed_once(self, *, kills: int) -> None:
        """Return once all who were invited have their mail, and nobody has another one."""

        def mails() -> Counter[str]:
            found = [
                email.message_from_bytes(file.read_bytes(), policy=policy.default)
                for file in self.data.mail.glob("*.eml")
            ]
            return Counter(mail["Message-ID"] for mail in found)

        sent = await eventually(
            lambda: asyncio.to_thread(mails), lambda found: len(found) >= len(self.invited)
        )
        assert len(sent) == len(self.invited)
        # Several are under way at once.
        assert max(sent.values()) <= 1 + kills


def facts(documents: Sequence[Any], event: str, name: str) -> list[Any]:
    """Return what the events of this name say."""
    of = f"chargekey.feed.v1.{event}"
    return [each["data"][name] for each in documents if each["type"] == of]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "DELAYS", (0.05,))


async def test_a_notifier_killed_anywhere_tells_every_door_everything_in_order(
    tmp_path: Path,
) -> None:
    """F19, F20, F24, F30: beside a webhook that nobody answers, and one whose answer never ends."""
    outages, data = Outages(), DataDirectory(tmp_path / "data")
    streamed, pulled = Streamed(), Pulled()
    async with (
        Receiver().serving() as posted,
        running(data, operators_anywhere=True, tell=outages.tell) as system,
        connected(data) as client,
        AsyncExitStack() as stack,
        asyncio.TaskGroup() as programs,
    ):
        here = Partner(client, data, posted)
        await here.build()
        pulling = await stack.enter_async_context(
            pulled.connected(system.nats, here.id, here.credential)
        )
        reading = [
            programs.create_task(streamed.run(system.partners, here.credential)),
            programs.create_task(pulled.run(pulling)),
        ]
        doors: tuple[Door, ...] = (posted, streamed, pulled)
        moments = random.Random(SEED)  # noqa: S311 - when, no secret
        for door in doors * ROUNDS:
            had = len(set(door.taken))
            happening = asyncio.create_task(here.live())
            await door.has_taken(had + moments.randint(1, LEAST))
            outages.strike(signal.SIGKILL, "notifier")
            await happening
            await outages.until_all_run()
        feed = await here.feed()
        for door in doors:
            await door.has_taken(len(feed))
            door.is_whole(feed, repeats=len(outages.struck))
        await here.has_noted(feed)
        assert posted.taken_beside
        await here.has_mailed_once(kills=len(outages.struck))

        before = [len(door.taken) for door in doors]
        await lose(system, data, "ACCESS", "IDENTITY")
        await here.live()
        more = await here.feed()
        assert more[: len(feed)] == feed
        for door, count in zip(doors, before, strict=True):
            await door.has_taken(len(more))
            assert door.taken[count:] == more[len(feed) :]
        await here.has_mailed_once(kills=len(outages.struck))
        for each in reading:
            each.cancel()
    assert outages.ends().total() == len(outages.struck)


async def lose(system: System, data: DataDirectory, *streams: str) -> None:
    """Delete streams, which their services fill again."""
    token = data.token("nats_token").read_text()
    client = await jetstream.connect(jetstream.Bus(system.nats, lambda: token), "losing")
    try:
        for each in streams:
            await client.jetstream().delete_stream(each)
    finally:
        await client.close()
