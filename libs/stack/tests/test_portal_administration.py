"""What administrators have at the portal, for minutes at a time: walks in a browser."""

from __future__ import annotations

import re
import time
from typing import Any

from playwright.sync_api import Page, expect

from chargekey_common.testing.browser import PHONE, OpenPage, axe

from .a_charger import a_charger
from .at_rest import invited
from .at_the_portal import owned, owner, signed_in, signed_up
from .mails import token, tokens
from .running_system import RunningSystem

ADDRESSES = (
    "/administration",
    "/administration/people",
    "/administration/partners",
    "/administration/partners/new",
    "/administration/installations",
    "/administration/health",
)
SERVICES = ("access", "identity", "gateway", "history", "notifier")


def administrator(open_page: OpenPage, system: RunningSystem, **how: Any) -> Page:
    """Return a page of the system's administrator, who does not act as one yet."""
    address = system.ready["administrator"]
    mail = len(tokens(system.data, address)) + 1
    return signed_in(open_page, system, address, mail=mail, **how)


def acting(open_page: OpenPage, system: RunningSystem, **how: Any) -> Page:
    """Return a page of the same, who does."""
    page = administrator(open_page, system, **how)
    page.get_by_role("link", name="Administration", exact=True).click()
    page.get_by_role("button", name="Act as administrator").click()
    expect(page.get_by_text("You act as an administrator")).to_be_visible()
    return page


def to(page: Page, tab: str) -> None:
    tabs = page.get_by_role("navigation", name="Administration")
    tabs.get_by_role("link", name=tab, exact=True).click()
    expect(page.get_by_role("heading", level=2).first).to_be_visible()


def searched(page: Page, label: str, text: str) -> None:
    page.get_by_role("searchbox", name=label).fill(text)
    page.get_by_role("button", name="Search").click()


def taps(system: RunningSystem, charger: str, code: str, reason: str) -> None:
    """Wait until whoever presents this there is answered so: changes take a moment."""
    deadline = time.monotonic() + 30
    ask = ("authorize", "--charger", charger, "--code", code)
    while (answered := system.chargekey(*ask))["reason"] != reason:
        assert time.monotonic() < deadline, answered


def test_an_administrator_acts_as_one_for_minutes_and_stops(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """ADR 36: what he does for himself and what he does to others are kept apart."""
    page = administrator(open_page, system, refusals=[403])
    # An address that needs it leads to the button, and from there back.
    page.goto("/administration/partners/new")
    expect(page.get_by_role("button", name="Act as administrator")).to_be_visible()
    expect(page.get_by_text("That you do is recorded")).to_be_visible()
    assert axe(page) == []
    page.get_by_role("button", name="Act as administrator").click()
    expect(page.get_by_role("heading", name="New partner")).to_be_visible()
    expect(page.get_by_text(re.compile(r"for [45] more minutes"))).to_be_visible()
    page.get_by_role("link", name="Administration", exact=True).click()
    assert axe(page) == []
    # He himself holds nothing anywhere.
    to(page, "People")
    page.get_by_role("link", name=system.ready["administrator"]).click()
    expect(page.get_by_text("May act as one")).to_be_visible()
    expect(page.get_by_text("None.")).to_be_visible()
    # Acting or not, what is his own he does as himself.
    site = owned(system, "theirs@portal-administration.example")
    page.goto(f"/installations/{site}")
    expect(page.get_by_text("Code: permission_denied")).to_be_visible()
    page.goto("/administration/partners/new")
    elsewhere = page.context.new_page()
    elsewhere.goto("/administration/people")
    elsewhere.get_by_role("button", name="Stop acting").click()
    expect(elsewhere.get_by_text("You act as an administrator no longer.")).to_be_visible()
    page.get_by_label("Name").fill("Too late AS")
    page.get_by_label("Contact").fill("late@portal-administration.example")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("nothing was changed")).to_be_visible()
    assert "Too late AS" not in str(system.chargekey("partner", "list"))


