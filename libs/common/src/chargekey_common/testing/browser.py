"""Chromium for tests of pages: which one, pages of a test's own, and what they must not do.

`python -m chargekey_common.testing.browser` prints the path of the one that tests take. Where
there is none it installs one, which fixtures never do: several of them run at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, TypeVar
from unittest import mock
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    ViewportSize,
    WebSocket,
    expect,
    sync_playwright,
)

T = TypeVar("T")

ColorScheme = Literal["light", "dark", "no-preference"]
Command = Sequence[str]

DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 360, "height": 740}

# The first has no window to draw around its pages, and takes a fifth less time.
_NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
_WHAT_TO_DO = "install Chromium, or name one with CHROMIUM=/path/to/chromium"
# Milliseconds for whatever a test waits for in a page.
_TIMEOUT = 20_000
# Seconds to say its version, and to be installed.
_STARTING = 30.0
_INSTALLING = 300.0
# How playwright and apt-get begin a line that says what went wrong.
_ERRORS = ("Error: ", "E: ")
# Beside what playwright passes. Of hosts the browser knows this machine alone: what a page
# loads from elsewhere is a complaint, and reaches nobody.
_ARGUMENTS = (
    "--disable-gpu",
    # The view is painted in one piece, which takes less than many.
    "--default-tile-width=2048",
    "--default-tile-height=2048",
    "--disable-quic",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1, EXCLUDE [::1]",
)
# What the console says of a request; these are judged by themselves.
_OF_A_REQUEST = "Failed to load resource:"
# The page went elsewhere, or gave up itself.
_ABORTED = "net::ERR_ABORTED"
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_AXE = Path(__file__).parents[5] / "services/portal/node_modules/axe-core/axe.min.js"
_SERIOUS = """async () => {
    const found = await axe.run({resultTypes: ["violations"]});
    return found.violations
        .filter(({impact}) => impact === "serious" || impact === "critical")
        .flatMap(({impact, id, help, nodes}) =>
            nodes.map(({target}) => `${impact} ${id}: ${help}: ${target.join(" ")}`));
}"""


class NoBrowserError(Exception):
    """There is no Chromium that starts here; says what to do."""


def executable() -> Path:
    """Return the Chromium of this machine: `$CHROMIUM`, else on the path, else playwright's.

    The first that starts is taken; the one `$CHROMIUM` names is taken or none. Raises
    NoBrowserError. Not to be called where a loop runs.
    """
    named = os.environ.get("CHROMIUM")
    if named:
        if not _starts(named):
            message = f"CHROMIUM={named} does not start; {_WHAT_TO_DO}"
            raise NoBrowserError(message)
        return Path(named)
    for found in filter(None, map(shutil.which, _NAMES)):
        if _starts(found):
            return Path(found)
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    if _starts(own):
        return Path(own)
    message = f"There is no browser for the tests of pages; {_WHAT_TO_DO}"
    raise NoBrowserError(message)


def _starts(path: str) -> bool:
    """Return whether it can say its version: libraries may be missing, or all but a hint."""
    try:
        said = subprocess.run(  # noqa: S603 - as the machine has it
            [path, "--version"], capture_output=True, timeout=_STARTING, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return said.returncode == 0


def ways_to_install() -> Iterator[Sequence[Command]]:
    """Yield the commands of each way that this machine has."""
    install = [sys.executable, "-m", "playwright", "install"]
    yield [[*install, "--no-shell", "--no-progress", "chromium"]]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=60"]
        # Without any font a page is nothing but boxes.
        packages = ["chromium-headless-shell", "fonts-dejavu-core"]
        yield [[*apt, "update"], [*apt, "install", "-y", "--no-install-recommends", *packages]]


def installed(ways: Iterable[Sequence[Command]]) -> Path:
    """Return a browser as `executable` does, where there is none once a way has brought one.

    Raises NoBrowserError, with why each way failed. One that `$CHROMIUM` names is not replaced.
    """
    said: list[str] = []
    remaining = iter(() if os.environ.get("CHROMIUM") else ways)
    while True:
        try:
            return executable()
        except NoBrowserError as error:
            way = next(remaining, None)
            if way is None:
                message = "; ".join([str(error), *said])
                raise NoBrowserError(message) from error
        failure = next(filter(None, map(_failure, way)), None)
        said.append(failure or f"{_shown(way[-1])}: brought none that starts")


def _shown(command: Command) -> str:
    return " ".join([Path(command[0]).name, *command[1:]])


def _failure(command: Command) -> str | None:
    """Run it, for no longer than installing may take; return why it failed, on one line."""
    with subprocess.Popen(  # noqa: S603 - as above
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=_INSTALLING)
        except subprocess.TimeoutExpired:
            # With all that it started; these would hold the pipe open.
            os.killpg(process.pid, signal.SIGKILL)
            return f"{_shown(command)}: not done after {_INSTALLING:.0f} s"
    if process.returncode == 0:
        return None
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    # The first error is the cause; those behind it are what came of it.
    causes = [line for line in lines if line.startswith(_ERRORS)]
    why = next(iter(causes or lines[-1:]), f"ended with {process.returncode}")
    return f"{_shown(command)}: {why}"


class Chromium:
    """One running browser, which the tests of a worker use one after the other."""

    def __init__(self, browser: Browser, loop: asyncio.AbstractEventLoop) -> None:
        self._browser = browser
        self._loop = loop

    @classmethod
    @contextlib.contextmanager
    def running(cls, path: Path) -> Iterator[Chromium]:
        """Yield it with a profile of its own, and end it afterwards."""
        expect.set_options(timeout=_TIMEOUT)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
            loop = asyncio.get_running_loop()
            with _running(None):
                yield cls(browser, loop)
            browser.close()

    @contextlib.contextmanager
    def used(self) -> Iterator[Browser]:
        """Lend the browser to code that is not asyncio's; `asyncio.run` works there, too."""
        with _running(self._loop), mock.patch.object(asyncio, "run", _run_on_a_thread):
            yield self._browser


