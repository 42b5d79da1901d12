"""Getting into the portal, and out of it: walks in a browser."""

from __future__ import annotations

from collections.abc import Sequence

from playwright.sync_api import Request, expect

from chargekey_common.testing.browser import PHONE, OpenPage, axe
from chargekey_common.testing.openid import OpenIdServer

from .at_rest import invited
from .at_the_portal import owned, owner, signed_in
from .mails import token
from .running_system import RunningSystem


def test_an_owner_signs_up_by_his_invitation_and_opens_his_installation(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-14, S3-20, S3-23, S3-32."""
    address = "first@portal-sign-in.example"
    site = owned(system, address)
    page = open_page(system.ready["portal"])
    page.goto(f"/invitation#{token(system.data, address)}")
    page.get_by_label("First name").fill("Kari")
    page.get_by_label("Last name").fill("Nordmann")
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", name="Installations")).to_be_visible()
    # His clock is his browser's, and not that of the installation.
    page.goto("/profile")
    zone = page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")
    expect(page.get_by_label("Time zone")).to_have_value(zone)
    page.goto("/installations")
    page.get_by_role("link", name=f"Site of {address}").click()
    expect(page.get_by_role("heading", name="Chargers")).to_be_visible()
    assert page.url.endswith(f"/installations/{site}")
    assert axe(page) == []


def test_the_caught_mail_with_the_link_is_one_click_away(
    system: RunningSystem, open_page: OpenPage
) -> None:
    address = "second@portal-sign-in.example"
    owned(system, address)
    invited(system, address)
    page = open_page(system.ready["portal"], viewport=PHONE)
    page.goto("/installations")
    page.get_by_label("E-mail address").fill(address)
    page.get_by_role("button", name="Send me a link").click()
    expect(page.get_by_role("heading", name="Look into your mail")).to_be_visible()
    token(system.data, address, 2)
    page.get_by_role("link", name="Open the caught mail").click()
    # The newest stands whole; another test's may have come after it.
    page.get_by_role("row").filter(has_text=address).get_by_role("link").first.click()
    page.locator("pre a").first.click()
    page.get_by_role("button", name="Sign in").click()
    # Where he was when it was needed.
    expect(page.get_by_role("heading", name="Installations")).to_be_visible()


def test_who_signed_out_is_asked_to_sign_in_again(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S0-3, S3-23."""
    address = "third@portal-sign-in.example"
    page, site = owner(open_page, system, address)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    page.goto(f"/installations/{site}")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    back = signed_in(open_page, system, address, mail=2)
    expect(back.get_by_role("link", name=f"Site of {address}")).to_be_visible()


def test_a_link_works_once_and_what_it_says_then_is_shown(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """M1."""
    address = "fourth@portal-sign-in.example"
    owned(system, address)
    invited(system, address)
    page = open_page(system.ready["portal"], refusals=[409])
    page.goto(f"/invitation#{token(system.data, address)}")
    assert "#" not in page.url
    expect(page.get_by_role("alert")).to_contain_text("Code: link_invalid")
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: link_invalid")


def test_without_script_the_token_is_pasted(system: RunningSystem, open_page: OpenPage) -> None:
    address = "fifth@portal-sign-in.example"
    owned(system, address)
    invited(system, address)
    page = open_page(system.ready["portal"], java_script_enabled=False)
    page.goto("/sign-in")
    page.get_by_label("E-mail address").fill(address)
    page.get_by_role("button", name="Send me a link").click()
    page.goto("/sign-in")
    page.get_by_label("Or paste what stands behind # in the link of your mail").fill(
        token(system.data, address, 2)
    )
    page.get_by_role("button", name="Sign in").last.click()
    expect(page.get_by_role("heading", name="Installations")).to_be_visible()
    page.get_by_role("button", name="Norsk bokmål").click()
    expect(page.locator("html")).to_have_attribute("lang", "nb")


def test_who_signs_up_goes_on_in_the_language_of_his_browser(
    system: RunningSystem, open_page: OpenPage
) -> None:
    address = "sixth@portal-sign-in.example"
    site = system.chargekey(
        "installation", "create", "--name", "Nordic", "--time-zone", "Europe/Oslo"
    )["id"]
    system.chargekey(
        *("permission", "grant", "--installation", site, "--email", address, "--roles", "user")
    )
    link = f"/invitation#{token(system.data, address)}"
    english = open_page(system.ready["portal"])
    english.goto(link)
    # To what he is invited he sees first, and by whom, where that was a person.
    expect(english.get_by_text("The installation Nordic")).to_be_visible()
    expect(english.get_by_text("User: Can plug in and charge")).to_be_visible()
    assert axe(english) == []
    page = open_page(system.ready["portal"], locale="nb-NO")
    page.goto(link)
    page.locator("#first_name").fill("Kari")
    page.locator("#last_name").fill("Nordmann")
    page.locator("main form button").first.click()
    page.wait_for_url("**/installations")
    page.goto("/profile")
    expect(page.locator("html")).to_have_attribute("lang", "nb")
    expect(page.locator("#language")).to_have_value("nb")


def test_what_an_invitation_is_to_is_asked_once_a_link_and_at_most_once_without_one(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """Also of a link that is followed where the page of another is open."""
    links = []
    for name in ("eighth", "ninth"):
        address = f"{name}@portal-sign-in.example"
        site = system.chargekey(
            "installation", "create", "--name", f"Site {name}", "--time-zone", "Europe/Oslo"
        )["id"]
        system.chargekey(
            *("permission", "grant", "--installation", site, "--email", address, "--roles", "user")
        )
        links.append(f"/invitation#{token(system.data, address)}")
    page = open_page(system.ready["portal"])
    asked: list[str] = []

    def hear(request: Request) -> None:
        if request.method == "POST":
            asked.append(request.post_data_json["token"])

    def go(address: str) -> None:
        """Go there; return once what the page asks, with or without a token, is answered."""
        with page.expect_response("**/invitation/about"):
            page.goto(address)

    def told() -> Sequence[str]:
        """Return with which tokens it was asked, also soon after an answer."""
        page.wait_for_load_state("networkidle")
        return asked

    page.on("request", hear)
    go("/invitation")
    assert len(told()) <= 1
    asked.clear()
    for number, (link, name) in enumerate(zip(links, ("eighth", "ninth"), strict=True), 1):
        go(link)
        expect(page.get_by_text(f"The installation Site {name}")).to_be_visible()
        assert len(told()) == number
    expect(page.get_by_text("The installation Site eighth")).to_be_hidden()
    assert page.get_by_text("You are invited").count() == 1
    page.goto("about:blank")
    asked.clear()
    go(links[0])
    expect(page.get_by_text("The installation Site eighth")).to_be_visible()
    assert len(told()) == 1


def test_who_was_invited_signs_in_by_a_provider_out_and_in_again_unless_it_says_no(
    system: RunningSystem, open_page: OpenPage, provider: OpenIdServer
) -> None:
    """S3-23: an address that the provider has verified needs no link."""
    address = "seventh@portal-sign-in.example"
    site = system.chargekey(
        "installation", "create", "--name", "Single", "--time-zone", "Europe/Oslo"
    )["id"]
    system.chargekey(
        *("permission", "grant", "--installation", site, "--email", address, "--roles", "owner")
    )
    provider.person = {"sub": "seventh", "email": address, "email_verified": True}
    page = open_page(system.ready["portal"], others=[provider.issuer])
    page.goto("/sign-in")
    assert axe(page) == []
    for _ in range(2):
        page.get_by_role("button", name="Sign in with OpenID").click()
        expect(page.get_by_role("link", name="Single")).to_be_visible()
        assert "code=" not in page.url
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("You are signed out.")).to_be_visible()
    provider.declines = True
    page.get_by_role("button", name="Sign in with OpenID").click()
    expect(page.get_by_text("You are not signed in: the provider did not say")).to_be_visible()
    page.goto(f"/installations/{site}")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
