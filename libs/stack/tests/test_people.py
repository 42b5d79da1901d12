"""People who sign in: invited, signed up, with cards of their own, seeing only what is theirs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chargekey_stack.programs import ADMINISTRATOR_ADDRESS

from .mails import token, tokens
from .running_system import RunningSystem


class Site:
    """An installation with a charger, and what people do about it."""

    def __init__(self, system: RunningSystem, name: str) -> None:
        self.system = system
        self.run = system.chargekey
        created = self.run("installation", "create", "--name", name, "--time-zone", "Europe/Oslo")
        self.id: str = created["id"]
        self.charger = f"CP-{name}"
        at_site = ("--installation", self.id)
        self.run("charger", "add", *at_site, "--ocpp-identity", self.charger)

    def invite(self, address: str, roles: str, *where: str) -> str:
        """Give an address roles, and return the id of its person once he has signed up."""
        where = where or ("--installation", self.id)
        number = len(tokens(self.system.data, address)) + 1
        self.run("permission", "grant", *where, "--email", address, "--roles", roles)
        return self.accept(address, number)

    def accept(self, address: str, number: int = 1) -> str:
        """Sign up by the link in that mail to the invited; return the person's id."""
        accepted = self.run(
            *("invitation", "accept", "--token", token(self.system.data, address, number)),
            *("--first-name", address.split("@", maxsplit=1)[0].title(), "--last-name", "Berg"),
        )
        user_id: str = accepted["user_id"]
        self.run("logout")
        return user_id

    def decided(self, code: str) -> str:
        """Return the status of a tap."""
        status: str = self.run("authorize", "--charger", self.charger, "--code", code)["status"]
        return status

    def becomes(self, code: str, status: str) -> None:
        """Return once a tap is answered so: what was done elsewhere takes a moment."""
        deadline = time.monotonic() + 60
        asked = ("authorize", "--charger", self.charger, "--code", code, "--explain")
        while (decision := self.run(*asked))["status"] != status:
            assert time.monotonic() < deadline, decision
            time.sleep(0.05)


@pytest.fixture(scope="module")
def site(system: RunningSystem) -> Site:
    return Site(system, "People")


@contextmanager
def signed_in(system: RunningSystem, address: str) -> Iterator[str]:
    """Sign in by a mailed link, for the length of the block."""
    run = system.chargekey
    number = len(tokens(system.data, address)) + 1
    run("login", "--email", address)
    yield run("login", "--token", token(system.data, address, number))["user_id"]
    run("logout")


def test_the_invited_sign_up_and_charge_without_another_step_of_the_owner(site: Site) -> None:
    """R7, S3-15, S3-18...S3-20, S3-52, S3-53: by a card he adds himself."""
    ada = site.invite("ada@people.example", "user")
    card = "04A1B2C3D4E5F6"
    site.run(
        *("identification", "add", "--user", ada, "--type", "rfid", "--code", card, "--as", ada)
    )
    site.becomes(card, "Accepted")
    [invitation] = [
        each
        for each in site.run("invitation", "list", "--installation", site.id)["invitations"]
        if each["user_id"] == ada
    ]
    assert (invitation["email"], invitation["state"]) == ("ada@people.example", "accepted")
    [charger] = site.run("user", "chargers", "--as", ada)["chargers"]
    assert (charger["ocpp_identity"], charger["key"]) == (site.charger, True)
    [user] = site.run("user", "who-can-use", site.charger)["users"]
    assert (user["user_id"], user["name"], user["blocked"]) == (ada, "Ada Berg", False)


def test_by_the_portal_and_by_a_card_the_approved_are_let_in_and_nobody_else(site: Site) -> None:
    """S3-10, S3-11, S3-12, S3-13, S3-30, S3-34: at a restricted site; at an open one, anybody."""
    eli = site.invite("eli@people.example", "user")
    card = "04E1B2C3D4E5F6"
    site.run(
        *("identification", "add", "--user", eli, "--type", "rfid", "--code", card, "--as", eli)
    )
    stranger = "04FFEEDDCCBBAA"
    for _ in range(2):
        for code, status in ((card, "Accepted"), (stranger, "Invalid")):
            site.becomes(code, status)
        # The charger is not there, but she might start.
        assert site.run("charger", "start", site.charger, "--as", eli) == "charger_offline"
        site.run("installation", "set", site.id, "--authorisation-required", "no")
        site.becomes(stranger, "Accepted")
        site.run("installation", "set", site.id, "--authorisation-required", "yes")


