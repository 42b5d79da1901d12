"""The OpenAPI 3.1 document: made from the table, the descriptors and the contracts' comments."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any

import msgspec
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor import OneofDescriptor as Choice

from chargekey_portal.rest.calls import IDEMPOTENCY_KEY, POSITION
from chargekey_portal.rest.endpoints import JSON, Endpoint, endpoints
from chargekey_portal.rest.transcoding import (
    is_document,
    is_map,
    is_moment,
    may_be_absent,
    words,
)

VERSION = "1.0.0"
PROBLEM = "application/problem+json"

Schema = dict[str, Any]

_DESCRIPTION = """\
All that the portal's pages do, for programs: one resource a noun, JSON both ways.

**Who asks** says so by `Authorization: Bearer` and an access token, which signing in brings, or \
exchanging a partner's credential. Cookies count for nothing here.

**Fields** that are optional and unset are left out, both ways, and `null` is nothing that a \
field may hold. Whatever else a request leaves out is empty, 0, false or UNSPECIFIED. What a \
request has and nobody knows is refused. Answers may grow: pass over fields and words that you \
do not know.

**Repeating** a request that changes something is safe under an `Idempotency-Key` of your own: \
sent again under the same key, by whom it was sent first, it answers as it did then and changes \
nothing. Where the header is not listed, it is refused.

**Lists** come in pages: `page_size` entries at most, 100 where it is 0 and 1000 at the most. The \
answer has `next_page_token`, empty at the end, and a `Link` to the next page.

**Positions**: what changes something answers the position from which that is visible.

**Versions of a thing.** What is read has an `ETag`, for `If-None-Match`. Edits of it take \
`If-Match`: what is edited is read first, as whoever asks, and where it is another one by then the \
answer is `precondition_failed`. Between that reading and the edit is a moment: two edits in the \
same one are not told apart by it.

**Refusals** are RFC 9457 problems whose `code` never changes once released; `detail` says what \
to do. Nothing of what was sent is echoed.
"""
_NUMBERS = {
    FieldDescriptor.TYPE_INT32: ("int32", -(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: ("int64", -(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: ("int64", 0, 2**64 - 1),
}
_PROBLEMS = {
    HTTPStatus.BAD_REQUEST: "What was sent can never work; `detail` names the field, if it is one.",
    HTTPStatus.UNAUTHORIZED: "Nobody known is asking.",
    HTTPStatus.FORBIDDEN: "Whoever asks may not, or not there.",
    HTTPStatus.NOT_FOUND: "There is no such thing, or none that whoever asks may know of.",
    HTTPStatus.CONFLICT: "It cannot be done as things are, or something has that name already.",
    HTTPStatus.PRECONDITION_FAILED: "It is not as it was when it was read.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many, too fast.",
    HTTPStatus.SERVICE_UNAVAILABLE: "A part of the system does not answer; try again in a moment.",
    HTTPStatus.GATEWAY_TIMEOUT: "It took too long; look whether it was done.",
}
# What the messages are counted in is nothing to whoever reads RFC 3339, and what rules are
# numbered by stands in no document of his.
_UNITS = re.compile(r"[,:;]?\s*nanoseconds since the epoch( in UTC)?", re.IGNORECASE)
_LINES = re.compile(r"(?<!\n)\n(?!\n)")
_RULES = re.compile(r"\s*\((?:[RS]\d+(?:-\d+)?(?:, )?)+\)")


@cache
def encoded() -> bytes:
    """Return the document as it is served and kept."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=1) + b"\n"


