"""In front of every answer: whom the request was meant for, and what browsers may do with it."""

from __future__ import annotations

import re
from collections.abc import Collection
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chargekey_portal.answers import Refusal, refused

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

_SECURITY = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:]+)(:[0-9]*)?", re.IGNORECASE)
_OTHER_HOST = Refusal(
    HTTPStatus.MISDIRECTED_REQUEST,
    "host_unknown",
    "The portal answers under its own address only; use the one that it was started with.",
)


class Guard:
    """Wraps an application; answers only what was sent to `hosts` or to this machine itself.

    A page elsewhere whose name its owner points here (DNS rebinding) would else be
    a page of ours to the browser, and might read everything.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = {host.lower() for host in (*LOOPBACK, *hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks for it."""

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_SECURITY)
            await send(message)

        host = _HOST.fullmatch(Headers(scope=scope).get("host", ""))
        known = host is not None and host[1].lower() in self._hosts
        app = self._app if known else refused(scope["path"], _OTHER_HOST)
        await app(scope, receive, secured)
