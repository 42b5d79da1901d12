"""One request by REST: read, asked of its service as whoever sent it, and told."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import quote, urlencode

import msgspec
from fastapi import Request, Response
from google.protobuf.message import Message

from chargekey_common import tokens
from chargekey_common.grpc.stubs import Stubs
from chargekey_portal.link_requests import LinkRequests
from chargekey_portal.refusals import RefusedError
from chargekey_portal.rendering import document
from chargekey_portal.rest import refusals
from chargekey_portal.rest.endpoints import COMMAND_ID, JSON, Endpoint
from chargekey_portal.rest.transcoding import read, read_texts, told
from chargekey_portal.services import Services

IDEMPOTENCY_KEY = "Idempotency-Key"
POSITION = "Chargekey-Position"
PAGE_TOKEN = "page_token"  # noqa: S105 - the parameter's name

_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
# As long as a header of gRPC's may be, and of the letters that RFC 6750 gives a token.
_BEARER = re.compile(r"[Bb]earer ([A-Za-z0-9._~+/-]{1,4096}=*)")
_TAG = re.compile(r'(?:W/)?"[^"]*"')
# What RFC 9110 wants of an answer that tells nothing new.
_KEPT = ("cache-control", "etag", "link")


async def answer(endpoint: Endpoint, request: Request) -> Response:
    """Answer one request; raises RefusedError, or AioRpcError as the service refused it."""
    if endpoint.route.mails:
        counted: LinkRequests = request.app.state.link_requests
        counted.count(request)
    stubs = _as_caller(request)
    asked = endpoint.request()
    _read_path(endpoint, request, asked)
    _read_query(endpoint, request, asked)
    await _read_body(endpoint, request, asked)
    _read_key(endpoint, request, asked)
    if not endpoint.reads:
        await _check_precondition(endpoint, request, stubs)
    answered: Message = await endpoint.of(stubs)(asked)
    response = _told(endpoint, request, answered)
    return _as_known(request, response) if endpoint.reads else response


def _as_caller(request: Request) -> Stubs:
    """Return the methods as whoever the token is of; as nobody without one."""
    services: Services = request.app.state.services
    header = request.headers.get("authorization")
    if header is None:
        return services.as_nobody
    bearer = _BEARER.fullmatch(header)
    if bearer is None:
        raise RefusedError(refusals.UNAUTHENTICATED)
    return services.as_(bearer[1])


def _read_path(endpoint: Endpoint, request: Request, asked: Message) -> None:
    read_texts(asked, {name: [request.path_params[name]] for name in endpoint.path})


def _read_query(endpoint: Endpoint, request: Request, asked: Message) -> None:
    parameters: dict[str, list[str]] = {}
    for name, text in request.query_params.multi_items():
        if name not in endpoint.query:
            raise RefusedError(refusals.field_unknown(name))
        parameters.setdefault(name, []).append(text)
    read_texts(asked, parameters)


async def _read_body(endpoint: Endpoint, request: Request, asked: Message) -> None:
    body = await request.body()
    if not body and not endpoint.route.body:
        return  # all that could stand in it is left out
    if not endpoint.body:
        raise RefusedError(refusals.BODY_UNEXPECTED)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != endpoint.takes:
        raise RefusedError(refusals.MEDIA_TYPE)
    if endpoint.takes != JSON:
        setattr(asked, endpoint.route.body, body)
        return
    try:
        sent = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise RefusedError(refusals.BODY_MALFORMED) from None
    if not isinstance(sent, dict):
        raise RefusedError(refusals.BODY_MALFORMED)
    if endpoint.route.body:
        part = getattr(asked, endpoint.route.body)
        part.SetInParent()
        read(part, sent)
    else:
        read(asked, sent, endpoint.body)


def _read_key(endpoint: Endpoint, request: Request, asked: Message) -> None:
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None or endpoint.reads:
        return
    if not endpoint.keyed:
        raise RefusedError(refusals.IDEMPOTENCY_KEY_UNSUPPORTED)
    if _KEY.fullmatch(key) is None:
        raise RefusedError(refusals.IDEMPOTENCY_KEY_MALFORMED)
    setattr(asked, COMMAND_ID, _own(request, key))


def _own(request: Request, key: str) -> str:
    """Return a command's id for this key of whoever calls: others may have the same key.

    Who he is, the service finds out; here his word is enough.
    """
    token = request.headers.get("authorization", "").partition(" ")[2]
    whose = tokens.claimed_subject(token)
    return hashlib.sha256(f"{whose} {key}".encode()).hexdigest()


async def _check_precondition(endpoint: Endpoint, request: Request, stubs: Stubs) -> None:
    """Read what is to be edited, and raise RefusedError where it is another one by now."""
    if "if-none-match" in request.headers:
        raise RefusedError(refusals.PRECONDITION_UNSUPPORTED)
    wanted = request.headers.get("if-match")
    if wanted is None:
        return
    thing = endpoint.edits
    if thing is None:
        raise RefusedError(refusals.PRECONDITION_UNSUPPORTED)
    asked = thing.request()
    _read_path(thing, request, asked)
    now = _told(thing, request, await thing.of(stubs)(asked))
    _check_match(wanted, _tag(now))


def _told(endpoint: Endpoint, request: Request, answered: Message) -> Response:
    headers = _headers(endpoint, request, answered)
    field = endpoint.answered
    status = endpoint.status
    if status is HTTPStatus.NO_CONTENT:
        return Response(status_code=status, headers=headers)
    if field is None:
        return document(told(answered), status, headers)
    part = getattr(answered, field.name)
    if isinstance(part, Message):
        return document(told(part), status, headers)
    media_type = getattr(answered, "media_type", endpoint.route.media)
    return Response(part, status, {"Cache-Control": "no-store", **headers}, media_type)


def _headers(endpoint: Endpoint, request: Request, answered: Message) -> Mapping[str, str]:
    headers = {}
    if endpoint.route.created:
        headers["Location"] = endpoint.created(answered)
    if following := getattr(answered, "next_page_token", "") if endpoint.reads else "":
        query = [each for each in request.query_params.multi_items() if each[0] != PAGE_TOKEN]
        query.append((PAGE_TOKEN, following))
        headers["Link"] = f'<{quote(request.url.path)}?{urlencode(query)}>; rel="next"'
    if endpoint.route.answer:
        # What stands beside it in the answer.
        if position := getattr(answered, "position", ""):
            headers[POSITION] = position
        if file_name := getattr(answered, "file_name", ""):
            headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return headers


def _as_known(request: Request, response: Response) -> Response:
    """Return the answer with its tag, or that it is as whoever asks knows it already."""
    tag = _tag(response)
    response.headers["ETag"] = tag
    if wanted := request.headers.get("if-match"):
        _check_match(wanted, tag)
    known = request.headers.get("if-none-match", "")
    if known.strip() == "*" or tag in (each.removeprefix("W/") for each in _TAG.findall(known)):
        kept = {name: value for name, value in response.headers.items() if name in _KEPT}
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=kept)
    return response


def _check_match(wanted: str, tag: str) -> None:
    if wanted.strip() != "*" and tag not in _TAG.findall(wanted):
        raise RefusedError(refusals.PRECONDITION_FAILED)


def _tag(response: Response) -> str:
    """Return what tells these bytes from others."""
    return f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
