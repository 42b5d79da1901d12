"""Lists that nobody scrolls through: paged, searched, and chosen from in a browser."""

from __future__ import annotations

import asyncio
import re

from playwright.sync_api import Locator, Page, expect

from chargekey.access.v1 import chargers_pb2
from chargekey.identity.v1 import people_pb2
from chargekey_common.testing.browser import PHONE, OpenPage, axe
from chargekey_stack.client import Client, connected
from chargekey_stack.data_directory import DataDirectory

from .at_the_portal import come_to_be, owner
from .running_system import RunningSystem

# More chargers than a form has in its list, more people than two pages have.
CHARGERS, PEOPLE = 1001, 120
# Each is stored by itself, one after the other, and has five seconds for that.
AT_ONCE = 8
COLUMNS = "first_name,last_name,email,roles,valid_until,pin,rfid,blocked\n"


async def filled(system: RunningSystem, site: str) -> None:
    """Let there be so many chargers at a site, and local users."""
    async with connected(DataDirectory(system.data)) as client, asyncio.TaskGroup() as group:
        group.create_task(imported(client, site))
        free = asyncio.Semaphore(AT_ONCE)
        for number in range(CHARGERS):
            group.create_task(added(client, site, number, free))


async def imported(client: Client, site: str) -> None:
    lines = (f"Kari {number},Nordmann,,user,,,,no\n" for number in range(PEOPLE))
    request = people_pb2.ImportPeopleRequest(
        installation_id=site, csv=(COLUMNS + "".join(lines)).encode()
    )
    # The portal gives it as long.
    assert (await client.people.ImportPeople(request, timeout=30)).imported


async def added(client: Client, site: str, number: int, free: asyncio.Semaphore) -> None:
    request = chargers_pb2.AddChargerRequest(
        installation_id=site, ocpp_identity=f"CP-long-{number}"
    )
    async with free:
        await client.chargers.AddCharger(request)


def cards(page: Page) -> Locator:
    """Return what the entries of a list are called."""
    return page.locator("ul.cards > li > a")


def turned(page: Page) -> None:
    """Go on to the next page of chargers, which has others, and back to the first."""
    first = cards(page).all_inner_texts()
    page.get_by_role("button", name="Next page").click()
    expect(page.get_by_role("button", name="First page")).to_be_visible()
    for each in (first[0], first[-1]):
        expect(page.get_by_role("link", name=each, exact=True)).to_have_count(0)
    expect(cards(page)).to_have_count(len(first))
    assert not {*first} & {*cards(page).all_inner_texts()}
    page.get_by_role("button", name="First page").click()
    expect(cards(page)).to_have_text(first)


def searched(page: Page, box: str, text: str) -> None:
    page.get_by_role("searchbox", name=box).fill(text)
    page.get_by_role("button", name="Search").click()


def test_among_a_thousand_one_is_found_and_chosen(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-56, S3-15: chargers of a site and one's own, installations, local users; in forms."""
    page, site = owner(open_page, system, "kari@long.example", refusals=[404], viewport=PHONE)
    asyncio.run(filled(system, site))
    searched(page, "Search by name", "kari@LONG")
    expect(page.get_by_role("link", name="Site of kari@long.example")).to_be_visible()
    searched(page, "Search by name", "nowhere")
    expect(page.get_by_role("link", name="Site of kari@long.example")).to_have_count(0)

    page.goto(f"/installations/{site}")
    keys = page.get_by_role("img", name="Key: authorisation required")
    expect(keys).to_have_count(50)
    turned(page)
    searched(page, "Search by OCPP identity", "LONG-1000")
    expect(page.get_by_role("link", name="CP-long-1000", exact=True)).to_be_visible()
    expect(cards(page)).to_have_text(["CP-long-1000"])
    expect(keys).to_have_count(1)

    page.goto("/profile/chargers")
    turned(page)
    box = "Search by OCPP identity or installation"
    searched(page, box, "long-999")
    expect(page.get_by_role("link", name="CP-long-999", exact=True)).to_be_visible()
    expect(cards(page)).to_have_text(["CP-long-999"])
    assert axe(page) == []
    searched(page, box, "kari@long")
    expect(keys).to_have_count(20)

    page.goto(f"/installations/{site}/local-users")
    people = page.get_by_text("Kari ")
    expect(people.first).to_be_visible()
    page.get_by_role("button", name="Next page").click()
    page.get_by_role("button", name="First page").click()
    expect(page.get_by_role("button", name="Next page")).to_be_visible()

    page.goto(f"/installations/{site}/permissions/new")
    page.get_by_label("E-mail address").fill("ola@long.example")
    where = page.get_by_role("combobox", name="Where")
    where.fill("CP-long-1001")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Code: charger_unknown")).to_be_visible()
    expect(where).to_have_value("CP-long-1001")
    expect(where).to_have_accessible_description(re.compile("There is no such charger"))
    assert axe(page) == []
    where.fill("CP-long-1000")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="CP-long-1000")).to_be_visible()
    # Until identity has heard of it he is somebody: a hundred and twenty are before him.
    come_to_be(page, page.get_by_text("ola@long.example"))

    page.goto(f"/installations/{site}/reports")
    charger = page.get_by_role("combobox", name="Charger")
    charger.fill("CP-long-1000")
    page.get_by_role("button", name="Show").click()
    expect(charger).to_have_value("CP-long-1000")
