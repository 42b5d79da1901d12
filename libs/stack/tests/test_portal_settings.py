"""An installation's settings, its past and what was changed: walks in a browser."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import openpyxl
from playwright.sync_api import Page, expect

from chargekey_common.testing.browser import PHONE, OpenPage, axe

from .a_charger import a_charger, added_charger
from .at_the_portal import come_to_be, owned, owner, signed_up
from .running_system import RunningSystem

# A card that is nobody's.
STRANGE = "04FFEEDDCCBBA1"


def to_settings(page: Page, site: str, tab: str) -> None:
    page.goto("/installations")
    page.get_by_role("link", name=site).click()
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name=tab).click()


def test_authorisation_required_is_toggled_at_any_time(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-2, S3-3, S3-9...S3-11, S3-13, S3-14, S3-30...S3-34, S3-57, R1."""
    address = "owner@portal-settings.example"
    page, site = owner(open_page, system, address)
    password = added_charger(system, site, "CP-TOGGLE")
    [hers] = system.chargekey("permission", "list", "--installation", site)["permissions"]
    approved = "04A1B2C3D4E5A1"
    system.chargekey(
        *("identification", "add", "--user", hers["user_id"]),
        *("--type", "rfid", "--code", approved),
    )
    with a_charger(system, "CP-TOGGLE", password) as charger:
        for required in (False, True):
            to_settings(page, f"Site of {address}", "Authentication")
            expect(page.get_by_label("Native authentication")).to_be_checked()
            page.get_by_role("switch", name="Authorisation required").set_checked(required)
            # Nothing changes before Save.
            assert (
                system.chargekey("installation", "show", site)["authorisation_required"]
                is not required
            )
            page.get_by_role("button", name="Save", exact=True).click()
            expect(page.get_by_text("Saved.")).to_be_visible()
            charger.becomes(STRANGE, "Invalid" if required else "Accepted")
            charger.charges(approved if required else STRANGE)
            for area in ("Permissions", "Authentication", "Security"):
                expect(page.get_by_role("link", name=area, exact=True)).to_be_visible()
            if required:
                assert axe(page) == []
            page.get_by_role("link", name="Chargers").click()
            mark = "Locked: authorisation required" if required else "Open to anyone"
            expect(page.get_by_role("img", name=mark)).to_be_visible()


