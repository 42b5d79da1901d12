"""Who may do what, at an installation and at a charger of it: walks in a browser."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from playwright.sync_api import Page, expect

from chargekey_common.testing.browser import PHONE, OpenPage, axe

from .at_rest import invited
from .at_the_portal import come_to_be, owned, owner, signed_up
from .mails import token
from .running_system import RunningSystem, at_last


def to_permissions(page: Page, name: str) -> None:
    page.goto("/installations")
    page.get_by_role("link", name=name).click()
    page.get_by_role("link", name="Permissions", exact=True).click()


def gives(page: Page, address: str, role: str) -> None:
    """Give an address that role, and no other; nobody else in the list has it alone."""
    page.get_by_role("button", name="+ Give permission").click()
    page.get_by_label("E-mail address").fill(address)
    page.get_by_role("checkbox", name="User", exact=True).uncheck()
    page.get_by_role("checkbox", name=role, exact=True).check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".cards > li").get_by_text(role, exact=True)).to_be_visible()


def given(system: RunningSystem, *where: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = system.chargekey("permission", "list", *where)["permissions"]
    return found


def foreseen(system: RunningSystem, *change: str) -> None:
    """Return once somebody would lose something by it: what he was given has been heard of."""
    at_last(lambda: system.chargekey(*change, "--dry-run")["losses"])


def partner(system: RunningSystem, name: str, kind: str = "service-partner") -> tuple[str, str]:
    made = system.chargekey(
        *("partner", "create", "--name", name, "--kind", kind),
        *("--contact", "help@portal-permissions.example"),
    )
    return made["id"], made["lookup_key"]


def test_whoever_is_invited_by_address_signs_up_and_is_found_by_name(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-1, S3-4, S3-9, S3-15, S3-16, S3-18, S3-19, S3-21, R5, R7: by address, on a phone."""
    address, invited = "owner@portal-permissions.example", "eli@portal-permissions.example"
    page, site = owner(open_page, system, address, refusals=[400], viewport=PHONE)
    to_permissions(page, f"Site of {address}")
    page.get_by_role("button", name="+ Give permission").click()
    page.get_by_label("E-mail address").fill(invited)
    expect(page.get_by_role("checkbox", name="User", exact=True)).to_be_checked()
    assert axe(page) == []
    page.get_by_role("checkbox", name="User", exact=True).uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    # A role is needed, and what was typed stays.
    expect(page.get_by_role("alert")).to_contain_text("Code: roles_missing")
    expect(page.get_by_label("E-mail address")).to_have_value(invited)
    page.get_by_role("checkbox", name="User", exact=True).check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Given.")).to_be_visible()
    for role in ("Owner", "Service"):
        gives(page, f"{role}@portal-permissions.example", role)
    # Once he is written to, he is known by his address.
    token(system.data, invited)
    page.reload()
    row = page.locator(".cards > li").filter(has_text=invited)
    expect(row).to_contain_text(re.compile("Waiting.*User", re.DOTALL))

    # He has not followed the link: it can be sent again, and the old one is void.
    page.get_by_role("link", name="Invitations").click()
    row = page.locator(".cards > li").filter(has_text=invited)
    expect(row).to_contain_text("Waiting")
    assert axe(page) == []
    row.get_by_role("button", name=f"Resend invitation of {invited}").click()
    expect(page.get_by_text("A new link is on its way")).to_be_visible()
    token(system.data, invited, 2)

    # A user cannot look at others' permissions, nor give any.
    his = open_page(system.ready["portal"], refusals=[403])
    his.goto(f"/invitation#{token(system.data, invited, 2)}")
    his.get_by_label("First name").fill("Eli")
    his.get_by_label("Last name").fill("Vik")
    his.get_by_role("button", name="Sign up").click()
    his.get_by_role("heading", name="Installations").wait_for()
    his.goto(f"/installations/{site}/permissions")
    expect(his.get_by_text("Code: permission_denied")).to_be_visible()

    to_permissions(page, f"Site of {address}")
    page.get_by_label("Search by name or e-mail address").fill("eli v")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".cards > li")).to_have_count(1)
    expect(page.locator(".cards > li")).to_contain_text("Eli Vik")
    assert "eli v" not in unquote_plus(page.url)
    page.get_by_label("Search by name or e-mail address").fill("nobody")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("Nobody of that name")).to_be_visible()
    # Looking at it again asks nothing of whoever looks.
    page.reload()
    page.go_back()
    expect(page.locator(".cards > li")).to_contain_text("Eli Vik")
    expect(page.get_by_role("searchbox")).to_have_value("eli v")
    page.goto(page.url.replace("search=", "search=x"))
    expect(page.get_by_text("This search is too old")).to_be_visible()


