"""What every OCPI address has in common: who calls, the envelope, errors, pages (§4)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import datetime as dt
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.errors import ChargekeyError, UnavailableError
from chargekey_common.request_body import BodyTooLongError, BodyTooSlowError, request_body
from chargekey_notifier.errors import TooManyRequestsError
from chargekey_notifier.ocpi.messages import LONGEST_PAGE, Page, nanoseconds, told
from chargekey_notifier.ocpi.peers import Peer, Peers
from chargekey_notifier.rates import Strangers

SUCCESS = 1000
CLIENT_ERROR = 2000
INVALID = 2001
NOT_ENOUGH = 2002
UNKNOWN_LOCATION = 2003
UNKNOWN_TOKEN = 2004
SERVER_ERROR = 3000
CLIENT_UNUSABLE = 3001
UNSUPPORTED_VERSION = 3002
NO_ENDPOINTS = 3003

LONGEST_BODY = 64 * 1024  # bytes
PATIENCE = 10.0  # seconds for a client to send them
_ECHOED = ("x-request-id", "x-correlation-id")
# §4.2.2: a response goes back to where its request came from.
_ROUTING = {
    "ocpi-from-country-code": "ocpi-to-country-code",
    "ocpi-from-party-id": "ocpi-to-party-id",
    "ocpi-to-country-code": "ocpi-from-country-code",
    "ocpi-to-party-id": "ocpi-from-party-id",
}

Body = TypeVar("Body")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered; `http` is HTTP's own status, `data` whatever msgspec can encode."""

    data: Any = None
    status_code: int = SUCCESS
    message: str | None = None
    http: int = 200
    headers: Mapping[str, str] = {}


class OcpiError(Exception):
    """Answered instead, in the standard's words; `message` echoes nothing of what was sent."""

    def __init__(self, status_code: int, message: str, *, http: int = 200) -> None:
        super().__init__(message)
        self.answer = Answer(status_code=status_code, message=message, http=http)


class _Envelope(msgspec.Struct, omit_defaults=True):
    status_code: int
    timestamp: str
    status_message: str | None = None
    data: Any = None


Handler = Callable[[Request, Peer], Awaitable[Answer]]


