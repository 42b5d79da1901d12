"""Asking for access and answering, at the site and by a partner's link: walks in a browser."""

from __future__ import annotations

from playwright.sync_api import expect

from chargekey_common.testing.browser import OpenPage, axe

from .at_rest import invited
from .at_the_portal import owned, owner
from .mails import token, tokens
from .running_system import RunningSystem


def held(system: RunningSystem, site: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = system.chargekey("permission", "list", "--installation", site)[
        "permissions"
    ]
    return found


def test_a_request_for_access_is_approved_for_less_or_denied(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R8: at the installation that is asked."""
    address, asking = "owner@portal-access-requests.example", "per@portal-access-requests.example"
    page, site = owner(open_page, system, address)
    system.chargekey(
        *("permission", "grant", "--installation", site, "--email", asking, "--roles", "user")
    )
    invited(system, asking, first_name="Per")
    per = next(str(each["user_id"]) for each in held(system, site) if each["roles"] == ["user"])
    asks = ("access-request", "create", "--installation", site, "--roles", "service,user")
    system.chargekey(*asks, "--as", per)
    page.goto(f"/installations/{site}/permissions")
    page.get_by_role("link", name="Access requests").click()
    assert axe(page) == []
    page.get_by_role("link", name="Per Nordmann").click()
    assert axe(page) == []
    page.get_by_role("checkbox", name="User", exact=True).uncheck()
    page.get_by_label("Valid until").fill("2031-06-30")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Approved.")).to_be_visible()
    expect(page.get_by_text("Nobody asks for access.")).to_be_visible()
    page.get_by_role("link", name="Permissions", exact=True).click()
    expect(page.locator(".cards > li").filter(has_text="Per Nordmann")).to_contain_text("Service")
    system.chargekey(*asks, "--as", per)
    page.goto(f"/installations/{site}/access-requests")
    page.get_by_role("link", name="Per Nordmann").click()
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_text("Denied.")).to_be_visible()


def test_a_partners_link_leads_its_reader_past_the_sign_in_to_the_answer(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R8: where no installation is named, the owner chooses it."""
    address, member = "second@portal-access-requests.example", "leo@portal-access-requests.example"
    site = owned(system, address)
    invited(system, address)
    fixing = system.chargekey(
        *("partner", "create", "--name", "Fiks AS", "--kind", "service-partner"),
        *("--contact", "help@portal-access-requests.example"),
    )["id"]
    system.chargekey("partner", "member", "add", fixing, "--email", member)
    invited(system, member, first_name="Leo")
    [leo] = (
        each["user_id"] for each in system.chargekey("partner", "member", "list", fixing)["members"]
    )
    asks = ("access-request", "create", "--partner-id", fixing, "--roles", "service", "--as", leo)
    link = system.chargekey(*asks)["link_token"]
    page = open_page(system.ready["portal"], refusals=[409])
    page.goto(f"/access-request#{link}")
    assert link not in page.url
    assert axe(page) == []
    page.get_by_role("button", name="Show the request").click()
    page.get_by_label("E-mail address").fill(address)
    before = len(tokens(system.data, address))
    page.get_by_role("button", name="Send me a link").click()
    page.get_by_role("heading", name="Look into your mail").wait_for()
    page.goto(f"/sign-in#{token(system.data, address, before + 1)}")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("The partner Fiks AS asks for access.")).to_be_visible()
    assert link not in page.content()
    assert axe(page) == []
    page.get_by_label("Installation").select_option(f"Site of {address}")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Approved.")).to_be_visible()
    assert ["service"] in [each["roles"] for each in held(system, site)]
    page.goto(f"/access-request#{link}")
    page.get_by_role("button", name="Show the request").click()
    expect(page.get_by_text("This request was approved already.")).to_be_visible()