def test_somebody_is_blocked_on_the_whole_platform_and_no_longer(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R12: his next tap is refused, and his next visit; lifted, everything counts as before."""
    address, charger, code = "petra@portal-administration.example", "PLATFORM-1", "#271828"
    site = owned(system, address)
    invited(system, address, first_name="Petra", last_name="Plattform")
    system.chargekey("charger", "add", "--installation", site, "--ocpp-identity", charger)
    [held] = system.chargekey("permission", "list", "--installation", site)["permissions"]
    system.chargekey(
        *("identification", "add", "--user", held["user_id"]),
        *("--installation", site, "--type", "pin", "--code", code),
    )
    taps(system, charger, code, "installation_permission")
    his = open_page(system.ready["portal"], refusals=[401, 403, 409])
    his.goto("/sign-in")
    his.get_by_label("E-mail address").fill(address)
    his.get_by_role("button", name="Send me a link").click()
    link = token(system.data, address, 2)

    page = acting(open_page, system)
    to(page, "People")
    searched(page, "Search by name or e-mail address", "petra platt")
    expect(page.get_by_text(address)).to_be_visible()
    assert axe(page) == []
    page.get_by_role("link", name="Petra Plattform").click()
    expect(page.get_by_role("link", name=f"Site of {address}")).to_be_visible()
    assert axe(page) == []
    page.get_by_role("button", name="Block on the whole platform").click()
    expect(page.get_by_text("They cannot sign in")).to_be_visible()
    assert axe(page) == []
    page.get_by_role("button", name="Block on the whole platform").click()
    expect(page.get_by_text("Blocked.", exact=True)).to_be_visible()
    expect(page.get_by_text("On the whole platform", exact=True)).to_be_visible()
    taps(system, charger, code, "user_blocked")
    his.goto(f"/sign-in#{link}")
    his.get_by_role("button", name="Sign in").click()
    expect(his.get_by_text("Code: ")).to_be_visible()
    page.get_by_role("button", name="Unblock").click()
    expect(page.get_by_text("Blocked no longer.")).to_be_visible()
    taps(system, charger, code, "installation_permission")


def test_a_partner_gets_who_manages_it_and_an_installation_another_owner(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R6, R8."""
    manager, new = "boss@portal-administration.example", "heir@portal-administration.example"
    first = "gone@portal-administration.example"
    owned(system, first)
    invited(system, first)
    page = acting(open_page, system, refusals=[400, 409])
    to(page, "Partners")
    page.get_by_role("button", name="New partner").click()
    page.get_by_label("Name").fill("Fleet and Sons AS")
    page.get_by_label("Kind").select_option("Payment operator")
    page.get_by_label("Contact").fill("x" * 500)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: contact_malformed")
    expect(page.get_by_label("Name")).to_have_value("Fleet and Sons AS")
    assert axe(page) == []
    page.get_by_label("Contact").fill("help@fleet.example")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Created. Add who is to manage it next.")).to_be_visible()
    expect(page.get_by_text("Payment operator")).to_be_visible()
    page.get_by_label("E-mail address").fill(manager)
    page.get_by_role("button", name="Add member").click()
    expect(page.get_by_text("Added; whoever is new here")).to_be_visible()
    expect(page.get_by_role("link", name=manager)).to_be_visible()
    assert axe(page) == []
    page.get_by_role("link", name="Permissions").click()
    expect(page.get_by_text("None.")).to_be_visible()
    assert axe(page) == []
    to(page, "Partners")
    assert axe(page) == []
    his = signed_up(open_page, system, manager)
    his.get_by_role("link", name="Partners", exact=True).first.click()
    his.get_by_role("link", name="Fleet and Sons AS").click()
    expect(his.get_by_role("button", name="Change the lookup key")).to_be_visible()

    to(page, "Installations")
    searched(page, "Search by name", f"site of {first}")
    assert axe(page) == []
    page.get_by_role("link", name=f"Site of {first}").click()
    expect(page.get_by_role("link", name="Kari Nordmann")).to_be_visible()
    page.get_by_label("E-mail address of the new owner").fill("nobody@at@all")
    page.locator("form[action$=ownership]").evaluate("form => { form.noValidate = true }")
    page.get_by_role("button", name="Offer ownership").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: email_malformed")
    page.get_by_label("E-mail address of the new owner").fill(new)
    page.get_by_role("button", name="Offer ownership").click()
    expect(page.get_by_text(f"Ownership is offered to {new}.")).to_be_visible()
    assert axe(page) == []
    page.get_by_role("button", name="Withdraw the offer").click()
    expect(page.get_by_text("Withdrawn; nothing changes hands.")).to_be_visible()


def test_how_far_the_services_are_is_shown_as_it_changes(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """On a phone in the dark; and that stores and streams say the same."""
    site = system.chargekey(
        "installation", "create", "--name", "Healthy", "--time-zone", "Europe/Oslo"
    )["id"]
    password = system.chargekey(
        "charger", "add", "--installation", site, "--ocpp-identity", "HEALTHY-1"
    )["password"]
    page = acting(open_page, system, viewport=PHONE, color_scheme="dark")
    assert axe(page) == []
    for tab in ("People", "Partners", "Installations", "Health"):
        to(page, tab)
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for name in SERVICES:
        expect(page.get_by_role("heading", name=f"{name} serves")).to_be_visible()
        told = page.get_by_role("list", name=name).get_by_role("listitem")
        expect(told.first).to_contain_text("Up to date")
    expect(page.get_by_text("Not known at the moment")).to_have_count(0)
    connected = page.get_by_text(re.compile(r"\d+ chargers? (is|are) connected"))
    before = connected.inner_text()
    with a_charger(system, "HEALTHY-1", password):
        expect(connected).not_to_have_text(before)
    expect(connected).to_have_text(before)
    told = system.chargekey("audit", "standing")["standings"]
    assert {each["service"] for each in told} == set(SERVICES)
    assert {(each["service"], each["stream"]) for each in told if each["part"] == "relay"} == {
        ("access", "ACCESS"),
        ("identity", "IDENTITY"),
    }
    page.get_by_role("button", name="Compare stores with streams").click()
    for stream in ("ACCESS", "IDENTITY"):
        compared = page.get_by_text(re.compile(rf"{stream} tells \d.* records as they are stored"))
        expect(compared).to_be_visible(timeout=60_000)
    assert axe(page) == []


def test_nobody_else_gets_there_by_typing_the_addresses(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R5: neither who owns an installation nor who manages a partner."""
    his, _ = owner(open_page, system, "own@portal-administration.example", refusals=[403])
    partner = system.chargekey(
        *("partner", "create", "--name", "Curious AS", "--kind", "service-partner"),
        *("--contact", "help@curious.example"),
    )["id"]
    address = "member@portal-administration.example"
    system.chargekey("partner", "member", "add", partner, "--email", address, "--manages")
    members = signed_up(open_page, system, address, refusals=[403])
    for page in (his, members):
        expect(page.get_by_role("link", name="Administration", exact=True)).to_have_count(0)
        for each in (*ADDRESSES, f"/administration/partners/{partner}"):
            page.goto(each)
            expect(page.get_by_text("Code: permission_denied")).to_be_visible()
    assert axe(members) == []
    stranger = open_page(system.ready["portal"])
    stranger.goto("/administration/health")
    expect(stranger.get_by_role("button", name="Send me a link")).to_be_visible()
