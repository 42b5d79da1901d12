"""Every page and every form of an installation and of a charger, by every role: walks in a browser.

The installation is one that an operator manages. Of its two chargers somebody owns one alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from fastapi.routing import APIRoute
from playwright.sync_api import Page, expect

from chargekey_common.testing.browser import OpenPage, axe
from chargekey_portal.pages import ROUTERS

from .at_the_portal import come_to_be, owner, signed_up
from .mails import token
from .running_system import RunningSystem

DENIED, MANAGED = "permission_denied", "managed_by_third_party"
ROLES = ("owner", "user", "service", "operator", "owner_of_one")

AT_SITE, AT_CHARGER = "/installations/{installation_id}", "/chargers/{charger_id}"
PERMISSION = "/permissions/{permission_id}"
PERSON = AT_SITE + "/local-users/{user_id}"
IDENTIFICATIONS = PERSON + "/identifications"
IDENTIFICATION = IDENTIFICATIONS + "/{identification_id}"
BLOCK = AT_SITE + "/people/{user_id}"
REQUEST = AT_SITE + "/access-requests/{access_request_id}"
INVITATION = AT_SITE + "/invitations/{invitation_id}"
RUNNING = AT_CHARGER + "/sessions/{session_id}"
CHARGING_AUTHORIZATION = AT_CHARGER + "/configuration/user/charging-authorization"

WHO_KEEPS = "owner operator"
WHO_SERVES = "owner service operator owner_of_one"
ALL = "owner user service operator owner_of_one"
ALL_OF_THE_SITE = "owner user service operator"

# Who has which page; nobody else has it.
PAGES: Mapping[str, str] = {
    AT_SITE: ALL_OF_THE_SITE,
    f"{AT_SITE}/access-requests": WHO_KEEPS,
    REQUEST: WHO_KEEPS,
    f"{AT_SITE}/activity": "owner",
    f"{AT_SITE}/chargers/new": "owner service",
    f"{AT_SITE}/invitations": WHO_KEEPS,
    f"{AT_SITE}/local-users": WHO_KEEPS,
    f"{AT_SITE}/local-users/new": WHO_KEEPS,
    PERSON: WHO_KEEPS,
    f"{PERSON}/erase": WHO_KEEPS,
    IDENTIFICATIONS: WHO_KEEPS,
    f"{IDENTIFICATIONS}/new": WHO_KEEPS,
    f"{IDENTIFICATIONS}/recent-refusals": WHO_KEEPS,
    f"{IDENTIFICATIONS}/scan": WHO_KEEPS,
    f"{IDENTIFICATIONS}/scan/{{scan_id}}": "",
    IDENTIFICATION: WHO_KEEPS,
    f"{IDENTIFICATION}/remove": WHO_KEEPS,
    f"{AT_SITE}/ownership": "owner",
    f"{AT_SITE}/people": WHO_KEEPS,
    f"{BLOCK}/block": WHO_KEEPS,
    f"{AT_SITE}/permissions": "owner service operator",
    # Whoever may give nothing there is told whom to ask.
    f"{AT_SITE}/permissions/new": ALL_OF_THE_SITE,
    f"{AT_SITE}/permissions/new/partner": ALL_OF_THE_SITE,
    AT_SITE + PERMISSION: "owner service operator",
    f"{AT_SITE}{PERMISSION}/revoke": "owner service operator",
    f"{AT_SITE}/refusals": "owner service",
    f"{AT_SITE}/reports": WHO_KEEPS,
    f"{AT_SITE}/reports/report.{{kind}}": WHO_KEEPS,
    f"{AT_SITE}/sessions": WHO_KEEPS,
    f"{AT_SITE}/settings": ALL_OF_THE_SITE,
    f"{AT_SITE}/settings/authentication": ALL_OF_THE_SITE,
    f"{AT_SITE}/settings/authentication/disconnect": WHO_KEEPS,
    f"{AT_SITE}/settings/security": ALL_OF_THE_SITE,
    AT_CHARGER: ALL,
    f"{AT_CHARGER}/commands": WHO_SERVES,
    f"{AT_CHARGER}/commands/disconnect": WHO_SERVES,
    f"{AT_CHARGER}/commands/reset-now": WHO_SERVES,
    f"{AT_CHARGER}/configuration": WHO_SERVES,
    f"{AT_CHARGER}/configuration/charger": WHO_SERVES,
    CHARGING_AUTHORIZATION: WHO_SERVES,
    f"{AT_CHARGER}/decisions": ALL,
    f"{AT_CHARGER}/decisions/dry-run": WHO_SERVES,
    f"{AT_CHARGER}/decisions/starts": ALL,
    f"{AT_CHARGER}/move": "",
    f"{AT_CHARGER}/on-the-charger": WHO_SERVES,
    f"{AT_CHARGER}/password": "owner service owner_of_one",
    f"{AT_CHARGER}/permissions": WHO_SERVES,
    f"{AT_CHARGER}/permissions/new": ALL,
    f"{AT_CHARGER}/permissions/new/partner": ALL,
    AT_CHARGER + PERMISSION: WHO_SERVES,
    f"{AT_CHARGER}{PERMISSION}/revoke": WHO_SERVES,
    f"{RUNNING}/end": ALL,
    f"{AT_CHARGER}/settings": WHO_SERVES,
}


class Change(msgspec.Struct, frozen=True):
    """What a form does: who may, and whether the operator alone while it manages the site."""

    by: str
    edits_access: bool = False
    fields: Mapping[str, str] = {}


def edits(by: str, **fields: str) -> Change:
    return Change(by, edits_access=True, fields=fields)


def changes(by: str, **fields: str) -> Change:
    return Change(by, fields=fields)


# Made from nothing that was set; addresses and fields are formats.
INSTEAD = {"instead_of": "{{}}"}
FORMS: Mapping[str, Change] = {
    f"{REQUEST}/approve": edits(WHO_KEEPS),
    f"{REQUEST}/deny": changes(WHO_KEEPS),
    f"{AT_SITE}/chargers/new": changes("owner service", ocpp_identity="ANOTHER"),
    f"{INVITATION}/resend": edits(WHO_KEEPS),
    f"{INVITATION}/revoke": edits(WHO_KEEPS),
    f"{AT_SITE}/local-users/new": edits(WHO_KEEPS, first_name="Bo", last_name="Berg"),
    PERSON: edits(WHO_KEEPS, first_name="Bo", last_name="Berg", blocked="true"),
    # A person's right to be forgotten comes first.
    f"{PERSON}/erase": changes("owner"),
    f"{PERSON}/export": changes("owner"),
    f"{IDENTIFICATIONS}/new": edits(WHO_KEEPS, type="1", code="#13579"),
    f"{IDENTIFICATIONS}/new/pin": changes("owner user operator"),
    f"{IDENTIFICATIONS}/scan": edits(WHO_KEEPS, charger="{charger_id}"),
    f"{IDENTIFICATIONS}/scan/{{scan_id}}/cancel": changes(""),
    IDENTIFICATION: edits(WHO_KEEPS, status="2"),
    f"{IDENTIFICATION}/remove": edits(WHO_KEEPS),
    f"{IDENTIFICATION}/reveal": changes(WHO_KEEPS),
    f"{AT_SITE}/ownership": changes("owner", email="new@portal-roles.example"),
    f"{AT_SITE}/ownership/withdraw": changes("owner"),
    f"{AT_SITE}/people/export": changes(WHO_KEEPS),
    f"{BLOCK}/block": edits(WHO_KEEPS),
    f"{BLOCK}/unblock": edits(WHO_KEEPS),
    f"{AT_SITE}/permissions/new": edits(WHO_KEEPS, email="new@portal-roles.example", roles="2"),
    f"{AT_SITE}/permissions/new/partner": edits(WHO_KEEPS, partner_id="{partner_id}", roles="3"),
    AT_SITE + PERMISSION: edits(WHO_KEEPS, roles="2"),
    f"{AT_SITE}{PERMISSION}/revoke": edits(WHO_KEEPS),
    f"{AT_SITE}/settings/address": changes("owner service operator", city="Oslo", **INSTEAD),
    f"{AT_SITE}/settings/authentication": edits(
        "owner service operator", authentication_type="2", was_authentication_type="1"
    ),
    f"{AT_SITE}/settings/authentication/disconnect": changes(WHO_KEEPS),
    f"{AT_SITE}/settings/authentication/overrides-allowed": changes(
        "operator", overrides_allowed="true"
    ),
    f"{AT_SITE}/settings/name": changes("owner", name="Another", **INSTEAD),
    f"{AT_SITE}/settings/security": edits("owner service operator", pin_length="6", **INSTEAD),
    **{
        f"{AT_CHARGER}/commands/{each}": changes(WHO_SERVES)
        for each in (
            *("availability", "clear-cache", "disconnect", "reset", "reset-now"),
            *("send", "trigger", "unlock"),
        )
    },
    f"{AT_CHARGER}/configuration/charger": changes(
        "service operator", name="HeartbeatInterval", value="60"
    ),
    CHARGING_AUTHORIZATION: edits(WHO_SERVES, **INSTEAD),
    f"{AT_CHARGER}/decisions/dry-run": changes(WHO_SERVES, code="#13579"),
    f"{AT_CHARGER}/move": edits("owner", installation="{installation_id}"),
    f"{AT_CHARGER}/password": changes("owner service owner_of_one"),
    f"{AT_CHARGER}/permissions/new": edits(
        "owner operator owner_of_one", email="new@portal-roles.example", roles="2"
    ),
    f"{AT_CHARGER}/permissions/new/partner": edits(
        "owner operator owner_of_one", partner_id="{partner_id}", roles="3"
    ),
    AT_CHARGER + PERMISSION: edits("owner operator owner_of_one", roles="2"),
    f"{AT_CHARGER}{PERMISSION}/revoke": edits("owner operator owner_of_one"),
    f"{RUNNING}/end": changes(WHO_SERVES),
    f"{RUNNING}/stop": changes(WHO_SERVES),
    f"{AT_CHARGER}/settings/authorisation": changes(
        WHO_SERVES, authorisation_required="true", instead_of="1"
    ),
    f"{AT_CHARGER}/settings/reader": changes("owner service owner_of_one", **INSTEAD),
    f"{AT_CHARGER}/start": changes(ALL),
}
# They change nothing: they search, look again, or sum up what a second form gives.
ASKING = {
    f"{AT_SITE}/local-users",
    f"{AT_SITE}/permissions",
    f"{AT_CHARGER}/permissions",
    f"{AT_SITE}/permissions/new/partner/summary",
    f"{AT_CHARGER}/permissions/new/partner/summary",
    # Of what was refused at a charger, which nothing was here.
    f"{IDENTIFICATIONS}/recent-refusals/{{unknown_code_id}}",
    # A file comes with it.
    f"{AT_SITE}/people/import",
}

# Sends all of it at once, as the forms of the page that is open; returns each code of a refusal,
# or what was answered instead.
ASK = """async (asked) => Promise.all(asked.map(async ([path, fields]) => {
    const secret = document.querySelector("input[name=form_secret]")?.value ?? "";
    const body = fields && new URLSearchParams({form_secret: secret, ...fields});
    const answer = await fetch(path, {method: body ? "POST" : "GET", body, redirect: "manual"});
    if (answer.type === "opaqueredirect") return "led on";
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return page.querySelector("#refusal code")?.textContent ?? String(answer.status);
}))"""


class Managed(msgspec.Struct, frozen=True):
    """The installation: what stands in its addresses, and those of its people."""

    system: RunningSystem
    ids: Mapping[str, str]
    permission_at_charger: str

    def filled(self, path: str) -> str:
        """Return the address."""
        ids = dict(self.ids)
        if path.startswith(AT_CHARGER):
            ids["permission_id"] = self.permission_at_charger
        return path.format_map(ids)

    def asked(self, page: Page, asked: Mapping[str, Mapping[str, str] | None]) -> dict[str, str]:
        """Return what is answered to each, by its address as the tables have it."""
        each = [
            (
                self.filled(path),
                fields and {name: value.format_map(self.ids) for name, value in fields.items()},
            )
            for path, fields in asked.items()
        ]
        answers: list[str] = page.evaluate(ASK, each)
        return dict(zip(asked, answers, strict=True))

    def has(self, page: Page, role: str) -> None:
        """Walk every address, and send every form that is refused to the role."""
        seen = self.asked(page, dict.fromkeys(PAGES))
        wrong = {
            path: answer
            for path, answer in seen.items()
            if (answer != DENIED) != (role in PAGES[path].split())
        }
        assert wrong == {}
        refused = {
            path: MANAGED if role in change.by.split() else DENIED
            for path, change in FORMS.items()
            if role not in change.by.split() or (change.edits_access and role != "operator")
        }
        assert refused
        sent = {path: {"command_id": "", **FORMS[path].fields} for path in refused}
        assert self.asked(page, sent) == refused


@pytest.fixture(scope="module")
def managed(system: RunningSystem) -> Managed:
    """Return it, with everybody invited."""
    run = system.chargekey
    site = run("installation", "create", "--name", "Roles", "--time-zone", "Europe/Oslo")["id"]
    at_site = ("--installation", site)
    one, other = (
        run("charger", "add", *at_site, "--ocpp-identity", identity)["id"]
        for identity in ("ROLES-1", "ROLES-2")
    )
    for role in ("owner", "user", "service"):
        run("permission", "grant", *at_site, "--email", to(role), "--roles", role)
    waits = ("permission", "grant", "--email", to("waiting"), "--roles", "user")
    waiting = run(*waits, *at_site)["id"]
    waiting_at_one = run(*waits, "--charger", "ROLES-1")["id"]
    owns = ("--charger", "ROLES-1", "--email", to("owner_of_one"), "--roles", "owner")
    run("permission", "grant", *owns)
    partners = {}
    for kind in ("service-partner", "payment-operator"):
        partners[kind] = run(
            *("partner", "create", "--name", f"{kind.capitalize()} AS", "--kind", kind),
            *("--contact", "help@portal-roles.example"),
        )
        run("partner", "member", "add", partners[kind]["id"], "--email", to(kind))
    serving = partners["service-partner"]["lookup_key"]
    run("permission", "grant", *at_site, "--partner", serving, "--roles", "service")
    ada = run("user", "add-local", *at_site, "--first-name", "Ada", "--last-name", "Berg")
    pin = run("identification", "add", "--user", ada["id"], "--type", "pin", "--code", "#24680")
    run("partner", "connect", site, partners["payment-operator"]["lookup_key"])
    held = run("permission", "list", *at_site)["permissions"]
    held_by = {tuple(each["roles"]): each for each in held if each["user_id"]}
    token(system.data, to("waiting"))
    invitations = run("invitation", "list", *at_site)["invitations"]
    asks = ("access-request", "create", *at_site, "--roles", "service")
    ids = {
        "installation_id": site,
        "charger_id": one,
        "other_charger_id": other,
        "user_id": ada["id"],
        "identification_id": pin["id"],
        "permission_id": waiting,
        "partner_id": partners["service-partner"]["id"],
        "invitation_id": next(each["id"] for each in invitations if each["email"] == to("waiting")),
        "access_request_id": run(*asks, "--as", held_by["user",]["user_id"])["id"],
        "session_id": "00000000-0000-4000-8000-000000000000",
        "scan_id": "00000000-0000-4000-8000-000000000000",
        "kind": "csv",
    }
    return Managed(system, ids, waiting_at_one)


def to(whom: str) -> str:
    return f"{whom.replace('_', '-')}@portal-roles.example"


def tabs(page: Page, name: str) -> list[str]:
    # A page that was just gone to may have none of its elements yet.
    page.wait_for_load_state()
    return page.get_by_role("navigation", name=name).get_by_role("link").all_inner_texts()


def sections_of_the_charger(page: Page, managed: Managed) -> list[str]:
    page.goto(managed.filled(AT_CHARGER))
    return tabs(page, "Charger")


def test_the_tables_have_every_page_and_every_form() -> None:
    served = {
        (method, each.path)
        for router in ROUTERS
        for each in router.routes
        if isinstance(each, APIRoute)
        for method in each.methods or ()
        if each.path.startswith((AT_SITE, AT_CHARGER)) and not each.path.endswith("/live")
    }
    assert {path for method, path in served if method == "GET"} == set(PAGES)
    assert {path for method, path in served if method == "POST"} == ASKING | set(FORMS)


def test_who_may_charge_has_no_setting_to_change(managed: Managed, open_page: OpenPage) -> None:
    """S3-6, S3-23, R5."""
    page = signed_up(open_page, managed.system, to("user"), refusals=[400, 403, 404, 409])
    managed.has(page, "user")
    page.goto(managed.filled(AT_SITE))
    assert tabs(page, "Roles") == ["Chargers", "Settings"]
    assert sections_of_the_charger(page, managed) == ["Status", "Decisions"]
    page.goto(managed.filled(f"{AT_SITE}/permissions/new"))
    expect(page.get_by_text("You can give nothing here while")).to_be_visible()


@pytest.mark.parametrize("who", ["service", "service-partner"])
def test_who_serves_has_technical_settings_and_nobodys_permissions(
    managed: Managed, open_page: OpenPage, who: str
) -> None:
    """S3-7, R5: somebody himself, and a member of a service partner."""
    page = signed_up(open_page, managed.system, to(who), refusals=[400, 403, 404, 409])
    managed.has(page, "service")
    page.goto(managed.filled(AT_SITE))
    assert tabs(page, "Roles") == ["Chargers", "Permissions", "Settings", "Refusals"]
    assert sections_of_the_charger(page, managed) == [
        *("Status", "Permissions", "Settings", "Configuration", "On the charger"),
        *("Decisions", "Commands"),
    ]


def test_who_owns_one_charger_has_that_one_alone(managed: Managed, open_page: OpenPage) -> None:
    """S3-24...S3-28."""
    page = signed_up(open_page, managed.system, to("owner_of_one"), refusals=[400, 403, 404, 409])
    managed.has(page, "owner_of_one")
    assert "Settings" in sections_of_the_charger(page, managed)
    others = dict.fromkeys(
        ["/chargers/{other_charger_id}", "/chargers/{other_charger_id}/settings"]
    )
    assert set(managed.asked(page, others).values()) == {DENIED}
    page.goto(managed.filled(f"{AT_CHARGER}/permissions"))
    expect(page.get_by_role("link", name="Permissions of the installation")).to_have_count(0)


def test_who_holds_nothing_here_has_nothing(managed: Managed, open_page: OpenPage) -> None:
    """S3-23: neither the owner of another installation, nor who is not signed in."""
    stranger, _ = owner(open_page, managed.system, to("stranger"), refusals=[403, 404])
    managed.has(stranger, "stranger")
    nobody = open_page(managed.system.ready["portal"])
    nobody.goto("/sign-in")
    for all_of_them in (dict.fromkeys(PAGES), {path: {"roles": "2"} for path in FORMS}):
        assert set(managed.asked(nobody, all_of_them).values()) == {"led on"}
    nobody.goto(managed.filled(AT_SITE))
    expect(nobody.get_by_role("heading", name="Sign in")).to_be_visible()


def test_whose_it_is_asks_the_operator_for_whatever_edits_access(
    managed: Managed, open_page: OpenPage
) -> None:
    """S3-8, S3-9, S3-29, R3: and keeps what is no access."""
    page = signed_up(open_page, managed.system, to("owner"), refusals=[400, 403, 404, 409])
    managed.has(page, "owner")
    page.goto(managed.filled(f"{AT_SITE}/permissions"))
    expect(page.get_by_text("Contact: help@portal-roles.example")).to_be_visible()
    for name in ("+ Give permission", "Revoke", "Change", "Block"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.goto(managed.filled(f"{AT_SITE}/settings/authentication"))
    expect(page.get_by_role("switch")).to_have_count(0)
    expect(page.get_by_role("link", name="Policies: Security")).to_be_visible()


# The last of them: it ends the managing.
def test_the_operators_member_says_who_may_charge_until_he_leaves(
    managed: Managed, open_page: OpenPage
) -> None:
    """S3-9, S3-29, S3-33, S3-36, R2, R3, R9."""
    page = signed_up(
        open_page, managed.system, to("payment-operator"), refusals=[400, 403, 404, 409]
    )
    managed.has(page, "operator")
    page.get_by_role("link", name="Roles", exact=True).click()
    assert tabs(page, "Roles") == [
        *("Chargers", "Permissions", "Local users", "Settings", "Sessions", "Reports"),
    ]
    page.get_by_role("link", name="Permissions", exact=True).click()
    page.get_by_role("button", name="+ Give permission").click()
    # He gives nothing but the right to charge, whatever the form says.
    role = page.get_by_role("group", name="Roles").get_by_role("checkbox")
    expect(role).to_have_count(1)
    for number in ("1", "3"):
        page.get_by_label("E-mail address").fill(to("guest"))
        role.evaluate("(box, number) => { box.value = number; }", number)
        role.check()
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("Code: role_not_grantable")
    page.get_by_role("checkbox", name="User", exact=True).check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Given.")).to_be_visible()
    token(managed.system.data, to("guest"))
    page.get_by_role("link", name="Invitations").click()
    come_to_be(page, page.get_by_role("button", name=f"Revoke invitation of {to('guest')}")).click()
    expect(page.get_by_text("Taken back, with the permission")).to_be_visible()
    guest = page.get_by_role("listitem").filter(has_text=to("guest"))
    expect(guest.get_by_text("Revoked")).to_be_visible()

    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Authentication").click()
    for name in ("External authentication", "Native authentication"):
        page.get_by_role("radio", name=name).check()
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Saved.")).to_be_visible()
        expect(page.get_by_role("radio", name=name)).to_be_checked()
    page.get_by_role("switch", name="Chargers may deviate").check()
    page.get_by_role("button", name="Save whether they may").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_role("switch", name="Chargers may deviate")).to_be_checked()
    page.get_by_role("button", name="Disconnect Payment-operator AS").click()
    expect(page.get_by_text("From that moment on Payment-operator AS has no say")).to_be_visible()
    assert axe(page) == []
    page.get_by_role("button", name="Disconnect", exact=True).click()
    expect(page.get_by_text("Disconnected.")).to_be_visible()
    expect(page.get_by_role("link", name="Roles", exact=True)).to_have_count(0)
    shown = managed.system.chargekey("installation", "show", managed.ids["installation_id"])
    assert (shown["managed_by"], shown["authentication"]) == (None, "native")
