"""What members of partners have at the portal: walks in a browser."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from standardwebhooks import Webhook

from chargekey_common.testing.browser import PHONE, OpenPage, axe

from .at_the_portal import come_to_be, owned, owner, signed_up
from .running_system import RunningSystem

KEY = re.compile(r"^[A-Z0-9]{4}$")


class Receiver:
    """A partner's own program: takes what is posted, and keeps what was signed for it."""

    def __init__(self) -> None:
        self.secret = ""
        self.status = 200
        self.events: list[Any] = []
        self._came = Condition()
        receiver = self

        class Take(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if receiver.status == 200:
                    Webhook(receiver.secret).verify(body, dict(self.headers))
                    receiver.take(json.loads(body))
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/feed"

    def take(self, event: Any) -> None:
        with self._came:
            self.events.append(event)
            self._came.notify_all()

    def told(self, name: str, *, times: int = 1) -> list[str]:
        """Return the ids of the events of this name, once they came so often."""

        def ids() -> list[str]:
            return [each["id"] for each in self.events if each["type"].endswith(f".{name}")]

        with self._came:
            assert self._came.wait_for(lambda: len(ids()) >= times, timeout=30)
            return ids()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


def partner(system: RunningSystem, name: str, *, kind: str = "payment-operator") -> tuple[str, str]:
    """Return a new partner's id and its lookup key."""
    created = system.chargekey(
        *("partner", "create", "--name", name, "--kind", kind, "--contact", "help@volt.example")
    )
    return created["id"], created["lookup_key"]


def member(
    open_page: OpenPage,
    system: RunningSystem,
    partner_id: str,
    address: str,
    *options: str,
    **how: Any,
) -> Page:
    """Return a page of a new member of a partner."""
    system.chargekey("partner", "member", "add", partner_id, "--email", address, *options)
    return signed_up(open_page, system, address, **how)


def to_partner(page: Page, name: str, tab: str) -> None:
    page.get_by_role("link", name="Partners", exact=True).first.click()
    page.get_by_role("link", name=name).click()
    page.get_by_role("link", name=tab, exact=True).click()


def test_a_manager_reads_the_lookup_key_to_an_owner_and_changes_it(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-44, R8."""
    its, key = partner(system, "Key AS")
    page = member(
        open_page, system, its, "key@portal-partners.example", "--manages", refusals=[400]
    )
    to_partner(page, "Key AS", "About")
    expect(page.get_by_text(key)).to_be_visible()
    expect(page.locator("code")).to_have_text(KEY)
    assert axe(page) == []
    page.get_by_role("button", name="Change the lookup key").click()
    page.get_by_role("button", name="Change the lookup key").click()
    expect(page.get_by_text("This is the lookup key from now on")).to_be_visible()
    expect(page.get_by_text(key)).to_have_count(0)
    assert system.chargekey("partner", "search", key) == "partner_unknown"
    page.get_by_label("Address of the logo").fill("http://volt.example/logo.png")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: ")
    page.get_by_label("Name").fill("Key and Sons AS")
    page.get_by_label("Address of the logo").fill("https://volt.example/logo.png")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Key and Sons AS")).to_be_visible()
    # A link, never loaded: the page would complain.
    expect(page.get_by_role("link", name="https://volt.example/logo.png")).to_be_visible()


def test_a_plain_member_sees_the_key_and_is_offered_nothing_to_change(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """S3-44."""
    its, key = partner(system, "Plain AS")
    system.chargekey(
        *("partner", "member", "add", its, "--email", "boss@portal-partners.example", "--manages")
    )
    page = member(
        *(open_page, system, its, "plain@portal-partners.example"),
        viewport=PHONE,
        color_scheme="dark",
        refusals=[403],
    )
    to_partner(page, "Plain AS", "About")
    expect(page.get_by_text(key)).to_be_visible()
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    expect(page.get_by_role("button", name="Change the lookup key")).to_have_count(0)
    expect(page.get_by_role("link", name="Credentials")).to_have_count(0)
    assert axe(page) == []
    for tab in ("Members", "Permissions", "Access requests", "Feed", "Webhooks", "OCPI"):
        page.get_by_role("link", name=tab, exact=True).click()
        expect(page.get_by_role("heading", level=2).first).to_be_visible()
        assert axe(page) == []
    expect(page.get_by_role("button", name="Connect")).to_have_count(0)
    # By the addresses of what he is not offered, he is refused.
    page.goto(f"/partners/{its}/credentials")
    expect(page.get_by_text("Code: permission_denied")).to_be_visible()
    page.goto(f"/partners/{its}/key")
    page.get_by_role("button", name="Change the lookup key").click()
    expect(page.get_by_text("Code: permission_denied")).to_be_visible()
    page.goto(f"/partners/{its}/members")
    page.get_by_role("button", name="Leave").click()
    page.get_by_role("button", name="Leave").click()
    expect(page.get_by_text("You have left.")).to_be_visible()
    page.goto(f"/partners/{its}")
    expect(page.get_by_text("Code: permission_denied")).to_be_visible()


def test_members_are_added_by_address_let_manage_and_removed(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R8."""
    its, _ = partner(system, "Crew AS")
    page = member(
        open_page, system, its, "crew@portal-partners.example", "--manages", refusals=[400]
    )
    to_partner(page, "Crew AS", "Members")
    page.get_by_label("E-mail address").fill("mate@portal-partners.example")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Added; whoever is new here")).to_be_visible()
    mate = page.get_by_role("listitem").filter(has_text="mate@portal-partners.example")
    come_to_be(page, mate)
    assert axe(page) == []
    mate.get_by_role("button", name="Let manage: ").click()
    expect(mate.get_by_text("Manages", exact=True)).to_be_visible()
    # Whoever has accepted is told by name, to every member.
    his = signed_up(open_page, system, "mate@portal-partners.example", first_name="Mate")
    page.reload()
    mate = page.get_by_role("listitem").filter(has_text="Mate Nordmann")
    his.goto(f"/partners/{its}/members")
    expect(his.get_by_text("Kari Nordmann")).to_be_visible()
    mate.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", name="Remove Mate Nordmann")).to_be_visible()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("Removed.")).to_be_visible()
    expect(mate).to_have_count(0)


def test_access_is_asked_for_by_a_link_that_is_shown_once(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R8; and what a partner holds is listed by the names of the sites."""
    its, key = partner(system, "Ask AS", kind="service-partner")
    site = owned(system, "site@portal-partners.example")
    system.chargekey(
        *("permission", "grant", "--installation", site),
        *("--partner", key, "--roles", "service"),
    )
    page = member(
        open_page, system, its, "ask@portal-partners.example", "--manages", refusals=[400]
    )
    to_partner(page, "Ask AS", "Permissions")
    expect(page.get_by_role("link", name="Site of site@portal-partners.example")).to_be_visible()
    page.get_by_role("button", name="Ask for access").click()
    expect(page.get_by_text("Operator")).to_have_count(0)
    expect(page.get_by_text("Nothing that you asked for waits")).to_be_visible()
    page.get_by_role("button", name="Make the link").click()
    link = page.locator("#link").inner_text()
    assert "/access-request#" in link
    shown = system.chargekey("access-request", "show", "--token", link)
    assert (shown["partner"], shown["roles"], shown["state"]) == ("Ask AS", ["service"], "waiting")
    assert axe(page) == []
    page.get_by_role("link", name="Back").click()
    waiting = page.get_by_role("listitem").filter(has_text="Whoever gets the link")
    expect(waiting).to_contain_text("Service")
    assert axe(page) == []
    plain = member(open_page, system, its, "ask-plain@portal-partners.example")
    to_partner(plain, "Ask AS", "Access requests")
    expect(plain.get_by_text("Whoever gets the link")).to_be_visible()
    expect(plain.get_by_role("button", name="Withdraw")).to_have_count(0)
    waiting.get_by_role("button", name="Withdraw the request of").click()
    expect(page.get_by_text("Withdrawn;")).to_be_visible()
    expect(waiting).to_have_count(0)
    page.get_by_label("Service").set_checked(False)
    page.get_by_role("button", name="Make the link").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: ")


def test_a_credential_is_issued_its_secret_shown_once_and_revoked(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """F15, R17."""
    its, _ = partner(system, "Credential AS")
    page = member(open_page, system, its, "cred@portal-partners.example", "--manages")
    to_partner(page, "Credential AS", "Credentials")
    page.get_by_label("What it is for").fill("billing")
    page.get_by_role("button", name="Issue").click()
    secret = page.locator("#secret").inner_text()
    assert axe(page) == []
    page.get_by_role("button", name="I have kept it").click()
    expect(page.get_by_text("billing")).to_be_visible()
    assert secret not in page.content()
    assert axe(page) == []
    page.get_by_role("button", name="Revoke billing").click()
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Revoked;")).to_be_visible()
    expect(page.get_by_text("None yet.")).to_be_visible()


def hooked(
    open_page: OpenPage, system: RunningSystem, receiver: Receiver, name: str
) -> tuple[Page, str]:
    """Return a manager's page of a webhook to the receiver, and a site that its feed tells of."""
    its, key = partner(system, f"{name} AS")
    site: str = system.chargekey(
        "installation", "create", "--name", name, "--time-zone", "Europe/Oslo"
    )["id"]
    address = f"{name.lower()}@portal-partners.example"
    page = member(open_page, system, its, address, "--manages", refusals=[400])
    to_partner(page, f"{name} AS", "Webhooks")
    page.get_by_role("button", name="Add webhook").click()
    page.get_by_label("Address", exact=True).fill("ftp://volt.example")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: ")
    assert axe(page) == []
    page.get_by_label("Address", exact=True).fill(receiver.url)
    page.get_by_role("button", name="Save").click()
    receiver.secret = page.locator("#secret").inner_text()
    assert receiver.secret.startswith("whsec_")
    page.get_by_role("button", name="I have kept it").click()
    expect(page.get_by_text("Enabled")).to_be_visible()
    system.chargekey(
        *("permission", "grant", "--installation", site),
        *("--partner", key, "--roles", "service"),
    )
    receiver.told("AccessStarted")
    return page, site


def test_a_webhook_is_posted_to_logged_and_replayed(
    system: RunningSystem, open_page: OpenPage, receiver: Receiver
) -> None:
    """F25, F26, F27."""
    page, _ = hooked(open_page, system, receiver, "Hook")
    row = page.get_by_role("row").filter(has_text="AccessStarted")
    looked(page, row)
    expect(row.get_by_text("delivered")).to_be_visible()
    assert receiver.secret not in page.content()
    assert axe(page) == []
    # Again, the same ones.
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("It goes on from there.")).to_be_visible()
    assert len(set(receiver.told("AccessStarted", times=2))) == 1
    page.get_by_label("Cursor").fill("7")
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: cursor_malformed")


def test_a_webhook_that_fails_says_so_and_goes_on_with_another_secret_where_it_stood(
    system: RunningSystem, open_page: OpenPage, receiver: Receiver
) -> None:
    """F25, F26."""
    page, site = hooked(open_page, system, receiver, "Fails")
    receiver.status = 500
    system.chargekey("installation", "set", site, "--authorisation-required", "no")
    looked(page, page.get_by_role("row").filter(has_text="http_500").first)
    # The page asked after the webhook before it asked for its log.
    looked(page, page.get_by_text("Failing", exact=True))
    assert axe(page) == []
    page.get_by_role("button", name="Rotate the secret").click()
    page.get_by_role("button", name="Rotate the secret").click()
    secret = page.locator("#secret").inner_text()
    assert secret != receiver.secret
    page.get_by_role("button", name="I have kept it").click()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("Disabled here.")).to_be_visible()
    receiver.secret, receiver.status = secret, 200
    page.get_by_role("button", name="Enable").click()
    receiver.told("AuthorisationRequiredSet")
    page.get_by_text("Only some events").click()
    page.get_by_label("SessionEnded").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("definition").filter(has_text="SessionEnded")).to_be_visible()
    assert axe(page) == []
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("None yet.")).to_be_visible()