def test_who_is_invited_to_a_charger_has_that_charger_only(site: Site) -> None:
    """S3-22, S3-26, S3-27."""
    other = "CP-other"
    site.run("charger", "add", "--installation", site.id, "--ocpp-identity", other)
    bo = site.invite("bo@people.example", "user", "--charger", other)
    [charger] = site.run("user", "chargers", "--as", bo)["chargers"]
    assert charger["ocpp_identity"] == other
    # What the site is called, and nothing of its other chargers.
    assert site.run("installation", "show", site.id, "--as", bo)["name"] == "People"
    assert site.run("charger", "list", "--installation", site.id, "--as", bo) == "permission_denied"
    assert site.run("charger", "show", other, "--as", bo) != "permission_denied"


def test_a_signed_in_owner_sees_and_edits_his_own_site_and_no_other(
    site: Site, system: RunningSystem
) -> None:
    """S3-5, S3-6, S3-14, S3-23, S3-24, S3-31."""
    site.invite("eva@people.example", "owner,user")
    elsewhere = Site(system, "Elsewhere")
    with signed_in(system, "eva@people.example") as eva:
        assert site.run("whoami")["user_id"] == eva
        assert [each["id"] for each in site.run("installation", "list")["installations"]] == [
            site.id
        ]
        opened = site.run("installation", "set", site.id, "--authorisation-required", "no")
        assert set(opened) == {"position"}
        site.run("installation", "set", site.id, "--authorisation-required", "yes")
        assert site.run("installation", "show", elsewhere.id) == "permission_denied"
        assert site.run("charger", "set", elsewhere.charger, "--authorisation", "required") == (
            "permission_denied"
        )
    assert site.run("whoami")["user_id"] is None


def test_a_user_blocked_at_a_site_is_refused_there_and_the_owner_told_where_not(
    site: Site,
) -> None:
    """R12."""
    kim = site.invite("kim@people.example", "user")
    card = "04B1B2C3D4E5F6"
    site.run(
        *("identification", "add", "--user", kim, "--type", "rfid", "--code", card, "--as", kim)
    )
    site.becomes(card, "Accepted")
    open_one = ("charger", "add", "--installation", site.id, "--ocpp-identity", "CP-open")
    site.run(*open_one)
    site.run("charger", "set", "CP-open", "--authorisation", "not-required")
    blocked = site.run("user", "block", kim, "--installation", site.id)
    assert blocked["open_chargers"] == 1
    site.becomes(card, "Blocked")
    assert site.run("user", "blocked", "--installation", site.id) == {
        "blocked users": [{"id": kim}]
    }
    site.run("user", "unblock", kim, "--installation", site.id)
    site.becomes(card, "Accepted")
    site.run("user", "block", kim, "--everywhere")
    site.becomes(card, "Blocked")
    site.run("user", "unblock", kim, "--everywhere")


def test_ownership_changes_hands_when_it_is_accepted_and_never_leaves_nobody(site: Site) -> None:
    """R6."""
    of = Site(site.system, "Ownership")
    first = of.invite("first@people.example", "owner,user")
    second = of.invite("second@people.example", "user")
    [mine] = [
        each
        for each in of.run("permission", "list", "--installation", of.id)["permissions"]
        if each["user_id"] == first
    ]
    assert of.run("permission", "revoke", mine["id"], "--as", first) == "last_owner"
    of.run("installation", "transfer", of.id, "--user", second, "--as", first)
    assert of.run("installation", "accept", of.id, "--as", first) == "permission_denied"
    of.run("installation", "accept", of.id, "--as", second)
    assert of.run("installation", "rename", of.id, "--name", "New", "--as", first) == (
        "permission_denied"
    )
    assert of.run("installation", "rename", of.id, "--name", "New", "--as", second)["position"]