@contextlib.contextmanager
def _running(loop: asyncio.AbstractEventLoop | None) -> Iterator[None]:
    """Let this thread take this loop, or none, for the one that runs in it.

    For as long as playwright lives that is its own, and no other could run: not those of the
    tests between two that use it.
    """
    before = asyncio._get_running_loop()  # noqa: SLF001 - for who makes loops, as here
    asyncio._set_running_loop(loop)  # noqa: SLF001 - as above
    try:
        yield
    finally:
        asyncio._set_running_loop(before)  # noqa: SLF001 - as above


_run = asyncio.run


def _run_on_a_thread(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Do what `asyncio.run` does, where this thread has a loop already."""
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(context.run, lambda: _run(main, debug=debug)).result()


class OpenPage:
    """Opens pages, each as by another person who was never here; `close` tells of them all."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._complaints: list[str] = []

    def __call__(
        self,
        base_url: str,
        *,
        locale: str = "en-GB",
        color_scheme: ColorScheme = "light",
        viewport: ViewportSize = DESKTOP,
        java_script_enabled: bool = True,
        refusals: Collection[int] = (),
        others: Collection[str] = (),
    ) -> Page:
        """Return an empty page of a context of its own; whatever it waits for it has 20 s for.

        Paths given to `goto` are below `base_url`, and nothing may be asked of another origin
        than these and the `others`, of which any address tells.
        `refusals` are the statuses of 400 and more that the test means to see.
        """
        context = self._browser.new_context(
            base_url=base_url,
            locale=locale,
            color_scheme=color_scheme,
            viewport=viewport,
            java_script_enabled=java_script_enabled,
            # Nothing glides: tests wait for what is there, and not for how it comes.
            reduced_motion="reduce",
        )
        self._contexts.append(context)
        context.set_default_timeout(_TIMEOUT)
        _Watch(self._complaints.append, [base_url, *others], refusals).listen(context)
        return context.new_page()

    def close(self) -> list[str]:
        """Close every page; return what they did that none may, in order, a line each."""
        try:
            for context in self._contexts:
                for page in context.pages:
                    # Once it answers, all has been heard that it did before.
                    page.locator(":root").wait_for(state="attached")
        finally:
            for context in self._contexts:
                context.close()
            self._contexts.clear()
        return self._complaints


class _Watch:
    """Hears what the pages of one context do, and complains of what none may."""

    def __init__(
        self, complain: Callable[[str], None], urls: Iterable[str], refusals: Collection[int]
    ) -> None:
        self._complain = complain
        self._own = set(map(_origin, urls))
        self._refusals = refusals

    def listen(self, context: BrowserContext) -> None:
        context.on("console", self._console)
        context.on("weberror", lambda error: self._complain(f"uncaught: {error.error}"))
        context.on("request", self._request)
        context.on("requestfailed", self._failed)
        context.on("response", self._response)
        context.on("page", lambda page: page.on("websocket", self._socket))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(_OF_A_REQUEST):
            self._complain(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if self._foreign(request.url):
            self._complain(f"elsewhere: {request.method} {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != _ABORTED and not self._foreign(request.url):
            self._complain(f"failed: {request.method} {request.url}: {request.failure}")

    def _response(self, response: Response) -> None:
        if response.status >= HTTPStatus.BAD_REQUEST and response.status not in self._refusals:
            self._complain(f"{response.status}: {response.request.method} {response.url}")

    def _socket(self, socket: WebSocket) -> None:
        if self._foreign(socket.url):
            self._complain(f"elsewhere: {socket.url}")

    def _foreign(self, url: str) -> bool:
        """Return whether it is of another origin; what a page carries in itself is not."""
        return urlsplit(url).scheme in _DEFAULT_PORTS and _origin(url) not in self._own


def _origin(url: str) -> str:
    """Return scheme, host and port; a web socket's are those of the page it belongs to."""
    parts = urlsplit(url)
    scheme = parts.scheme.replace("ws", "http")
    return f"{scheme}://{parts.hostname}:{parts.port or _DEFAULT_PORTS[parts.scheme]}"


def axe(page: Page) -> list[str]:
    """Return what keeps people from using this page, serious or critical, a line each.

    Works under any content security policy; not without JavaScript. Waits for all of it: a page
    that was just gone to may have no element yet.
    """
    page.wait_for_load_state()
    page.evaluate(_AXE.read_text(encoding="utf-8"))
    found: list[str] = page.evaluate(_SERIOUS)
    return found


def main() -> None:
    """Print the path, or why there is none, and exit with 1 then."""
    try:
        found = installed(ways_to_install())
    except NoBrowserError as error:
        sys.exit(str(error))
    print(found)  # noqa: T201 - what it is called for


if __name__ == "__main__":
    main()
