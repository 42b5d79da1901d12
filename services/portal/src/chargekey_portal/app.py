"""The portal's addresses: pages for people, and the same as JSON below `/api/v1/`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from chargekey_common.asyncapi import contract
from chargekey_portal.answers import Refusal, document, page, refused
from chargekey_portal.feeds import events
from chargekey_portal.services import Service

READING = ["GET", "HEAD"]

_INTERNAL = Refusal(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal",
    "Something went wrong here; the portal's log says what.",
)
_REFUSALS = {
    HTTPStatus.NOT_FOUND: Refusal(
        HTTPStatus.NOT_FOUND, "not_found", "There is nothing at this address."
    ),
    HTTPStatus.METHOD_NOT_ALLOWED: Refusal(
        HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "This address can only be read."
    ),
}


class Status(msgspec.Struct, frozen=True):
    """What runs here: each service, and where chargers connect."""

    services: tuple[Service, ...]
    ocpp: str


def portal(ask: Callable[[], Awaitable[tuple[Service, ...]]], ocpp_url: str) -> FastAPI:
    """Return the application; `ask` tells the services' states anew at every look."""
    # Without its documentation pages, which load their parts from elsewhere.
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    feeds = contract()
    events_of_feeds = events(feeds)

    @app.api_route("/", methods=READING)
    async def what_runs_here() -> Response:
        return page("what_runs_here", services=await ask(), ocpp_url=ocpp_url)

    @app.api_route("/api/v1/status", methods=READING)
    async def status() -> Response:
        return document(Status(await ask(), ocpp_url))

    @app.api_route("/api/v1/feeds/asyncapi.json", methods=READING)
    async def feeds_contract() -> Response:
        return document(feeds)

    @app.api_route("/api/v1/feeds/docs", methods=READING)
    async def feeds_page() -> Response:
        return page("feeds", contract=feeds, events=events_of_feeds)

    @app.exception_handler(HTTPException)
    async def no_answer(request: Request, error: HTTPException) -> Response:
        refusal = _REFUSALS.get(HTTPStatus(error.status_code), _INTERNAL)
        response = refused(request.url.path, refusal)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def failed(request: Request, _: Exception) -> Response:
        return refused(request.url.path, _INTERNAL)

    app.mount("/assets", StaticFiles(directory=Path(__file__).parent / "assets"))
    return app
