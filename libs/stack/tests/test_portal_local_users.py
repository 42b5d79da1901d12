"""Local users and what they present, from the form to the charger: walks in a browser."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from chargekey_common.testing.browser import PHONE, OpenPage, axe
from chargekey_stack.simulator import ACCEPTED, SimulatedCharger, simulated_charger

from .at_the_portal import owner, signed_up
from .running_system import RunningSystem

CARD = "04A1A2A3A4A5A7"
COLUMNS = "first_name,last_name,email,roles,valid_until,pin,rfid,blocked\n"


class Post:
    """A charger of a site, at which people present things."""

    def __init__(self, system: RunningSystem, site: str, identity: str) -> None:
        self._system = system
        self._identity = identity
        self._password = system.chargekey(
            "charger", "add", "--installation", site, "--ocpp-identity", identity
        )["password"]

    def refuses(self, code: str, status: str = "Invalid") -> None:
        """Present it, and be refused."""

        async def tap(charger: SimulatedCharger) -> None:
            assert await charger.authorize(code) == status

        self._do(tap, code, status)

    def charges(self, code: str) -> None:
        """Begin and end a session with it."""

        async def session(charger: SimulatedCharger) -> None:
            await charger.plug_in()
            assert await charger.authorize(code) == ACCEPTED
            assert (await charger.start(code)).status == ACCEPTED
            await charger.stop()

        self._do(session, code, ACCEPTED)

    def _do(
        self, what: Callable[[SimulatedCharger], Awaitable[None]], code: str, status: str
    ) -> None:
        """Do it once a tap would be answered so: what was done elsewhere takes a moment."""
        deadline = time.monotonic() + 60
        asked = ("authorize", "--charger", self._identity, "--code", code)
        while True:
            decision = self._system.chargekey(*asked)
            known = decision["reason"] != "charger_unknown"
            if known and decision["status"] == status:
                break
            assert time.monotonic() < deadline, decision

        async def connected() -> None:
            url = self._system.ready["ocpp"]
            async with simulated_charger(url, self._identity, self._password) as charger:
                await charger.boot()
                await what(charger)

        asyncio.run(connected())


def to_local_users(page: Page, site: str) -> None:
    page.goto(f"/installations/{site}")
    page.get_by_role("link", name="Local users").click()


def added(page: Page, first_name: str, last_name: str, *, blocked: bool = False) -> None:
    """Add a local user by the form; his identifications are open then."""
    page.get_by_role("button", name="Add new").click()
    page.get_by_label("First name").fill(first_name)
    page.get_by_label("Last name").fill(last_name)
    page.get_by_label("Blocked (prevent access)").set_checked(blocked)
    page.get_by_role("button", name="Save").click()


def to_adding(page: Page, way: str) -> None:
    page.locator("summary", has_text="Add").click()
    page.get_by_role("link", name=way).click()


def test_a_pin_added_in_the_browser_opens_a_session_at_the_charger(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S0-10...S0-14, S0-16...S0-24, R13."""
    page, site = owner(open_page, system, "owner@portal-local-users.example", refusals=[400])
    post = Post(system, site, "LOCAL-1")
    to_local_users(page, site)
    assert axe(page) == []
    page.get_by_role("button", name="Add new").click()
    expect(page.get_by_role("heading", name="My profile")).to_be_visible()
    expect(page.get_by_label("Blocked (prevent access)")).not_to_be_checked()
    assert axe(page) == []
    page.get_by_label("First name").fill("Ada")
    page.get_by_label("Last name").fill("Lovelace")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="User identifications: Ada Lovelace")).to_be_visible()
    expect(page.get_by_text("Nothing to present yet.")).to_be_visible()
    post.refuses("#2468")
    to_adding(page, "Add it manually")
    assert axe(page) == []
    page.get_by_label("Type").select_option("PIN code")
    page.get_by_label("Status").select_option("Active")
    page.get_by_label("Code").fill("2468")
    page.get_by_label("Expiration date").fill("2031-12-31")
    page.get_by_role("button", name="Save").click()
    # The # is never added for whoever forgets it, and no code is shown again.
    expect(page.get_by_role("alert")).to_contain_text("Code: pin_malformed")
    expect(page.get_by_label("Code")).to_have_value("")
    expect(page.get_by_label("Expiration date")).to_have_value("2031-12-31")
    page.get_by_label("Code").fill("#2468")
    page.get_by_label("Expiration date").fill("")
    page.get_by_role("button", name="Save").click()
    row = page.locator(".cards > li").filter(has_text="PIN code")
    expect(row).to_contain_text("Active")
    expect(row).to_contain_text("No end")
    assert "2468" not in page.content()
    assert axe(page) == []
    post.charges("#2468")


