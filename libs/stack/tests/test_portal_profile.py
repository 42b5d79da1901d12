"""What drivers have of their own at the portal: walks in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from chargekey_common.testing.browser import PHONE, OpenPage, axe
from chargekey_stack.simulator import SimulatedCharger

from .a_charger import a_charger, added_charger
from .at_rest import invited
from .at_the_portal import owned, owner, signed_up
from .mails import token
from .running_system import RunningSystem

CARD = "04 A1 B2 C3 D4 E5 01"
SCANNED, OTHER = "04A1B2C3D4E502", "04A1B2C3D4E503"
PINS = re.compile(r"#[0-9]{4,8}")


def to_profile(page: Page, tab: str) -> None:
    page.get_by_role("link", name="My profile").click()
    page.get_by_role("link", name=tab, exact=True).click()


def driver(open_page: OpenPage, system: RunningSystem, site: str, address: str, **how: Any) -> Page:
    """Return a page of somebody who may charge at the site."""
    system.chargekey(
        *("permission", "grant", "--installation", site, "--email", address, "--roles", "user")
    )
    return signed_up(open_page, system, address, **how)


def test_name_language_and_time_zone_are_his_own_and_his_language_comes_with_him(
    system: RunningSystem, open_page: OpenPage
) -> None:
    address = "first@portal-profile.example"
    page, _ = owner(open_page, system, address, refusals=[400])
    page.get_by_role("link", name="My profile").click()
    expect(page.get_by_text(address)).to_be_visible()
    page.get_by_label("First name").fill("Ada")
    page.get_by_role("button", name="Save name").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_label("First name")).to_have_value("Ada")
    page.get_by_label("First name").fill("x" * 500)
    page.get_by_role("button", name="Save name").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: ")
    assert axe(page) == []
    page.get_by_label("Language of pages and mails").select_option("nb")
    page.get_by_label("Time zone").select_option("Europe/London")
    page.get_by_role("button", name="Save language and time zone").click()
    expect(page.locator("html")).to_have_attribute("lang", "nb")
    expect(page.locator("#time_zone")).to_have_value("Europe/London")
    # Elsewhere, with a browser that says nothing of it.
    again = signed_in_anew(open_page, system, address)
    expect(again.locator("html")).to_have_attribute("lang", "nb")


def signed_in_anew(open_page: OpenPage, system: RunningSystem, address: str) -> Page:
    """Return a page of somebody who signs in elsewhere, whichever language it is in then."""
    page = open_page(system.ready["portal"])
    page.goto("/sign-in")
    page.get_by_label("E-mail address").fill(address)
    page.get_by_role("button", name="Send me a link").click()
    page.goto(f"/sign-in#{token(system.data, address, 2)}")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/installations")
    return page


def test_a_charge_card_is_added_by_its_number_shown_switched_off_and_removed(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-12, S3-50, S3-52, S3-53, S3-54, R15, R17."""
    page, site = owner(open_page, system, "second@portal-profile.example", refusals=[400, 409])
    password = added_charger(system, site, "PROFILE-CARD")
    page.get_by_role("link", name="My profile").click()
    page.get_by_role("button", name="Add charge card").click()
    expect(page.get_by_text("Scan the card at a charger instead")).to_be_visible()
    assert axe(page) == []
    number = page.get_by_label("Number on the chip")
    for bad, code in (
        ("08112233", "rfid_random"),
        ("01020304", "rfid_random"),
        ("04A1", "rfid_malformed"),
    ):
        number.fill(bad)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert")).to_contain_text(f"Code: {code}")
        # Codes are not written back.
        expect(number).to_have_value("")
    number.fill(CARD)
    page.get_by_label("Last day").fill("2030-01-31")
    page.get_by_label("Group").fill("family")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Added; it works from now on.")).to_be_visible()
    card = page.get_by_role("listitem").filter(has_text="Charge card (RFID)")
    expect(card).to_contain_text("until 31 Jan 2030")
    expect(card).to_contain_text("group family")
    with a_charger(system, "PROFILE-CARD", password) as charger:
        charger.becomes(CARD.replace(" ", ""), "Accepted")
    assert CARD.replace(" ", "") not in page.content()
    assert axe(page) == []
    card.get_by_role("button", name="Show the code").click()
    expect(page.get_by_text(CARD.replace(" ", ""))).to_be_visible()
    page.get_by_role("button", name="Back to my identifications").click()
    card.get_by_role("button", name="Deactivate").click()
    expect(card.get_by_text("Inactive")).to_be_visible()
    card.get_by_role("button", name="Activate").click()
    expect(card.get_by_text("Active", exact=True)).to_be_visible()
    # It is nobody else's meanwhile.
    page.get_by_role("button", name="Add charge card").click()
    number.fill(CARD)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: rfid_in_use")
    to_profile(page, "Identifications")
    card.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Removed.")).to_be_visible()
    expect(card).to_have_count(0)