def test_a_permission_is_changed_and_revoked_knowing_what_comes_of_it(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-5, R4, R6: also the last owner's, which is refused."""
    address, other = "second@portal-permissions.example", "siv@portal-permissions.example"
    page, site = owner(open_page, system, address, refusals=[400, 409])
    name = f"Site of {address}"
    system.chargekey("charger", "add", "--installation", site, "--ocpp-identity", "PERMITTED-1")
    granted = system.chargekey(
        *("permission", "grant", "--installation", site, "--email", other, "--roles", "user")
    )
    invited(system, other, first_name="Siv")
    to_permissions(page, name)
    page.get_by_role("button", name="Change permission of Siv Nordmann").click()
    page.get_by_role("checkbox", name="Service").check()
    page.get_by_label("Valid until").fill("2031-12-31")
    page.get_by_role("button", name="Save", exact=True).click()
    row = page.locator(".cards > li").filter(has_text="Siv Nordmann")
    expect(row).to_contain_text("User, Service")
    expect(row).to_contain_text("until 31 Dec 2031")
    page.get_by_role("button", name="Change permission of Siv Nordmann").click()
    expect(page.get_by_label("Valid until")).to_have_value("2031-12-31")
    for role in ("User", "Service"):
        page.get_by_role("checkbox", name=role).uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Code: roles_missing")

    foreseen(system, "permission", "revoke", granted["id"])
    to_permissions(page, name)
    page.get_by_role("button", name="Revoke permission of Siv Nordmann").click()
    expect(page.get_by_text("Siv Nordmann at PERMITTED-1")).to_be_visible()
    expect(page.get_by_text("No running session would be stopped.")).to_be_visible()
    assert axe(page) == []
    assert len(given(system, "--installation", site)) == 2
    page.get_by_role("button", name="Revoke permission").click()
    expect(page.get_by_text("Revoked.")).to_be_visible()
    assert len(given(system, "--installation", site)) == 1

    page.get_by_role("button", name="Revoke permission of Kari Nordmann").click()
    page.get_by_role("button", name="Revoke permission").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: last_owner")


def test_a_partner_is_found_selected_and_given_nothing_before_save(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-7, S3-18, S3-19, S3-42, S3-45...S3-49, R8: on a phone in the dark."""
    address = "third@portal-permissions.example"
    _, key = partner(system, "Fix AS")
    page, site = owner(
        open_page, system, address, refusals=[400, 404], viewport=PHONE, color_scheme="dark"
    )
    to_permissions(page, f"Site of {address}")
    page.get_by_role("button", name="+ Give permission").click()
    page.get_by_role("link", name="Partner", exact=True).click()
    unused = "ZZZZ" if key != "ZZZZ" else "YYYY"
    for wrong, code in (("?!?!", "lookup_key_malformed"), (unused, "partner_unknown")):
        page.get_by_label("Lookup key").fill(wrong)
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_role("alert")).to_contain_text(f"Code: {code}")
        expect(page.get_by_role("radio")).to_have_count(0)
    page.get_by_label("Lookup key").fill(key.lower())
    page.get_by_role("button", name="Search").click()
    # Who was found is not yet who is chosen.
    expect(page.get_by_role("radio", name="Fix AS")).not_to_be_checked()
    expect(page.get_by_role("checkbox", name="Owner")).to_have_count(0)
    assert axe(page) == []
    page.get_by_role("radio", name="Fix AS").check()
    for role in ("Service", "User"):
        page.get_by_role("checkbox", name=role).check()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("Nothing is given yet.")).to_be_visible()
    expect(page.get_by_text("Fix AS")).to_be_visible()
    assert axe(page) == []
    assert len(given(system, "--installation", site)) == 1
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Given.")).to_be_visible()
    row = page.locator(".cards > li").filter(has_text="Partner")
    expect(row).to_contain_text("Fix AS")
    expect(row).to_contain_text("User, Service")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_without_script_a_partner_is_given_the_same_at_one_charger(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-22, S3-24...S3-26, S3-49."""
    address = "fourth@portal-permissions.example"
    _, key = partner(system, "Gir AS")
    site = owned(system, address)
    invited(system, address)
    system.chargekey("charger", "add", "--installation", site, "--ocpp-identity", "PERMITTED-2")
    page = open_page(system.ready["portal"], java_script_enabled=False)
    page.goto("/sign-in")
    page.get_by_label("E-mail address").fill(address)
    page.get_by_role("button", name="Send me a link").click()
    page.goto("/sign-in")
    page.get_by_label("Or paste what stands behind # in the link of your mail").fill(
        token(system.data, address, 2)
    )
    page.get_by_role("button", name="Sign in").last.click()
    page.get_by_role("link", name=f"Site of {address}").click()
    page.get_by_role("link", name="PERMITTED-2").click()
    page.get_by_role("link", name="Permissions", exact=True).click()
    page.get_by_role("button", name="+ Add permission").click()
    page.get_by_role("link", name="Partner", exact=True).click()
    page.get_by_label("Lookup key").fill(key)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("radio", name="Gir AS").check()
    page.get_by_role("checkbox", name="Service").check()
    page.get_by_role("button", name="Next").click()
    assert given(system, "--charger", "PERMITTED-2") == []
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Given.")).to_be_visible()
    [held] = given(system, "--charger", "PERMITTED-2")
    assert held["roles"] == ["service"]
    assert len(given(system, "--installation", site)) == 1


def test_whoever_is_given_one_charger_has_that_one_alone(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-22, S3-24...S3-28: from the form to his own list."""
    address, invited = "fifth@portal-permissions.example", "jon@portal-permissions.example"
    page, site = owner(open_page, system, address, refusals=[400])
    for identity in ("PERMITTED-3", "PERMITTED-4"):
        system.chargekey("charger", "add", "--installation", site, "--ocpp-identity", identity)
    page.goto(f"/installations/{site}")
    page.get_by_role("link", name="PERMITTED-3").click()
    page.get_by_role("link", name="Permissions", exact=True).click()
    page.get_by_role("button", name="+ Add permission").click()
    page.get_by_label("E-mail address").fill(invited)
    page.get_by_role("checkbox", name="User", exact=True).uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Code: roles_missing")
    page.get_by_role("checkbox", name="User", exact=True).check()
    page.get_by_role("button", name="Save", exact=True).click()
    token(system.data, invited)
    page.reload()
    expect(page.locator(".cards > li").filter(has_text=invited)).to_contain_text("PERMITTED-3")
    assert axe(page) == []
    his = signed_up(open_page, system, invited, first_name="Jon")
    his.get_by_role("link", name="My profile").click()
    his.get_by_role("link", name="My chargers").click()
    come_to_be(his, his.get_by_role("link", name="PERMITTED-3"))
    expect(his.locator(".cards > li")).to_have_count(1)
    # The same from the installation's form, which names the charger.
    to_permissions(page, f"Site of {address}")
    expect(page.locator(".cards > li").filter(has_text="Jon")).to_have_count(0)
    page.get_by_role("button", name="+ Give permission").click()
    page.get_by_label("E-mail address").fill(invited)
    page.get_by_label("Where", exact=True).select_option("PERMITTED-4")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".cards > li").filter(has_text="Jon Nordmann")).to_contain_text(
        "PERMITTED-4"
    )
    [held] = given(system, "--charger", "PERMITTED-4")
    foreseen(system, "permission", "revoke", held["id"])
    page.get_by_role("button", name="Revoke permission of Jon Nordmann").click()
    expect(page.get_by_text("Jon Nordmann at PERMITTED-4")).to_be_visible()
    page.get_by_role("button", name="Revoke permission").click()
    expect(page.get_by_text("Nobody has a permission here yet.")).to_be_visible()


def test_a_user_is_blocked_and_an_open_charger_cannot_enforce_it(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R12."""
    address, other = "sixth@portal-permissions.example", "tor@portal-permissions.example"
    page, site = owner(open_page, system, address)
    for identity in ("PERMITTED-5", "PERMITTED-6"):
        system.chargekey("charger", "add", "--installation", site, "--ocpp-identity", identity)
    system.chargekey("charger", "set", "PERMITTED-6", "--authorisation", "not-required")
    system.chargekey(
        *("permission", "grant", "--installation", site, "--email", other, "--roles", "user")
    )
    _, his_id = invited(system, other, first_name="Tor")
    foreseen(system, "user", "block", his_id, "--installation", site)
    to_permissions(page, f"Site of {address}")
    page.get_by_role("button", name="Block Tor Nordmann").click()
    expect(page.get_by_text("1 charger is open to anyone")).to_be_visible()
    expect(page.get_by_text("Tor Nordmann at PERMITTED-5")).to_be_visible()
    assert axe(page) == []
    page.get_by_role("button", name="Block", exact=True).click()
    expect(page.get_by_text("this cannot be enforced")).to_be_visible()
    expect(page.locator(".cards > li").filter(has_text="Tor")).to_contain_text("Blocked here")
    page.get_by_role("button", name="Unblock Tor Nordmann").click()
    expect(page.get_by_text("Blocked no longer.")).to_be_visible()
    expect(page.get_by_text("Blocked here")).to_have_count(0)


def test_a_local_users_block_on_the_whole_platform_is_told_and_not_his_hosts_to_lift(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R12."""
    address = "local@portal-permissions.example"
    page, site = owner(open_page, system, address)
    lise = system.chargekey(
        *("user", "add-local", "--installation", site),
        *("--first-name", "Lise", "--last-name", "Lokal"),
    )
    system.chargekey("user", "block", lise["id"], "--everywhere")
    page.goto(f"/installations/{site}/permissions")
    hers = page.locator(".cards > li").filter(has_text="Lise Lokal")
    everywhere = hers.get_by_text("Blocked on the whole platform")
    expect(everywhere).to_be_visible()
    expect(page.get_by_role("button", name="Unblock Lise Lokal")).to_have_count(0)
    page.get_by_role("button", name="Block Lise Lokal", exact=True).click()
    page.get_by_role("button", name="Block", exact=True).click()
    expect(hers.get_by_text("Blocked here")).to_be_visible()
    expect(everywhere).to_be_visible()
    assert axe(page) == []
    page.get_by_role("button", name="Unblock Lise Lokal").click()
    expect(hers.get_by_text("Blocked here")).to_have_count(0)
    expect(everywhere).to_be_visible()


def test_where_an_operator_manages_whom_to_ask_is_told_and_nothing_offered(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-8, S3-29, S3-42, S3-43, R3, R5: a service lets no operator in; its owner does."""
    address, service = "seventh@portal-permissions.example", "ann@portal-permissions.example"
    operator, key = partner(system, "Volt AS", "payment-operator")
    page, site = owner(open_page, system, address, refusals=[409])
    system.chargekey(
        *("permission", "grant", "--installation", site, "--email", service, "--roles", "service")
    )
    his = signed_up(open_page, system, service, first_name="Ann", refusals=[403, 409])
    # He is not given the form; sent all the same, it gives nothing.
    form = f"/installations/{site}/permissions/new/partner"
    his.goto(f"{form}?lookup_key={key}")
    expect(his.get_by_role("alert")).to_contain_text("Code: permission_denied")
    secret = his.locator("input[name=form_secret]").first.input_value()
    for role in ("3", "4"):
        refused = his.request.post(
            form,
            form={
                "form_secret": secret,
                "partner_id": operator,
                "roles": role,
                "confirmed": "true",
            },
        )
        assert refused.status == 403
        assert "permission_denied" in refused.text()
    assert len(given(system, "--installation", site)) == 2
    to_permissions(page, f"Site of {address}")
    page.get_by_role("button", name="+ Give permission").click()
    opened_before = page.url
    page.get_by_role("link", name="Partner", exact=True).click()
    page.get_by_label("Lookup key").fill(key)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("radio", name="Volt AS").check()
    page.get_by_role("checkbox", name="Operator").check()
    # In another window, by somebody who has not heard of it.
    others = page.context.new_page()
    others.goto(opened_before)
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("Volt AS alone says who may charge here")).to_be_visible()
    assert axe(page) == []
    page.get_by_role("checkbox", name="I have read this").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Managed by Volt AS")).to_be_visible()
    expect(page.get_by_text("help@portal-permissions.example")).to_be_visible()
    expect(page.locator(".cards > li").filter(has_text="Volt AS")).to_contain_text("Operator")
    expect(page.get_by_role("button", name="+ Give permission")).to_have_count(0)
    page.goto(opened_before)
    expect(page.get_by_text("You can give nothing here while Volt AS manages")).to_be_visible()
    others.get_by_label("E-mail address").fill("more@portal-permissions.example")
    others.get_by_role("button", name="Save", exact=True).click()
    expect(others.get_by_role("alert")).to_contain_text("Code: managed_by_third_party")

    # A service sees who holds what, not who that is, and gives nothing.
    his.goto(f"/installations/{site}/permissions")
    expect(his.locator(".cards > li")).to_have_count(3)
    expect(his.get_by_role("button", name="+ Give permission")).to_have_count(0)
    expect(his.get_by_text("Kari Nordmann")).to_have_count(0)
    expect(his.get_by_text("somebody")).to_have_count(2)
    expect(his.locator(".cards > li").filter(has_text="Operator")).to_contain_text("Volt AS")


def test_ownership_is_offered_and_withdrawn(system: RunningSystem, open_page: OpenPage) -> None:
    """R6."""
    address, other = "eighth@portal-permissions.example", "ida@portal-permissions.example"
    page, site = owner(open_page, system, address)
    system.chargekey(
        *("permission", "grant", "--installation", site, "--email", other, "--roles", "user")
    )
    his = signed_up(open_page, system, other, first_name="Ida")
    to_permissions(page, f"Site of {address}")
    page.get_by_role("link", name="Ownership").click()
    for last in (False, True):
        page.get_by_label("E-mail address of the new owner").fill(other)
        page.get_by_role("button", name="Offer ownership").click()
        expect(page.get_by_text("Ownership is offered to Ida Nordmann.")).to_be_visible()
        if not last:
            assert axe(page) == []
            page.get_by_role("button", name="Withdraw the offer").click()
            expect(page.get_by_text("Withdrawn; nothing changes hands.")).to_be_visible()
    his.goto(f"/profile/ownership/{site}")
    his.get_by_role("button", name="Accept ownership").click()
    expect(his.get_by_text("You own this installation from now on.")).to_be_visible()


def test_a_stranger_finds_nothing_at_the_addresses(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-23."""
    site = owned(system, "ninth@portal-permissions.example")
    stranger, _ = owner(open_page, system, "tenth@portal-permissions.example", refusals=[403])
    for address in (
        *("permissions", "permissions/new", "invitations", "ownership"),
        *("access-requests", "local-users", "local-users/new", "people"),
    ):
        stranger.goto(f"/installations/{site}/{address}")
        expect(stranger.get_by_text("Code: permission_denied")).to_be_visible()
