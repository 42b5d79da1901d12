"""In front of every answer: whom the request was meant for, where it comes from, how long it is."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chargekey_common.request_body import BodyTooLongError, BodyTooSlowError, request_body
from chargekey_portal.refusals import OTHER_HOST, OTHER_SITE, TOO_LONG, TOO_SLOW, Refusal
from chargekey_portal.rendering import API, refused_as_document, refused_outside
from chargekey_portal.settings import LOOPBACK

# Bytes: a table of people has up to one MiB, and a form something around it. All else is read
# where others wait, whoever sent it.
LONGEST_TABLE = (1 << 20) + (1 << 16)
LONGEST_BODY = 1 << 17
BODY_PATIENCE = 10.0  # seconds

_SECURITY = {
    "Content-Security-Policy": (
        # The style library draws its marks by images that stand in it.
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_READING = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:]+)(:[0-9]*)?", re.IGNORECASE)


class Guard:
    """Wraps an application; answers only what was sent to `hosts` or to this machine itself.

    A page elsewhere whose name its owner points here (DNS rebinding) would else be
    a page of ours to the browser, and might read everything. What changes something is
    taken only from our own pages, and from programs, which have no cookies. Bodies are read
    before anything is done, for BODY_PATIENCE seconds at the most.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = (), *, secure: bool = False) -> None:
        self._app = app
        self._hosts = {host.lower() for host in (*LOOPBACK, *hosts)}
        self._security = dict(_SECURITY)
        if secure:
            self._security["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._security)
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], headers)
        if refusal is None and scope["method"] not in _READING:
            try:
                longest = LONGEST_TABLE if _has_table(headers) else LONGEST_BODY
                receive = _again(
                    await request_body(
                        Request(scope, receive), longest=longest, within=BODY_PATIENCE
                    )
                )
            except BodyTooLongError:
                refusal = TOO_LONG
            except BodyTooSlowError:
                refusal = TOO_SLOW
        if refusal is None:
            await self._app(scope, receive, secured)
        else:
            await _refused(scope["path"], headers, refusal)(scope, receive, secured)

    def _refusal(self, method: str, headers: Headers) -> Refusal | None:
        host = _HOST.fullmatch(headers.get("host", ""))
        if host is None or host[1].lower() not in self._hosts:
            return OTHER_HOST
        if method in _READING:
            # Nobody would wait for its end, nor know how much it is.
            has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
            return TOO_LONG if has_body else None
        return OTHER_SITE if _from_elsewhere(headers) else None


def _has_table(headers: Headers) -> bool:
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type in ("multipart/form-data", "text/csv")


def _from_elsewhere(headers: Headers) -> bool:
    """Whether a browser says that a page of another site sent it (Fetch Metadata, Origin)."""
    if "sec-fetch-site" in headers:
        return headers["sec-fetch-site"] not in ("same-origin", "none")
    if "origin" in headers:
        return urlsplit(headers["origin"]).netloc.lower() != headers["host"].lower()
    return False


def _refused(path: str, headers: Headers, refusal: Refusal) -> Response:
    if path.startswith(API):
        return refused_as_document(refusal)
    return refused_outside(headers.get("accept-language", ""), refusal)


def _again(body: bytes) -> Receive:
    """Return a stream of one message, as if the client had sent the body at once."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive
