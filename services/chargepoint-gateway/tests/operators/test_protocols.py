"""What operators are sent, and what is read from what they answer: as values."""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx2
import msgspec
import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from chargekey_common.outgoing import Request
from chargekey_common.published.sessions import OperatorAnswer
from chargekey_gateway.operators import ocpi, webhook
from chargekey_gateway.operators.question import (
    Endpoint,
    MalformedAnswerError,
    OcpiParties,
    Question,
)

NOW = 1_795_000_000_123_456_789
KEY = "whsec_" + base64.b64encode(b"x" * 24).decode()
OCPI = Endpoint("OCPI", "https://volt.example/ocpi/2.2.1/tokens/", "s3cr3t")
HOOK = Endpoint("WEBHOOK", "https://volt.example/decide", KEY)


def question(**changes: Any) -> Question:
    given: dict[str, Any] = {
        "charger_id": "c1",
        "installation_id": "home",
        "code": "04A1B2C3",
        "type": "RFID",
        "at": NOW,
        "stage": "authorize",
    }
    return Question(**given | changes)


CHARGER = "71aa0c44-1d5e-4a0b-9d3e-6b8f2c4e5d33"
EVSE = "71aa0c441d5e4a0b9d3e6b8f2c4e5d33*2"


def asked(**changes: Any) -> Request:
    post = ocpi.compose(OCPI, question(**changes))
    assert isinstance(post, Request)
    return post


def info(**data: Any) -> bytes:
    return json.dumps(
        {"status_code": 1000, "timestamp": "2026-11-21T05:00:00Z", "data": data}
    ).encode()


def test_ocpi_is_asked_about_the_token_at_the_location() -> None:
    """OCPI 2.2.1 Tokens, POST; §4.1.1 of the transport."""
    post = asked()
    assert post.url == "https://volt.example/ocpi/2.2.1/tokens/04A1B2C3/authorize?type=RFID"
    assert json.loads(post.body) == {"location_id": "home", "evse_uids": []}
    there = asked(charger_id=CHARGER, connector=2).body
    assert json.loads(there) == {"location_id": "home", "evse_uids": [EVSE]}
    scheme, _, token = post.headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(token)) == ("Token", b"s3cr3t")
    assert post.headers["content-type"] == "application/json"
    ids = {post.headers["x-request-id"], post.headers["x-correlation-id"]}
    assert len(ids) == 2
    assert asked().headers["x-request-id"] not in ids


def test_ocpi_says_whose_question_it_is_and_whom_it_is_for() -> None:
    """P45: §4.2, on every request to a functional module; of nobody where nobody is known."""
    assert not any(name.startswith("ocpi-") for name in asked().headers)
    parties = OcpiParties("NO", "CKY", "DE", "VLT")
    post = ocpi.compose(msgspec.structs.replace(OCPI, parties=parties), question())
    assert isinstance(post, Request)
    assert {name: text for name, text in post.headers.items() if name.startswith("ocpi-")} == {
        "ocpi-from-country-code": "NO",
        "ocpi-from-party-id": "CKY",
        "ocpi-to-country-code": "DE",
        "ocpi-to-party-id": "VLT",
    }


def test_ocpi_is_asked_about_whoever_uses_an_app() -> None:
    """OCPI 2.2.1 Tokens, TokenType: by 36 characters, which is the longest a token can be."""
    app = str(uuid.UUID(int=7))
    url = asked(type="APP", code=app, user_id="ada").url
    assert url.endswith(f"/{app}/authorize?type=APP_USER")


@pytest.mark.parametrize("type_", ["VEHICLE_ID", "SMS", "CREDIT_CARD"])
def test_what_ocpi_has_no_word_for_is_of_another_type(type_: str) -> None:
    assert asked(type=type_).url.endswith("?type=OTHER")


@pytest.mark.parametrize(
    "code", ["a/b", "a?b=c", "a#b", "a%2Fb", "../x", "a b", "é", "a\\b", "x" * 36, ";a&b", "//x"]
)
def test_a_token_stays_one_segment_of_the_path_whatever_is_in_it(code: str) -> None:
    url = httpx2.URL(asked(code=code).url)
    path = url.raw_path.decode()
    segments = urlsplit(f"https://x{path}").path.split("/")
    assert segments[:4] == ["", "ocpi", "2.2.1", "tokens"]
    assert (unquote(segments[4]), segments[5:]) == (code, ["authorize"])
    assert url.query == b"type=RFID"


