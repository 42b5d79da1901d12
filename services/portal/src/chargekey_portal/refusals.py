"""Why there is no answer: what a service said, or the portal itself, as HTTP tells it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from http import HTTPStatus

import grpc
import msgspec
from grpc import aio

from chargekey_common.errors import PermissionDeniedError, UnavailableError
from chargekey_common.grpc.client import remote_error


class Refusal(msgspec.Struct, frozen=True):
    """Why not: a code that never changes once released, and what to do."""

    status: HTTPStatus
    code: str
    message: str
    # Seconds, where it is known when the same may work.
    retry_after: int | None = None


class RefusedError(Exception):
    """Ends a request with a refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


INTERNAL = Refusal(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal",
    "Something went wrong here; the portal's log says what.",
)
NOT_FOUND = Refusal(HTTPStatus.NOT_FOUND, "not_found", "There is nothing at this address.")
METHOD_NOT_ALLOWED = Refusal(
    HTTPStatus.METHOD_NOT_ALLOWED,
    "method_not_allowed",
    "This address cannot be asked for that.",
)
DENIED = Refusal(HTTPStatus.FORBIDDEN, PermissionDeniedError.code, PermissionDeniedError.sentence)
OTHER_HOST = Refusal(
    HTTPStatus.MISDIRECTED_REQUEST,
    "host_unknown",
    "The portal answers under its own address only; use the one that it was started with.",
)
OTHER_SITE = Refusal(
    HTTPStatus.FORBIDDEN,
    "request_from_elsewhere",
    "This was not sent from a page of the portal, or from one that is too old;"
    " go back, load the page again, and repeat it.",
)
TOO_LONG = Refusal(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "request_too_long",
    "More was sent than can be taken; send less at a time.",
)
TOO_SLOW = Refusal(
    HTTPStatus.REQUEST_TIMEOUT, "request_too_slow", "The request did not arrive in time; repeat it."
)
TOO_MANY = Refusal(
    HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_pages",
    "You have too many pages open that follow what goes on; close some of them.",
)
MALFORMED = Refusal(
    HTTPStatus.BAD_REQUEST,
    "request_malformed",
    "What was sent does not have the form that is expected here.",
)
# As access says it of an id.
CHARGER_UNKNOWN = Refusal(
    HTTPStatus.NOT_FOUND,
    "charger_unknown",
    "There is no such charger; look it up in the list of the installation's chargers.",
)
ADDRESS_NOT_YOURS = Refusal(
    HTTPStatus.BAD_REQUEST,
    "address_not_yours",
    "This is not the e-mail address that you sign in with; type that one.",
)
NOT_CONFIRMED = Refusal(
    HTTPStatus.BAD_REQUEST,
    "not_confirmed",
    "Nothing is given yet: tick that you have read what it means, and save again.",
)

_STATUS: Mapping[grpc.StatusCode, HTTPStatus] = {
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.CONFLICT,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.CANCELLED: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}


_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


def is_away(error: aio.AioRpcError) -> bool:
    """Return whether a service could not be asked, whatever about."""
    return error.code() in _AWAY


def refusal_of(error: aio.AioRpcError | RefusedError) -> Refusal:
    """Return what a service said, or the portal; INTERNAL where it could not say what was wrong."""
    if isinstance(error, RefusedError):
        return error.refusal
    status = _STATUS.get(error.code())
    if status is None:
        return INTERNAL
    said = remote_error(error)
    if is_away(error) and said.code == error.code().name.lower():
        # It said nothing itself; what the library says helps nobody, and names addresses.
        return Refusal(status, UnavailableError.code, UnavailableError.sentence)
    return Refusal(status, said.code, said.message, said.retry_after)


async def why_refused(change: Awaitable[object]) -> Refusal | None:
    """Wait until a service has changed something; return what it said, None where it did.

    Raises the AioRpcError of a service that could not say what was wrong.
    """
    try:
        await change
    except aio.AioRpcError as error:
        refusal = refusal_of(error)
        if refusal is INTERNAL:
            raise
        return refusal
    return None
