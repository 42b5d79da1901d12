"""The HTTP door on a real feed and over a real socket, with identity beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from grpc import aio

from chargekey.identity.v1 import credentials_pb2 as pb
from chargekey.identity.v1 import credentials_pb2_grpc
from chargekey_common import tokens
from chargekey_common.accounts import Caller, Verifier, service_account
from chargekey_common.errors import (
    PermissionDeniedError,
    TooManyAttemptsError,
    UnauthenticatedError,
    UnavailableError,
)
from chargekey_common.grpc.server import Service
from chargekey_common.http_server import HttpServer
from chargekey_common.published.feed import AuthorisationRequiredSet
from chargekey_common.testing.grpc import Issuer, served
from chargekey_notifier.feeds.store import Feeds, Telling
from chargekey_notifier.http.app import app
from chargekey_notifier.http.events import ACTION, EventsDoor
from chargekey_notifier.http.tokens import TokenDoor

VOLT, WATT = "volt", "watt"
ADA = Caller("user:ada")  # a member of Volt
CREDENTIAL, SECRET = "c0ffee", "a secret, + with: signs"
AT = 1_800_000_000_123_456_789

Context = aio.ServicerContext[Any, Any]


class CredentialRefusedError(UnauthenticatedError):
    code = "credential_refused"
    sentence = "No such credential."


class Credentials(credentials_pb2_grpc.CredentialServiceServicer):
    """Identity's: one credential, of Volt."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self.guessed_too_often = False
        self.away = False
        self.asked = 0

    async def ExchangePartnerCredential(
        self, request: pb.ExchangePartnerCredentialRequest, _: Context
    ) -> pb.ExchangePartnerCredentialResponse:
        self.asked += 1
        if self.away:
            raise UnavailableError
        if self.guessed_too_often:
            raise TooManyAttemptsError(60 * 10**9)
        if (request.credential_id, request.secret) != (CREDENTIAL, SECRET):
            raise CredentialRefusedError
        return pb.ExchangePartnerCredentialResponse(
            partner_id=VOLT,
            access_token=self._issuer.token(Caller(f"partner:{VOLT}")),
            expires_at=time.time_ns() + tokens.LIFETIME * 10**9,
        )


async def rules(caller: Caller, action: str, obj: str) -> None:
    """Let members of a partner, and its programs, read its feed."""
    if obj == "partner:away":
        raise UnavailableError
    if caller == service_account("notifier") and action in {
        "identity.ExchangePartnerCredential",
        "access.GetPartner",
    }:
        return
    if action != ACTION or (caller, obj) not in {
        (f"partner:{VOLT}", f"partner:{VOLT}"),
        (f"partner:{WATT}", f"partner:{WATT}"),
        (ADA, f"partner:{VOLT}"),
    }:
        raise PermissionDeniedError


class Sse(msgspec.Struct, frozen=True):
    """A server-sent event as a client reads it."""

    id: str
    event: str
    data: bytes


class Door:
    """What is asked over HTTP, and what it is about."""

    def __init__(
        self, feeds: Feeds, issuer: Issuer, credentials: Credentials, client: httpx2.AsyncClient
    ) -> None:
        self.feeds = feeds
        self.issuer = issuer
        self.credentials = credentials
        self.client = client
        self.events: EventsDoor
        self.tokens: TokenDoor
        self.http: HttpServer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.port}"

    def bearer(
        self, caller: str = f"partner:{VOLT}", *, now: float | None = None
    ) -> dict[str, str]:
        token = self.issuer.token(Caller(caller), now=now)
        return {"Authorization": f"Bearer {token}"}

    async def get(
        self, path: str, caller: str = f"partner:{VOLT}", **headers: str
    ) -> httpx2.Response:
        return await self.client.get(self.url + path, headers=self.bearer(caller) | headers)

    async def post(
        self, content: str | bytes, path: str = "/v1/token", **headers: str
    ) -> httpx2.Response:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(self.url + path, content=content, headers=form | given)

    async def tell(self, *ids: str, partner: str = VOLT) -> None:
        event = AuthorisationRequiredSet(installation_id="home", authorisation_required=True)

        def told() -> None:
            with self.feeds.telling() as (_, tellings):
                tellings += [Telling(partner, each, AT, event) for each in ids]

        await asyncio.to_thread(told)

    def documents(self, partner: str = VOLT) -> list[bytes]:
        return [each.document for each in self.feeds.read(partner, limit=1000)]

    @asynccontextmanager
    async def stream(
        self, path: str = "/v1/events/stream", *, now: float | None = None, **headers: str
    ) -> AsyncIterator[AsyncIterator[Sse]]:
        """Open a stream, and yield what reads its events until it ends."""
        given = self.bearer(now=now) | {k.replace("_", "-"): v for k, v in headers.items()}
        async with self.client.stream("GET", self.url + path, headers=given) as response:
            assert response.status_code == 200, await response.aread()
            assert response.headers["content-type"].startswith("text/event-stream")
            yield _events(response.aiter_bytes())


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[Sse]:
    rest = b""
    async for chunk in chunks:
        *blocks, rest = (rest + chunk).split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if line != b":")
            if b"data" in fields:
                event = fields[b"event"].decode()
                yield Sse(fields[b"id"].decode(), event, fields[b"data"])


async def first(events: AsyncIterator[Sse], count: int) -> Sequence[Sse]:
    async with asyncio.timeout(30):
        return [await anext(events) for _ in range(count)]


@asynccontextmanager
async def opened(directory: Path, feeds: Feeds) -> AsyncIterator[Door]:
    """Serve until the block ends."""
    async with AsyncExitStack() as until:
        issuer = Issuer()
        credentials = Credentials(issuer)
        service = Service(
            "chargekey.identity.v1.CredentialService",
            credentials_pb2_grpc.add_CredentialServiceServicer_to_server,
            credentials,
            {"ExchangePartnerCredential": lambda _: "system"},
        )
        as_caller = await until.enter_async_context(served(service, directory, rules))
        client = await until.enter_async_context(
            httpx2.AsyncClient(timeout=30, trust_env=False, follow_redirects=False)
        )
        door = Door(feeds, issuer, credentials, client)
        verifier = Verifier(directory / "accounts", issuer.keys())
        door.events = EventsDoor(feeds, verifier, rules)
        door.tokens = TokenDoor(as_caller(service_account("notifier")))
        door.http = HttpServer(app(door.events.routes(), door.tokens.routes()), "127.0.0.1:0")
        async with asyncio.TaskGroup() as group:
            group.create_task(door.http.run())
            try:
                yield door
            finally:
                door.events.stop()
                await door.http.stop()
