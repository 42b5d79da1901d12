"""`POST /v1/token`: an access token for a partner's credential (RFC 6749 §4.4, client credentials).

The credential's id is the `client_id`, its secret the `client_secret`; by HTTP Basic or in the
form, and never in an address.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from grpc import aio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chargekey.identity.v1 import credentials_pb2 as pb
from chargekey.identity.v1 import credentials_pb2_grpc
from chargekey_common.errors import TooManyAttemptsError, UnavailableError
from chargekey_common.grpc.client import AWAY, remote_error
from chargekey_common.request_body import BodyTooLongError, BodyTooSlowError, request_body
from chargekey_notifier.errors import TooManyRequestsError
from chargekey_notifier.http.problems import FRESH
from chargekey_notifier.rates import MINUTE, Rates, Strangers

LONGEST_BODY = 4096  # bytes
PATIENCE = 5.0  # seconds for a client to send them
MOST_FIELDS = 8
MOST_TOKENS = 60  # for one credential, in a minute

FORM = "application/x-www-form-urlencoded"
# RFC 6749 appendix A: VSCHAR.
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,256}")
_SECOND = 10**9


class _Refusal(msgspec.Struct, frozen=True):
    """What is answered in the words of RFC 6749 §5.2; `description` says what to do."""

    error: str
    description: str
    status: HTTPStatus = HTTPStatus.BAD_REQUEST
    headers: Mapping[str, str] = {}


class _RefusedError(Exception):
    def __init__(self, refusal: _Refusal) -> None:
        super().__init__(refusal.error)
        self.refusal = refusal


_NO_FORM = _Refusal("invalid_request", f"Send the parameters as {FORM}.")
_TOO_LONG = _Refusal("invalid_request", "Send less.", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
_TOO_SLOW = _Refusal("invalid_request", "Send it whole, at once.", HTTPStatus.REQUEST_TIMEOUT)
_IN_ADDRESS = _Refusal("invalid_request", "Send nothing in the address: it stands in logs.")
_UNREADABLE = _Refusal("invalid_request", "The form cannot be read.")
_INCOMPLETE = _Refusal("invalid_request", "Send grant_type, and each parameter once.")
_TWO_WAYS = _Refusal("invalid_request", "Authenticate in one way: header, or form.")
_OTHER_GRANT = _Refusal("unsupported_grant_type", "Ask with grant_type=client_credentials.")
_SCOPED = _Refusal("invalid_scope", "There are no scopes; leave it out.")
_UNKNOWN = _Refusal(
    "invalid_client",
    "No credential has this id and this secret; ask who issued it for another.",
    HTTPStatus.UNAUTHORIZED,
    {"WWW-Authenticate": 'Basic realm="chargekey"'},
)
_AWAY = _Refusal(
    "temporarily_unavailable",
    UnavailableError.sentence,
    HTTPStatus.SERVICE_UNAVAILABLE,
    {"Retry-After": "1"},
)


class TokenDoor:
    """Exchanges credentials at identity."""

    def __init__(self, identity: aio.Channel) -> None:
        self._identity = credentials_pb2_grpc.CredentialServiceStub(identity)
        self._strangers = Strangers()
        self._tokens = Rates(most=MOST_TOKENS, within=MINUTE)

    def routes(self) -> Sequence[Route]:
        """Return what is answered here."""
        return [Route("/v1/token", self._answered, methods=["POST"])]

    async def _answered(self, request: Request) -> Response:
        try:
            return await self._exchanged(request)
        except TooManyRequestsError as error:
            return _refused(_too_many(error.code, str(error), error.seconds))
        except _RefusedError as error:
            return _refused(error.refusal)

    async def _exchanged(self, request: Request) -> Response:
        credential_id, secret = _client(request, _form(request, await _body(request)))
        try:
            answer = await self._identity.ExchangePartnerCredential(
                pb.ExchangePartnerCredentialRequest(credential_id=credential_id, secret=secret)
            )
        except aio.AioRpcError as error:
            refusal = _said(error)
            if refusal is _UNKNOWN:
                self._strangers.count(request)
            raise _RefusedError(refusal) from None
        self._tokens.spend(credential_id)
        told = {
            "access_token": answer.access_token,
            "token_type": "Bearer",
            "expires_in": max(0, (answer.expires_at - time.time_ns()) // _SECOND),
        }
        return _answer(told, HTTPStatus.OK, {})


async def _body(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise _RefusedError(_NO_FORM)
    try:
        return await request_body(request, longest=LONGEST_BODY, within=PATIENCE)
    except BodyTooLongError:
        raise _RefusedError(_TOO_LONG) from None
    except BodyTooSlowError:
        raise _RefusedError(_TOO_SLOW) from None


def _form(request: Request, body: bytes) -> Mapping[str, str]:
    """Return the parameters of a request that asks as it should (RFC 6749 §3.2, §4.4.2)."""
    if request.url.query:
        raise _RefusedError(_IN_ADDRESS)
    try:
        given = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise _RefusedError(_UNREADABLE) from None
    form = dict(given)
    if len(form) != len(given) or "grant_type" not in form:
        raise _RefusedError(_INCOMPLETE)
    if form["grant_type"] != "client_credentials":
        raise _RefusedError(_OTHER_GRANT)
    if form.get("scope"):
        raise _RefusedError(_SCOPED)
    return form


def _client(request: Request, form: Mapping[str, str]) -> tuple[str, str]:
    """Return the credential's id and secret, told in one of both ways (RFC 6749 §2.3.1)."""
    authorization = request.headers.get("authorization")
    if authorization is None:
        found = form.get("client_id", ""), form.get("client_secret", "")
    elif "client_secret" in form:
        raise _RefusedError(_TWO_WAYS)
    else:
        found = _basic(authorization)
    if not all(map(_PRINTABLE.fullmatch, found)):
        raise _RefusedError(_UNKNOWN)
    return found


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        found = unquote_plus(user, errors="strict"), unquote_plus(password, errors="strict")
    except (binascii.Error, ValueError):
        raise _RefusedError(_UNKNOWN) from None
    if scheme.lower() != "basic" or not colon:
        raise _RefusedError(_UNKNOWN)
    return found


def _said(error: aio.AioRpcError) -> _Refusal:
    """Return what to answer where identity gave no token; raises what nobody expected."""
    said = remote_error(error)
    if said.code == "credential_refused":
        return _UNKNOWN
    if said.code == TooManyAttemptsError.code:
        return _too_many(said.code, said.message, round(MINUTE))
    if error.code() in AWAY:
        return _AWAY
    raise error


def _too_many(code: str, sentence: str, seconds: int) -> _Refusal:
    return _Refusal(code, sentence, HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(seconds)})


def _refused(refusal: _Refusal) -> Response:
    told = {"error": refusal.error, "error_description": refusal.description}
    return _answer(told, refusal.status, refusal.headers)


def _answer(told: Mapping[str, object], status: HTTPStatus, headers: Mapping[str, str]) -> Response:
    # RFC 6749 §5.1 asks for both.
    fresh = {**FRESH, "Pragma": "no-cache", **headers}
    return Response(msgspec.json.encode(told), status, fresh, "application/json")