def test_a_card_is_added_by_holding_it_twice_against_a_charger(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-51, S3-54, R16."""
    site = owned(system, "third@portal-profile.example")
    password = added_charger(system, site, "PROFILE-SCAN")
    page = driver(open_page, system, site, "scanner@portal-profile.example", viewport=PHONE)
    with a_charger(system, "PROFILE-SCAN", password) as charger:
        to_profile(page, "Identifications")
        page.get_by_role("button", name="Scan it at a charger").click()
        assert axe(page) == []
        page.get_by_label("Charger").select_option(index=0)
        page.get_by_role("button", name="Start scanning").click()
        expect(page.get_by_text("Present the card at the charger.")).to_be_visible()
        assert charger.does(lambda it: it.authorize(SCANNED)) == "Invalid"
        expect(page.get_by_text("Present the same card once more")).to_be_visible()
        # It is asked for once it counts, and so at once.
        charger.does(lambda it: it.authorize(SCANNED))
        expect(page.get_by_text("Your card is added.")).to_be_visible()
        charger.becomes(SCANNED, "Accepted")
        assert axe(page) == []
        page.get_by_role("button", name="Back to my identifications").click()
        expect(page.get_by_text("Charge card (RFID)")).to_be_visible()
        page.get_by_role("button", name="Scan it at a charger").click()
        page.get_by_role("button", name="Start scanning").click()
        # Pressed before the page is another one and let go afterwards, it is pressed.
        page.get_by_role("button", name="Cancel").focus()
        page.keyboard.down("Space")
        assert charger.does(lambda it: it.authorize(OTHER)) == "Invalid"
        expect(page.get_by_text("Present the same card once more")).to_be_visible()
        page.keyboard.up("Space")
        expect(page.get_by_text("Cancelled.")).to_be_visible()


def test_a_pin_is_suggested_for_an_installation_and_works_there(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R13; and who holds nothing there is given none."""
    address = "fourth@portal-profile.example"
    page, site = owner(open_page, system, address, refusals=[400])
    to_profile(page, "Identifications")
    page.get_by_role("button", name="Add PIN").click()
    assert axe(page) == []
    page.get_by_label("Installation").select_option(f"Site of {address}")
    page.get_by_role("button", name="Suggest a PIN").click()
    expect(page.get_by_label("PIN code")).to_have_value(PINS)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text(f"At Site of {address} only")).to_be_visible()
    page.get_by_role("button", name="Add PIN").click()
    page.get_by_label("PIN code").fill("1234")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: ")
    assert site


