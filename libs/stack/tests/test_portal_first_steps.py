"""From an empty list to a session in a report, by keyboard alone: a walk in a browser."""

from __future__ import annotations

import csv
import io
import time

from playwright.sync_api import Locator, Page, expect

from chargekey_common.testing.browser import OpenPage
from chargekey_stack.simulator import SimulatedCharger

from .a_charger import a_charger
from .at_the_portal import come_to_be
from .mails import token
from .running_system import RunningSystem

ADDRESS = "keys@portal-first-steps.example"
# What would be an element, an attribute or an entity, were it not text.
HOSTILE = """<b onmouseover=alert(1)>"'&"""
PIN = "#864209"
CHARGER = "FIRST-STEP"
# Stops on the way to whatever is sought on a page.
FAR = 60

# Where the keyboard is: whether that is what is sought; and what it is, where that it is there
# does not show: it looks as it does without the keyboard, or is out of sight. Behind the last
# stop the browser itself is next; and a date has stops of its own.
STOP = """sought => {
    const it = document.activeElement;
    const look = () => {
        const {outlineStyle, outlineWidth, boxShadow, borderColor, backgroundColor,
            textDecorationLine} = getComputedStyle(it);
        return [outlineStyle, outlineWidth, boxShadow, borderColor, backgroundColor,
            textDecorationLine].join();
    };
    if (it === document.body || it === globalThis.stop) return [false, ""];
    globalThis.stop = it;
    const focused = look();
    it.blur();
    const plain = look();
    it.focus({focusVisible: true});
    const {bottom, top, width, height} = it.getBoundingClientRect();
    const seen = width > 1 && height > 1 && bottom > 0 && top < innerHeight;
    return [it === sought, focused !== plain && seen ? "" : it.outerHTML];
}"""


class Keyboard:
    """Somebody who has no mouse."""

    def __init__(self, page: Page) -> None:
        self._page = page
        # Nothing moves, and so all looks at once as it will.
        page.emulate_media(reduced_motion="reduce")

    def to(self, sought: Locator) -> None:
        """Go on to it, by whatever is in between; each shows that the keyboard is there."""
        expect(sought).to_be_visible()
        wanted = sought.element_handle()
        for _ in range(FAR):
            self._page.keyboard.press("Tab")
            there, unseen = self._page.evaluate(STOP, wanted)
            assert unseen == ""
            if there:
                return
        message = f"never got to {sought}"
        raise AssertionError(message)

    def follows(self, name: str) -> None:
        """Follow a link."""
        self.to(self._page.get_by_role("link", name=name, exact=True))
        self._page.keyboard.press("Enter")

    def presses(self, name: str) -> None:
        """Press a button, or follow a link that looks as one does."""
        self.to(self._page.get_by_role("button", name=name, exact=True))
        self._page.keyboard.press("Enter")

    def types(self, label: str, text: str) -> None:
        """Fill a field."""
        self.to(self._page.get_by_label(label, exact=True))
        self._page.keyboard.press("Control+A")
        self._page.keyboard.type(text)


def is_text(page: Page) -> None:
    """What is called so is shown so, and has become nothing else."""
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    assert page.locator("b, [onmouseover]").count() == 0


def into_the_portal(system: RunningSystem, page: Page, keys: Keyboard) -> None:
    """Sign up, out, and in again."""
    page.goto(f"/invitation#{token(system.data, ADDRESS)}")
    keys.types("First name", HOSTILE)
    keys.types("Last name", "Tast")
    keys.presses("Sign up")
    page.get_by_role("heading", name="Installations").wait_for()
    keys.presses("Sign out")
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    keys.types("E-mail address", ADDRESS)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Look into your mail").wait_for()
    page.goto(f"/sign-in#{token(system.data, ADDRESS, 2)}")
    keys.presses("Sign in")
    page.get_by_role("heading", name="Installations").wait_for()