class Door:
    """Answers operators, each known by its token; `public_url` is where it is from outside."""

    def __init__(
        self, peers: Peers, *, public_url: str, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.public_url = public_url
        self.clock = clock
        self._peers = peers
        self._strangers = Strangers()

    def route(self, path: str, *, registering: bool = False, **handlers: Handler) -> Route:
        """Return the route that answers each method by its handler: `get=...`, `put=...`.

        With `registering` also who has no more than the token for that.
        """

        async def answer(request: Request) -> Response:
            handler = handlers[request.method.lower()]
            try:
                peer = await self._caller(request, registering=registering)
                answer = await handler(request, peer)
            except OcpiError as error:
                answer = error.answer
            except TooManyRequestsError as error:
                answer = Answer(
                    status_code=CLIENT_ERROR,
                    message=str(error),
                    http=429,
                    headers={"Retry-After": str(error.seconds)},
                )
            except (DatabaseUnavailableError, UnavailableError):
                message = UnavailableError.sentence
                answer = Answer(status_code=SERVER_ERROR, message=message, http=503)
            except ChargekeyError as error:
                answer = Answer(status_code=CLIENT_ERROR, message=str(error))
            return _response(request, answer, self.clock())

        route = Route(path, answer, methods=[name.upper() for name in handlers])
        if route.methods is not None:
            route.methods.discard("HEAD")  # which Starlette adds, and the standard does not know
        return route

    def paged(self, request: Request, page: Page, data: Sequence[Any], total: int) -> Answer:
        """Return a part of a list of `total`, with the headers that lead to the next (§4.1.4)."""
        headers = {"X-Total-Count": str(total), "X-Limit": str(LONGEST_PAGE)}
        behind = page.offset + len(data)
        if data and behind < total:
            asked = dict(request.query_params) | {"offset": str(behind), "limit": str(page.limit)}
            link = f"{self.public_url}{request.url.path}?{urlencode(asked)}"
            headers["Link"] = f'<{link}>; rel="next"'
        return Answer(data=data, headers=headers)

    async def _caller(self, request: Request, *, registering: bool) -> Peer:
        """Return who calls; raises OcpiError.

        §4.1.1: without a token, with one that is nobody's, and with one that is for
        registering anywhere else. TooManyRequestsError where an address does so all the time.
        """
        for token, _ in _tokens(request):
            peer = await asyncio.to_thread(self._peers.calling_with, token)
            if peer is not None and (registering or peer.state == "connected"):
                return peer
        self._strangers.count(request)
        message = "Call with the credentials token that you were given."
        raise OcpiError(CLIENT_ERROR, message, http=401)


def unrouted(request: Request, error: HTTPException) -> Response:
    """Return what is answered where there is no such address, or not by this method."""
    message = "There is no such address here; /ocpi/versions leads to those that there are."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        message = "This address is not for that method."
    answer = Answer(
        status_code=CLIENT_ERROR,
        message=message,
        http=error.status_code,
        headers=error.headers or {},
    )
    return _response(request, answer, time.time_ns())


def called_with(request: Request, peer: Peer, peers: Peers) -> tuple[str, bool]:
    """Return the token that this caller called with, and whether it was in base64; blocking."""
    for token, encoded in _tokens(request):
        found = peers.calling_with(token)
        if found is not None and found.partner_id == peer.partner_id:
            return token, encoded
    message = "Call with the credentials token that you were given."
    raise OcpiError(CLIENT_ERROR, message, http=401)


async def body(request: Request, kind: type[Body]) -> Body:
    """Return what was sent; raises OcpiError where it is not what the standard has here."""
    try:
        data = await request_body(request, longest=LONGEST_BODY, within=PATIENCE)
    except BodyTooLongError:
        message = f"Send at most {LONGEST_BODY} bytes."
        raise OcpiError(INVALID, message, http=413) from None
    except BodyTooSlowError:
        raise OcpiError(INVALID, "Send it whole, at once.", http=408) from None
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # Says which field is wrong and in what, and echoes nothing of it.
        message = str(error) if isinstance(error, msgspec.ValidationError) else "Send JSON."
        raise OcpiError(INVALID, message, http=400) from None


def page(request: Request) -> Page:
    """Return which part of a list is asked for; raises OcpiError."""
    asked = request.query_params
    return Page(
        offset=_number(asked.get("offset"), 0, least=0),
        limit=min(_number(asked.get("limit"), LONGEST_PAGE, least=1), LONGEST_PAGE),
        date_from=_moment(asked.get("date_from")),
        date_to=_moment(asked.get("date_to")),
    )


def _response(request: Request, answer: Answer, at: int) -> Response:
    envelope = _Envelope(answer.status_code, told(at), answer.message, answer.data)
    headers = {name: request.headers[name] for name in _ECHOED if name in request.headers}
    headers |= {
        back: request.headers[name] for name, back in _ROUTING.items() if name in request.headers
    }
    headers |= answer.headers
    if answer.http == HTTPStatus.UNAUTHORIZED:  # RFC 9110 §15.5.2 wants to be told how
        headers["WWW-Authenticate"] = "Token"
    body = msgspec.json.encode(envelope)
    return Response(body, answer.http, headers, media_type="application/json")


def _tokens(request: Request) -> Sequence[tuple[str, bool]]:
    """Return what the caller may mean, and whether it is base64: it is, or, as before, it is not.

    §4.1.1. One that is not can look as if it were.
    """
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    given = text.strip()
    if scheme.lower() != "token" or not given:
        return ()
    try:
        decoded = base64.b64decode(given, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ((given, False),)
    return ((decoded, True), (given, False))


def _number(text: str | None, default: int, *, least: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18) or int(text) < least:  # noqa: PLR2004 - what fits into 64 bits
        message = f"`offset` and `limit` are whole numbers, here from {least} on."
        raise OcpiError(INVALID, message, http=400)
    return int(text)


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        # A plus that was not escaped is a space.
        return nanoseconds(dt.datetime.fromisoformat(text.replace(" ", "+")))
    except (ValueError, OverflowError):
        message = "`date_from` and `date_to` are RFC 3339, as in 2026-01-31T12:00:00Z."
        raise OcpiError(INVALID, message, http=400) from None