def test_name_address_and_policies_are_saved_and_refusals_told(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-5."""
    address = "second@portal-settings.example"
    how = {"viewport": PHONE, "color_scheme": "dark", "refusals": [400, 409]}
    page, _ = owner(open_page, system, address, **how)
    to_settings(page, f"Site of {address}", "General")
    page.get_by_label("Name").fill("Solsiden")
    page.get_by_role("button", name="Save name").click()
    expect(page.get_by_role("heading", name="Solsiden")).to_be_visible()
    page.get_by_label("Street and number").fill("Storgata 1")
    page.get_by_label("City").fill("Oslo")
    page.get_by_label("Country").fill("Norway")
    page.get_by_role("button", name="Save address").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: ")
    # What was typed is still there.
    expect(page.get_by_label("Street and number")).to_have_value("Storgata 1")
    assert axe(page) == []
    page.get_by_role("link", name="Security").click()
    # Somebody else has the same page open.
    others = page.context.new_page()
    others.goto(page.url)
    page.get_by_label("Digits of a new PIN, at least").fill("6")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    blocked = others.get_by_label("When somebody who is charging is blocked")
    blocked.select_option("Let the session finish")
    others.get_by_role("button", name="Save", exact=True).click()
    expect(others.get_by_role("alert")).to_contain_text("Code: changed_meanwhile")
    # What was typed is still there, and so is what was set meanwhile; the next Save counts.
    expect(others.get_by_text("Somebody else has set this meanwhile:")).to_have_count(1)
    expect(blocked).to_have_value("2")
    expect(others.get_by_label("Digits of a new PIN, at least")).to_have_value("6")
    assert axe(others) == []
    others.get_by_role("button", name="Save", exact=True).click()
    expect(others.get_by_text("Saved.")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Digits of a new PIN, at least")).to_have_value("6")
    expect(page.get_by_label("When somebody who is charging is blocked")).to_have_value("2")


def test_who_may_only_charge_sees_no_settings_that_he_could_change(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-6, R5: USER may charge, and change nothing."""
    site = owned(system, "third@portal-settings.example")
    address = "driver@portal-settings.example"
    system.chargekey(
        *("permission", "grant", "--installation", site, "--email", address, "--roles", "user")
    )
    page = signed_up(open_page, system, address, refusals=[403])
    page.goto(f"/installations/{site}/settings/authentication")
    expect(page.get_by_text("On: the chargers are locked")).to_be_visible()
    for tab in ("General", "Security"):
        page.get_by_role("link", name=tab).click()
        expect(page.get_by_role("link", name=tab)).to_have_attribute("aria-current", "page")
        expect(page.get_by_role("main").locator("input, select, button")).to_have_count(0)
    for hidden in ("Permissions", "Local users", "Reports", "Activity"):
        expect(page.get_by_role("link", name=hidden)).to_have_count(0)
    for refused in ("reports", "activity", "sessions"):
        page.goto(f"/installations/{site}/{refused}")
        expect(page.get_by_role("alert")).to_contain_text("Code: permission_denied")
    page.goto("/installations/00000000-0000-4000-8000-000000000000")
    expect(page.get_by_role("alert")).to_contain_text("Code: permission_denied")


def test_reports_are_per_charger_user_and_identification_and_apart_without_a_user(
    system: RunningSystem, open_page: OpenPage, tmp_path: Path
) -> None:
    """R24, S3-41: the same charger's, before it was opened and after."""
    page, site = owner(open_page, system, "fourth@portal-settings.example")
    charger = system.chargekey(
        "charger", "add", "--installation", site, "--ocpp-identity", "CP-PAST"
    )
    ada = system.chargekey(
        *("user", "add-local", "--installation", site, "--first-name", "Ada"),
        *("--last-name", "Lovelace"),
    )
    pin = system.chargekey(
        "identification", "add", "--user", ada["id"], "--type", "pin", "--code", "#24681"
    )
    system.chargekey(
        *("authorize", "--charger", "CP-PAST", "--code", "#24681"),
        *("--at-least", pin["position"], "--at-least", ada["access_position"]),
    )
    with a_charger(system, "CP-PAST", charger["password"]) as at_site:
        at_site.charges("#24681", watt_hours=7_000)
        assert at_site.does(lambda it: it.authorize("#99999")) == "Invalid"
        # Opened, it takes anybody, who stays nobody.
        system.chargekey("charger", "set", "CP-PAST", "--authorisation", "not-required")
        at_site.becomes(STRANGE, "Accepted")
        at_site.charges(STRANGE)
    page.goto(f"/installations/{site}")
    page.get_by_role("link", name="Sessions").click()
    come_to_be(page, page.get_by_role("link", name="Ada Lovelace"))
    assert axe(page) == []
    page.get_by_role("link", name="Refusals").click()
    come_to_be(page, page.get_by_text("Nobody has what was presented.").first)
    assert axe(page) == []
    page.get_by_role("link", name="Reports").click()
    nobodys = page.get_by_role("region", name="Without a user").get_by_role("row", name="CP-PAST")
    come_to_be(page, nobodys)
    for part, called, sessions in (
        ("Per charger", "CP-PAST", "2"),
        ("Per user", "Ada Lovelace", "1"),
        ("Per identification", "Ada Lovelace, PIN code", "1"),
        ("Without a user", "CP-PAST", "1"),
    ):
        row = page.get_by_role("region", name=part).get_by_role("row", name=called)
        expect(row.get_by_role("cell").first).to_have_text(sessions)
    # A chart has a scale, and a sentence for who does not see it.
    for shown, step in (("Energy over time", "6"), ("Sessions over time", "1")):
        drawn = page.get_by_role("img", name=re.compile(f"{shown}.*the most in"))
        expect(drawn.get_by_text(step, exact=True)).to_be_visible()
    # On a phone rows are cards, and still rows for who has them read out.
    page.set_viewport_size(PHONE)
    row = page.get_by_role("region", name="Per user").get_by_role("row", name="Ada Lovelace")
    expect(row.get_by_role("cell").first).to_have_text("1")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert axe(page) == []
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="CSV").click()
    file_name = downloaded.value.suggested_filename
    assert re.fullmatch(r"sessions-site-of-fourth-[a-z-]+-\d{4}-01-01_[\d-]+\.csv", file_name)
    rows = list(csv.reader(io.StringIO(downloaded.value.path().read_text(encoding="utf-8"))))
    assert any("Ada Lovelace" in row for row in rows)
    assert [row[2:4] for row in rows if row[0] == "without_user"] == [["CP-PAST", "1"]]
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="XLSX").click()
    downloaded.value.save_as(tmp_path / "report.xlsx")
    assert len(openpyxl.load_workbook(tmp_path / "report.xlsx").sheetnames) >= 4
    # What nobody may know any more is called by words, on the page and in files.
    system.chargekey("user", "erase", ada["id"], "--yes")
    page.reload()
    for part, called in (
        ("Per user", "a former user"),
        ("Per identification", "an identification"),
    ):
        row = page.get_by_role("region", name=part).get_by_role("row", name=called)
        expect(row.get_by_role("cell").first).to_have_text("1")
    assert not re.search("[0-9a-f]{8}", page.get_by_role("main").inner_text())
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="CSV").click()
    assert "an identification" in downloaded.value.path().read_text(encoding="utf-8")


