"""The pages of one charger: its state, settings, configuration, decisions: walks in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect

from chargekey_common.testing.browser import PHONE, OpenPage, axe
from chargekey_gateway.api.websocket import DIALECTS
from chargekey_gateway.decision import OperatorsPart, Question, Reason
from chargekey_portal.pages.what_runs_here import OCPP_VERSIONS
from chargekey_portal.words import OPERATORS_PARTS, QUESTIONS, REASONS
from chargekey_stack.errors import ChargerRefusedError
from chargekey_stack.simulator import SimulatedCharger

from .a_charger import ACharger, a_charger
from .at_the_portal import owner, signed_in, signed_up
from .running_system import RunningSystem, at_last

PIN = "#2468"
# A card that is nobody's.
STRANGE = "04FFEEDDCCBBAA"
LOCKED, OPEN = "Locked: authorisation required", "Open to anyone"
# What happens at a charger reaches a page by way of a charger, three services and a look.
SOON = 20_000
CONTACT = "help@volt.example"


class Charger:
    """A charger of a site, and its address in the portal."""

    def __init__(self, system: RunningSystem, site: str, identity: str) -> None:
        added = system.chargekey(
            "charger", "add", "--installation", site, "--ocpp-identity", identity
        )
        self._system = system
        self._password: str = added["password"]
        self.identity = identity
        self.path = f"/chargers/{added['id']}"
        # The gateway has heard of it, and lets it in.
        self.decided(added["position"])

    def decided(self, *positions: str, code: str = PIN) -> str:
        """Return what a tap comes to, once the gateway knows what these positions tell of."""
        asked = [word for each in positions for word in ("--at-least", each)]
        status: str = self._system.chargekey(
            "authorize", "--charger", self.identity, "--code", code, *asked
        )["status"]
        return status

    @contextmanager
    def simulated(self) -> Iterator[ACharger]:
        """Be it for the length of the block, with a vehicle plugged in."""
        with a_charger(self._system, self.identity, self._password) as charger:
            charger.does(SimulatedCharger.plug_in)
            yield charger


def granted(system: RunningSystem, address: str, roles: str, *where: str) -> None:
    system.chargekey("permission", "grant", *where, "--email", address, "--roles", roles)


def to_charger(page: Page, site: str, identity: str) -> None:
    """S3-24, S3-37, S3-38: by the installation to the charging station; from where one arrives."""
    page.get_by_role("link", name=site, exact=True).click()
    page.get_by_role("link", name=identity, exact=True).click()
    expect(page.get_by_role("heading", name=identity)).to_be_visible()


def section(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Charger").get_by_role("link", name=name).click()


def refused(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_text("Code: permission_denied")).to_be_visible()


def test_there_are_words_for_every_step_and_every_reason_of_a_decision() -> None:
    assert set(REASONS) == set(Reason)
    assert set(QUESTIONS) == set(Question)
    assert set(OPERATORS_PARTS) == set(OperatorsPart)
    # It is not asked of what it wants never to be asked of, nor of what began offline.
    assert "was not asked or gave no answer" in OPERATORS_PARTS[OperatorsPart.SAID_BEFORE]


def test_the_portal_names_the_versions_that_the_gateway_serves() -> None:
    assert {f"ocpp{each}" for each in OCPP_VERSIONS} == set(DIALECTS)


def test_the_pin_is_switched_off_and_on_where_the_guide_says(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S0-1...S0-9, S3-24, S3-32, R19: nothing changes before Save, which is one command."""
    address = "guide@portal-charger.example"
    page, site = owner(open_page, system, address)
    charger = Charger(system, site, "CHARGER-GUIDE")
    at_site = ("--installation", site)
    ada = system.chargekey(
        "user", "add-local", *at_site, "--first-name", "Ada", "--last-name", "Berg"
    )
    pin = ("identification", "add", "--user", ada["id"], "--type", "pin", "--code", PIN)
    added = system.chargekey(*pin)
    assert charger.decided(added["position"], ada["access_position"]) == "Accepted"
    to_charger(page, f"Site of {address}", charger.identity)
    section(page, "Configuration")
    assert axe(page) == []
    page.get_by_text("User", exact=True).click()
    expect(page.get_by_role("link", name="Local users")).to_have_attribute(
        "href", f"/installations/{site}/local-users"
    )
    page.get_by_role("link", name="Charging authorization").click()
    expect(page.get_by_role("heading", name="Charging authorization options")).to_be_visible()
    expect(page.get_by_text("Supported Identification Types")).to_be_visible()
    assert axe(page) == []
    enabled = page.get_by_label("PIN code: Enabled")
    for wanted, status in ((False, "Invalid"), (True, "Accepted")):
        expect(enabled).to_be_checked(checked=not wanted)
        enabled.set_checked(wanted)
        page.get_by_role("button", name="What would change?").click()
        expect(page.locator("#effects")).to_contain_text("Ada Berg at CHARGER-GUIDE")
        assert charger.decided() != status
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Saved.")).to_be_visible()
        expect(enabled).to_be_checked(checked=wanted)
        shown = system.chargekey("charger", "show", charger.identity)
        assert ("pin" in shown["identification_types"]) == wanted
        page.goto(f"{charger.path}/decisions/dry-run")
        page.get_by_label("Card number or PIN code").fill(PIN)
        at_last(lambda: charger.decided() == status)  # noqa: B023 - within this round
        page.get_by_role("button", name="Ask").click()
        said = "There is a permission" if wanted else "This type of identification is switched off"
        expect(page.get_by_text(said)).to_be_visible()
        assert PIN not in page.content()
        if wanted:
            assert axe(page) == []
        page.goto(f"{charger.path}/configuration/user/charging-authorization")