def test_an_operator_manages_a_site_and_says_whom_to_ask(site: Site) -> None:
    """R2, R3, R8, R9, S3-8, S3-29, S3-36, S3-42, S3-47."""
    of = Site(site.system, "Managed")
    partner = of.run(
        *("partner", "create", "--name", "Volt AS", "--kind", "payment-operator"),
        *("--contact", "help@volt.example"),
    )
    assert of.run("partner", "search", partner["lookup_key"].lower())["name"] == "Volt AS"
    assert of.run("permission", "list", "--installation", of.id) == {"permissions": []}
    kari = of.invite("kari@volt.example", "user", "--charger", of.charger)
    of.run("partner", "member", "add", partner["id"], "--user", kari, "--manages")
    of.run("charger", "set", of.charger, "--authorisation", "not-required")
    of.run("partner", "connect", of.id, partner["lookup_key"])
    shown = of.run("installation", "show", of.id)
    assert (shown["managed_by"], shown["contact"]) == ("Volt AS", "help@volt.example")
    at_site = ("--installation", of.id)
    grant = ("permission", "grant", *at_site, "--email", "x@people.example", "--roles", "user")
    assert of.run(*grant) == "managed_by_third_party"
    assert of.run("charger", "set", of.charger, "--authorisation", "required") == (
        "payment_operator_connected"
    )
    assert of.run("charger", "show", of.charger)["locked"]
    assert of.run(*grant, "--as", kari)["id"]
    of.run("partner", "disconnect", of.id)
    shown = of.run("installation", "show", of.id)
    assert (shown["managed_by"], shown["authentication"]) == (None, "native")
    assert shown["authorisation_required"]
    assert not of.run("charger", "show", of.charger)["locked"]
    assert of.run(*grant)["id"]


def test_a_partner_asks_for_access_by_a_link_and_holds_it_when_it_is_approved(site: Site) -> None:
    """R8, S3-4, S3-7, S3-44."""
    of = Site(site.system, "Asked")
    partner = of.run(
        *("partner", "create", "--name", "Fix AS", "--kind", "service-partner"),
        *("--contact", "fix@fix.example"),
    )
    ola = of.invite("ola@fix.example", "user", "--charger", of.charger)
    of.run("partner", "member", "add", partner["id"], "--user", ola)
    asked = of.run(
        *("access-request", "create", "--partner-id", partner["id"], "--roles", "service"),
        *("--as", ola),
    )
    assert of.run("access-request", "show", "--token", asked["link_token"])["partner"] == "Fix AS"
    change = ("charger", "quirks", of.charger, "--reversed", "--as", ola)
    assert of.run(*change) == "permission_denied"
    of.run(*("access-request", "approve", "--token", asked["link_token"], "--installation", of.id))
    assert of.run(*change)["position"]
    of.run("partner", "member", "remove", partner["id"], "--user", ola)
    assert of.run(*change) == "permission_denied"


def test_people_come_in_as_a_table_all_or_none_and_leave_as_one(site: Site, tmp_path: Path) -> None:
    of = Site(site.system, "Table")
    file = tmp_path / "people.csv"
    header = "first_name,last_name,email,roles,valid_until,pin,rfid,blocked\n"
    file.write_text(header + "Per,Berg,,user,,#8811,,no\nNo,Pin,,user,,8811,,no\n")
    of.system.chargekey("user", "list", "--installation", of.id)
    command = ("user", "import", str(file), "--installation", of.id)
    told = of.run(*command, "--dry-run")
    assert [line["refused"] for line in told["lines"]] == [None, "pin_malformed"]
    assert of.run("user", "list", "--installation", of.id) == {"users": []}
    file.write_text(header + "Per,Berg,,user,,#8811,,no\n,,liv@people.example,user,,,,no\n")
    imported = of.run(*command)
    assert imported["imported"]
    of.becomes("#8811", "Accepted")
    token(of.system.data, "liv@people.example")
    exported = of.run("user", "export", "--installation", of.id)
    assert set(exported) == {"csv", "position"}


