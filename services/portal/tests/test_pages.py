"""What the portal answers: pages, JSON, refusals in both forms, and to whom."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from chargekey_common import asyncapi
from chargekey_common.published.feed import EVENTS

from .neighbours import NAMES, Neighbours
from .outline import Outline
from .portal import OCPP_URL, Portal, serving

FEEDS = "/api/v1/feeds/docs"
CONTRACT = "/api/v1/feeds/asyncapi.json"
PAGES = ("/status", "/sign-in", "/sign-in/sent", "/invitation", FEEDS, "/nowhere")
PATHS = (
    "/",
    *PAGES,
    "/api/v1/status",
    CONTRACT,
    "/assets/portal.css",
    "/api/v1/nowhere",
)

# One portal for all, which changes nothing by being asked.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Portal]:
    neighbours = Neighbours()
    for name in NAMES:
        await neighbours.start(name)
    async with serving(neighbours.addresses, tmp_path_factory.mktemp("portal")) as portal:
        yield portal
    await neighbours.stop_all()


async def test_the_page_says_where_chargers_connect_and_how_to_begin(served: Portal) -> None:
    text = Outline((await served.get("/status")).body).text
    for version in ("1.6", "2.0.1", "2.1"):
        assert f"OCPP {version}\n{OCPP_URL}/IDENTITY" in text
    for command in (
        "installation create",
        "charger add",
        "user add-local",
        "identification add",
        "simulate",
    ):
        assert f"chargekey {command} --" in text
    assert 'export PATH="$PWD/.venv/bin:$PATH"' in text


async def test_the_partners_contract_is_shown_whole_and_told_as_it_is_checked_in(
    served: Portal,
) -> None:
    """F17."""
    told = await served.get(CONTRACT)
    assert told.json() == msgspec.json.decode(asyncapi.encoded())
    assert "access-control-allow-origin" not in told.headers
    shown = Outline((await served.get(FEEDS)).body)
    assert {"href": CONTRACT} in shown.all("a")
    assert {"href": FEEDS} in Outline((await served.get("/status")).body).all("a")
    for event in EVENTS:
        assert {"id": event.__name__} in shown.all("h2")
        assert {"href": f"#{event.__name__}"} in shown.all("a")
        for name in event.__struct_fields__:
            assert name in shown.text
    assert "`" not in shown.text
    for words in ("unless false", "where known", "ACTIVE | BLOCKED | INACTIVE", "list of OPERATOR"):
        assert words in shown.text


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_whole_html_with_a_language_a_title_and_landmarks(
    served: Portal, path: str
) -> None:
    html = (await served.get(path)).body
    assert html.startswith("<!DOCTYPE html>\n")
    page = Outline(html)
    assert page.all("html") == [{"lang": "en"}]
    for once in ("title", "header", "main", "h1", "footer"):
        assert len(page.all(once)) == 1
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {section["aria-labelledby"] for section in page.all("section")} <= set(ids)
    metas = {meta.get("name"): meta.get("content") for meta in page.all("meta")}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert metas["color-scheme"] == "light dark"


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_has_no_script_of_its_own_and_nothing_from_elsewhere(
    served: Portal, path: str
) -> None:
    page = Outline((await served.get(path)).body)
    assert page.all("style") == []
    for script in page.all("script"):
        assert (await served.get(script["src"] or "")).status == 200
    for _, attributes in page.tags:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
    for link in page.all("link"):
        address = link["href"] or ""
        assert address.startswith("/assets/")
        answer = await served.get(address)
        assert answer.status == 200
        # Under another address once it is another file.
        assert "immutable" in answer.headers["cache-control"]
        asked_bare = await served.get(address.partition("?")[0])
        assert "cache-control" not in asked_bare.headers


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["localhost", "elsewhere.example"])
async def test_every_answer_tells_browsers_what_they_may_not_do(
    served: Portal, path: str, host: str
) -> None:
    headers = (await served.get(path, host=host)).headers
    policy = headers["content-security-policy"].split("; ")
    assert {"default-src 'self'", "frame-ancestors 'none'"} <= set(policy)
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:80", "localhost", "LocalHost:9", "[::1]", "[::1]:80", "portal.test:1"],
)
async def test_the_portal_answers_under_its_own_address(served: Portal, host: str) -> None:
    assert (await served.get("/api/v1/status", host=host)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "elsewhere.example",
        "elsewhere.example:80",
        "localhost.elsewhere.example",
        "127.0.0.1.elsewhere.example",
        "localhost:80:80",
        "localhost@elsewhere.example",
        "[::1]elsewhere.example",
        "",
        None,
    ],
)
async def test_another_host_is_refused_against_rebound_names(
    served: Portal, host: str | None
) -> None:
    refused = await served.get("/api/v1/status", host=host)
    assert refused.status == 421
    assert refused.json()["code"] == "host_unknown"
    page = await served.get("/status", host=host)
    assert page.status == 421
    assert OCPP_URL not in page.body
    assert "elsewhere" not in page.body


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("GET", "/openapi.json", 404, "not_found"),
        ("GET", "/assets/", 404, "not_found"),
        ("GET", "/assets/nothing.css", 404, "not_found"),
        ("GET", "/assets/../main.py", 404, "not_found"),
        ("GET", "/assets/%2e%2e/main.py", 404, "not_found"),
        ("GET", "/assets/%00", 404, "not_found"),
        ("GET", "/assets/" + "x" * 4000, 404, "not_found"),
        ("GET", "/status/", 404, "not_found"),
        ("POST", "/", 405, "method_not_allowed"),
        ("POST", "/status", 405, "method_not_allowed"),
        ("DELETE", "/assets/portal.css", 405, "method_not_allowed"),
        ("GET", "/api/v1/nowhere", 404, "not_found"),
        ("GET", "/api/", 404, "not_found"),
        ("PUT", "/api/v1/status", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_is_refused_by_name_in_the_form_asked_for(
    served: Portal, method: str, path: str, status: int, code: str
) -> None:
    refused = await served.get(path, method=method)
    assert refused.status == status
    assert ("allow" in refused.headers) == (status == 405)
    if path.startswith("/api/"):
        told = refused.json()
        assert refused.headers["content-type"] == "application/problem+json"
        assert set(told) == {"type", "title", "status", "detail", "code"}
        assert told["code"] == code
        assert told["status"] == status
    else:
        assert refused.headers["content-type"].startswith("text/html")
        assert f"Code: {code}" in Outline(refused.body).text
    assert "nowhere" not in refused.body


@pytest.mark.parametrize("path", ["/status", "/api/v1/status", FEEDS, CONTRACT])
async def test_head_answers_as_get_does_without_the_body(served: Portal, path: str) -> None:
    whole, head = await served.get(path), await served.get(path, method="HEAD")
    assert head.status == whole.status
    assert head.body == ""
    assert head.headers.keys() == whole.headers.keys()
    assert head.headers["content-length"] == whole.headers["content-length"]