def test_a_lock_that_somebody_changes_is_another_one_in_everybodys_list(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-13, S3-30, S3-35, S3-37...S3-40, S3-57, R1: at once, and no reload."""
    address = "lock@portal-charger.example"
    page, site = owner(open_page, system, address)
    charger = Charger(system, site, "CHARGER-LOCK")
    Charger(system, site, "CHARGER-OTHER")
    seen = signed_in(open_page, system, address, mail=2, viewport=PHONE, color_scheme="dark")
    seen.goto(f"/installations/{site}")

    def marked(identity: str, mark: str) -> None:
        entry = seen.get_by_role("listitem").filter(has_text=identity)
        expect(entry.get_by_role("img", name=mark)).to_be_visible()

    marked(charger.identity, LOCKED)
    to_charger(page, f"Site of {address}", charger.identity)
    for required, mark in ((False, OPEN), (True, LOCKED), (False, OPEN)):
        section(page, "Settings")
        page.get_by_role("switch", name="Authorisation required").set_checked(required)
        page.get_by_role("button", name="What would change?").click()
        effect = page.locator("#effects").get_by_text(f"Anybody else at {charger.identity}")
        expect(effect).to_be_visible()
        marked(charger.identity, LOCKED if mark == OPEN else OPEN)
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Saved.")).to_be_visible()
        expect(page.get_by_role("heading").get_by_role("img", name=mark)).to_be_visible()
        marked(charger.identity, mark)
        marked("CHARGER-OTHER", LOCKED)
        # Told to the gateway, too, which says what the next change would do.
        status = "Invalid" if required else "Accepted"
        at_last(lambda: charger.decided(code=STRANGE) == status)  # noqa: B023 - within this round
    assert axe(seen) == []
    page.get_by_role("switch", name="As the installation").check()
    page.get_by_role("button", name="Save", exact=True).click()
    marked(charger.identity, LOCKED)
    shown = system.chargekey("charger", "show", charger.identity)
    assert shown["authorisation"] == "inherit"
    # The installation opens: what does as it does, too.
    system.chargekey("installation", "set", site, "--authorisation-required", "no")
    marked("CHARGER-OTHER", OPEN)
    page.reload()
    page.get_by_role("switch", name="Authorisation required").check()
    page.get_by_role("button", name="Save", exact=True).click()
    marked(charger.identity, LOCKED)
    marked("CHARGER-OTHER", OPEN)


def test_a_driver_charges_from_the_page_and_sees_what_is_his(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-12, S3-20, S3-30, S3-55, R21, R22: with the role USER, on a telephone."""
    address = "sites@portal-charger.example"
    page, site = owner(open_page, system, address)
    charger = Charger(system, site, "CHARGER-DRIVER")
    # What follows is the driver's alone to do.
    page.goto(f"/installations/{site}/permissions/new")
    page.get_by_label("E-mail address").fill("driver@portal-charger.example")
    page.get_by_role("checkbox", name="User", exact=True).check()
    page.get_by_role("button", name="Save", exact=True).click()
    driver = signed_up(
        *(open_page, system, "driver@portal-charger.example"),
        first_name="Dina",
        last_name="Driver",
        viewport=PHONE,
        refusals=[403, 409],
    )
    to_charger(driver, f"Site of {address}", charger.identity)
    expect(driver.get_by_text("Offline")).to_be_visible()
    driver.get_by_role("button", name="Start charging as me").click()
    expect(driver.get_by_text("Code: charger_offline")).to_be_visible()
    driver.goto(charger.path)
    with charger.simulated() as charging:
        waiting = driver.get_by_text("1: Waiting for authorisation")
        expect(waiting).to_be_visible(timeout=SOON)
        expect(waiting).to_have_css("background-color", "rgb(255, 215, 94)")
        driver.get_by_role("button", name="Start charging as me").click()
        expect(driver.get_by_text("The charger starts once")).to_be_visible()
        expect(driver.get_by_text("1: Charging")).to_be_visible(timeout=SOON)
        expect(
            # What its meter said last, and when that was.
            driver.get_by_role("listitem")
            .filter(has_text="You")
            .filter(has_text="kWh")
            .filter(has_text="as of")
        ).to_be_visible(timeout=SOON)
        assert axe(driver) == []
        driver.get_by_role("button", name="Start charging as me").click()
        expect(driver.get_by_text("Code: already_charging")).to_be_visible()
        page.goto(charger.path)
        expect(page.get_by_text("Dina Driver")).to_be_visible()
        driver.goto(charger.path)
        driver.get_by_role("button", name="Stop").click()
        expect(driver.get_by_text("You are not charging here.")).to_be_visible(timeout=SOON)
        assert charging.does(SimulatedCharger.stopped) == "Remote"
    section(driver, "Decisions")
    driver.get_by_role("link", name="Starts").click()
    entry = driver.get_by_role("listitem").filter(has_text="You")
    expect(entry).to_contain_text("There is a permission to charge at this installation.")
    assert axe(driver) == []
    entry.get_by_role("link").click()
    expect(driver.get_by_role("heading", name="Why charging began")).to_be_visible()
    expect(driver.get_by_text("the same facts: the same answer.")).to_be_visible()
    expect(driver.get_by_text("Is the charger known? Yes.")).to_be_visible()
    expect(driver.get_by_role("definition").filter(has_text="App")).to_be_visible()
    assert axe(driver) == []
    for each in ("Permissions", "Settings", "Configuration", "On the charger", "Commands"):
        expect(driver.get_by_role("link", name=each, exact=True)).to_have_count(0)
    for each in ("settings", "move", "password", "configuration", "on-the-charger", "commands"):
        refused(driver, f"{charger.path}/{each}")
    for each in ("configuration/charger", "decisions/dry-run", "commands/reset-now"):
        refused(driver, f"{charger.path}/{each}")


def test_who_may_use_one_charger_alone_has_its_page(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-27: and no other one's; a stranger has none."""
    address = "owns@portal-charger.example"
    page, site = owner(open_page, system, address)
    charger, other = Charger(system, site, "CHARGER-ONE"), Charger(system, site, "CHARGER-TWO")
    granted(*(system, "one@portal-charger.example", "user"), *("--charger", charger.identity))
    driver = signed_up(
        *(open_page, system, "one@portal-charger.example"), color_scheme="dark", refusals=[403]
    )
    driver.goto(charger.path)
    expect(driver.get_by_text(f"Site of {address}")).to_be_visible()
    expect(
        driver.get_by_text("Nothing charges here.").or_(driver.get_by_text("You are not"))
    ).to_be_visible()
    assert axe(driver) == []
    section(driver, "Decisions")
    expect(driver.get_by_text("Nothing was refused.")).to_be_visible()
    refused(driver, other.path)
    driver.goto("/installations")
    expect(driver.get_by_text(f"Site of {address}")).to_be_visible()
    # Which leads to the charger, and to no page of the site.
    mine = driver.get_by_role("link", name=f"Site of {address}")
    expect(mine).to_have_attribute("href", "/profile/chargers")
    for each in ("", "/settings", "/permissions"):
        refused(driver, f"/installations/{site}{each}")
    stranger, _ = owner(open_page, system, "stranger@portal-charger.example", refusals=[403, 404])
    for each in ("", "/live", "/decisions", "/settings"):
        refused(stranger, charger.path + each)
    refused(stranger, "/decisions/nothing")
    assert page.url


def test_a_refusal_says_why(system: RunningSystem, open_page: OpenPage) -> None:
    """R1, S3-30: at the charger an unknown PIN is refused; here stands why, and how it would be."""
    address = "why@portal-charger.example"
    page, site = owner(open_page, system, address)
    charger = Charger(system, site, "CHARGER-WHY")
    with charger.simulated() as presenting:
        assert presenting.does(lambda it: it.authorize("#9753")) == "Invalid"
    page.goto(f"{charger.path}/decisions")
    entry = page.get_by_role("listitem").filter(has_text="Nobody has what was presented.")
    at_last(lambda: entry.is_visible() or not page.reload())
    assert axe(page) == []
    entry.get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="Why it was refused")).to_be_visible()
    expect(page.get_by_text("PIN code", exact=True)).to_be_visible()
    expect(page.get_by_text("Somebody unknown")).to_be_visible()
    steps = page.get_by_role("listitem").filter(has_text="?")
    expect(steps).to_have_count(7)
    expect(steps.first).to_have_text("Is the charger known? Yes.")
    expect(steps.last.get_by_role("strong")).to_have_text(
        "Is it known whose identification this is? No."
    )
    expect(page.get_by_text("the same facts: the same answer.")).to_be_visible()
    page.get_by_text("For support").click()
    expect(page.get_by_text(re.compile("^access:"))).to_be_visible()
    assert axe(page) == []
    assert "9753" not in page.content()


