"""What is let through to the pages: from where, how long, and with whose session."""

from __future__ import annotations

import asyncio

import pytest

from chargekey_portal import guard

from .outline import Outline
from .portal import Portal

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "said",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "http://localhost:1"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize("path", ["/sign-in", "/language", "/invitation"])
async def test_what_another_site_sends_changes_nothing(
    served: Portal, path: str, said: dict[str, str]
) -> None:
    refused = await served.ask("POST", path, {"Host": "localhost", **FORM, **said}, b"language=nb")
    assert refused.status == 403
    assert "Code: request_from_elsewhere" in Outline(refused.body).text
    assert "set-cookie" not in refused.headers


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://LOCALHOST"},
    ],
)
async def test_our_own_pages_and_programs_are_let_through(
    served: Portal, said: dict[str, str]
) -> None:
    answer = await served.ask(
        "POST", "/language", {"Host": "localhost", **FORM, **said}, b"language=nb"
    )
    assert answer.status == 303
    assert "set-cookie" in answer.headers


async def test_a_session_is_a_cookie_that_scripts_and_other_sites_do_not_get(
    served: Portal,
) -> None:
    answer = await served.ask("POST", "/language", {"Host": "localhost", **FORM}, b"language=nb")
    attributes = {each.strip() for each in answer.headers["set-cookie"].split(";")}
    assert {"httponly", "samesite=lax", "path=/"} <= attributes


@pytest.mark.parametrize(
    "form_secret", [b"", b"form_secret=", b"form_secret=another", b"form_secret=%C3%A6"]
)
async def test_a_form_that_was_not_made_for_the_session_is_refused(
    served: Portal, form_secret: bytes
) -> None:
    headers = {**served.signed_in(), **FORM}
    refused = await served.ask("POST", "/installations/new", headers, form_secret + b"&name=Home")
    assert refused.status == 403
    assert "Code: request_from_elsewhere" in Outline(refused.body).text


@pytest.mark.parametrize("change", ["another secret", "changed", "unsigned"])
async def test_a_session_that_was_not_signed_here_is_none(served: Portal, change: str) -> None:
    cookie = served.signed_in()["Cookie"]
    match change:
        case "another secret":
            cookie = Portal(served.port, b"x" * 32).signed_in()["Cookie"]
        case "changed":
            cookie = cookie.replace("chargekey=", "chargekey=A")
        case "unsigned":
            cookie = cookie.rpartition(".")[0].rpartition(".")[0]
    answer = await served.ask("GET", "/installations", {"Host": "localhost", "Cookie": cookie})
    assert (answer.status, answer.headers["location"]) == (303, "/sign-in")


async def test_who_is_not_signed_in_is_led_to_where_that_is_done_and_back(served: Portal) -> None:
    """S0-3, S3-23, S3-31."""
    for path in ("/installations", "/installations/i", "/installations/new"):
        answer = await served.get(path)
        assert (answer.status, answer.headers["location"]) == (303, "/sign-in")
    part = await served.ask("GET", "/installations", {"Host": "localhost", "HX-Request": "true"})
    assert part.status == 401


async def test_more_than_can_be_taken_is_refused_unread(served: Portal) -> None:
    longest = guard.LONGEST_BODY
    headers = {"Host": "localhost", **FORM}
    refused = await served.ask("POST", "/language", headers, b"x" * (longest + 1))
    assert refused.status == 413
    assert "Code: request_too_long" in Outline(refused.body).text
    document = await served.ask("POST", "/api/v1/status", headers, b"x" * (longest + 1))
    assert document.json()["code"] == "request_too_long"


@pytest.mark.parametrize(
    "said", [{"Content-Length": "10"}, {"Transfer-Encoding": "chunked"}, {"Content-Length": "x"}]
)
@pytest.mark.parametrize("path", ["/status", "/api/v1/installations", "/assets/portal.css"])
async def test_who_only_reads_sends_nothing_along(
    served: Portal, path: str, said: dict[str, str]
) -> None:
    """F31: its end would be waited for, and its length known to nobody."""
    answer = await served.ask("GET", path, {"Host": "localhost", **said})
    assert answer.status == (400 if said == {"Content-Length": "x"} else 413)


async def test_a_table_of_people_may_be_longer_than_all_else(served: Portal) -> None:
    for media_type, status in (("text/csv", 415), ("application/json", 413)):
        headers = {"Host": "localhost", "Content-Type": media_type}
        body = b" " * (guard.LONGEST_BODY + 1)
        answer = await served.ask("POST", "/api/v1/partners", headers, body)
        assert answer.status == status


async def test_a_language_chosen_leads_back_and_nowhere_else(served: Portal) -> None:
    for referer, back in (
        ("http://localhost/invitation", "/invitation"),
        ("http://localhost//elsewhere.example/x", "/elsewhere.example/x"),
        ("http://localhost/\\elsewhere.example", "/elsewhere.example"),
        ("", "/"),
    ):
        headers = {"Host": "localhost", **FORM, "Referer": referer}
        answer = await served.ask("POST", "/language", headers, b"language=nb")
        assert (answer.status, answer.headers["location"]) == (303, back)


async def test_a_form_of_endless_fields_is_refused_as_malformed(served: Portal) -> None:
    headers = {**served.signed_in(), **FORM}
    refused = await served.ask("POST", "/installations/new", headers, b"&".join([b"a=1"] * 1500))
    assert refused.status == 400
    assert "Code: request_malformed" in Outline(refused.body).text


async def test_a_body_that_does_not_come_is_waited_for_a_while_only(
    served: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F31."""
    monkeypatch.setattr(guard, "BODY_PATIENCE", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"POST /language HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nlang")
    assert b" 408 " in await reader.readline()
    writer.close()
