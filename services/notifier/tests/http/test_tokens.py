"""An access token for a credential, as RFC 6749 has it: what is answered, and what never (F16)."""

from __future__ import annotations

import asyncio
import base64
from urllib.parse import quote_plus, urlencode

import pytest
import structlog

from chargekey_common import tokens
from chargekey_notifier.http import tokens as door_of_tokens

from .door import CREDENTIAL, SECRET, VOLT, Door

GRANT = "grant_type=client_credentials"
IN_FORM = urlencode({"client_id": CREDENTIAL, "client_secret": SECRET})


def basic(credential_id: str = CREDENTIAL, secret: str = SECRET) -> str:
    """RFC 6749 §2.3.1: both are form-encoded first."""
    both = f"{quote_plus(credential_id)}:{quote_plus(secret)}"
    return f"Basic {base64.b64encode(both.encode()).decode()}"


async def test_a_credential_opens_its_partners_feed_and_no_other(door: Door) -> None:
    """F16: told in the header or in the form, it is the same credential."""
    await door.tell("a")
    in_header = await door.post(GRANT, Authorization=basic())
    in_form = await door.post(f"{GRANT}&{IN_FORM}")
    for answer in (in_header, in_form):
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["pragma"] == "no-cache"
        told = answer.json()
        assert told.keys() == {"access_token", "token_type", "expires_in"}
        assert told["token_type"] == "Bearer"
        assert 0 < told["expires_in"] <= tokens.LIFETIME
        headers = {"Authorization": f"bearer {told['access_token']}"}
        page = await door.client.get(f"{door.url}/v1/events", headers=headers)
        assert page.json()["events"][0]["source"] == f"/chargekey/feeds/{VOLT}"
        refused = await door.client.get(f"{door.url}/v1/events?partner=watt", headers=headers)
        assert refused.status_code == 403


async def test_what_opens_nothing_is_refused_in_the_same_words(door: Door) -> None:
    """RFC 6749 §5.2: 401, and which scheme would do."""
    said = set()
    for body, authorization in (
        (GRANT, basic(secret="another")),
        (GRANT, basic("unknown")),
        (GRANT, basic("", "")),
        (GRANT, basic("caf\u00e9")),
        (GRANT, basic("x" * 5000)),
        (GRANT, "Basic"),
        (GRANT, "Basic !!!"),
        (GRANT, "Basic " + base64.b64encode(b"nocolon").decode()),
        (GRANT, "Basic " + base64.b64encode(b"\xff:\xff").decode()),
        (GRANT, "Basic " + base64.b64encode(b"%ff:%ff").decode()),
        (GRANT, "Bearer nonsense"),
        (GRANT, None),
        (f"{GRANT}&client_id={CREDENTIAL}", None),
        (f"{GRANT}&client_id={CREDENTIAL}&client_secret=", None),
        (f"{GRANT}&client_id={CREDENTIAL}&client_secret=%00", None),
        (f"{GRANT}&client_id={CREDENTIAL}&client_secret=another", None),
    ):
        headers = {} if authorization is None else {"Authorization": authorization}
        refused = await door.post(body, **headers)
        assert refused.status_code == 401, (body, authorization)
        assert refused.headers["www-authenticate"] == 'Basic realm="chargekey"'
        assert refused.headers["cache-control"] == "no-store"
        assert refused.json()["error"] == "invalid_client"
        said.add(refused.text)
    assert len(said) == 1


async def test_what_is_asked_wrongly_is_told_by_name_and_reaches_nobody(door: Door) -> None:
    for body, headers, error in (
        ("", {}, "invalid_request"),
        (IN_FORM, {}, "invalid_request"),
        (f"{GRANT}&{GRANT}&{IN_FORM}", {}, "invalid_request"),
        (f"{GRANT}&{IN_FORM}&client_id=twice", {}, "invalid_request"),
        (f"{GRANT}&{IN_FORM}", {"Authorization": basic()}, "invalid_request"),
        (f"{GRANT}&{IN_FORM}", {"Content_Type": "application/json"}, "invalid_request"),
        (f"{GRANT}&client_id=%ff", {}, "invalid_request"),
        (b"grant_type=client_credentials&client_id=\xff", {}, "invalid_request"),
        (GRANT + "&a=b" * 8, {}, "invalid_request"),
        ("nonsense", {}, "invalid_request"),
        (f"grant_type=password&{IN_FORM}", {}, "unsupported_grant_type"),
        (f"grant_type=&{IN_FORM}", {}, "unsupported_grant_type"),
        (f"{GRANT}&{IN_FORM}&scope=everything", {}, "invalid_scope"),
    ):
        refused = await door.post(body, **headers)
        assert (refused.status_code, refused.json()["error"]) == (400, error), body
    assert door.credentials.asked == 0


async def test_a_secret_in_the_address_is_refused_even_where_it_is_right(door: Door) -> None:
    """F16: addresses stand in the logs of every proxy on the way."""
    refused = await door.post(GRANT, f"/v1/token?{IN_FORM}")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    refused = await door.client.get(f"{door.url}/v1/token?{GRANT}&{IN_FORM}")
    assert refused.status_code == 405
    assert door.credentials.asked == 0


async def test_a_long_body_is_not_read_to_its_end(door: Door) -> None:
    refused = await door.post(f"{GRANT}&x=" + "y" * 100_000)
    assert refused.status_code == 413


async def test_a_body_that_does_not_come_is_not_waited_for(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_of_tokens, "PATIENCE", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.http.port)
    writer.write(
        b"POST /v1/token HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\ngrant"
    )
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_who_guesses_is_told_to_wait(door: Door) -> None:
    door.credentials.guessed_too_often = True
    refused = await door.post(GRANT, Authorization=basic(secret="another"))
    assert (refused.status_code, refused.json()["error"]) == (429, "too_many_attempts")
    assert refused.headers["retry-after"] == "60"


async def test_a_credential_is_given_so_many_tokens_in_a_minute(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door.tokens._tokens, "_most", 1)  # noqa: SLF001 - 60 are many
    assert (await door.post(GRANT, Authorization=basic())).status_code == 200
    refused = await door.post(GRANT, Authorization=basic())
    assert (refused.status_code, refused.json()["error"]) == (429, "too_many_requests")


async def test_whoever_is_refused_too_often_keeps_nobody_out_who_has_the_secret(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a proxy all come from one address."""
    monkeypatch.setattr(door.tokens._strangers, "_most", 1)  # noqa: SLF001 - 600 are many
    said = [await door.post(GRANT, Authorization=basic(secret="another")) for _ in range(2)]
    assert [each.status_code for each in said] == [401, 429]
    assert said[1].headers["retry-after"] == "60"
    assert (await door.post(GRANT, Authorization=basic())).status_code == 200


async def test_without_identity_it_is_temporarily_unavailable(door: Door) -> None:
    door.credentials.away = True
    refused = await door.post(GRANT, Authorization=basic())
    assert refused.status_code == 503
    assert refused.json()["error"] == "temporarily_unavailable"


async def test_no_secret_and_no_token_stands_in_a_log_or_an_answer(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "hunter2hunter2"
    with structlog.testing.capture_logs() as logged:
        for answer in (
            await door.post(GRANT, Authorization=basic(secret=secret)),
            await door.post(f"{GRANT}&client_id={secret}&client_secret={secret}&scope=x"),
            await door.client.get(
                f"{door.url}/v1/events", headers={"Authorization": f"Bearer {secret}"}
            ),
        ):
            assert answer.status_code >= 400
            assert secret not in answer.text
    assert secret not in f"{logged} {[each.getMessage() for each in caplog.records]}"
