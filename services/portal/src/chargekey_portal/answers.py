"""What is sent back: pages for people, JSON below `/api/`, and refusals as either."""

from __future__ import annotations

from http import HTTPStatus

import jinja2
import msgspec
from fastapi import Response

API = "/api/"

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("chargekey_portal"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Refusal(msgspec.Struct, frozen=True):
    """Why there is no answer: a code that never changes once released, and what to do."""

    status: HTTPStatus
    code: str
    message: str


def page(template: str, status: HTTPStatus = HTTPStatus.OK, **words: object) -> Response:
    """Return `templates/<template>.html` with `words` in it, escaped."""
    html = _TEMPLATES.get_template(f"{template}.html").render(words)
    return Response(html, status, _FRESH, "text/html; charset=utf-8")


def document(content: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return `content` as JSON."""
    return Response(msgspec.json.encode(content), status, _FRESH, "application/json")


def refused(path: str, refusal: Refusal) -> Response:
    """Return the refusal as what `path` would have answered; nothing of the request is in it."""
    if path.startswith(API):
        error = {"code": refusal.code, "message": refusal.message}
        return document({"error": error}, refusal.status)
    return page("refused", refusal.status, refusal=refusal)


# How things are now is not how they will be at the next look.
_FRESH = {"Cache-Control": "no-store"}
