"""What is answered instead: RFC 9457 problems with our codes, nothing of what was sent in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chargekey_common import errors
from chargekey_notifier.errors import (
    CursorAheadError,
    CursorExpiredError,
    MethodNotAllowedError,
    TokenRefusedError,
    TooManyRequestsError,
)

Endpoint = Callable[[Request], Awaitable[Response]]

# Of an error the first line that fits.
_STATUS: Mapping[type[errors.ChargekeyError], HTTPStatus] = {
    CursorAheadError: HTTPStatus.GONE,
    CursorExpiredError: HTTPStatus.GONE,
    MethodNotAllowedError: HTTPStatus.METHOD_NOT_ALLOWED,
    errors.InvalidArgumentError: HTTPStatus.BAD_REQUEST,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.AlreadyExistsError: HTTPStatus.CONFLICT,
    errors.FailedPreconditionError: HTTPStatus.CONFLICT,
    errors.PermissionDeniedError: HTTPStatus.FORBIDDEN,
    errors.UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    errors.ResourceExhaustedError: HTTPStatus.TOO_MANY_REQUESTS,
    errors.UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}
# Partners' events, and refusals of them, are in nobody's cache.
FRESH = {"Cache-Control": "no-store"}
NOTHING: Mapping[str, str] = {}


def answering(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that answers as this one does, and what it refuses as a problem."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except errors.ChargekeyError as error:
            return problem(error)

    return answer


def problem(error: errors.ChargekeyError, beside: Mapping[str, str] = NOTHING) -> Response:
    """Return it as it is answered, with these headers `beside` its own."""
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    told = {
        "title": status.phrase,
        "status": status.value,
        "code": error.code,
        "detail": str(error),
    }
    headers = {**beside, **FRESH}
    match error:
        case TokenRefusedError():
            # RFC 6750 §3.1: nothing but the scheme where no token was sent.
            headers["WWW-Authenticate"] = 'Bearer error="invalid_token"' if error.sent else "Bearer"
        case TooManyRequestsError():
            headers["Retry-After"] = str(error.seconds)
        case errors.UnavailableError():
            headers["Retry-After"] = "1"
    return Response(msgspec.json.encode(told), status, headers, "application/problem+json")
