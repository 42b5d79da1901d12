"""The notifier's addresses, one list, and what is answered beside them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from chargekey_notifier.errors import AddressUnknownError, MethodNotAllowedError
from chargekey_notifier.http.problems import problem
from chargekey_notifier.ocpi.http import unrouted

OCPI = "/ocpi/"


def app(*routes: Sequence[BaseRoute]) -> Starlette:
    """Return the application that answers at these routes, and anywhere else in their words."""
    return Starlette(
        routes=[route for some in routes for route in some],
        exception_handlers={
            HTTPStatus.NOT_FOUND: _unrouted,
            HTTPStatus.METHOD_NOT_ALLOWED: _unrouted,
        },
    )


async def _unrouted(request: Request, error: Exception) -> Response:
    """Say that there is no such address, or that it is not for this method."""
    if not isinstance(error, HTTPException):
        raise error
    if request.url.path.startswith(OCPI):
        return unrouted(request, error)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # RFC 9110 §15.5.6 wants `Allow`, which Starlette has put there.
        return problem(MethodNotAllowedError(), error.headers or {})
    return problem(AddressUnknownError())
