"""`/mails`: what a system of one's own caught instead of sending it."""

from __future__ import annotations

import asyncio
import re
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
    """List them, the newest first."""
    found = await asyncio.to_thread(caught, _directory(request))
    return page(request, "mails", mails=list(reversed(found))[:MOST])


@router.get("/mails/{mail_id}")
async def mail(request: Request, mail_id: str) -> Response:
    """Show one, with its links."""
    try:
        found = await asyncio.to_thread(caught_mail, _directory(request), mail_id)
    except MailUnknownError:
        raise RefusedError(NOT_FOUND) from None
    settings: PortalSettings = request.app.state.settings
    parts = [(part, part.startswith(f"{settings.url}/")) for part in _PARTS.split(found.text)]
    return page(request, "mail", mail=found, parts=parts)


def _directory(request: Request) -> Path:
    settings: PortalSettings = request.app.state.settings
    if settings.caught_mails is None:
        raise RefusedError(NOT_FOUND)
    return settings.caught_mails