def test_a_driver_starts_and_stops_charging_and_sees_it_in_his_past(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-12, S3-17, S3-55, S3-56, R10, R22."""
    site = owned(system, "fifth@portal-profile.example")
    password = added_charger(system, site, "PROFILE-CHARGE")
    page = driver(open_page, system, site, "charger@portal-profile.example", viewport=PHONE)
    with a_charger(system, "PROFILE-CHARGE", password) as charger:
        to_profile(page, "My chargers")
        row = page.get_by_role("listitem").filter(has_text="PROFILE-CHARGE")
        expect(row.get_by_role("img", name="Key:")).to_be_visible()
        expect(row.get_by_text("Online")).to_be_visible()
        # Every client is told the same list.
        held = system.chargekey("permission", "list", "--installation", site)["permissions"]
        [who] = [each["user_id"] for each in held if each["roles"] == ["user"]]
        listed = system.chargekey("user", "chargers", who)["chargers"]
        assert [(each["ocpp_identity"], each["key"]) for each in listed] == [
            ("PROFILE-CHARGE", True)
        ]
        charger.does(SimulatedCharger.plug_in)
        expect(row.get_by_text("Waiting for authorisation")).to_be_visible()
        row.get_by_role("button", name="Start charging PROFILE-CHARGE").click()
        expect(page.get_by_text("The charger starts")).to_be_visible()
        expect(row.get_by_text("Charging since")).to_be_visible()
        assert axe(page) == []
        row.get_by_role("button", name="Stop charging PROFILE-CHARGE").click()
        expect(row.get_by_role("button", name="Start charging PROFILE-CHARGE")).to_be_visible()
        assert charger.does(lambda it: it.authorize("04A1B2C3D4E5FF")) == "Invalid"
    to_profile(page, "Sessions")
    session = page.get_by_role("row").filter(has_text="PROFILE-CHARGE")
    expect(session).to_contain_text("kWh")
    assert axe(page) == []
    session.get_by_role("link", name="Why the session").click()
    expect(page).to_have_url(re.compile("/decisions/"))
    page.goto("/profile/refusals")
    expect(page.get_by_text("Nothing was refused to you.")).to_be_visible()
    assert axe(page) == []
    # Nothing need be presented: no key.
    system.chargekey("installation", "set", site, "--authorisation-required", "no")
    to_profile(page, "My chargers")
    expect(row.get_by_text("Open to anyone")).to_be_visible()
    expect(row.get_by_role("img")).to_have_count(0)
    expect(row.get_by_text("Offline")).to_be_visible()
    # What is his past no longer names where he may not be, nor tells an id of it.
    [his] = [each["id"] for each in held if each["user_id"] == who]
    system.chargekey("permission", "revoke", his)
    to_profile(page, "Sessions")
    expect(page.get_by_role("rowheader", name="a charger", exact=True)).to_be_visible()


def test_a_driver_leaves_and_the_last_owner_does_not(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R6."""
    address = "sixth@portal-profile.example"
    page, site = owner(open_page, system, address, refusals=[409])
    user = driver(open_page, system, site, "leaver@portal-profile.example", color_scheme="dark")
    for each, alone in ((user, False), (page, True)):
        to_profile(each, "Permissions")
        assert axe(each) == []
        each.get_by_role("button", name=f"Leave Site of {address}").click()
        each.get_by_role("button", name="Leave", exact=True).click()
        if alone:
            expect(each.get_by_role("alert")).to_contain_text("Code: last_owner")
        else:
            expect(each.get_by_text("You have left.")).to_be_visible()
            expect(each.get_by_text("You have no permission of your own.")).to_be_visible()


def test_ownership_that_is_offered_is_accepted_or_declined(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R6: also by the mail of the offer, signed in or not, and by whoever held nothing there."""
    address = "seventh@portal-profile.example"
    site = owned(system, address)
    invited(system, address)
    name = f"Site of {address}"
    heir = driver(open_page, system, site, "heir@portal-profile.example", refusals=[404])
    offered = f"/profile/ownership/{site}"
    heir.goto(offered)
    expect(heir.get_by_text("Code: not_found")).to_be_visible()
    for answer in ("Decline", "Accept ownership"):
        system.chargekey(
            *("installation", "transfer", site, "--email", "heir@portal-profile.example")
        )
        to_profile(heir, "Permissions")
        heir.get_by_role("link", name=f"You are offered the ownership of {name}").click()
        expect(heir.get_by_text(f"You are offered to own {name}.")).to_be_visible()
        heir.get_by_role("button", name=answer).click()
        expect(heir.locator(".told")).to_be_visible()
    expect(heir.get_by_text("You own this installation from now on.")).to_be_visible()
    address = "second-heir@portal-profile.example"
    system.chargekey("installation", "transfer", site, "--email", address)
    second = signed_up(open_page, system, address)
    expect(second.get_by_role("link", name=name)).to_have_count(0)
    second.get_by_role("link", name="Ownership offered to you").click()
    expect(second.get_by_text(f"You are offered to own {name}.")).to_be_visible()
    second.get_by_role("button", name="Sign out").click()
    second.goto(offered)
    second.get_by_label("E-mail address").fill(address)
    second.get_by_role("button", name="Send me a link").click()
    second.get_by_role("heading", name="Look into your mail").wait_for()
    second.goto(f"/sign-in#{token(system.data, address, 2)}")
    second.get_by_role("button", name="Sign in").click()
    expect(second.get_by_text(f"You are offered to own {name}.")).to_be_visible()
    assert axe(second) == []


def test_mails_are_declined_and_wanted_again(system: RunningSystem, open_page: OpenPage) -> None:
    page, _ = owner(open_page, system, "eighth@portal-profile.example")
    to_profile(page, "Mails")
    assert axe(page) == []
    reminders = page.get_by_label("Reminders before something ends")
    for wanted in (False, True):
        reminders.set_checked(wanted)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Saved.")).to_be_visible()
        expect(reminders).to_be_checked(checked=wanted)
        expect(page.get_by_label("What I am given, and how that changes")).to_be_checked()


def test_everything_is_exported_and_erased_and_the_last_owner_is_not(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R6, R20."""
    address = "ninth@portal-profile.example"
    page, site = owner(open_page, system, address, refusals=[400, 409])
    to_profile(page, "My data")
    assert axe(page) == []
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Export my data").click()
    document = json.loads(Path(downloading.value.path()).read_bytes())
    assert document["permissions"][0]["installation_id"] == site
    assert address in json.dumps(document["identity"])
    page.get_by_role("button", name="Erase me").click()
    assert axe(page) == []
    mine = page.get_by_label("Your own e-mail address")
    for typed, code in (
        ("other@portal-profile.example", "address_not_yours"),
        (address, "last_owner"),
    ):
        mine.fill(typed)
        page.get_by_role("button", name="Erase me for ever").click()
        expect(page.get_by_role("alert")).to_contain_text(f"Code: {code}")
    user = driver(open_page, system, site, "forgotten@portal-profile.example")
    user.goto("/profile/erase")
    user.get_by_label("Your own e-mail address").fill("forgotten@portal-profile.example")
    user.get_by_role("button", name="Erase me for ever").click()
    expect(user.get_by_text("You are erased, and signed out.")).to_be_visible()
    user.goto("/profile")
    expect(user.get_by_role("heading", name="Sign in")).to_be_visible()


def test_what_is_somebody_elses_is_not_reached_by_its_address(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R17."""
    site = owned(system, "tenth@portal-profile.example")
    stranger = driver(
        open_page, system, site, "stranger@portal-profile.example", refusals=[403, 404]
    )
    held = system.chargekey("permission", "list", "--installation", site)["permissions"]
    theirs = next(each["id"] for each in held if "owner" in each["roles"])
    stranger.goto(f"/profile/permissions/{theirs}/leave")
    expect(stranger.get_by_text("Code: permission_denied")).to_be_visible()
    stranger.goto("/profile/scans/00000000000000000000000000000000")
    expect(stranger.get_by_role("alert")).to_contain_text("Code: ")


def test_nobody_has_a_profile_who_is_not_signed_in(
    system: RunningSystem, open_page: OpenPage
) -> None:
    page = open_page(system.ready["portal"])
    for tab in ("", "/identifications", "/chargers", "/sessions", "/permissions", "/data"):
        page.goto(f"/profile{tab}")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
