"""`/`: where everybody arrives, and the language that he reads."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from chargekey_portal.forms import Text
from chargekey_portal.languages import LANGUAGES
from chargekey_portal.rendering import see

router = APIRouter()


@router.get("/")
async def front(request: Request) -> Response:
    """Lead on: to the installations, or to signing in."""
    return see("/installations" if "user_id" in request.session else "/sign-in")


@router.post("/language")
async def choose_language(request: Request, language: Text) -> Response:
    """Let the pages be in another language, and go back to where that was chosen."""
    if language in LANGUAGES:
        request.session["language"] = language
    # Two slashes would begin another host.
    return see("/" + urlsplit(request.headers.get("referer", "")).path.lstrip("/\\"))
