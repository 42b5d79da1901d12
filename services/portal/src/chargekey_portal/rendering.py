"""Pages and documents as they are sent: templates in the visitor's language, and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from uuid import uuid4

import jinja2
import msgspec
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from chargekey_portal import words
from chargekey_portal.languages import LANGUAGES, catalogue, language_of
from chargekey_portal.refusals import Refusal
from chargekey_portal.static_files import asset
from chargekey_portal.visitors import FORM_SECRET, form_secret, language

API = "/api/"

# How things are now is not how they will be at the next look.
_FRESH = {"Cache-Control": "no-store"}


def page(
    request: Request, template: str, *, refusal: Refusal | None = None, **words: object
) -> Response:
    """Return `templates/<template>.html` with `words` in it, escaped.

    With the status of the refusal that it shows, where it shows one.
    """
    html = rendered(request, template, refusal=refusal, **words)
    status = refusal.status if refusal else HTTPStatus.OK
    headers = {**_FRESH, **(_again(refusal) if refusal else {})}
    return Response(html, status, headers, "text/html; charset=utf-8")


def rendered(request: Request, template: str, **words: object) -> str:
    """Return the same as text: for the parts of pages that are sent by themselves."""
    environment = _environment(language(request))
    return environment.get_template(f"{template}.html").render(
        request=request,
        path=request.url.path,
        signed_in="user_id" in request.session,
        administers=request.session.get("administers", False),
        form_secret=form_secret(request),
        told=request.query_params.get("told", ""),
        **words,
    )


def said(request: Request, words: str) -> str:
    """Return marked words in the visitor's language, for what is no page."""
    return str(catalogue(language(request)).ugettext(words))


def document(
    content: object,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> Response:
    """Return `content` as JSON."""
    return Response(msgspec.json.encode(content), status, {**_FRESH, **(headers or {})}, media_type)


def see(path: str, told: str = "") -> Response:
    """Send the browser on to a page, which tells what was done by a key of `words.TOLD`."""
    query = f"?told={told}" if told else ""
    return RedirectResponse(path + query, HTTPStatus.SEE_OTHER)


def refused(request: Request, refusal: Refusal) -> Response:
    """Return the refusal as a page; nothing of the request is in it."""
    return page(request, "refused", refusal=refusal)


def refused_outside(accepted: str, refusal: Refusal) -> Response:
    """Return the same for who never got as far as to have a session; `accepted` languages."""
    environment = _environment(language_of(accepted))
    html = environment.get_template("refused_outside.html").render(refusal=refusal)
    return Response(html, refusal.status, _FRESH, "text/html; charset=utf-8")


def refused_as_document(refusal: Refusal, headers: Mapping[str, str] | None = None) -> Response:
    """Return the refusal as RFC 9457 says, with its code."""
    problem = {
        "type": f"urn:chargekey:refusal:{refusal.code}",
        "title": refusal.status.phrase,
        "status": refusal.status,
        "detail": refusal.message,
        "code": refusal.code,
    }
    told = {**(headers or {}), **_again(refusal)}
    if refusal.status is HTTPStatus.UNAUTHORIZED:
        told["WWW-Authenticate"] = "Bearer"
    return document(problem, refusal.status, told, "application/problem+json")


def _again(refusal: Refusal) -> Mapping[str, str]:
    """Return when to try again, where that is known."""
    return {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}


@cache
def _environment(language: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("chargekey_portal"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    translations = catalogue(language)
    environment.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined] # of the extension
    environment.globals.update(
        asset=asset,
        language=language,
        languages=LANGUAGES,
        words=words,
        form_secret_name=FORM_SECRET,
        new_command_id=lambda: str(uuid4()),
    )
    environment.filters.update(words.filters(language))
    return environment
