"""A payment operator from its lookup key to the day it leaves, in the words of its people."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from standardwebhooks import Webhook

from chargekey_stack.simulator import SimulatedCharger, simulated_charger

from .running_system import RunningSystem
from .test_people import Site

CONTACT = "help@volt.example"
CUSTOMERS, STRANGERS, RESIDENTS = "04C0FFEE000001", "04BADBAD000001", "04DECADE000001"

TOLD_IN_ORDER = (
    "AccessStarted",
    "AuthenticationTypeSet",
    "OperatorConnected",
    "ChargerAdded",
    "ChargerConnected",
    "PermissionGranted",
    "IdentificationAdded",
    "AuthenticationTypeSet",
    "AuthorizationRefused",
    "SessionStarted",
    "OperatorDisconnected",
    "SessionEnded",
    "AccessEnded",
)


class Operator:
    """An operator's own program: lets its customers in, and nobody else, by a signed webhook."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.secret = ""
        operator = self

        class Decide(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                question = Webhook(operator.secret).verify(body, dict(self.headers))
                operator.asked.append(question)
                allowed = question["token"]["code"] == CUSTOMERS
                answer = json.dumps(
                    {"allowed": "ALLOWED", "reference": "ref-7"}
                    if allowed
                    else {"allowed": "NOT_ALLOWED"}
                ).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Decide)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/decide"

    @contextmanager
    def answering(self) -> Iterator[None]:
        thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


@pytest.fixture
def operator() -> Iterator[Operator]:
    operator = Operator()
    with operator.answering():
        yield operator


class Managed(Site):
    """A site with an owner, and the operator whom she lets manage it."""

    def __init__(self, system: RunningSystem, name: str) -> None:
        super().__init__(system, name)
        added = self.run(
            *("charger", "add", "--installation", self.id, "--ocpp-identity", f"CP2-{name}")
        )
        self.charger, self.password = f"CP2-{name}", added["password"]
        self.owner = self.invite(f"eva@{name.lower()}.example", "owner")
        partner = self.run(
            *("partner", "create", "--name", "Volt AS", "--kind", "payment-operator"),
            *("--contact", CONTACT),
        )
        self.partner: str = partner["id"]
        address = f"kari@managing-{name.lower()}.example"
        self.run("partner", "member", "add", self.partner, "--email", address, "--manages")
        self.kari = self.accept(address)

    def by_kari(self, *command: str) -> Any:
        """Run a command as the operator's member."""
        return self.run(*command, "--as", self.kari)

    def by_eva(self, *command: str) -> Any:
        """Run a command as the site's owner."""
        return self.run(*command, "--as", self.owner)

    def shown(self) -> Any:
        """Return who manages the site and who decides, as its owner sees it."""
        site = self.by_eva("installation", "show", self.id)
        return (site["managed_by"], site["authentication"], site["authorisation_required"])

    def ended(self) -> Any:
        """Return the charger's one session once it is over."""
        deadline = time.monotonic() + 30
        while True:
            sessions = self.run("sessions", "list", "--charger", self.charger)["sessions"]
            if sessions:
                [session] = sessions
                if session["ended_at"] is not None:
                    return session
            assert time.monotonic() < deadline, sessions
            time.sleep(0.05)

    def told(self, last: str) -> list[Any]:
        """Return the operator's feed once its last event is of that name."""
        deadline = time.monotonic() + 30
        while True:
            feed = self.by_kari("feed", "events", self.partner, "--limit", "1000")["events"]
            if feed and name(feed[-1]) == last:
                return list(feed)
            assert time.monotonic() < deadline, list(map(name, feed))
            time.sleep(0.05)


def name(event: Any) -> str:
    """Return the name of what a feed tells."""
    kind: str = event["type"]
    return kind.removeprefix("chargekey.feed.v1.")


def asked_and_approved(here: Managed) -> None:
    """The operator asks for access by a link; the owner finds it by its key, and approves."""
    key = here.by_kari("partner", "show", here.partner)["lookup_key"]
    asked = here.by_kari(
        *("access-request", "create", "--partner-id", here.partner, "--roles", "operator")
    )
    assert here.by_eva("partner", "search", key.lower())["id"] == here.partner
    link = ("--token", asked["link_token"])
    assert here.by_eva("access-request", "show", *link)["partner"] == "Volt AS"
    assert here.shown() == (None, "native", True)
    here.by_eva("access-request", "approve", *link, "--installation", here.id)
    assert here.shown() == ("Volt AS", "native", True)
    [site] = here.by_kari("installation", "list")["installations"]
    assert site["id"] == here.id


def its_grants_count_and_nobody_else_gives_any(here: Managed) -> None:
    """Managed and NATIVE: the list of permissions decides, and the operator keeps it."""
    to = ("--installation", here.id, "--email", f"ida@{here.id}.example", "--roles", "user")
    assert here.by_eva("permission", "grant", *to) == "managed_by_third_party"
    assert CONTACT in here.system.refusal("permission", "grant", *to, "--as", here.owner)
    local = ("user", "add-local", "--installation", here.id, "--first-name", "Ida")
    named = (*local, "--last-name", "Berg")
    assert here.by_eva(*named) == "managed_by_third_party"
    ida = here.by_kari(*named)["id"]
    card = ("identification", "add", "--user", ida, "--type", "rfid", "--code", RESIDENTS)
    assert here.by_eva(*card) == "managed_by_third_party"
    here.by_kari(*card)
    here.becomes(RESIDENTS, "Accepted")
    assert here.decided(CUSTOMERS) == "Invalid"


