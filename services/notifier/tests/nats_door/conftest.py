"""A door by NATS on a real server, and an identity that knows some credentials."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
import pytest_asyncio
from grpc import aio
from nats.aio.client import Client
from nats.js.errors import NotFoundError as NothingThereError
from nkeys import KeyPair

from chargekey.identity.v1 import credentials_pb2 as pb
from chargekey.identity.v1 import credentials_pb2_grpc
from chargekey_common import jetstream
from chargekey_common.accounts import NOBODY, Caller
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.grpc.server import Service
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import Lifetime
from chargekey_common.published.feed import AuthorisationRequiredSet
from chargekey_common.testing.grpc import served
from chargekey_common.testing.waiting import SOON
from chargekey_notifier.feeds.store import Feeds, Telling
from chargekey_notifier.nats_door.door import NatsDoor
from chargekey_notifier.nats_door.streams import inbox_prefix

AT = 1_800_000_000_123_456_789
VOLT, WATT = "volt", "watt"
DAYS = 30


class Credential(msgspec.Struct, frozen=True):
    id: str
    secret: str
    partner_id: str


VOLTS = Credential("volts-program", "volts-secret", VOLT)
WATTS = Credential("watts-program", "watts-secret", WATT)


class RefusedError(PermissionDeniedError):
    code = "credential_refused"
    sentence = "No such credential."


class Identity(credentials_pb2_grpc.CredentialServiceServicer):
    """Knows credentials; `before` runs ahead of every answer."""

    def __init__(self) -> None:
        self.known = {each.id: each for each in (VOLTS, WATTS)}
        self.asked = 0
        self.before: Callable[[], Any] = lambda: None

    async def ExchangePartnerCredential(
        self, request: pb.ExchangePartnerCredentialRequest, _: aio.ServicerContext[Any, Any]
    ) -> pb.ExchangePartnerCredentialResponse:
        self.asked += 1
        self.before()
        found = self.known.get(request.credential_id)
        if found is None or found.secret != request.secret:
            raise RefusedError
        return pb.ExchangePartnerCredentialResponse(partner_id=found.partner_id)


async def anybody(caller: Caller, action: str, obj: str) -> None:
    assert (caller, obj) == (NOBODY, "system"), action


@pytest.fixture
def identity() -> Identity:
    return Identity()


@pytest_asyncio.fixture
async def identity_channel(identity: Identity, tmp_path: Path) -> AsyncIterator[aio.Channel]:
    service = Service(
        "chargekey.identity.v1.CredentialService",
        credentials_pb2_grpc.add_CredentialServiceServicer_to_server,
        identity,
        {"ExchangePartnerCredential": lambda _: "system"},
    )
    async with served(service, tmp_path, anybody) as as_caller:
        yield as_caller(NOBODY)


@pytest.fixture
def feeds(tmp_path: Path) -> Iterator[Feeds]:
    feeds = Feeds(tmp_path / "feeds.db")
    yield feeds
    feeds.close()


def tell(feeds: Feeds, *partner_ids: str, ids: range = range(1, 4)) -> None:
    event = AuthorisationRequiredSet(installation_id="home", authorisation_required=True)
    with feeds.telling() as (_, told):
        told += [Telling(each, str(number), AT, event) for each in partner_ids for number in ids]


async def stored(streams: Client, partner_id: str = VOLT) -> list[bytes | None]:
    """Return what the partner's stream has, by its own numbers; nothing where there is none."""
    js = streams.jetstream()
    try:
        state = (await js.stream_info(partner_id)).state
        numbers = range(state.first_seq, state.last_seq + 1)
        return [(await js.get_msg(partner_id, number)).data for number in numbers]
    except NothingThereError:
        return []


async def has(streams: Client, wanted: Sequence[bytes], partner_id: str = VOLT) -> None:
    """Return once the partner's stream has these, and nothing else."""
    async with asyncio.timeout(20):
        while await stored(streams, partner_id) != wanted:
            await asyncio.sleep(SOON)


def documents(feeds: Feeds, partner_id: str = VOLT, after: int = 0) -> list[bytes]:
    return [each.document for each in feeds.read(partner_id, after=after, limit=1000)]


Opened = Callable[[], AbstractAsyncContextManager[NatsDoor]]


@pytest.fixture
def opened(
    nats_server: NatsServer,
    nats_issuer: KeyPair,
    identity_channel: aio.Channel,
    feeds: Feeds,
    tmp_path: Path,
) -> Opened:
    """Return what runs a door while it is entered."""

    @asynccontextmanager
    async def run() -> AsyncIterator[NatsDoor]:
        lifetime = Lifetime()
        door = NatsDoor(
            nats_server.bus,
            feeds=feeds,
            where=tmp_path / "feeds.db",
            identity=identity_channel,
            signer=nats_issuer,
            days=DAYS,
        )
        lifetime.own(door.run(), "door")
        try:
            async with asyncio.timeout(20):
                await door.open.wait()
            yield door
        finally:
            assert await lifetime.close()

    return run


@pytest_asyncio.fixture
async def door(opened: Opened) -> AsyncIterator[NatsDoor]:
    async with opened() as door:
        yield door


@pytest_asyncio.fixture
async def streams(nats_server: NatsServer) -> AsyncIterator[Client]:
    """Yield a client in the account of the streams themselves."""
    client = await jetstream.connect(nats_server.bus, "test", user=jetstream.FEEDS)
    yield client
    await client.close()


class Program:
    """A partner's program: nats-py as an operator would use it."""

    def __init__(self, client: Client, credential: Credential, errors: list[str]) -> None:
        self.client = client
        self.credential = credential
        self.errors = errors

    async def pulled(self, number: int, *, within: float = 20) -> list[bytes]:
        """Pull and acknowledge so many events, as they come; raises nats.errors.Error."""
        js = self.client.jetstream()
        mine = await js.pull_subscribe_bind(self.credential.id, stream=self.credential.partner_id)
        documents: list[bytes] = []
        try:
            while len(documents) < number:
                for message in await mine.fetch(number - len(documents), timeout=within):
                    assert message.headers is not None
                    assert message.headers["Content-Type"] == "application/cloudevents+json"
                    await message.ack_sync(timeout=20)
                    documents.append(message.data)
        finally:
            await mine.unsubscribe()
        return documents


Connect = Callable[..., AbstractAsyncContextManager[Program]]


@pytest.fixture
def program(nats_server: NatsServer) -> Connect:
    """Return what connects a program for as long as it is entered; raises as nats-py does."""

    @asynccontextmanager
    async def connect(credential: Credential, inbox: str | None = None) -> AsyncIterator[Program]:
        errors: list[str] = []

        async def on_error(error: Exception) -> None:
            errors.append(str(error))

        # The door may be opening: until it answers nobody is let in.
        client = await _let_in(
            nats_server.url,
            user=credential.id,
            password=credential.secret,
            inbox_prefix=(inbox or inbox_prefix(credential.id)).encode(),
            error_cb=on_error,
            reconnect_time_wait=0.05,
            max_reconnect_attempts=-1,
            connect_timeout=20,
        )
        # What it took to be let in is no error of what is done then.
        errors.clear()
        try:
            yield Program(client, credential, errors)
        finally:
            with contextlib.suppress(nats.errors.Error):
                await client.close()

    return connect


async def _let_in(url: str, **options: Any) -> Client:
    async with asyncio.timeout(20):
        while True:
            try:
                return await nats.connect(url, allow_reconnect=True, **options)
            except nats.errors.NoServersError:
                await asyncio.sleep(0.01)