def test_while_an_operator_is_connected_no_charger_deviates_unless_it_allows_that(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-9, S3-36, R2, R3: the form is disabled, the service refuses, and what was set is kept."""
    address = "managed@portal-charger.example"
    page, site = owner(open_page, system, address, refusals=[409])
    charger = Charger(system, site, "CHARGER-MANAGED")
    system.chargekey("charger", "set", charger.identity, "--authorisation", "not-required")
    partner = system.chargekey(
        *("partner", "create", "--name", "Volt AS", "--kind", "payment-operator"),
        *("--contact", CONTACT),
    )["id"]
    page.goto(f"{charger.path}/settings")
    key = system.chargekey("partner", "show", partner)["lookup_key"]
    system.chargekey("partner", "connect", site, key)
    # What was open before is refused, too, as a page that is there already shows.
    page.get_by_role("switch", name="Authorisation required").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Code: payment_operator_connected")).to_be_visible()
    page.goto(f"{charger.path}/settings")
    expect(
        page.get_by_text(
            f"Managed by Volt AS: who may charge here is theirs to say. Contact: {CONTACT}"
        )
    ).to_be_visible()
    expect(page.locator("#fixed")).to_contain_text(CONTACT)
    expect(page.get_by_text("The charger's own setting (Open to anyone) is kept.")).to_be_visible()
    expect(page.get_by_role("switch", name="Authorisation required")).to_be_disabled()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    expect(page.get_by_role("heading").get_by_role("img", name=LOCKED)).to_be_visible()
    assert axe(page) == []
    section(page, "Configuration")
    page.get_by_text("User", exact=True).click()
    page.get_by_role("link", name="Charging authorization").click()
    # What is not his to change is told, and asked of nobody.
    expect(page.get_by_role("listitem").filter(has_text="PIN code")).to_contain_text("Enabled")
    expect(page.get_by_role("checkbox")).to_have_count(0)
    system.chargekey("partner", "overrides", site, "--allowed", "yes")
    section(page, "Settings")
    page.get_by_role("switch", name="Authorisation required").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved.")).to_be_visible()


def served(system: RunningSystem, open_page: OpenPage, name: str) -> tuple[Page, Page, Charger]:
    """Return a page of who looks after a charger, one of its owner, and the charger."""
    owners_page, site = owner(open_page, system, f"{name}-owner@portal-charger.example")
    charger = Charger(system, site, f"CHARGER-{name.upper()}")
    address = f"{name}@portal-charger.example"
    granted(system, address, "service", "--installation", site)
    return (
        signed_up(open_page, system, address, refusals=[400, 403, 409]),
        owners_page,
        charger,
    )


def test_who_serves_a_charger_has_it_do_things(system: RunningSystem, open_page: OpenPage) -> None:
    """S3-7: each answer in words; any other action is not the owner's to send."""
    page, owners_page, charger = served(system, open_page, "serving")
    page.goto(f"{charger.path}/commands")
    page.get_by_role("button", name="Reset when idle").click()
    expect(page.get_by_text("Code: charger_offline")).to_be_visible()
    page.goto(charger.path)
    with charger.simulated():
        expect(page.get_by_text("1: Waiting for authorisation")).to_be_visible(timeout=SOON)
        section(page, "Commands")
        for button, said in (
            ("Trigger", "The charger sends it."),
            ("Serve vehicles", "The charger serves vehicles."),
            ("Clear cache", "The charger has forgotten whom it accepted."),
            ("Unlock", "The charger has let go of the cable."),
        ):
            page.get_by_role("button", name=button, exact=True).click()
            expect(page.get_by_text(said)).to_be_visible()
        page.get_by_label("Message, by its OCPP name").fill("Nonsense")
        page.get_by_role("button", name="Trigger", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("The charger")
        page.get_by_label("Action").fill("GetLocalListVersion")
        page.get_by_label("Payload (JSON)").fill("{}")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_text("The charger does it.")).to_be_visible()
        expect(page.get_by_text('"listVersion":')).to_be_visible()
        assert axe(page) == []
        page.get_by_label("Payload (JSON)").fill("{")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_text("Code: payload_invalid")).to_be_visible()

        page.goto(f"{charger.path}/commands")
        page.get_by_role("button", name="Disconnect").click()
        assert axe(page) == []
        page.get_by_role("button", name="Disconnect").click()
        expect(page.get_by_text("The charger is disconnected;")).to_be_visible()
    owners_page.goto(f"{charger.path}/commands")
    expect(owners_page.get_by_role("button", name="Send")).to_have_count(0)


