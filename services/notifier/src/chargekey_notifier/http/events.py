"""A partner's feed over HTTP: page by page behind a cursor, or as server-sent events.

Who asks says so by a bearer token (RFC 6750): a partner's program, which may leave out whose
feed it means, or a person who is in a partner and names it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chargekey_common.accounts import Verifier
from chargekey_common.errors import ChargekeyError, UnauthenticatedError
from chargekey_common.grpc.server import Check
from chargekey_common.process import set_within
from chargekey_common.published.feed import sequence_of
from chargekey_notifier.errors import (
    LimitMalformedError,
    NotifierUnavailableError,
    ParameterUnknownError,
    PartnerNotNamedError,
    TokenRefusedError,
    TooManyStreamsError,
)
from chargekey_notifier.feeds import reading
from chargekey_notifier.feeds.store import Entry, Feeds
from chargekey_notifier.http.problems import FRESH, answering
from chargekey_notifier.rates import MINUTE, Rates

STREAM = "text/event-stream"
# The rules' name for both ways: it is the same as asking by gRPC.
ACTION = "notifier.ListFeedEvents"
PARAMETERS = ("after", "limit", "partner")

MOST_STREAMS = 10  # of one partner, at one replica
MOST_REQUESTS = 600  # of one caller, in a minute
# Seconds. What another replica wrote is found by looking.
LOOKED_AGAIN = 2.0
# Seconds without an event until there is a sign of life (WHATWG HTML §9.2.7 says about 15).
HEARTBEAT = 15.0
# Seconds beyond its token that a client has which does not read what it is sent.
SLOW = 5.0
# Milliseconds until a client that was cut off connects again.
RETRY = 1000

_PARTNER = re.compile(r"[A-Za-z0-9-]{1,64}")
_LIMIT = re.compile(r"[1-9][0-9]{0,3}")


class _Asked(msgspec.Struct, frozen=True):
    """What is asked for: `until` is when the token ends, in seconds since the epoch."""

    partner_id: str
    after: str
    limit: int
    until: float


class EventsDoor:
    """Answers for every partner; `stop` ends the streams, before the server waits for them."""

    def __init__(self, feeds: Feeds, verifier: Verifier, check: Check) -> None:
        self._feeds = feeds
        self._verifier = verifier
        self._check = check
        self._rates = Rates(most=MOST_REQUESTS, within=MINUTE)
        self._streams: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._stopped = False
        self._loop = asyncio.get_running_loop()
        feeds.on_told(self._heard)

    def routes(self) -> Sequence[Route]:
        """Return what is answered here."""
        routes = [
            Route("/v1/events", answering(self._events)),
            Route("/v1/events/stream", answering(self._stream)),
        ]
        for each in routes:
            # Starlette adds HEAD, whose answer would be a stream that nobody can see.
            each.methods = {"GET"}
        return routes

    def stop(self) -> None:
        """End every stream where it stands, and begin no more."""
        self._stopped = True
        self._wake(frozenset(self._streams))

    async def _events(self, request: Request) -> Response:
        if STREAM in request.headers.get("accept", ""):
            return await self._stream(request)
        asked = await self._asked(request)
        found = await self._page(asked)
        last = sequence_of(found[-1].number) if found else asked.after
        documents = b",".join(each.document for each in found)
        # The documents' own bytes: encoded anew they might be others.
        body = b'{"events":[%b],"next":"%b"}' % (documents, last.encode())
        return Response(body, headers=FRESH, media_type="application/json")

    async def _stream(self, request: Request) -> Response:
        asked = await self._asked(request)
        # WHATWG HTML §9.2.4: a client that comes again asks at the same address, and says so.
        if last := request.headers.get("last-event-id"):
            asked = msgspec.structs.replace(asked, after=last)
        found = await self._page(asked)
        if self._stopped:
            raise NotifierUnavailableError
        if len(self._streams.get(asked.partner_id, ())) >= MOST_STREAMS:
            raise TooManyStreamsError
        return _Stream(self, asked, found)

    async def _page(self, asked: _Asked) -> Sequence[Entry]:
        return await reading.page(
            self._feeds, asked.partner_id, after=asked.after, limit=asked.limit
        )

    async def _asked(self, request: Request) -> _Asked:
        """Return what somebody asks for who may have it; raises what he is to be told."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise TokenRefusedError(sent=False)
        try:
            caller, until = await self._verifier.verified(token.strip())
        except UnauthenticatedError:
            raise TokenRefusedError(sent=True) from None
        self._rates.spend(caller)
        given = request.query_params.multi_items()
        named = dict(given)
        # Above all no token (RFC 6750 §2.3): addresses stand in logs.
        if len(named) != len(given) or not named.keys() <= set(PARAMETERS):
            raise ParameterUnknownError
        kind, _, own = caller.partition(":")
        partner_id = named.get("partner", own if kind == "partner" else "")
        if _PARTNER.fullmatch(partner_id) is None:
            raise PartnerNotNamedError
        limit = named.get("limit", str(reading.DEFAULT_LIMIT))
        if _LIMIT.fullmatch(limit) is None:
            raise LimitMalformedError
        await self._check(caller, ACTION, f"partner:{partner_id}")
        return _Asked(partner_id, named.get("after", ""), int(limit), until)

    def _heard(self, partners: frozenset[str]) -> None:
        self._loop.call_soon_threadsafe(self._wake, partners)

    def _wake(self, partners: frozenset[str]) -> None:
        for each in partners:
            for woken in self._streams.get(each, ()):
                woken.set()

    def opened(self, partner_id: str) -> asyncio.Event:
        """Count a stream, and return what tells it that there may be more."""
        woken = asyncio.Event()
        self._streams[partner_id].add(woken)
        return woken

    def closed(self, partner_id: str, woken: asyncio.Event) -> None:
        """Count it no longer."""
        self._streams[partner_id].remove(woken)
        if not self._streams[partner_id]:
            del self._streams[partner_id]

    async def told(
        self, asked: _Asked, found: Sequence[Entry], woken: asyncio.Event
    ) -> AsyncIterator[bytes]:
        """Yield these events and what comes behind them, until the token ends, or the server.

        One page is in memory, and no more is read before the client has taken it.
        """
        yield b"retry: %d\n\n" % RETRY
        silent_since = time.monotonic()
        while True:
            if found:
                yield b"".join(map(_sent, found))
                silent_since = time.monotonic()
                asked = msgspec.structs.replace(asked, after=sequence_of(found[-1].number))
            left = asked.until - time.time()
            if self._stopped or left <= 0:
                return
            woken.clear()
            try:
                found = await self._page(asked)
            except ChargekeyError:
                return  # the client comes again, and is told why
            if found or await set_within(woken, min(LOOKED_AGAIN, left)):
                continue
            if time.monotonic() - silent_since >= HEARTBEAT:
                yield b":\n\n"
                silent_since = time.monotonic()


class _Stream(StreamingResponse):
    """One client's stream: counted from when it is made until it has ended."""

    def __init__(self, door: EventsDoor, asked: _Asked, found: Sequence[Entry]) -> None:
        self._door = door
        self._asked = asked
        self._woken = door.opened(asked.partner_id)
        # Proxies that collect what they pass on would hold events back.
        headers = {**FRESH, "X-Accel-Buffering": "no"}
        super().__init__(door.told(asked, found, self._woken), headers=headers, media_type=STREAM)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; a client that does not read is cut off soon after its token has ended."""
        try:
            async with asyncio.timeout(max(0.0, self._asked.until - time.time()) + SLOW):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            return
        finally:
            self._door.closed(self._asked.partner_id, self._woken)


def _sent(entry: Entry) -> bytes:
    """Return one server-sent event: a document has no line ends."""
    cursor = sequence_of(entry.number).encode()
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (cursor, entry.event.encode(), entry.document)
