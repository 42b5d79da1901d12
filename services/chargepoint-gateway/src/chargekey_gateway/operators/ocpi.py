"""OCPI 2.2.1 Tokens, real-time authorization (§12.2.2.2), asked as a CPO. Pure."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import quote

import msgspec

from chargekey_common.evses import charger_of, evse_uid
from chargekey_common.outgoing import Request
from chargekey_common.published.sessions import OperatorAnswer
from chargekey_gateway.operators.question import (
    Endpoint,
    MalformedAnswerError,
    OcpiParties,
    Question,
)

OK = 200
NOT_FOUND = 404
UNKNOWN_TOKEN = 2004
LONGEST_UID = 36  # CiString(36)

_TYPES = {"RFID": "RFID", "APP": "APP_USER"}  # of ours; everything else is OTHER
_REFUSED = OperatorAnswer(status="NOT_ALLOWED")


class _LocationReferences(msgspec.Struct):
    location_id: str
    evse_uids: tuple[str, ...] = ()


class _AuthorizationInfo(msgspec.Struct):
    allowed: Literal["ALLOWED", "BLOCKED", "EXPIRED", "NO_CREDIT", "NOT_ALLOWED"]
    location: _LocationReferences | None = None
    authorization_reference: (
        Annotated[str, msgspec.Meta(max_length=36, pattern="^[ -~]*$")] | None
    ) = None


class _Response(msgspec.Struct):
    status_code: int


class _Told(msgspec.Struct):
    data: _AuthorizationInfo


def compose(endpoint: Endpoint, question: Question) -> Request | OperatorAnswer:
    """Return the request, or the answer to what OCPI has no way to ask.

    A location is our installation, an EVSE a connector: OCPI knows them by these ids. Before
    the cable is plugged in nobody knows which it will be.
    """
    if len(question.code) > LONGEST_UID or set(question.code) <= {"."}:
        # Nobody's token can be called so, and the second would be a way out of the path.
        return _REFUSED
    token_type = _TYPES.get(question.type, "OTHER")
    here = (
        () if question.connector is None else (evse_uid(question.charger_id, question.connector),)
    )
    references = _LocationReferences(question.installation_id, here)
    return Request(
        f"{endpoint.url.rstrip('/')}/{quote(question.code, safe='')}/authorize?type={token_type}",
        {
            "authorization": f"Token {_written(endpoint)}",
            "content-type": "application/json",
            "x-request-id": str(uuid.uuid4()),
            "x-correlation-id": str(uuid.uuid4()),
            **_routing(endpoint.parties),
        },
        msgspec.json.encode(references),
    )


def _routing(parties: OcpiParties | None) -> Mapping[str, str]:
    """Return the headers that say whose request it is, and whom it is for (§4.2)."""
    if parties is None:
        return {}
    return {
        "ocpi-from-country-code": parties.from_country_code,
        "ocpi-from-party-id": parties.from_party_id,
        "ocpi-to-country-code": parties.to_country_code,
        "ocpi-to-party-id": parties.to_party_id,
    }


def _written(endpoint: Endpoint) -> str:
    """Return the token as the header has it: in base64 since 2.2-d2 (§4.1.1)."""
    if endpoint.kind == "OCPI_PLAIN":
        return endpoint.secret
    return base64.b64encode(endpoint.secret.encode()).decode()


def read(status: int, body: bytes, question: Question) -> OperatorAnswer:
    """Return what it says; raises MalformedAnswerError where that is nothing."""
    if status not in (OK, NOT_FOUND):
        raise MalformedAnswerError
    try:
        code = msgspec.json.decode(body, type=_Response).status_code
        if code == UNKNOWN_TOKEN:
            return _REFUSED
        # 1xxx is success; the rest is trouble of the one or the other side.
        if status != OK or code // 1000 != 1:
            raise MalformedAnswerError
        info = msgspec.json.decode(body, type=_Told).data
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedAnswerError from None
    if info.allowed == "ALLOWED" and not _is_here(info.location, question):
        return _REFUSED
    return OperatorAnswer(status=info.allowed, reference=info.authorization_reference or None)


def _is_here(where: _LocationReferences | None, question: Question) -> bool:
    """Whether the answer holds at the charger: it names the EVSEs that it holds at.

    Not to say where is to say here, as most do; ids are case-insensitive.
    """
    if where is None:
        return True
    if where.location_id.lower() != question.installation_id.lower():
        return False
    return not where.evse_uids or any(_names(each, question) for each in where.evse_uids)


def _names(uid: str, question: Question) -> bool:
    """Whether an EVSE is where it is asked about: any of the charger's, where no more is known."""
    charger_id, connector = charger_of(uid.lower())
    return charger_id == question.charger_id.lower() and (
        None in {connector, question.connector} or connector == question.connector
    )
