"""The question as a webhook, signed as Standard Webhooks says, and answered at once. Pure."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Literal

import msgspec
from standardwebhooks import Webhook

from chargekey_common.outgoing import Request
from chargekey_common.published.sessions import OperatorAnswer
from chargekey_gateway.operators.question import (
    LONGEST_REFERENCE,
    Endpoint,
    MalformedAnswerError,
    Question,
    Stage,
)

OK = 200
_SECOND = 10**9
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
# The year 2262: what does not fit into 64 bits of nanoseconds has no end.
_NEVER = 2**63 - 1


class _Token(msgspec.Struct):
    code: str
    type: str


class _Body(msgspec.Struct, omit_defaults=True):
    charger_id: str
    installation_id: str
    token: _Token
    at: str
    stage: Stage
    connector: int | None = None
    user_id: str | None = None


class _Answer(msgspec.Struct):
    allowed: Literal["ALLOWED", "BLOCKED", "EXPIRED", "NO_CREDIT", "NOT_ALLOWED"]
    valid_until: Annotated[dt.datetime, msgspec.Meta(tz=True)] | None = None
    reference: (
        Annotated[str, msgspec.Meta(max_length=LONGEST_REFERENCE, pattern="^[ -~]*$")] | None
    ) = None


def compose(endpoint: Endpoint, question: Question, *, now: int) -> Request:
    """Return the request, signed at `now` in nanoseconds since the epoch."""
    at = dt.datetime.fromtimestamp(question.at // _SECOND, tz=dt.UTC)
    body = msgspec.json.encode(
        _Body(
            charger_id=question.charger_id,
            installation_id=question.installation_id,
            token=_Token(question.code, question.type),
            at=at.isoformat().replace("+00:00", "Z"),
            stage=question.stage,
            connector=question.connector,
            user_id=question.user_id,
        )
    )
    message_id = f"msg_{uuid.uuid4().hex}"
    signed_at = dt.datetime.fromtimestamp(now // _SECOND, tz=dt.UTC)
    signature = Webhook(endpoint.secret).sign(message_id, signed_at, body.decode())
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(now // _SECOND),
        "webhook-signature": signature,
    }
    return Request(endpoint.url, headers, body)


def read(status: int, body: bytes) -> OperatorAnswer:
    """Return what it says; raises MalformedAnswerError where that is nothing."""
    if status != OK:
        raise MalformedAnswerError
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedAnswerError from None
    return OperatorAnswer(
        status=answer.allowed,
        reference=answer.reference or None,
        valid_until=_nanoseconds(answer.valid_until),
    )


def _nanoseconds(end: dt.datetime | None) -> int | None:
    if end is None:
        return None
    # By whole microseconds: a float would be off at the border.
    nanoseconds = (end - _EPOCH) // _MICROSECOND * 1_000
    return None if nanoseconds > _NEVER else max(nanoseconds, 0)
