"""The browser that tests of pages use: which one, and what it does not let pass."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.server
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from chargekey_common.testing.browser import (
    PHONE,
    Chromium,
    NoBrowserError,
    OpenPage,
    axe,
    executable,
    installed,
)

STRICT = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'"
PAGE = """<!doctype html>
<html lang="en"><head><title>A page</title><link rel="icon" href="data:,">{head}</head>
<body><main><h1>A page</h1>{body}</main></body></html>
"""
PAGES = {
    "/good": PAGE.format(head="", body="<label>Name <input></label>"),
    "/console": PAGE.format(head='<script src="/console.js"></script>', body=""),
    "/uncaught": PAGE.format(head='<script src="/uncaught.js"></script>', body=""),
    "/inline": PAGE.format(head="", body="<script>document.title = 'Run'</script>"),
    "/foreign": PAGE.format(head='<script src="/foreign.js"></script>', body=""),
    "/socket": PAGE.format(head='<script src="/socket.js"></script>', body=""),
    "/missing": PAGE.format(head='<script src="/nowhere.js"></script>', body=""),
    "/broken": PAGE.format(head="", body='<img src="/closed" alt="">'),
    "/unlabelled": PAGE.format(head="", body="<input>"),
    "/leaving": PAGE.format(head='<script src="/leaving.js"></script>', body=""),
    "/script": PAGE.format(head='<script src="/script.js" defer></script>', body=""),
    "/console.js": "console.warn('careful'); console.error('that went wrong')",
    "/uncaught.js": "throw new Error('nobody caught it')",
    "/foreign.js": "fetch('http://elsewhere.example/beacon').catch(() => 0)",
    "/socket.js": "try { new WebSocket('ws://elsewhere.example/') } catch {}",
    "/leaving.js": "fetch('/endless'); addEventListener('load', () => location = '/good')",
    "/script.js": "document.querySelector('h1').textContent = 'Made by a script'",
}
# Pages that may ask other hosts, as far as the policy goes.
LAX = dict.fromkeys(("/foreign", "/socket"), "default-src * data:")
SOCKET_FAILED = (
    "console: WebSocket connection to 'ws://elsewhere.example/' failed: "
    "Error in connection establishment: net::ERR_NAME_NOT_RESOLVED"
)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers the pages above; `/closed` with nothing, and `/endless` never."""

    over: threading.Event

    def do_GET(self) -> None:
        if self.path == "/closed":
            return
        if self.path == "/endless":
            self.over.wait(30)
            return
        text = PAGES.get(self.path)
        self.send_response(200 if text else 404)
        kind = "text/javascript" if self.path.endswith(".js") else "text/html; charset=utf-8"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", LAX.get(self.path, STRICT))
        self.end_headers()
        self.wfile.write((text or PAGE.format(head="", body="None")).encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    handler = type("Handler", (Handler,), {"over": threading.Event()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        handler.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def opened(browser: Chromium) -> Iterator[OpenPage]:
    """Pages whose complaints the test reads itself."""
    with browser.used() as chromium:
        pages = OpenPage(chromium)
        yield pages
        pages.close()


@pytest.mark.parametrize(
    ("path", "complaints"),
    [
        ("/console", ["console: that went wrong"]),
        ("/uncaught", ["uncaught: nobody caught it"]),
        ("/foreign", ["elsewhere: GET http://elsewhere.example/beacon"]),
        ("/socket", ["elsewhere: ws://elsewhere.example/", SOCKET_FAILED]),
        ("/missing", ["404: GET {site}/nowhere.js"]),
        ("/broken", ["failed: GET {site}/closed: net::ERR_EMPTY_RESPONSE"]),
        ("/nowhere", ["404: GET {site}/nowhere"]),
        ("/good", []),
    ],
)
def test_what_a_page_must_not_do_is_noticed(
    opened: OpenPage, site: str, path: str, complaints: list[str]
) -> None:
    page = opened(site)
    # Neither the page's load nor its end waits for what becomes of a socket.
    said = page.expect_console_message() if path == "/socket" else contextlib.nullcontext()
    with said:
        page.goto(path)
    told = [each.splitlines()[0] for each in opened.close()]
    assert told == [each.format(site=site) for each in complaints]


def test_what_a_policy_forbids_is_noticed_and_not_done(opened: OpenPage, site: str) -> None:
    page = opened(site)
    page.goto("/inline")
    assert page.title() == "A page"
    (complaint,) = opened.close()
    assert "Content Security Policy" in complaint


def test_what_a_page_does_last_is_noticed(opened: OpenPage, site: str) -> None:
    page = opened(site)
    page.goto("/good")
    busy = "const end = Date.now() + 300; while (Date.now() < end);"
    page.evaluate(f"setTimeout(() => {{ {busy} console.error('late') }})")
    assert opened.close() == ["console: late"]


def test_pages_without_javascript_are_watched_too(opened: OpenPage, site: str) -> None:
    page = opened(site, java_script_enabled=False)
    page.goto("/script")
    assert page.locator("h1").inner_text() == "A page"
    page.goto("/nowhere")
    assert opened.close() == [f"404: GET {site}/nowhere"]


def test_what_is_asked_of_another_origin_that_is_named_is_no_complaint(
    opened: OpenPage, site: str
) -> None:
    opened(site, others=["http://elsewhere.example"]).goto("/foreign")
    assert not [each for each in opened.close() if each.startswith("elsewhere:")]


def test_a_refusal_that_is_meant_is_no_complaint(open_page: OpenPage, site: str) -> None:
    open_page(site, refusals=[404]).goto("/nowhere")


def test_a_request_that_its_page_left_behind_is_no_complaint(
    open_page: OpenPage, site: str
) -> None:
    page = open_page(site)
    page.goto("/leaving")
    page.wait_for_url("/good")


def test_each_page_is_another_persons(open_page: OpenPage, site: str) -> None:
    first = open_page(site)
    first.goto("/good")
    first.evaluate("document.cookie = 'known=1'")
    other = open_page(site, locale="de-DE", color_scheme="dark", viewport=PHONE)
    other.goto("/good")
    assert other.evaluate("[document.cookie, navigator.language, innerWidth]") == ["", "de-DE", 360]
    assert other.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")


def test_a_field_without_a_label_is_found_and_one_with_it_is_not(
    open_page: OpenPage, site: str
) -> None:
    page = open_page(site)
    page.goto("/unlabelled")
    (found,) = axe(page)
    assert found.startswith("critical label: ")
    page.goto("/good")
    assert axe(page) == []


def test_a_page_may_be_used_with_asyncio_beside_it(open_page: OpenPage, site: str) -> None:
    page = open_page(site)
    page.goto("/good")
    assert asyncio.run(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(ZeroDivisionError):
        asyncio.run(asyncio.to_thread(lambda: 1 // 0))
    assert page.title() == "A page"


async def test_a_coroutine_runs_where_the_browser_runs(browser: Chromium) -> None:
    """Its loop is the thread's only one between tests that open pages."""
    assert await asyncio.sleep(0, browser) is browser


def test_after_a_coroutine_pages_open_again(open_page: OpenPage, site: str) -> None:
    page = open_page(site)
    page.goto("/good")
    assert page.title() == "A page"


def test_a_browser_that_ends_leaves_the_thread_to_others(site: str) -> None:
    with Chromium.running(executable()) as own, own.used() as chromium:
        pages = OpenPage(chromium)
        pages(site).goto("/good")
        assert pages.close() == []
    assert asyncio.run(asyncio.sleep(0, "done")) == "done"


def program(path: Path, *, code: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any browser; returns the only directory on its path."""
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "playwright"))
    return tmp_path / "bin"


def test_the_browser_that_is_named_comes_first_then_the_paths(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chrome = program(bare / "google-chrome")
    assert executable() == chrome
    chromium = program(bare / "chromium")
    assert executable() == chromium
    named = program(tmp_path / "elsewhere" / "chrome")
    monkeypatch.setenv("CHROMIUM", str(named))
    assert executable() == named


def test_a_browser_that_does_not_start_is_passed_over(bare: Path) -> None:
    program(bare / "chromium", code=1)
    chrome = program(bare / "google-chrome")
    assert executable() == chrome


def test_one_that_is_named_and_does_not_start_is_neither_passed_over_nor_replaced(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(bare / "chromium")
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    with pytest.raises(NoBrowserError, match="CHROMIUM=/nowhere/chromium does not start"):
        executable()
    ways = iter([[["never-run"]]])
    with pytest.raises(NoBrowserError, match="CHROMIUM=/nowhere/chromium does not start"):
        installed(ways)
    assert list(ways) == [[["never-run"]]]


def test_playwrights_own_comes_last(bare: Path, tmp_path: Path) -> None:
    with pytest.raises(NoBrowserError):
        executable()
    own = program(playwrights_own())
    assert own.is_relative_to(tmp_path / "playwright")
    assert executable() == own
    chrome = program(bare / "google-chrome")
    assert executable() == chrome


def playwrights_own() -> Path:
    with sync_playwright() as playwright:
        return Path(playwright.chromium.executable_path)


def test_ways_to_install_are_tried_until_there_is_one(bare: Path, tmp_path: Path) -> None:
    bring = functools.partial(shutil.which, path="/bin:/usr/bin")
    template = program(tmp_path / "template")
    ways = [
        [[sys.executable, "-c", "import sys; print('first'); sys.exit('no network')"]],
        [[str(bring("mkdir")), str(bare)], [str(bring("cp")), str(template), f"{bare}/chromium"]],
        [["never-run"]],
    ]
    assert installed(ways) == bare / "chromium"


def test_without_any_one_line_says_what_to_do_and_why_nothing_came(bare: Path) -> None:
    assert not bare.exists()
    says = "print('begun\\nE: no network\\nE: nothing to unpack\\nended'); raise SystemExit(100)"
    ways = [[[sys.executable, "-c", says], ["never-run"]], [[sys.executable, "-c", ""]]]
    with pytest.raises(NoBrowserError) as none:
        installed(ways)
    said = str(none.value)
    assert "\n" not in said
    assert "install Chromium, or name one with CHROMIUM=/path/to/chromium" in said
    assert "E: no network; " in said
    assert "brought none that starts" in said