@pytest.mark.parametrize("code", [".", "..", "...", "x" * 37])
def test_what_ocpi_can_have_no_token_for_is_refused_without_asking(code: str) -> None:
    assert ocpi.compose(OCPI, question(code=code)) == OperatorAnswer(status="NOT_ALLOWED")


@pytest.mark.parametrize("allowed", ["ALLOWED", "BLOCKED", "EXPIRED", "NO_CREDIT", "NOT_ALLOWED"])
def test_ocpis_words_are_taken_over(allowed: str) -> None:
    body = info(allowed=allowed, token={"uid": "04A1B2C3"}, authorization_reference="ref-1")
    answer = ocpi.read(200, body, question())
    assert (answer.status, answer.reference, answer.last_known) == (allowed, "ref-1", False)
    assert answer.valid_until is None


@pytest.mark.parametrize("status", [200, 404])
def test_a_token_that_ocpi_does_not_know_is_not_allowed(status: int) -> None:
    """2004: no failure of the operator's."""
    body = b'{"status_code": 2004, "timestamp": "2026-11-21T05:00:00Z"}'
    assert ocpi.read(status, body, question()) == OperatorAnswer(status="NOT_ALLOWED")


def test_allowed_at_another_connector_is_not_allowed_at_this() -> None:
    """P14: an EVSE is a connector."""
    body = info(allowed="ALLOWED", location={"location_id": "home", "evse_uids": [EVSE.upper()]})
    for connector, status in ((2, "ALLOWED"), (None, "ALLOWED"), (1, "NOT_ALLOWED")):
        there = question(charger_id=CHARGER, connector=connector)
        assert ocpi.read(200, body, there).status == status


def test_an_older_system_gets_its_token_plain() -> None:
    """P14: §4.1.1, as it was before 2.2-d2."""
    plain = msgspec.structs.replace(OCPI, kind="OCPI_PLAIN")
    post = ocpi.compose(plain, question())
    assert isinstance(post, Request)
    assert post.headers["authorization"] == "Token s3cr3t"


@pytest.mark.parametrize(
    ("location", "status"),
    [
        ({"location_id": "HOME", "evse_uids": ["c0", "C1"]}, "ALLOWED"),
        ({"location_id": "home"}, "ALLOWED"),
        ({"location_id": "home", "evse_uids": []}, "ALLOWED"),
        ({"location_id": "home", "evse_uids": ["c2"]}, "NOT_ALLOWED"),
        ({"location_id": "work", "evse_uids": ["c1"]}, "NOT_ALLOWED"),
    ],
)
def test_allowed_somewhere_else_is_not_allowed_here(location: Any, status: str) -> None:
    """Only the EVSEs are returned that the driver may charge at."""
    body = info(allowed="ALLOWED", location=location)
    assert ocpi.read(200, body, question()).status == status
    blocked = info(allowed="BLOCKED", location=location)
    assert ocpi.read(200, blocked, question()).status == "BLOCKED"


