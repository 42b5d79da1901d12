"""`/mails`: what a system of one's own caught instead of sending it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from fastapi import APIRouter, Request, Response

from chargekey_common.caught_mails import MailUnknownError, caught, caught_mail
from chargekey_portal.refusals import NOT_FOUND, RefusedError
from chargekey_portal.rendering import page
from chargekey_portal.settings import PortalSettings

router = APIRouter()

MOST = 100
# Its own links alone lead on: a mail is text, whoever wrote it.
_PARTS = re.compile(r"(https?://[^\s'\"<>]+)")


@router.get("/mails")
async def mails(request: Request) -> Response:
    """Show the newest, and list those before it."""
    found = await asyncio.to_thread(caught, _directory(request))
    newest = list(reversed(found))[:MOST]
    parts = _parts(request, newest[0].text) if newest else []
    return page(request, "mails", mails=newest, parts=parts)


@router.get("/mails/{mail_id}")
async def mail(request: Request, mail_id: str) -> Response:
    """Show one, with its links."""
    try:
        found = await asyncio.to_thread(caught_mail, _directory(request), mail_id)
    except MailUnknownError:
        raise RefusedError(NOT_FOUND) from None
    return page(request, "mail", mail=found, parts=_parts(request, found.text))


def _parts(request: Request, text: str) -> Sequence[tuple[str, bool]]:
    """Return the text in parts, and of each whether it is an address of ours."""
    settings: PortalSettings = request.app.state.settings
    return [(part, part.startswith(f"{settings.url}/")) for part in _PARTS.split(text)]


def _directory(request: Request) -> Path:
    settings: PortalSettings = request.app.state.settings
    if settings.caught_mails is None:
        raise RefusedError(NOT_FOUND)
    return settings.caught_mails