def test_an_invitation_is_taken_back_with_what_it_was_for(site: Site) -> None:
    """R7."""
    of = Site(site.system, "Mistaken")
    at_site = ("--installation", of.id)
    address = "typo@people.example"
    of.run("permission", "grant", *at_site, "--email", address, "--roles", "user")
    link = token(of.system.data, address)
    [invitation] = of.run("invitation", "list", *at_site)["invitations"]
    of.run("invitation", "revoke", invitation["id"])
    deadline = time.monotonic() + 20
    while of.run("permission", "list", *at_site)["permissions"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert of.run("invitation", "accept", "--token", link) == "link_invalid"


def test_what_was_done_about_a_thing_is_told_to_its_owners_alone(site: Site) -> None:
    of = Site(site.system, "Told")
    boss = of.invite("boss@people.example", "owner")
    guest = of.invite("guest@people.example", "user")
    changes = of.run("history", "--installation", of.id, "--as", boss)["changes"]
    events = {change["event"] for change in changes}
    assert {"InstallationCreated", "ChargerAdded", "PermissionGranted"} <= events
    assert all(change["actor"] for change in changes)
    assert of.run("history", "--installation", of.id, "--as", guest) == "permission_denied"


def test_the_administrator_signs_in_by_his_address_and_is_told_as_himself(site: Site) -> None:
    """To every service, which verifies by identity's keys; whoever else signs in is none."""
    of = Site(site.system, "Administered")
    at_site, by_me = ("--installation", of.id), ("--as", "administrator:me")
    assert of.run("partner", "list", *by_me) == "not_signed_in"
    with signed_in(of.system, ADMINISTRATOR_ADDRESS) as root:
        assert of.run("installation", "show", of.id) == "permission_denied"
        assert of.run("installation", "show", of.id, *by_me)["id"] == of.id
        of.run("installation", "rename", of.id, "--name", "Renamed", *by_me)
        assert of.run("user", "list", *at_site, *by_me) == {"users": []}
        assert of.run("sessions", "list", *at_site, *by_me) == {"sessions": []}
        tap = ("authorize", "--charger", of.charger, "--code", "#8812")
        assert of.run(*tap, *by_me)["status"] == "Invalid"
        partner = of.run(
            *("partner", "create", "--name", "Me AS", "--kind", "service-partner"),
            *("--contact", "me@fix.example", *by_me),
        )
        assert partner["id"] in str(of.run("partner", "list", *by_me))
        assert isinstance(of.run("feed", "show", partner["id"], *by_me), dict)
        assert isinstance(of.run("audit", "verify", *by_me), dict)
        changes = of.run("history", *at_site, *by_me)["changes"]
        [renamed] = [each for each in changes if each["event"] == "InstallationRenamed"]
        assert renamed["actor"] == f"administrator:{root}"
        his = of.run("history", "--user", root)["changes"]
        acted = [each for each in his if each["event"] == "ActedAsAdministrator"]
        assert {each["actor"] for each in acted} == {f"user:{root}"}
    of.invite("clerk@people.example", "owner")
    with signed_in(of.system, "clerk@people.example"):
        assert of.run("partner", "list", *by_me) == "permission_denied"


def test_a_person_takes_everything_with_him_and_is_erased(site: Site) -> None:
    """R20."""
    of = Site(site.system, "Erased")
    gone = of.invite("gone@people.example", "user")
    everything: Any = of.run("user", "export", gone, "--as", gone)
    assert "gone@people.example" in str(everything["identity"])
    assert everything["permissions"]
    assert of.run("sessions", "list", "--as", gone) == {"sessions": []}
    assert of.run("user", "erase", gone, "--as", gone)["position"]
    assert of.run("user", "show", gone) == "user_unknown"
    assert of.run("permission", "list", "--installation", of.id) == {"permissions": []}