def test_a_pin_is_shown_once_and_another_one_takes_its_place(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S0-16, S0-19, S0-22, S0-25, S0-26, R13, R17: on a phone in the dark."""
    page, site = owner(
        *(open_page, system, "second@portal-local-users.example"),
        viewport=PHONE,
        color_scheme="dark",
        refusals=[409],
    )
    post = Post(system, site, "LOCAL-2")
    to_local_users(page, site)
    added(page, "Bo", "Dahl")
    to_adding(page, "Add it manually")
    page.get_by_role("button", name="Generate a free PIN").click()
    offered = page.get_by_label("Code").input_value()
    assert offered.startswith("#")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Reveal code of PIN code, line 1").click()
    expect(page.get_by_text("that you have looked is recorded")).to_be_visible()
    expect(page.locator(".cards > li").filter(has_text="PIN code")).to_contain_text(offered)
    assert axe(page) == []
    page.get_by_role("link", name="Activity").click()
    expect(
        page.get_by_text("Kari Nordmann looked at the code of an identification of Bo Dahl")
    ).to_be_visible()
    post.charges(offered)
    # Of the list: the name leads to the profile, the card to what is presented.
    to_local_users(page, site)
    page.get_by_role("link", name="Identifications of Bo Dahl").click()
    expect(page.get_by_text(offered)).to_have_count(0)
    page.get_by_role("button", name="Edit PIN code, line 1").click()
    assert axe(page) == []
    page.get_by_label("New code").fill("#975311")
    page.get_by_label("Expiration date").fill("2031-12-31")
    page.get_by_label("Group", exact=True).fill("family-1")
    page.get_by_label("Group card").check()
    page.get_by_role("button", name="Save").click()
    row = page.locator(".cards > li").filter(has_text="PIN code")
    expect(row).to_contain_text("until 31 Dec 2031")
    expect(row).to_contain_text("family-1")
    post.refuses(offered)
    post.charges("#975311")
    page.get_by_role("button", name="Edit PIN code, line 1").click()
    page.get_by_label("Status").select_option("Inactive")
    page.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("Inactive")
    post.refuses("#975311")
    # Nobody is told whose it is, that it is taken.
    to_adding(page, "Add it manually")
    page.get_by_label("Code").fill("#975311")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Code: code_unavailable")
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Remove PIN code, line 1").click()
    assert axe(page) == []
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("Nothing to present yet.")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_blocked_user_is_refused_and_his_name_is_changed_by_its_link(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S0-15, S0-25, R12: from the beginning, and later."""
    page, site = owner(open_page, system, "third@portal-local-users.example", refusals=[400])
    post = Post(system, site, "LOCAL-3")
    to_local_users(page, site)
    added(page, "Cat", "Lund", blocked=True)
    to_adding(page, "Add it manually")
    page.get_by_label("Code").fill("#8642")
    page.get_by_role("button", name="Save", exact=True).click()
    post.refuses("#8642", "Blocked")
    to_local_users(page, site)
    page.get_by_role("link", name="Cat Lund", exact=True).click()
    page.get_by_label("First name").fill("Kate")
    page.get_by_label("Blocked (prevent access)").uncheck()
    assert axe(page) == []
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Blocked no longer.")).to_be_visible()
    post.charges("#8642")
    page.get_by_label("Search by name").fill("kate l")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Kate Lund", exact=True).click()
    page.get_by_label("Blocked (prevent access)").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Blocked.", exact=True)).to_be_visible()
    kate = page.locator(".cards > li").filter(has_text="Kate Lund")
    expect(kate.get_by_text("Blocked")).to_be_visible()
    post.refuses("#8642", "Blocked")
    page.get_by_role("link", name="Kate Lund", exact=True).click()
    page.get_by_label("Last name").fill(" ")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: ")


def test_a_card_is_scanned_at_a_charger_or_taken_from_what_was_refused(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S0-16, S3-51, S3-54, R15, R16: it is seen to be added without another look."""
    page, site = owner(open_page, system, "fourth@portal-local-users.example", refusals=[400])
    post = Post(system, site, "LOCAL-4")
    to_local_users(page, site)
    added(page, "Dag", "Moen")
    to_adding(page, "Add it manually")
    # Numbers that tell no card from another: the page says so, and the service refuses them.
    expect(page.get_by_text("Never type the number printed on a bank card")).to_be_visible()
    page.get_by_label("Type").select_option("Charge card (RFID)")
    page.get_by_label("Code").fill("08010203")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Code: rfid_random")
    page.get_by_role("link", name="Cancel").click()
    to_adding(page, "Scan at a charger")
    assert axe(page) == []
    page.get_by_label("Charger").select_option("LOCAL-4")
    page.get_by_role("button", name="Start scan").click()
    expect(page.get_by_text("Present the card at the charger.")).to_be_visible()
    seconds = page.get_by_role("timer")
    before = seconds.inner_text()
    assert before.endswith(" seconds left")
    expect(seconds).not_to_have_text(before)
    assert axe(page) == []
    post.refuses(CARD)
    expect(page.get_by_text("The card is added")).to_be_visible()
    expect(seconds).to_be_empty()
    page.get_by_role("button", name="User identifications").click()
    card = page.locator(".cards > li").filter(has_text="Charge card (RFID)")
    expect(card).to_contain_text("Active")
    post.charges(CARD)
    to_adding(page, "Scan at a charger")
    page.get_by_role("button", name="Start scan").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled; nothing was added.")).to_be_visible()

    other = CARD[:-1] + "B"
    post.refuses(other)
    to_adding(page, "From recent refusals")
    expect(page.get_by_role("row").filter(has_text="LOCAL-4")).to_contain_text("Charge card")
    assert other not in page.content()
    assert axe(page) == []
    page.get_by_role("button", name="Add what was presented").click()
    expect(card).to_have_count(2)
    post.charges(other)


def test_people_come_and_go_as_a_table_and_are_exported_and_erased(
    system: RunningSystem, open_page: OpenPage, tmp_path: Path
) -> None:
    """R20: each refused line is told first, and then nothing was done."""
    page, site = owner(open_page, system, "fifth@portal-local-users.example")
    to_local_users(page, site)
    page.get_by_role("button", name="People as a table").click()
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_text(f"{COLUMNS}Eva,Holm,,,,#1357,,\nFin,Dal,,,,1359,,\n")
    good.write_text(f"{COLUMNS}Eva,Holm,,,,#1357,,\nFin,Dal,,,,#1359,,\n")
    page.get_by_label("CSV file").set_input_files(bad)
    page.get_by_role("button", name="Check only").click()
    expect(page.get_by_role("row").filter(has_text="pin_malformed")).to_contain_text("3")
    assert axe(page) == []
    page.get_by_label("CSV file").set_input_files(good)
    page.get_by_role("button", name="Check only").click()
    expect(page.get_by_text("All 2 lines can be imported; nothing was yet.")).to_be_visible()
    assert system.chargekey("user", "list", "--installation", site)["users"] == []
    # The file is still chosen.
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("Imported.")).to_be_visible()
    expect(page.get_by_role("link", name="Fin Dal", exact=True)).to_be_visible()

    page.get_by_role("button", name="People as a table").click()
    for codes in (False, True):
        page.get_by_label("With codes").set_checked(codes)
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Export").click()
        assert ("#1357" in waiting.value.path().read_text()) is codes

    to_local_users(page, site)
    page.get_by_role("link", name="Fin Dal", exact=True).click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export personal data").click()
    assert "#1359" in waiting.value.path().read_text()
    page.get_by_role("button", name="Erase").click()
    expect(page.get_by_text("Nobody can undo this.")).to_be_visible()
    assert axe(page) == []
    page.get_by_role("button", name="Erase for ever").click()
    expect(page.get_by_text("Erased.")).to_be_visible()
    expect(page.get_by_text("Fin Dal")).to_have_count(0)


def test_without_script_a_file_is_checked_and_a_card_is_scanned_all_the_same(
    system: RunningSystem, open_page: OpenPage, tmp_path: Path
) -> None:
    """R16."""
    address, invited = "sixth@portal-local-users.example", "gro@portal-local-users.example"
    page, site = owner(open_page, system, address, refusals=[403])
    system.chargekey(
        *("permission", "grant", "--installation", site, "--email", invited, "--roles", "user")
    )
    his = signed_up(open_page, system, invited, first_name="Gro", refusals=[403])
    his.goto(f"/installations/{site}/local-users")
    expect(his.get_by_text("Code: permission_denied")).to_be_visible()
    # What works at this site alone of somebody with an account, added here by its owner.
    page.goto(f"/installations/{site}/permissions")
    page.get_by_role("link", name="Identifications of Gro Nordmann").click()
    expect(page.get_by_text("Has an account")).to_be_visible()
    to_adding(page, "Add it manually")
    page.get_by_label("Code").fill("#112233")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".cards > li").filter(has_text="PIN code")).to_contain_text("Active")
    post = Post(system, site, "LOCAL-6")
    post.charges("#112233")
    table = tmp_path / "people.csv"
    table.write_text(f"{COLUMNS}Hans,Aas,,,,,,\n")
    plain = open_page(system.ready["portal"], java_script_enabled=False)
    plain.context.add_cookies(page.context.cookies())  # type: ignore[arg-type] # the same shape
    plain.goto(f"/installations/{site}/people")
    plain.get_by_label("CSV file").set_input_files(table)
    plain.get_by_role("button", name="Check only").click()
    expect(plain.get_by_text("1 line can be imported")).to_be_visible()
    plain.get_by_label("CSV file").set_input_files(table)
    plain.get_by_role("button", name="Import", exact=True).click()
    plain.get_by_role("link", name="Identifications of Hans Aas").click()
    plain.locator("summary", has_text="Add").click()
    plain.get_by_role("link", name="Scan at a charger").click()
    plain.get_by_label("Charger").select_option("LOCAL-6")
    plain.get_by_role("button", name="Start scan").click()
    post.refuses(CARD[:-1] + "C")
    told = plain.get_by_text("The card is added")
    deadline = time.monotonic() + 30
    while not told.is_visible():
        assert time.monotonic() < deadline
        plain.get_by_role("link", name="Look again").click()
        plain.wait_for_load_state()
    expect(told).to_be_visible()