async def it_decides_from_now_on(
    here: Managed, operator: Operator, charger: SimulatedCharger
) -> None:
    """EXTERNAL: its answers count, the permissions do not; and without any nobody is let in."""
    external = ("installation", "set", here.id, "--authentication", "external")
    await asyncio.to_thread(here.by_kari, *external)
    # The same again: nobody is let in yet, which whoever sets it is told.
    again = (*external, "--as", here.kari)
    said = await asyncio.to_thread(here.system.beside, *again)
    assert "Nobody can charge there until Volt AS can be asked" in " ".join(said.split())
    assert f"decision-endpoint set {here.partner}" in " ".join(said.split())
    # Without a charger nobody is asked.
    await asyncio.to_thread(here.becomes, RESIDENTS, "Undecided")
    assert await charger.authorize(RESIDENTS) == "Invalid"
    endpoint = ("partner", "decision-endpoint", "set", here.partner, "--kind", "webhook")
    set_up = await asyncio.to_thread(here.by_kari, *endpoint, "--url", operator.url)
    operator.secret = set_up["secret"]
    assert await asyncio.to_thread(here.system.beside, *again) == ""
    deadline = time.monotonic() + 30
    while await charger.authorize(CUSTOMERS) != "Accepted":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)  # whoever taps as fast as he can is sent away before long
    assert await charger.authorize(RESIDENTS) == "Invalid"
    assert await charger.authorize(STRANGERS) == "Invalid"
    assert {each["token"]["code"] for each in operator.asked} == {
        *(CUSTOMERS, RESIDENTS, STRANGERS)
    }
    assert await asyncio.to_thread(here.shown) == ("Volt AS", "external", True)


def it_leaves_and_the_site_is_closed(here: Managed, operator: Operator) -> None:
    """Nobody is let in but by a permission; what the operator gave is the owner's to keep."""
    asked = len(operator.asked)
    assert here.by_eva("partner", "disconnect", here.id)["position"]
    assert here.shown() == (None, "native", True)
    here.becomes(CUSTOMERS, "Invalid")
    here.becomes(RESIDENTS, "Accepted")
    assert len(operator.asked) == asked
    assert here.by_kari("installation", "show", here.id) == "permission_denied"
    [ida] = here.by_eva("user", "list", "--installation", here.id)["users"]
    assert here.by_eva("user", "block", ida["id"])["position"]


async def test_a_payment_operator_comes_decides_and_leaves(
    system: RunningSystem, operator: Operator
) -> None:
    """R2, R3, R8, R9, P17, S3-8, S3-29, S3-42, S3-44, S3-47; who charged, charges on."""
    here = await asyncio.to_thread(Managed, system, "Volt")
    url = system.ready["ocpp"]
    async with simulated_charger(url, here.charger, here.password) as charger:
        await charger.boot()
        await asyncio.to_thread(asked_and_approved, here)
        await asyncio.to_thread(its_grants_count_and_nobody_else_gives_any, here)
        await it_decides_from_now_on(here, operator, charger)
        assert (await charger.start(CUSTOMERS)).status == "Accepted"
        await asyncio.to_thread(it_leaves_and_the_site_is_closed, here, operator)
        assert charger.transaction is not None
        assert await charger.stop() == "Local"
        ended = await asyncio.to_thread(here.ended)
        assert (ended["reason"], ended["end_reason"]) == ("operator_accepted", "Local")
    feed = await asyncio.to_thread(here.told, "AccessEnded")
    its_feed_tells_all_of_it(here, feed)


def its_feed_tells_all_of_it(here: Managed, feed: list[Any]) -> None:
    """In order, from how things were when it came to the end of whoever still charged."""
    assert [each["sequence"] for each in feed] == [f"{n:020d}" for n in range(1, len(feed) + 1)]
    assert name(feed[0]) == "AccessStarted"
    assert feed[0]["data"]["roles"] == ["OPERATOR"]
    rest = iter(feed)
    for expected in TOLD_IN_ORDER:
        assert any(name(each) == expected for each in rest), (expected, list(map(name, feed)))
    [started] = [each["data"] for each in feed if name(each) == "SessionStarted"]
    assert (started["reason"], started["authorization_reference"]) == ("operator_accepted", "ref-7")
    [ended] = [each["data"] for each in feed if name(each) == "SessionEnded"]
    assert ended["session_id"] == started["session_id"]
    assert {each["data"].get("installation_id", here.id) for each in feed} == {here.id}
    # No codes, no names; and nothing of what the owner did once it had gone.
    whole = json.dumps(feed)
    for secret in (CUSTOMERS, STRANGERS, RESIDENTS, "Ida", "Eva", "Kari", "@"):
        assert secret not in whole
    assert not [each for each in feed if name(each) == "UserBlocked"]