def test_activity_tells_who_changed_what(system: RunningSystem, open_page: OpenPage) -> None:
    """S3-5: monitoring."""
    address = "fifth@portal-settings.example"
    page, site = owner(open_page, system, address, first_name="Ola")
    # A partner that held something at one charger, and holds it no longer.
    run = system.chargekey
    run("charger", "add", "--installation", site, "--ocpp-identity", "CP-ACTIVITY")
    create = ("partner", "create", "--name", "Fjord AS", "--kind", "service-partner")
    partner = run(*create, "--contact", "help@fjord.example")
    given = run(
        *("permission", "grant", "--charger", "CP-ACTIVITY", "--roles", "service"),
        *("--partner", partner["lookup_key"]),
    )
    run("permission", "revoke", given["id"])
    # What follows from his signing up takes a moment, and is the newest before what he does.
    page.goto(f"/installations/{site}/activity")
    agreed = page.get_by_role("cell", name="Ola Nordmann agreed to be an owner.", exact=True)
    come_to_be(page, agreed)
    to_settings(page, f"Site of {address}", "Authentication")
    page.get_by_role("switch", name="Authorisation required").uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    page.get_by_role("link", name="Activity").click()
    expect(page.get_by_role("row").nth(1)).to_contain_text(
        "Ola Nordmann turned off Authorisation required at the installation."
    )
    for said in (
        "Ola Nordmann accepted the invitation.",
        "An administrator invited Ola Nordmann as an owner.",
        "An administrator invited Ola Nordmann to the roles Owner, User at the installation.",
        "An administrator created the installation.",
        "An administrator gave Fjord AS the role Service at CP-ACTIVITY.",
        "An administrator revoked the permission of Fjord AS at CP-ACTIVITY.",
    ):
        expect(page.get_by_role("cell", name=said, exact=True)).to_be_visible()
    # And no id, whose parts are of hexadecimal digits.
    assert not re.search("[0-9a-f]{8}", page.get_by_role("table").inner_text())
    assert axe(page) == []
