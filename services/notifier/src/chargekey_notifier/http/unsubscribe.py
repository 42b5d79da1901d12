"""`/unsubscribe/<token>`: no more mails of one kind, for whoever has one (RFC 8058).

Reading the page does nothing, because mail scanners follow links; posting to it declines, by
its button or by a mail program on its own (one click), without a cookie and without a body.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.errors import ChargekeyError
from chargekey_notifier.errors import NotifierUnavailableError, UnsubscribeLinkInvalidError
from chargekey_notifier.mails.choices import Choices
from chargekey_notifier.mails.kinds import Choice
from chargekey_notifier.mails.unsubscribing import PATH, Unsubscribing

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
_ABOUT: Mapping[Choice, str] = {
    "permissions": "access that you are given, or that is changed",
    "reminders": "what of yours ends soon",
    "lockouts": "wrong PINs at chargers that you own",
    "access_requests": "requests for access",
}

log = structlog.get_logger()


class UnsubscribeDoor:
    """Declines for whoever comes with a link out of a mail."""

    def __init__(self, choices: Choices, unsubscribing: Unsubscribing) -> None:
        self._choices = choices
        self._unsubscribing = unsubscribing

    def routes(self) -> Sequence[Route]:
        """Return what is answered here."""
        path = f"{PATH}/{{token}}"
        return [
            Route(path, self._ask, methods=["GET"]),
            Route(path, self._decline, methods=["POST"]),
        ]

    async def _ask(self, request: Request) -> Response:
        try:
            _, choice = self._unsubscribing.read(request.path_params["token"])
        except UnsubscribeLinkInvalidError as error:
            return _refused(error, HTTPStatus.NOT_FOUND)
        button = '<form method="post"><button>No more such mails</button></form>'
        return _page(f"Mails about {_ABOUT[choice]}", button)

    async def _decline(self, request: Request) -> Response:
        try:
            user_id, choice = self._unsubscribing.read(request.path_params["token"])
            await asyncio.to_thread(self._choices.decline, user_id, choice)
        except UnsubscribeLinkInvalidError as error:
            return _refused(error, HTTPStatus.NOT_FOUND)
        except DatabaseUnavailableError:
            return _refused(NotifierUnavailableError(), HTTPStatus.SERVICE_UNAVAILABLE)
        log.info("mails_declined", choice=choice)
        said = "<p>You can have them again with <code>chargekey mail choose</code>.</p>"
        return _page(f"You get no more mails about {_ABOUT[choice]}", said)


def _refused(error: ChargekeyError, status: HTTPStatus) -> Response:
    return _page(str(error), "", status)


def _page(title: str, content: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return a page; `content` is markup of ours."""
    said = html.escape(title)
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{said}</title></head>\n<body><h1>{said}</h1>\n{content}</body>\n</html>\n"
    )
    return HTMLResponse(page, status, _HEADERS)
