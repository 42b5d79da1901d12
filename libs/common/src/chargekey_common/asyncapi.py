"""The partners' contract as an AsyncAPI 3.0 document, made from what `published.feed` declares.

Whoever adds an event, or a property to one, has it in the document: schema, words and example.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from chargekey_common.published.feed import CONTENT_TYPE, EVENTS, Envelope, FeedEvent, document

# Of the contract, not of the software: the second number counts what was added.
VERSION = "1.0.0"

Document = Mapping[str, Any]

_SCHEMA = "#/components/schemas/{name}"
_PARTNER = "8d1f7c52-6b1e-4b0c-9d5e-2f1a7a60c9b4"
_NOON = 1_772_539_200_000_000_000  # 2026-03-03T12:00Z
_MOMENT = "2026-03-03T12:00:00Z"
# What a property holds in the examples, whatever event it is in; a new one needs a line here.
_SAMPLES: Mapping[str, Any] = {
    "installation_id": "3f0c1f0e-2d6a-4a55-9a0b-2f4b3f4f7c11",
    "from_installation_id": "b3a5e0a4-7f0f-4c38-8f55-0d2a9d6d2b7e",
    "charger_id": "c1a7e9b0-5d53-4f8e-8f0a-91a7f0f0a2d3",
    "permission_id": "5e2b7c1d-0a4e-5b8e-9a57-6d0c8f1b2e34",
    "user_id": "71aa4c2e-3b6d-4f0e-8f6b-0b7b9f1d5c66",
    "identification_id": "e4d909c2-90d0-4b1c-b06c-aad2a2d8e0f1",
    "session_id": "1f0a4e52-8c3f-5d3b-a1c6-54d1c9e1ab90",
    "roles": ["USER"],
    "authorisation_required": True,
    "authentication_type": "NATIVE",
    "on_block": "STOP",
    "on_revoke": "FINISH",
    "on_operator_timeout": "DENY",
    "overrides_allowed": True,
    "ocpp_identity": "CP-1",
    "authorisation_override": "INHERIT",
    "identification_types": ["RFID", "PIN"],
    "ocpp_version": "2.0.1",
    "connector": 1,
    "status": "Available",
    "error_code": "NoError",
    "valid_until": "2026-12-31T23:00:00Z",
    "type": "RFID",
    "started_at": _MOMENT,
    "at": _MOMENT,
    "ended_at": _MOMENT,
    "reason": "installation_permission",
    "meter_start": 1200,
    "meter": 6400,
    "meter_stop": 9800,
    "power": 11000,
    "offline": True,
    "authorization_reference": "a7d1-0042",
    "presumed": True,
    "by_operator": True,
}
# Where one word means other things in other events.
_OWN_SAMPLES: Mapping[str, Mapping[str, Any]] = {
    "AccessStarted": {"roles": ["OPERATOR"]},
    "AccessChanged": {"roles": ["OPERATOR", "SERVICE"]},
    "IdentificationAdded": {"status": "ACTIVE"},
    "IdentificationStatusChanged": {"status": "BLOCKED"},
    "SessionEnded": {"reason": "Local"},
    "SessionCorrected": {"reason": "EVDisconnected"},
    "AuthorizationRefused": {"status": "Expired", "reason": "identification_expired"},
    "StartRefused": {"status": "Blocked", "reason": "user_blocked"},
}

_INFO = """\
What happens at the sites and chargers that you have access to, in one order, from the moment
of access until `AccessEnded`. No names, no addresses, no codes: people and what they present
are opaque ids.

Every event is one CloudEvents 1.0 document in JSON, with the same bytes behind each door:
pages and server-sent events over HTTP, NATS, and webhooks. `sequence` counts your events
without a gap and is the cursor to read on behind; documents are kept for 30 days at least.
An event may come more than once, with the same `id`: keep the last `sequence` that you have
dealt with, and pass over what is not behind it.