def test_who_serves_a_charger_sees_what_has_arrived_at_it_and_sets_it(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-7: its own settings, its local list, its reader; not where it stands."""
    page, _, charger = served(system, open_page, "setting")
    page.goto(charger.path)
    with charger.simulated():
        expect(page.get_by_text("1: Waiting for authorisation")).to_be_visible(timeout=SOON)
        section(page, "Configuration")
        page.get_by_role("link", name="The charger's own settings").click()
        expect(page.get_by_text("LocalAuthListEnabled")).to_be_visible()
        assert axe(page) == []
        page.get_by_label("Setting", exact=True).fill("HeartbeatInterval")
        page.get_by_label("Value").fill("240")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("The charger is set.")).to_be_visible()
        page.get_by_label("Name of a setting").fill("HeartbeatInterval")
        page.get_by_role("button", name="Ask for it").click()
        expect(page.get_by_role("cell", name="240")).to_be_visible()
        page.get_by_label("Setting", exact=True).fill("LocalPreAuthorize")
        page.get_by_label("Value").fill("true")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Code: action_not_for_here")).to_be_visible()

        page.goto(charger.path)
        section(page, "On the charger")
        expect(page.get_by_text("All is as it should be")).to_be_visible(timeout=SOON)
        assert axe(page) == []

        section(page, "Settings")
        page.get_by_label("Sends the bytes of a card number in reverse order").check()
        page.get_by_role("button", name="Save card reader").click()
        expect(page.get_by_text("Saved.")).to_be_visible()
        assert system.chargekey("charger", "show", charger.identity)["reader_reversed"]
        refused(page, f"{charger.path}/move")


def test_a_charger_gets_another_password_and_another_place(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R11: moved while idle only; the password stands there once."""
    address = "moves@portal-charger.example"
    page, site = owner(open_page, system, address, refusals=[409])
    charger = Charger(system, site, "CHARGER-MOVES")
    created = ("installation", "create", "--name", "Elsewhere", "--time-zone", "Europe/Oslo")
    elsewhere = system.chargekey(*created)["id"]
    granted(system, address, "owner,user", "--installation", elsewhere)
    to_charger(page, f"Site of {address}", charger.identity)
    section(page, "Settings")
    page.get_by_role("button", name="Replace password").click()
    assert axe(page) == []
    page.get_by_role("button", name="Replace password").click()
    password = page.locator("#password").inner_text()
    page.get_by_role("button", name="Go on to the charger").click()
    assert password not in page.content()
    with pytest.raises(ChargerRefusedError), charger.simulated():  # with the one before
        pass
    page.goto(f"{charger.path}/settings")
    page.get_by_role("button", name="Move to another installation").click()
    page.get_by_label("Installation").select_option(label="Elsewhere")
    assert axe(page) == []
    page.get_by_role("button", name="Move").click()
    expect(page.get_by_text("Moved.")).to_be_visible()
    expect(page.get_by_role("link", name="Elsewhere")).to_be_visible()


def test_no_page_is_wider_than_a_telephone_in_norwegian(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """Whose words are the longer ones; those of a charger, and what no other walk measures."""
    page, site = owner(
        *(open_page, system, "narrow@portal-charger.example"),
        viewport=PHONE,
        color_scheme="dark",
        refusals=[409],  # what is asked of a charger that is not online
    )
    charger = Charger(system, site, "CHARGER-WITH-A-NAME-THAT-IS-RATHER-LONG-FOR-ONE")
    page.get_by_role("button", name="Norsk bokmål").click()
    expect(page.locator("html")).to_have_attribute("lang", "nb")
    of_the_charger = (
        *("", "/settings", "/move", "/password", "/configuration", "/configuration/charger"),
        *("/configuration/user/charging-authorization", "/on-the-charger", "/decisions"),
        *("/decisions/starts", "/decisions/dry-run", "/commands", "/commands/reset-now"),
    )
    for each in of_the_charger:
        page.goto(charger.path + each)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], each
        assert axe(page) == [], each
    of_the_site = (
        *("", "/permissions", "/permissions/new", "/invitations", "/ownership", "/local-users"),
        *("/access-requests", "/people", "/settings", "/settings/authentication"),
        *("/settings/security", "/sessions", "/refusals", "/reports", "/activity"),
    )
    for each in (
        *(f"/installations/{site}{page_of_it}" for page_of_it in of_the_site),
        *("/installations", "/installations/new", "/profile", "/profile/identifications"),
        *("/profile/identifications/new", "/profile/identifications/pin", "/profile/permissions"),
        *("/profile/chargers", "/profile/sessions", "/profile/refusals", "/profile/mails"),
        *("/profile/data", "/profile/erase", "/partners", "/status"),
    ):
        page.goto(each)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], each