def document() -> Mapping[str, Any]:
    """Return the document."""
    schemas = _Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for each in endpoints():
        methods = paths.setdefault(each.address, {})
        methods[each.route.method.lower()] = _operation(each, schemas)
    services = dict.fromkeys(each.method.containing_service for each in endpoints())
    return {
        "openapi": "3.1.0",
        "info": {"title": "Chargekey", "version": VERSION, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        # Who signs in, or looks for the keys, has no token yet.
        "security": [{}, {"bearer": []}],
        "tags": [
            {"name": _noun(each.name), **_described(_comment(each.full_name).split("\n\n")[0])}
            for each in services
        ],
        "paths": paths,
        "components": {
            "schemas": dict(sorted({**schemas.found, "Problem": _PROBLEM}.items())),
            "responses": {_phrase(status): _problem(status) for status in _PROBLEMS},
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def _operation(endpoint: Endpoint, schemas: _Schemas) -> Mapping[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.operation_id,
        "tags": [_noun(endpoint.method.containing_service.name)],
        "summary": endpoint.route.summary,
        **_described(_comment(endpoint.method.full_name)),
    }
    if parameters := list(_parameters(endpoint, schemas)):
        operation["parameters"] = parameters
    if endpoint.body:
        operation["requestBody"] = _request_body(endpoint, schemas)
    operation["responses"] = dict(_responses(endpoint, schemas))
    return operation


def _parameters(endpoint: Endpoint, schemas: _Schemas) -> Iterable[Mapping[str, Any]]:
    for where, names in (("path", endpoint.path), ("query", endpoint.query)):
        for name in names:
            schema = schemas.field(endpoint.field(name))
            # Its sentence is about a field of a message, of which there is more.
            told = _described(schema.pop("description", ""))
            if where == "path":
                schema["minLength"] = 1
            yield {"name": name, "in": where, "required": where == "path", **told, "schema": schema}
    if endpoint.reads:
        yield {"$ref": "#/components/parameters/If-None-Match"}
        return
    if endpoint.keyed:
        yield {"$ref": f"#/components/parameters/{IDEMPOTENCY_KEY}"}
    if endpoint.edits is not None:
        yield {"$ref": "#/components/parameters/If-Match"}


def _request_body(endpoint: Endpoint, schemas: _Schemas) -> Mapping[str, Any]:
    if endpoint.takes != JSON:
        return {
            **_described(_comment(endpoint.method.containing_service.full_name)),
            "required": True,
            "content": {endpoint.takes: {"schema": {"type": "string"}}},
        }
    if endpoint.route.body:
        schema = schemas.field(endpoint.field(endpoint.route.body), asked=True)
        return {"required": True, "content": {JSON: {"schema": schema}}}
    schema = schemas.asked(endpoint.method.input_type, endpoint.body)
    return {"required": False, "content": {JSON: {"schema": schema}}}


def _responses(endpoint: Endpoint, schemas: _Schemas) -> Iterable[tuple[str, Any]]:
    headers = {}
    if endpoint.reads:
        headers["ETag"] = _header("ETag")
    if endpoint.route.created:
        headers["Location"] = _header("Location")
    if endpoint.reads and "next_page_token" in endpoint.method.output_type.fields_by_name:
        headers["Link"] = _header("Link")
    if endpoint.route.answer and "position" in endpoint.method.output_type.fields_by_name:
        headers[POSITION] = _header(POSITION)
    status = endpoint.status
    response: dict[str, Any] = {"description": status.phrase}
    if headers:
        response["headers"] = headers
    if status is not HTTPStatus.NO_CONTENT:
        response["content"] = _content(endpoint, schemas)
    yield str(status.value), response
    if endpoint.reads:
        yield "304", {"description": "It is as whoever asks knows it.", "headers": headers}
    for refused in _PROBLEMS:
        if refused is not HTTPStatus.PRECONDITION_FAILED or endpoint.edits or endpoint.reads:
            yield str(refused.value), {"$ref": f"#/components/responses/{_phrase(refused)}"}
    yield "default", {"description": "Refused.", "content": _PROBLEM_CONTENT}


def _content(endpoint: Endpoint, schemas: _Schemas) -> Mapping[str, Any]:
    field = endpoint.answered
    if field is None:
        return {JSON: {"schema": schemas.told(endpoint.method.output_type)}}
    if field.message_type is not None:
        return {JSON: {"schema": schemas.told(field.message_type)}}
    kinds = [each.partition(";")[0] for each in endpoint.route.media.split(", ")]
    return {kind: {"schema": {"type": "object"} if kind.endswith("json") else {}} for kind in kinds}


class _Schemas:
    """Schemas of messages; those of answers and of enumerations stand among the components."""

    def __init__(self) -> None:
        self.found: dict[str, Schema] = {}

    def told(self, message: Descriptor) -> Schema:
        """Return what answers have of it."""
        name = _component(message.full_name)
        if name not in self.found:
            self.found[name] = {}  # for those that have themselves in them
            required = [field.name for field in message.fields if not may_be_absent(field)]
            self.found[name] = {
                "type": "object",
                **_described(_comment(message.full_name)),
                "properties": {field.name: self.field(field) for field in message.fields},
                **({"required": required} if required else {}),
            }
        return {"$ref": f"#/components/schemas/{name}"}

    def asked(self, message: Descriptor, names: Iterable[str] | None = None) -> Schema:
        """Return what requests may have of it: these fields, or all."""
        fields = [message.fields_by_name[name] for name in names or message.fields_by_name]
        schema: Schema = {
            "type": "object",
            "properties": {field.name: self.field(field, asked=True) for field in fields},
            "additionalProperties": False,
        }
        choices = dict.fromkeys(field.containing_oneof for field in fields)
        if pairs := [pair for choice in choices if choice for pair in _pairs(choice, fields)]:
            schema["allOf"] = [{"not": {"required": list(pair)}} for pair in pairs]
        return schema

    def field(self, field: FieldDescriptor, *, asked: bool = False) -> Schema:
        """Return what a field holds."""
        described = _described(_comment(field.full_name))
        if is_map(field):
            return {"type": "object", "additionalProperties": {"type": "string"}, **described}
        schema = self._one(field, asked=asked)
        if field.is_repeated:
            return {"type": "array", "items": schema, **described}
        return {**schema, **described}

    def _one(self, field: FieldDescriptor, *, asked: bool) -> Schema:
        if field.message_type is not None:
            return self.asked(field.message_type) if asked else self.told(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        if is_document(field):
            return {"type": "object"}
        if is_moment(field):
            return {"type": "string", "format": "date-time"}
        if field.type in _NUMBERS:
            width, least, most = _NUMBERS[field.type]
            return {"type": "integer", "format": width, "minimum": least, "maximum": most}
        return {"type": "boolean" if field.type == FieldDescriptor.TYPE_BOOL else "string"}

    def _enum(self, enum: EnumDescriptor) -> Schema:
        name = _component(enum.full_name)
        of_words = (
            f"- `{word}`: {told}"
            for word, value in zip(words(enum), enum.values, strict=True)
            if (told := _comment(f"{enum.full_name.rpartition('.')[0]}.{value.name}"))
            or (told := _comment(f"{enum.full_name}.{value.name}"))
        )
        paragraphs = filter(None, (_comment(enum.full_name), "\n".join(of_words)))
        self.found[name] = {
            "type": "string",
            **_described("\n\n".join(paragraphs)),
            "enum": list(words(enum)),
        }
        return {"$ref": f"#/components/schemas/{name}"}


def _pairs(choice: Choice, fields: list[FieldDescriptor]) -> Iterable[tuple[str, str]]:
    return itertools.combinations([field.name for field in choice.fields if field in fields], 2)


@cache
def _comments() -> Mapping[str, str]:
    text = (files("chargekey") / "comments.json").read_text(encoding="utf-8")
    return msgspec.json.decode(text, type=dict[str, str])


@cache
def _comment(full_name: str) -> str:
    """Return what the contract says of a thing, as far as it is true of JSON."""
    written = _LINES.sub(" ", _comments().get(full_name, ""))
    told = _RULES.sub("", _UNITS.sub("", written)).lstrip(" .,:;")
    return told[:1].upper() + told[1:]


def _described(text: str) -> Schema:
    return {"description": text} if text else {}


def _component(full_name: str) -> str:
    return full_name.removeprefix("chargekey.").replace(".v1.", ".")


def _noun(service: str) -> str:
    """Return what a service is about: `ChargerCommandService`, charger command."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", service.removesuffix("Service")).lower()


def _phrase(status: HTTPStatus) -> str:
    return status.phrase.replace(" ", "")


def _header(name: str) -> Schema:
    return {"$ref": f"#/components/headers/{name}"}


def _problem(status: HTTPStatus) -> Schema:
    named = {
        HTTPStatus.UNAUTHORIZED: "WWW-Authenticate",
        HTTPStatus.TOO_MANY_REQUESTS: "Retry-After",
    }.get(status)
    headers = {} if named is None else {"headers": {named: _header(named)}}
    return {"description": _PROBLEMS[status], **headers, "content": _PROBLEM_CONTENT}


_TEXT = {"type": "string"}
_PROBLEM: Schema = {
    "type": "object",
    "description": "Why not, as RFC 9457 has it.",
    "properties": {
        "type": {"type": "string", "description": "`urn:chargekey:refusal:` and the code."},
        "title": {"type": "string", "description": "HTTP's word for the status."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to do, for people."},
        "code": {"type": "string", "description": "What never changes once released."},
    },
    "required": ["type", "title", "status", "detail", "code"],
}
_PROBLEM_CONTENT: Schema = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_PARAMETERS: Schema = {
    IDEMPOTENCY_KEY: {
        "name": IDEMPOTENCY_KEY,
        "in": "header",
        "description": "Your name for this request: repeated under it, it is done once.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    },
    "If-Match": {
        "name": "If-Match",
        "in": "header",
        "description": "Do it only where what is edited still has this ETag.",
        "schema": {"type": "string"},
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag that is known already.",
        "schema": {"type": "string"},
    },
}
_HEADERS: Schema = {
    "ETag": {"description": "What tells this answer from another.", "schema": _TEXT},
    "Link": {
        "description": 'The next page: `<...>; rel="next"`. Absent at the end.',
        "schema": _TEXT,
    },
    "Location": {"description": "Where what was made is read.", "required": True, "schema": _TEXT},
    POSITION: {"description": "From which the effect is visible.", "schema": _TEXT},
    "Retry-After": {"description": "Seconds, where they are known.", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "`Bearer`.", "required": True, "schema": _TEXT},
}