A property that is not listed as required is absent where there is nothing to tell, or where
it is what `default` says. The contract grows: ignore events, properties and words of an
enumeration that you do not know. Nothing that was released is taken away or means something
else; that would be another version, beside this one.
"""
_CLIENT_CREDENTIALS = """\
`POST /v1/token` with `grant_type=client_credentials` (RFC 6749, section 4.4): the credential's
id is the `client_id`, its secret the `client_secret`. Answers a bearer token of minutes.
"""
_PAGE = """\
`GET /v1/events?after=CURSOR&limit=100` answers the events behind the cursor, oldest first, and
in `next` the cursor to go on behind; an empty page is the feed's end for now. Without `after`
it begins with the oldest event kept. `410 cursor_expired` where what followed the cursor is
kept no longer.
"""
_STREAM = """\
`GET /v1/events/stream?after=CURSOR`, or `/v1/events` with `Accept: text/event-stream`: each
event as a server-sent event with its cursor as `id`, its name as `event`, the document as `data`.
`Last-Event-ID` goes on behind what came last. Ends with the access token: get another, and
connect again.
"""
_NATS = """\
A JetStream stream of your own, called like your partner id, and in it a ready-made pull consumer
for each credential, called like that: fetch and acknowledge. Connect with the inbox prefix
`_INBOX.CREDENTIAL`; nothing else is let through.
"""
_WEBHOOK = """\
Each event is posted to an address of yours, in order, signed as Standard Webhooks says
(`webhook-id` is the event's id). Any 2xx takes it; what is not taken is sent again for three
days, and nothing overtakes it.
"""


def contract() -> Document:
    """Return the document; raises KeyError for a property that has no sample."""
    _, schemas = msgspec.json.schema_components(EVENTS, ref_template=_SCHEMA)
    messages = {each.__name__: _message(each) for each in EVENTS}
    references = {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
    http = [{"$ref": "#/servers/http"}]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Chargekey partner feed", "version": VERSION, "description": _INFO},
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "http": {
                "host": "{host}",
                "protocol": "https",
                "description": "Where `chargekey feed show` says that events are read.",
                "variables": {"host": {"default": "charge.example"}},
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            },
            "nats": {
                "host": "{host}",
                "protocol": "nats",
                "description": "Where `chargekey feed show` says that NATS clients connect.",
                "variables": {"host": {"default": "charge.example:4222"}},
                "security": [{"$ref": "#/components/securitySchemes/credential"}],
            },
        },
        "channels": {
            "pages": {
                "address": "/v1/events",
                "description": _PAGE,
                "servers": http,
                "messages": {"Page": {"$ref": "#/components/messages/Page"}},
            },
            "stream": {
                "address": "/v1/events/stream",
                "description": _STREAM,
                "servers": http,
                "messages": references,
            },
            "nats": {
                "address": None,
                "description": _NATS,
                "servers": [{"$ref": "#/servers/nats"}],
                "messages": references,
            },
            "webhook": {"address": None, "description": _WEBHOOK, "messages": references},
        },
        "operations": {
            f"send_{channel}": {"action": "send", "channel": {"$ref": f"#/channels/{channel}"}}
            for channel in ("pages", "stream", "nats", "webhook")
        },
        "components": {
            "messages": {"Page": _page(tuple(messages)), **messages},
            "schemas": {name: _told(schema) for name, schema in schemas.items()},
            "securitySchemes": {
                "token": {
                    "type": "oauth2",
                    "description": _CLIENT_CREDENTIALS,
                    "flows": {
                        "clientCredentials": {
                            "tokenUrl": "https://charge.example/v1/token",
                            "availableScopes": {},
                        }
                    },
                },
                "credential": {
                    "type": "userPassword",
                    "description": "A credential's id as the user, its secret as the password.",
                },
            },
        },
    }


def encoded() -> bytes:
    """Return the document as it is kept in a file: the same bytes for the same contract."""
    return json.dumps(contract(), indent=2, ensure_ascii=False).encode() + b"\n"


def sample(event: type[FeedEvent]) -> FeedEvent:
    """Return an event with every property it can have; raises KeyError where one has no sample."""
    samples = {**_SAMPLES, **_OWN_SAMPLES.get(event.__name__, {})}
    return msgspec.convert({name: samples[name] for name in event.__struct_fields__}, event)


def _example(event: type[FeedEvent], number: int = 42) -> Any:  # noqa: ANN401 - a JSON document
    whole = document(
        sample(event),
        partner_id=_PARTNER,
        event_id=f"0b54e0c8-0c5e-5d0a-8d5c-{number:012d}",
        number=number,
        at=_NOON,
    )
    return msgspec.json.decode(whole)


def _message(event: type[FeedEvent]) -> Document:
    name = event.__name__
    about = inspect.cleandoc(event.__doc__ or "")
    return {
        "name": name,
        "title": re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize(),
        "summary": _flowing(about.partition("\n\n")[0]),
        "description": _flowing(about),
        "contentType": CONTENT_TYPE,
        "payload": _envelope(event),
        "examples": [{"payload": _example(event)}],
    }


def _envelope(event: type[FeedEvent]) -> Document:
    """Return the schema of a whole document, in which every attribute is always there."""
    _, schemas = msgspec.json.schema_components([Envelope], ref_template=_SCHEMA)
    properties = schemas["Envelope"]["properties"]
    for schema in properties.values():
        schema.pop("default", None)
    properties["type"] = {"const": event.cloudevents_type()}
    properties["sequence"]["pattern"] = "^[0-9]{20}$"
    properties["data"] = {"$ref": _SCHEMA.format(name=event.__name__)}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _page(events: Sequence[str]) -> Document:
    payloads = [{"$ref": f"#/components/messages/{name}/payload"} for name in events]
    shown = [_example(event, number) for number, event in enumerate(EVENTS[:2], 1)]
    return {
        "name": "Page",
        "title": "Page",
        "summary": "Events behind a cursor, and the cursor to go on behind.",
        "contentType": "application/json",
        "payload": {
            "type": "object",
            "properties": {
                "events": {"type": "array", "items": {"anyOf": payloads}},
                "next": {"type": "string"},
            },
            "required": ["events", "next"],
        },
        "examples": [{"payload": {"events": shown, "next": shown[-1]["sequence"]}}],
    }


def _told(schema: Document) -> Document:
    """Return an event's schema as it is told: nothing is ever null, it is absent."""
    properties = {}
    for name, each in schema["properties"].items():
        kinds = [kind for kind in each.get("anyOf", ()) if kind != {"type": "null"}]
        properties[name] = each if len(kinds) != 1 else kinds[0]
    about = _flowing(inspect.cleandoc(schema["description"]))
    return {**schema, "description": about, "properties": properties}


def _flowing(text: str) -> str:
    """Return paragraphs without the line ends inside them."""
    return "\n\n".join(" ".join(each.split()) for each in text.split("\n\n"))