def looked(page: Page, row: Any) -> None:
    """Look until it is there: what is posted takes a moment."""
    page.reload()
    deadline = time.monotonic() + 30
    while not row.count():
        assert time.monotonic() < deadline
        page.reload()


def test_the_feed_is_shown_from_its_newest_event_and_behind_a_cursor(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """F15, F19."""
    its, key = partner(system, "Told AS")
    site = owned(system, "told@portal-partners.example")
    system.chargekey(
        *("permission", "grant", "--installation", site),
        *("--partner", key, "--roles", "service"),
    )
    page = member(open_page, system, its, "feed@portal-partners.example", refusals=[400])
    to_partner(page, "Told AS", "Feed")
    row = page.get_by_role("row").filter(has_text="AccessStarted")
    looked(page, row)
    row.get_by_text("AccessStarted").click()
    expect(row.get_by_text(site)).to_be_visible()
    expect(page.get_by_text("/v1/events")).to_be_visible()
    assert axe(page) == []
    newest = page.locator("#newest").inner_text()
    page.get_by_label("Events behind the cursor").fill(newest)
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No events.")).to_be_visible()
    page.get_by_label("Events behind the cursor").fill("7")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: cursor_malformed")


def test_an_operator_says_where_it_decides_and_offers_ocpi(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R3, and real-time authorization."""
    its, _ = partner(system, "Decide AS")
    page = member(
        *(open_page, system, its, "decide@portal-partners.example", "--manages"),
        refusals=[400, 409, 503, 504],
    )
    to_partner(page, "Decide AS", "Decision endpoint")
    page.get_by_label("Address").fill("nonsense:")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: ")
    assert axe(page) == []
    page.get_by_label("Address").fill("https://volt.example/decide")
    page.get_by_role("button", name="Save").click()
    assert page.locator("#secret").inner_text().startswith("whsec_")
    page.get_by_role("button", name="I have kept it").click()
    page.get_by_label("Form of the question").select_option("OCPI 2.2.1")
    page.get_by_label("Address").fill("https://volt.example/ocpi/tokens")
    page.get_by_label("Token", exact=True).fill("their-token")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Chargers ask there from now on.")).to_be_visible()
    expect(page.locator("#endpoint")).to_contain_text("https://volt.example/ocpi/tokens")
    assert axe(page) == []
    assert "their-token" not in page.content()
    page.get_by_role("button", name="Remove the decision endpoint").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Nobody is asked any more")).to_be_visible()
    expect(page.get_by_text("None is set: you are not asked.")).to_be_visible()
    page.get_by_role("link", name="OCPI").click()
    expect(page.get_by_text("Not connected")).to_be_visible()
    assert axe(page) == []
    page.get_by_label("Address of its versions").fill("http://127.0.0.1:9/versions")
    page.get_by_label("Token that it gave").fill("their-token")
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("alert")).to_contain_text("Code: ")
    assert "their-token" not in page.content()
    page.get_by_role("button", name="Make a token").click()
    expect(page.locator("#token")).to_be_visible()
    expect(page.locator("#address")).to_contain_text("/versions")
    page.get_by_role("button", name="I have kept it").click()
    expect(page.get_by_text("Offered")).to_be_visible()
    page.get_by_role("button", name="Disconnect").click()
    page.get_by_role("button", name="Disconnect").click()
    expect(page.get_by_text("Disconnected.")).to_be_visible()
    expect(page.get_by_text("Not connected")).to_be_visible()


def test_a_service_partner_has_no_pages_of_operators_and_a_stranger_none_at_all(
    system: RunningSystem, open_page: OpenPage
) -> None:
    """R8."""
    its, _ = partner(system, "Service AS", kind="service-partner")
    page = member(open_page, system, its, "service@portal-partners.example", "--manages")
    to_partner(page, "Service AS", "About")
    for tab in ("Decision endpoint", "OCPI"):
        expect(page.get_by_role("link", name=tab)).to_have_count(0)
    stranger, _ = owner(open_page, system, "stranger@portal-partners.example", refusals=[403])
    stranger.get_by_role("link", name="Partners", exact=True).click()
    expect(stranger.get_by_text("You are a member of no partner.")).to_be_visible()
    assert axe(stranger) == []
    tabs = ("", "/members", "/permissions", "/access-requests", "/credentials", "/feed")
    for tab in (*tabs, "/webhooks", "/decision-endpoint", "/ocpi"):
        stranger.goto(f"/partners/{its}{tab}")
        expect(stranger.get_by_text("Code: permission_denied")).to_be_visible()