GOOD = {"allowed": "ALLOWED"}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"not here"),
        (404, b'{"status_code": 2003}'),
        (404, info(**GOOD)),
        (500, info(**GOOD)),
        (401, info(**GOOD)),
        (302, info(**GOOD)),
        (201, info(**GOOD)),
        (200, b""),
        (200, b"null"),
        (200, b"\xff\xfe"),
        (200, b'{"status_code": 1000}'),
        (200, b'{"status_code": 1000, "data": null}'),
        (200, b'{"status_code": "1000", "data": {"allowed": "ALLOWED"}}'),
        (200, b'{"status_code": 3000, "data": {"allowed": "ALLOWED"}}'),
        (200, b'{"status_code": 2000, "data": {"allowed": "ALLOWED"}}'),
        (200, b'{"data": {"allowed": "ALLOWED"}}'),
        (200, b'{"allowed": "ALLOWED"}'),
        (200, info(allowed="allowed")),
        (200, info(allowed="UNREACHABLE")),
        (200, info(allowed=True)),
        (200, info(allowed=["ALLOWED"])),
        (200, info(allowed="ALLOWED", authorization_reference="x" * 37)),
        (200, info(allowed="ALLOWED", authorization_reference="a\nb")),
        (200, info(allowed="ALLOWED", authorization_reference=7)),
        (200, info(allowed="ALLOWED", location="home")),
        (200, b"[" * 100_000),
    ],
)
def test_what_is_no_answer_of_ocpi_is_none(status: int, body: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        ocpi.read(status, body, question())


def test_a_webhook_says_who_presents_what_where_and_when() -> None:
    post = webhook.compose(HOOK, question(stage="start", connector=2), now=NOW)
    assert post.url == HOOK.url
    assert json.loads(post.body) == {
        "charger_id": "c1",
        "installation_id": "home",
        "connector": 2,
        "token": {"code": "04A1B2C3", "type": "RFID"},
        "at": "2026-11-18T11:06:40Z",
        "stage": "start",
    }
    assert not {"connector", "user_id"} & set(
        json.loads(webhook.compose(HOOK, question(), now=NOW).body)
    )


def test_a_webhook_says_who_uses_an_app() -> None:
    post = webhook.compose(HOOK, question(type="APP", code="app", user_id="ada"), now=NOW)
    body = json.loads(post.body)
    assert (body["token"], body["user_id"]) == ({"code": "app", "type": "APP"}, "ada")


def test_a_webhook_is_signed_as_standard_webhooks_says() -> None:
    post = webhook.compose(HOOK, question(code="é"), now=time.time_ns())
    assert Webhook(KEY).verify(post.body, post.headers) == json.loads(post.body)
    with pytest.raises(WebhookVerificationError):
        Webhook(KEY).verify(post.body.replace(b"home", b"work"), post.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"y" * 24).decode()).verify(post.body, post.headers)
    again = webhook.compose(HOOK, question(), now=time.time_ns())
    assert again.headers["webhook-id"] != post.headers["webhook-id"]


def test_a_webhooks_answer_has_an_end_to_the_microsecond() -> None:
    """R18: floats would be off at the border."""

    def end(text: str) -> int | None:
        body = json.dumps({"allowed": "ALLOWED", "valid_until": text, "more": 1}).encode()
        return webhook.read(200, body).valid_until

    assert end("2026-11-18T11:06:40.123456Z") == 1_795_000_000_123_456_000
    assert end("2026-11-18T13:06:40+02:00") == 1_795_000_000_000_000_000
    assert end("9999-12-31T23:59:59Z") is None  # more than 64 bits of nanoseconds
    assert end("1960-01-01T00:00:00Z") == 0
    plain = webhook.read(200, b'{"allowed": "NO_CREDIT", "reference": "r"}')
    assert plain == OperatorAnswer(status="NO_CREDIT", reference="r")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (204, b'{"allowed": "ALLOWED"}'),
        (302, b'{"allowed": "ALLOWED"}'),
        (500, b'{"allowed": "ALLOWED"}'),
        (200, b""),
        (200, b"{}"),
        (200, b'{"allowed": true}'),
        (200, b'{"allowed": "UNREACHABLE"}'),
        (200, b'{"allowed": "ALLOWED", "valid_until": "2026-11-18T11:06:40"}'),
        (200, b'{"allowed": "ALLOWED", "valid_until": "tomorrow"}'),
        (200, b'{"allowed": "ALLOWED", "valid_until": 1795000000}'),
        (200, b'{"allowed": "ALLOWED", "reference": "' + b"x" * 65 + b'"}'),
        (200, b'{"allowed": "ALLOWED", "reference": {}}'),
        (200, b"\xff"),
    ],
)
def test_what_is_no_answer_of_a_webhook_is_none(status: int, body: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        webhook.read(status, body)


def test_nothing_secret_is_in_what_might_be_logged() -> None:
    """R17."""
    shown = repr((OCPI, HOOK, question(), asked(), webhook.compose(HOOK, question(), now=NOW)))
    assert "04A1B2C3" not in shown
    assert "s3cr3t" not in shown
    assert KEY not in shown
