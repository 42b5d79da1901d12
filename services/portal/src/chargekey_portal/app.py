"""The portal's addresses: pages for people, and REST below `/api/v1/`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from grpc import aio
from starlette.exceptions import HTTPException
from starlette.middleware.sessions import SessionMiddleware

from chargekey_common.errors import InvalidArgumentError
from chargekey_portal import administrators, pages
from chargekey_portal.administrators import ActingNeededError
from chargekey_portal.link_requests import LinkRequests
from chargekey_portal.refusals import (
    INTERNAL,
    MALFORMED,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    Refusal,
    RefusedError,
    refusal_of,
)
from chargekey_portal.rendering import API, refused, refused_as_document, see
from chargekey_portal.rest import serving as rest
from chargekey_portal.searches import Searches
from chargekey_portal.services import Services
from chargekey_portal.settings import PortalSettings
from chargekey_portal.static_files import ADDRESS, Assets
from chargekey_portal.visitors import SignInNeededError

# Seconds without a request after which somebody signs in anew: as long as identity keeps it.
SESSION_LASTS = 30 * 24 * 3600

_REFUSALS = {400: MALFORMED, 404: NOT_FOUND, 405: METHOD_NOT_ALLOWED}


def portal(settings: PortalSettings, services: Services) -> FastAPI:
    """Return the application, over these services."""
    # Without FastAPI's documentation pages, which load their parts from elsewhere.
    app = FastAPI(openapi_url=None, redirect_slashes=False, exception_handlers=dict(_HANDLERS))
    app.state.settings, app.state.services = settings, services
    # What goes on while somebody looks ends with it.
    app.state.ending = asyncio.Event()
    app.state.open_streams = Counter()  # by whose they are
    app.state.link_requests = LinkRequests(proxies_named=bool(settings.trusted_proxies))
    secret = settings.session_secret
    app.state.searches = Searches(secret)
    app.add_middleware(
        SessionMiddleware,
        secret_key=secret.hex(),
        session_cookie="__Host-chargekey" if settings.secure else "chargekey",
        max_age=SESSION_LASTS,
        https_only=settings.secure,
    )
    for each in pages.ROUTERS:
        app.include_router(each)
    app.router.routes.extend(rest.routes())
    app.mount(ADDRESS, Assets())

    return app


async def _no_answer(request: Request, error: HTTPException) -> Response:
    response = _refused(request, _REFUSALS.get(error.status_code, INTERNAL))
    response.headers.update(error.headers or {})
    return response


async def _malformed(request: Request, _: RequestValidationError) -> Response:
    return _refused(request, MALFORMED)


async def _refused_here(request: Request, error: RefusedError) -> Response:
    return _refused(request, error.refusal)


async def _refused_by_us(request: Request, error: InvalidArgumentError) -> Response:
    return _refused(request, Refusal(HTTPStatus.BAD_REQUEST, error.code, str(error)))


async def _refused_there(request: Request, error: aio.AioRpcError) -> Response:
    refusal = refusal_of(error)
    if refusal is INTERNAL:
        raise error
    return _refused(request, refusal)


async def _sign_in_needed(request: Request, _: SignInNeededError) -> Response:
    if "hx-request" in request.headers:
        return Response(status_code=HTTPStatus.UNAUTHORIZED)  # for a part of a page
    if request.method == "GET":
        request.session["to"] = request.url.path
    return see("/sign-in")


async def _acting_needed(request: Request, _: ActingNeededError) -> Response:
    if "hx-request" in request.headers:
        return Response(status_code=HTTPStatus.UNAUTHORIZED)  # for a part of a page
    if request.method != "GET":
        return see("/administration", "acting_ended")
    administrators.come_back(request)
    return see("/administration")


async def _failed(request: Request, _: Exception) -> Response:
    return _refused(request, INTERNAL)


def _refused(request: Request, refusal: Refusal) -> Response:
    if request.url.path.startswith(API):
        return refused_as_document(refusal)
    return refused(request, refusal)


_HANDLERS: Mapping[Any, Any] = {
    HTTPException: _no_answer,
    RequestValidationError: _malformed,
    RefusedError: _refused_here,
    InvalidArgumentError: _refused_by_us,
    aio.AioRpcError: _refused_there,
    SignInNeededError: _sign_in_needed,
    ActingNeededError: _acting_needed,
    Exception: _failed,
}