def an_installation_and_its_charger(page: Page, keys: Keyboard) -> str:
    """Make both, and lock the charger alone; return its password. Its page is open then."""
    # The first stop leads past what every page has.
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("main").get_by_role("searchbox")).to_be_focused()
    keys.presses("New installation")
    keys.types("Name", HOSTILE)
    keys.presses("Save")
    expect(page.get_by_text("Created; you own it.")).to_be_visible()
    assert HOSTILE in page.title()
    is_text(page)

    keys.follows("Settings")
    keys.follows("Authentication")
    required = page.get_by_role("switch", name="Authorisation required")
    keys.to(required)
    page.keyboard.press("Space")
    expect(required).not_to_be_checked()
    keys.presses("Save")
    expect(page.get_by_text("Saved.")).to_be_visible()
    keys.follows("Chargers")

    keys.presses("Add charger")
    keys.types("OCPP identity", CHARGER)
    keys.presses("Save")
    password = page.locator("#password").inner_text()
    keys.presses("Go on to the charger")
    expect(page.get_by_text("Offline")).to_be_visible()
    keys.follows("Settings")
    keys.to(required)
    page.keyboard.press("Space")
    keys.presses("Save")
    expect(page.get_by_text("Saved.")).to_be_visible()
    return password


def a_local_user_with_a_pin(page: Page, keys: Keyboard) -> None:
    """From the charger's page."""
    keys.follows(HOSTILE)
    keys.follows("Local users")
    keys.presses("Add new")
    keys.types("First name", HOSTILE)
    keys.types("Last name", "Lokal")
    keys.presses("Save")
    expect(page.get_by_text("Nothing to present yet.")).to_be_visible()
    is_text(page)
    menu = page.locator("summary")
    keys.to(menu)
    page.keyboard.press("Enter")
    keys.follows("Add it manually")
    keys.to(page.get_by_label("Type"))
    page.keyboard.type("PIN")
    keys.types("Code", PIN)
    keys.presses("Save")
    expect(page.get_by_text("PIN code")).to_be_visible()


def a_session_whose_charger_is_gone(page: Page, keys: Keyboard) -> None:
    """It runs on in the books until somebody ends it there."""
    keys.follows("Sessions")
    keys.follows("Show only those that run")
    expect(page.get_by_role("link", name="Show all")).to_be_visible()
    runs = page.get_by_role("row").filter(has_text=f"{HOSTILE} Lokal").filter(has_text="Charging")
    come_to_be(page, runs)
    is_text(page)
    keys.follows(CHARGER)
    expect(page.get_by_text("Offline")).to_be_visible()
    keys.presses("End in the books")
    keys.presses("End the session")
    expect(page.get_by_text("Ended in the books;")).to_be_visible()
    come_to_be(page, page.get_by_text("Nothing charges here."))


def what_is_reported(page: Page, keys: Keyboard) -> None:
    """On the page and in a file, which no table takes for a formula of its own."""
    keys.follows(HOSTILE)
    keys.follows("Reports")
    expect(page.get_by_role("heading", name="Reports")).to_be_visible()
    row = page.get_by_role("region", name="Per user").get_by_role("row", name=HOSTILE)
    come_to_be(page, row)
    is_text(page)
    with page.expect_download() as downloaded:
        keys.presses("CSV")
    rows = csv.reader(io.StringIO(downloaded.value.path().read_text(encoding="utf-8")))
    assert any(f"{HOSTILE} Lokal" in row for row in rows)


def test_first_steps_need_no_mouse_whatever_things_are_called(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S0-10...S0-24, S3-1, S3-14, S3-23, S3-33...S3-35, R22, R24."""
    elsewhere = system.chargekey(
        "installation", "create", "--name", "Elsewhere", "--time-zone", "Europe/Oslo"
    )["id"]
    system.chargekey(
        *("permission", "grant", "--installation", elsewhere),
        *("--email", ADDRESS, "--roles", "user"),
    )
    page = open_page(system.ready["portal"])
    keys = Keyboard(page)
    into_the_portal(system, page, keys)
    password = an_installation_and_its_charger(page, keys)
    with a_charger(system, CHARGER, password) as charger:
        # The page is not loaded again.
        expect(page.get_by_text("Online")).to_be_visible()
        a_local_user_with_a_pin(page, keys)
        charger.does(SimulatedCharger.plug_in)
        accepted(system)
        charger.does(lambda it: it.start(PIN))
    a_session_whose_charger_is_gone(page, keys)
    what_is_reported(page, keys)


def accepted(system: RunningSystem) -> None:
    """Wait until the PIN counts at the charger."""
    deadline = time.monotonic() + 30
    tap = ("authorize", "--charger", CHARGER, "--code", PIN)
    while (answered := system.chargekey(*tap))["status"] != "Accepted":
        assert time.monotonic() < deadline, answered
