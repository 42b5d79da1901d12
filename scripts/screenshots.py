"""Take the pictures of README: a system with some people and chargers, looked at in a browser.

`make screenshots` runs it; it takes no longer than the tests of a page.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from chargekey_common.caught_mails import caught
from chargekey_common.testing.browser import executable
from chargekey_stack.simulator import SimulatedCharger, simulated_charger

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
CHARGEKEY = [sys.executable, str(Path(sysconfig.get_path("scripts")) / "chargekey")]
OWNER = "kari@solsiden.example"
LOCALS = (("Ada", "Lovelace", "#24681"), ("Niels", "Abel", "#13572"), ("Sophus", "Lie", "#86420"))
CHARGERS = ("GARAGE-1", "GARAGE-2", "GUESTS-1")
PATIENCE = 30.0


class System:
    """A running one, called by its command line."""

    def __init__(self, data: Path, ready: dict[str, Any]) -> None:
        self.data = data
        self.portal: str = ready["portal"]
        self.ocpp: str = ready["ocpp"]

    def __call__(self, *arguments: str) -> dict[str, Any]:
        """Return what a command answers."""
        said = subprocess.run(
            [*CHARGEKEY, *arguments, "--json", "--data", self.data],
            capture_output=True,
            text=True,
            check=True,
        )
        answer: dict[str, Any] = json.loads(said.stdout)
        return answer

    def token(self) -> str:
        """Return what the owner's invitation carries."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for mail in caught(self.data / "mail"):
                if mail.to == OWNER and "/invitation#" in mail.text:
                    return mail.text.partition("/invitation#")[2].split()[0]
            time.sleep(0.1)
        sys.exit("the invitation did not come")


def furnished(system: System) -> str:
    """Make an installation with chargers and people; return its id, and leave chargers there."""
    site: str = system(
        *("installation", "create", "--name", "Solsiden Borettslag"),
        *("--time-zone", "Europe/Oslo"),
    )["id"]
    system("permission", "grant", "--installation", site, "--email", OWNER, "--roles", "owner,user")
    for first_name, last_name, pin in LOCALS:
        user = system(
            *("user", "add-local", "--installation", site),
            *("--first-name", first_name, "--last-name", last_name),
        )["id"]
        system("identification", "add", "--user", user, "--type", "pin", "--code", pin)
    return site


async def charging(system: System, passwords: dict[str, str], there: Event, gone: Event) -> None:
    """Let one charger charge, one wait, and the open one be free, until `gone`."""
    async with (
        simulated_charger(system.ocpp, CHARGERS[0], passwords[CHARGERS[0]]) as busy,
        simulated_charger(system.ocpp, CHARGERS[1], passwords[CHARGERS[1]]) as waiting,
        simulated_charger(system.ocpp, CHARGERS[2], passwords[CHARGERS[2]]) as free,
    ):
        for each in (busy, waiting, free):
            await each.boot()
        await past(waiting)
        await busy.plug_in()
        await busy.start(LOCALS[0][2])
        await waiting.authorize("#99999")
        await waiting.plug_in()
        there.set()
        await asyncio.to_thread(gone.wait)


async def past(charger: SimulatedCharger) -> None:
    """Let there be something to report."""
    for _, _, pin in LOCALS:
        await charger.plug_in()
        await charger.start(pin)
        await asyncio.sleep(2)
        await charger.stop()


def signed_up(browser: Browser, system: System, **how: Any) -> Page:  # noqa: ANN401 - of playwright
    """Return a page of the owner."""
    page = browser.new_context(base_url=system.portal, locale="en-GB", **how).new_page()
    page.goto(f"/invitation#{system.token()}")
    page.get_by_label("First name").fill("Kari")
    page.get_by_label("Last name").fill("Nordmann")
    page.get_by_role("button", name="Sign up").click()
    page.get_by_role("link", name="Solsiden Borettslag").wait_for()
    return page


def take(system: System, browser: Browser, site: str) -> None:
    """Go from page to page, on a desk by day and on a phone by night."""
    page = signed_up(browser, system, viewport={"width": 1100, "height": 760})
    for name, path in {
        "chargers": f"/installations/{site}",
        "permissions": f"/installations/{site}/permissions",
        "local-users": f"/installations/{site}/local-users",
        "authentication": f"/installations/{site}/settings/authentication",
        "reports": f"/installations/{site}/reports",
    }.items():
        page.goto(path)
        page.wait_for_load_state("networkidle" if name != "chargers" else "load")
        page.screenshot(path=IMAGES / f"{name}.png")
    page.goto(f"/installations/{site}/refusals")
    page.get_by_role("link", name="Why it was refused").first.click()
    page.wait_for_load_state()
    why = page.url
    state = page.context.storage_state()
    phone = browser.new_context(
        base_url=system.portal,
        storage_state=state,
        viewport={"width": 390, "height": 844},
        color_scheme="dark",
        device_scale_factor=2,
    ).new_page()
    phone.goto(why)
    phone.screenshot(path=IMAGES / "decision-phone.png")
    phone.goto("/profile/chargers")
    phone.screenshot(path=IMAGES / "my-chargers-phone.png")


def main() -> None:
    """Take them all."""
    IMAGES.mkdir(exist_ok=True)
    with ExitStack() as open_:
        directory = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="chargekey-")))
        process = open_.enter_context(
            subprocess.Popen(
                [*CHARGEKEY, "up", "--json", "--data", directory / "data"],
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        open_.callback(process.terminate)
        assert process.stdout is not None  # noqa: S101 - as asked for above
        system = System(directory / "data", json.loads(process.stdout.readline()))
        site = furnished(system)
        passwords = {
            name: system("charger", "add", "--installation", site, "--ocpp-identity", name)[
                "password"
            ]
            for name in CHARGERS
        }
        system("charger", "set", CHARGERS[2], "--authorisation", "not-required")
        there, gone = Event(), Event()
        chargers = Thread(
            target=lambda: asyncio.run(charging(system, passwords, there, gone)), daemon=True
        )
        chargers.start()
        open_.callback(gone.set)
        if not there.wait(PATIENCE):
            sys.exit("the chargers did not come")
        path = executable()
        with sync_playwright() as playwright:
            take(system, playwright.chromium.launch(executable_path=path), site)
        gone.set()
        chargers.join(PATIENCE)
    print(*sorted(each.name for each in IMAGES.glob("*.png")))


if __name__ == "__main__":
    main()
