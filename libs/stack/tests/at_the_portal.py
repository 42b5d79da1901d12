"""People at the portal of a running system, in a browser."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any

from playwright.sync_api import Locator, Page

from chargekey_common.testing.browser import OpenPage

from .mails import token
from .running_system import RunningSystem


def come_to_be(page: Page, there: Locator) -> Locator:
    """Load the page again until that is there: what follows from a command takes a moment."""
    deadline = time.monotonic() + 30
    while not there.is_visible():
        assert time.monotonic() < deadline
        page.reload()
    return there


def signed_up(
    open_page: OpenPage,
    system: RunningSystem,
    address: str,
    *,
    first_name: str = "Kari",
    last_name: str = "Nordmann",
    **how: Any,
) -> Page:
    """Return a page of somebody who has followed the link of his first mail, an invitation.

    What its form sends is sent without it: `test_portal_sign_in` walks there.
    """
    page = open_page(system.ready["portal"], **how)
    answer = page.request.post(
        "/invitation",
        form={
            "token": token(system.data, address),
            "first_name": first_name,
            "last_name": last_name,
            "time_zone": page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone"),
        },
        max_redirects=0,
    )
    assert answer.status == HTTPStatus.SEE_OTHER, answer.text()
    page.goto("/installations")
    page.get_by_role("heading", name="Installations").wait_for()
    return page


def signed_in(
    open_page: OpenPage, system: RunningSystem, address: str, *, mail: int, **how: Any
) -> Page:
    """Return a page of somebody who signs in by a link; it comes as his mail of this number."""
    page = open_page(system.ready["portal"], **how)
    page.goto("/sign-in")
    page.get_by_label("E-mail address").fill(address)
    page.get_by_role("button", name="Send me a link").click()
    page.get_by_role("heading", name="Look into your mail").wait_for()
    page.goto(f"/sign-in#{token(system.data, address, mail)}")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Installations").wait_for()
    return page


def owned(system: RunningSystem, address: str) -> str:
    """Return the id of a new site, whose owner has yet to follow his invitation."""
    site: str = system.chargekey(
        "installation", "create", "--name", f"Site of {address}", "--time-zone", "Europe/Oslo"
    )["id"]
    system.chargekey(
        *("permission", "grant", "--installation", site),
        *("--email", address, "--roles", "owner,user"),
    )
    return site


def owner(open_page: OpenPage, system: RunningSystem, address: str, **how: Any) -> tuple[Page, str]:
    """Return a page of the new owner of a new site, and the site's id."""
    site = owned(system, address)
    return signed_up(open_page, system, address, **how), site
