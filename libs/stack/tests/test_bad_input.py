"""What people type and should not: refused by name, on one system, which stores nothing of it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from typing import Any
from unittest import mock

import msgspec
import pytest
import typer

from chargekey_stack import cli

from .running_system import RunningSystem

UNKNOWN = "ffffffff-ffff-ffff-ffff-ffffffffffff"
ENDLESS = "x" * 10_000
SECRET = "2468"
PINS = ("", "#", SECRET, "#123", f"#{SECRET}13579", f"#{SECRET}a", f"#{SECRET}\n0", f"#{ENDLESS}")
CARDS = ("", "0102030405", "04A1B2C", "04A1B2CX", f"#{SECRET}", ENDLESS)
NO_CARDS = ("08A1B2C3", "01020304", "00:00:00:00", "FFFFFFFFFFFFFF")
NAMES = ("", " ", "a\nb", "\x1b[2J", "\u202etxet", "\u200b", "\u3164", ENDLESS)
ZONES = ("", "Mars/Olympus", "../etc/passwd", "europe/oslo", ENDLESS)
IDS = ("", "nonsense", UNKNOWN, ENDLESS, "../etc/passwd")
DAYS = {
    "date_malformed": ("2026-02-30", "31.12.2026", "tomorrow", "2026-1-5", ENDLESS),
    "date_in_past": ("0001-01-01", "2001-01-01"),
    "date_too_late": ("9999-12-31",),
}
GENERATION = "0" * 16
# The last ones are {} and {"access":1}, which no list has answered.
CURSORS = ("nonsense", "====", SECRET, "\u202etxet", ENDLESS, "e30=", "eyJhY2Nlc3MiOjF9")
# They begin, end or mend a whole system, and have their tests with it.
OF_NO_RUNNING_SYSTEM = {"up", "demo", "restored", "secrets"}

Row = tuple[str, tuple[str, ...]]


class Site(msgspec.Struct, frozen=True):
    """What the rows are about."""

    id: str
    user: str
    pin: str
    charger: str
    password: str
    position: str


def rows(site: Site) -> Iterator[Row]:
    """Return error codes, each with a command that must end in it."""
    yield from installations(site)
    yield from chargers(site)
    yield from users(site)
    yield from identifications(site)
    yield from permissions(site)
    yield from people(site)
    yield from partners(site)
    yield from webhooks(site)
    yield from ocpi(site)
    yield from mails(site)
    yield from requests(site)
    yield from questions(site)


PLACE = (
    *("--address", "Storgata 1", "--postal-code", "0155", "--city", "Oslo"),
    *("--country", "NOR", "--latitude", "59.913868", "--longitude", "10.752245"),
)


def installations(site: Site) -> Iterator[Row]:
    create = ("installation", "create")
    for name in NAMES:
        yield "name_malformed", (*create, "--name", name, "--time-zone", "Europe/Oslo")
    for zone in ZONES:
        yield "time_zone_unknown", (*create, "--name", "Home", "--time-zone", zone)
    for key in IDS:
        yield "installation_unknown", ("installation", "show", key)
        required = ("--authorisation-required", "no")
        yield "installation_unknown", ("installation", "set", key, *required)
    yield "usage", ("installation", "set", site.id, "--authorisation-required", "maybe")
    yield "nothing_to_change", ("installation", "set", site.id)
    yield (
        "external_needs_operator",
        ("installation", "set", site.id, "--authentication", "external"),
    )
    for name in NAMES:
        yield "name_malformed", ("installation", "rename", site.id, "--name", name)
    for key in IDS:
        yield "installation_unknown", ("installation", "rename", key, "--name", "New")
        yield "installation_unknown", ("installation", "address", key, *PLACE)
        yield "installation_unknown", ("installation", "policies", key)
        for verb in ("accept", "withdraw"):
            yield "installation_unknown", ("installation", verb, key)
        yield "installation_unknown", ("installation", "transfer", key, "--user", site.user)
    yield "address_malformed", ("installation", "address", site.id, *PLACE, "--country", "Norway")
    yield "address_malformed", ("installation", "address", site.id, *PLACE, "--latitude", "91")
    yield "usage", ("installation", "address", site.id, "--city", "Oslo")
    yield "usage", ("installation", "policies", site.id, "--pin-length", "3")
    yield "usage", ("installation", "policies", site.id, "--on-block", "explode")
    yield "usage", ("installation", "policies", site.id, "--view-bound-minutes", "0")
    yield "usage", ("installation", "policies", site.id, "--on-view-behind", "guess")
    yield "subject_missing", ("installation", "transfer", site.id)
    yield "local_user_cannot_own", ("installation", "transfer", site.id, "--user", site.user)
    yield "ownership_not_offered", ("installation", "withdraw", site.id)
    yield "ownership_not_offered", ("installation", "accept", site.id)
    yield "usage", ("installation", "list", "extra")


def charger_commands(site: Site) -> Iterator[Row]:
    for key in IDS:
        unknown = "charger_unknown" if key else "charger_not_named"
        for words in (("start",), ("reset",), ("unlock",), ("clear-cache",), ("settings", "show")):
            yield unknown, ("charger", *words, key)
        yield unknown, ("charger", "disconnect", key)
        yield unknown, ("charger", "availability", key, "off")
        yield unknown, ("charger", "trigger", key, "Heartbeat")
        yield unknown, ("charger", "settings", "set", key, "HeartbeatInterval", "300")
        yield unknown, ("charger", "send", key, "ClearCache", "{}")
        yield "session_unknown", ("charger", "stop", key)
        yield "session_unknown", ("charger", "end-session", key)
    yield "charger_offline", ("charger", "reset", site.charger)
    yield "charger_offline", ("charger", "disconnect", site.charger)
    yield "usage", ("charger", "availability", site.charger, SECRET)
    yield "usage", ("charger", "unlock", site.charger, "--connector", "-1")
    yield "connector_malformed", ("charger", "unlock", site.charger, "--connector", "0")
    yield "setting_malformed", ("charger", "settings", "show", site.charger, "")
    yield "setting_malformed", ("charger", "settings", "set", site.charger, "A", "\x1b[2J")
    yield "payload_invalid", ("charger", "send", site.charger, "ClearCache", SECRET)


def chargers(site: Site) -> Iterator[Row]:
    for key in IDS:
        add = ("charger", "add", "--ocpp-identity", "CP-2")
        yield "installation_unknown", (*add, "--installation", key)
        yield "installation_unknown", ("charger", "list", "--installation", key, "--search", "CP")
        unknown = "charger_unknown" if key else "charger_not_named"
        yield unknown, ("charger", "set", key, "--authorisation", "required")
        yield unknown, ("charger", "set", key, "--authorisation", "required", "--dry-run")
        yield unknown, ("charger", "types", key, "--enable", "pin")
    add = ("charger", "add", "--installation", site.id, "--ocpp-identity")
    for identity in ("", "CP 1", "CP/1", "CP:1", "CP\n", "\u202e1-PC", "x" * 49, ENDLESS):
        yield "ocpp_identity_malformed", (*add, identity)
    yield "ocpp_identity_in_use", (*add, site.charger)
    yield "usage", ("charger", "set", site.charger, "--authorisation", "perhaps")
    for types in ("face", "rfid,face", ENDLESS):
        yield "choice_unknown", ("charger", "types", site.charger, "--enable", types)
        yield "choice_unknown", ("charger", "types", site.charger, "--disable", types)
    yield "nothing_to_change", ("charger", "types", site.charger)
    yield "target_missing", ("charger", "convergence")
    for key in IDS:
        unknown = "charger_unknown" if key else "charger_not_named"
        yield unknown, ("charger", "show", key)
        yield unknown, ("charger", "new-password", key)
        yield unknown, ("charger", "convergence", "--charger", key)
        yield "installation_unknown", ("charger", "convergence", "--installation", key)
        yield unknown, ("charger", "move", key, "--installation", site.id)
        yield unknown, ("charger", "quirks", key, "--reversed")
        yield "installation_unknown", ("charger", "move", site.charger, "--installation", key)
    for prefix in ("\x1b", "too long a prefix", "\u202e"):
        yield "reader_prefix_malformed", ("charger", "quirks", site.charger, "--prefix", prefix)
    both = ("--enable", "pin,rfid", "--disable", "pin")
    yield "type_twice", ("charger", "types", site.charger, *both)
    yield from charger_commands(site)


def users(site: Site) -> Iterator[Row]:
    add = ("user", "add-local", "--installation", site.id)
    for name in NAMES:
        yield "name_malformed", (*add, "--first-name", name, "--last-name", "Lovelace")
        yield "name_malformed", (*add, "--first-name", "Ada", "--last-name", name)
        renamed = ("--first-name", name, "--last-name", "King")
        yield "name_malformed", ("user", "rename", site.user, *renamed)
    for key in IDS:
        names = ("--first-name", "Ada", "--last-name", "Lovelace")
        yield "installation_unknown", ("user", "add-local", "--installation", key, *names)
        yield "installation_unknown", ("user", "list", "--installation", key, "--search", "ada")
        if key:  # an administrator's search is everywhere without one
            yield "installation_unknown", ("user", "search", "ada", "--installation", key)
        yield "user_unknown", ("user", "rename", key, *names)
        yield "user_unknown", ("user", "block", key)
        yield "user_unknown", ("user", "unblock", key)
        yield "user_unknown", ("user", "show", key)
        yield "user_unknown", ("user", "profile", key, "--language", "nb")
        yield "installation_unknown", ("user", "blocked", "--installation", key)
        yield "user_unknown", ("user", "chargers", key)
        unknown = "charger_unknown" if key else "charger_not_named"
        yield unknown, ("user", "who-can-use", key)
        yield "user_unknown", ("user", "export", key)
        yield "user_unknown", ("user", "erase", key, "--yes")
        yield "installation_unknown", ("user", "export", "--installation", key)
        table = ("user", "import", "/dev/null", "--installation", key)
        yield "installation_unknown", table
    yield "local_user_elsewhere", ("user", "block", site.user, "--installation", UNKNOWN)
    yield "local_user_elsewhere", ("user", "unblock", site.user, "--installation", UNKNOWN)
    yield "nothing_to_change", ("user", "profile", site.user)
    yield "local_profile", ("user", "profile", site.user, "--language", "nb")
    yield "target_missing", ("user", "export")
    yield "target_missing", ("user", "export", site.user, "--installation", site.id)
    yield "csv_header_malformed", ("user", "import", "/dev/null", "--installation", site.id)
    nowhere = ("user", "import", "/nowhere/at/all", "--installation", site.id)
    yield "file_unreadable", nowhere


def identifications(site: Site) -> Iterator[Row]:
    add = ("identification", "add", "--user", site.user, "--type")
    change = ("identification", "change", site.pin)
    for pin in PINS:
        yield "pin_malformed", (*add, "pin", "--code", pin)
        yield "pin_malformed", (*change, "--code", pin)
    for card in CARDS:
        yield "rfid_malformed", (*add, "rfid", "--code", card)
    for card in NO_CARDS:
        yield "rfid_random", (*add, "rfid", "--code", card)
    for code, days in DAYS.items():
        for day in days:
            yield code, (*add, "pin", "--code", "#8642", "--valid-until", day)
            yield code, (*change, "--valid-until", day)
    for key in IDS:
        yield (
            "user_unknown",
            ("identification", "add", "--user", key, "--type", "pin", "--code", "#8642"),
        )
        yield "user_unknown", ("identification", "list", "--user", key)
        for verb in ("reveal", "remove"):
            yield "identification_unknown", ("identification", verb, key)
        blocked = ("--status", "blocked")
        yield "identification_unknown", ("identification", "change", key, *blocked)
        yield "installation_unknown", ("identification", "generate-pin", "--installation", key)
        yield "installation_unknown", ("identification", "refusals", "--installation", key)
        yield "unknown_code_gone", ("identification", "adopt", key, "--user", site.user)
        yield "user_unknown", ("identification", "scan", "--user", key, "--charger", site.charger)
        unknown = "charger_unknown" if key else "charger_not_named"
        yield unknown, ("identification", "scan", "--user", site.user, "--charger", key)
    yield "usage", ("identification", "generate-pin", "--installation", site.id, "--count", "21")
    for emaid in ("", "NO", "NOXXX", ENDLESS):
        yield "vehicle_id_malformed", (*add, "vehicle-id", "--code", emaid)
    for number in ("", "91234567", "+0123456789", ENDLESS):
        yield "phone_malformed", (*add, "sms", "--code", number)
    yield "credit_card_number_refused", (*add, "credit-card", "--code", "4111111111111111")
    yield "usage", (*add, "app", "--code", "APP:AAAAAAAAAAAAAAAA")
    yield "group_malformed", (*add, "pin", "--code", "#8642", "--group", "a b")
    yield "nothing_to_change", change
    yield "code_unavailable", (*add, "pin", "--code", "#1357")
    yield "local_user_elsewhere", (*add, "pin", "--code", "#8642", "--installation", UNKNOWN)
    yield "usage", (*add, "face", "--code", "#8642")
    yield "usage", (*add, f"#{SECRET}", "--code", "#8642")
    yield "usage", (*add, "pin", "--code", "#8642", "--status", "stolen")
    yield "usage", (*add, "pin")


def permissions(site: Site) -> Iterator[Row]:
    grant = ("permission", "grant", "--user", site.user, "--roles")
    here = ("--installation", site.id)
    for key in IDS:
        there = ("--installation", key)
        yield "installation_unknown", (*grant, "user", *there)
        yield "installation_unknown", ("permission", "list", *there)
        unknown = "charger_unknown" if key else "charger_not_named"
        yield unknown, (*grant, "user", "--charger", key)
        yield "user_unknown", ("permission", "grant", "--user", key, "--roles", "user", *here)
        yield "permission_unknown", ("permission", "revoke", key)
    for none in ("", ",", ",,"):
        yield "roles_missing", (*grant, none, *here)
    for roles in ("king", "user,king", ENDLESS):
        yield "choice_unknown", (*grant, roles, *here)
    yield "local_user_cannot_own", (*grant, "owner,user,owner", *here)
    yield "target_missing", (*grant, "user")
    yield "target_missing", (*grant, "user", *here, "--charger", site.charger)
    yield "target_missing", ("permission", "list")
    for code, days in DAYS.items():
        for day in days:
            yield code, (*grant, "user", *here, "--valid-until", day)


def people(site: Site) -> Iterator[Row]:
    grant = ("permission", "grant", "--installation", site.id, "--roles", "user")
    for address in ("", "nobody", "a@b", "a b@example.com", "@example.com", ENDLESS):
        yield "email_malformed", (*grant, "--email", address)
        yield "email_malformed", ("login", "--email", address)
    yield "no_owner_to_offer", ("installation", "transfer", site.id, "--email", "a@example.com")
    yield "subject_missing", grant
    yield "subject_missing", (*grant, "--user", site.user, "--email", "a@example.com")
    yield "neither_or_both", ("login",)
    yield "not_signed_in", ("logout",)
    yield "usage", ("whoami", "extra")
    for key in IDS:
        yield "permission_unknown", ("permission", "change", key, "--roles", "user")
        yield "user_unknown", ("permission", "list", "--user", key)
        yield "installation_unknown", ("invitation", "list", "--installation", key)
        yield "invitation_unknown", ("invitation", "resend", key)
        yield "invitation_unknown", ("invitation", "revoke", key)
        yield "link_invalid", ("invitation", "accept", "--token", key)
        yield "link_invalid", ("invitation", "show", "--token", key)
        if key:
            yield "link_invalid", ("login", "--token", key)
        yield "user_unknown", ("user", "list", "--installation", site.id, "--as", key)
    yield "nothing_to_change", ("permission", "change", UNKNOWN)
    for key in IDS:
        yield "decision_unknown", ("why", key)
        report = ("sessions", "report", "--installation")
        yield "installation_unknown", (*report, key)
        dry = ("installation", "set", key, "--authorisation-required", "no", "--dry-run")
        yield "installation_unknown", dry
        yield "permission_unknown", ("permission", "revoke", key, "--dry-run")
        yield "user_unknown", ("user", "block", key, "--dry-run")
    report = ("sessions", "report", "--installation", site.id)
    for day in DAYS["date_malformed"]:
        yield "date_malformed", (*report, "--from", day)
        yield "date_malformed", (*report, "--to", day)
    yield "date_too_late", (*report, "--to", "9999-12-31")
    yield "period_malformed", (*report, "--from", "2026-03-02", "--to", "2026-03-01")
    for option in ("--csv", "--xlsx"):
        yield "file_unwritable", (*report, option, "/nowhere/at/all")
    dry = ("--dry-run",)
    yield (
        "dry_run_impossible",
        ("installation", "set", site.id, "--authentication", "external", *dry),
    )
    yield "dry_run_impossible", ("user", "block", site.user, "--everywhere", *dry)
    yield "object_missing", ("history",)
    yield "object_missing", ("history", "--user", site.user, "--charger", site.charger)
    yield "usage", ("history", "--installation", site.id, "--limit", "0")


def partners(site: Site) -> Iterator[Row]:
    create = ("partner", "create", "--kind", "payment-operator")
    for name in NAMES:
        yield "name_malformed", (*create, "--name", name, "--contact", "help@volt.example")
        yield "contact_malformed", (*create, "--name", "Volt", "--contact", name)
    for url in ("http://volt.example/logo", "javascript:alert(1)", "volt", ENDLESS):
        logo = ("--name", "Volt", "--contact", "help", "--logo-url", url)
        yield "logo_url_malformed", (*create, *logo)
    yield "usage", (*create[:3], "bank", "--name", "Volt", "--contact", "help")
    for key in ("", "K7", "K7Q2X", "K7Q\u00d8", ENDLESS):
        yield "lookup_key_malformed", ("partner", "search", key)
        yield "lookup_key_malformed", ("partner", "connect", site.id, key)
        there = ("--installation", site.id, "--roles", "service")
        yield "lookup_key_malformed", ("permission", "grant", *there, "--partner", key)
    for key in IDS:
        for verb in ("rotate-key", "show", "permissions"):
            yield "partner_unknown", ("partner", verb, key)
        yield "partner_unknown", ("partner", "change", key, "--name", "Volt")
        yield "partner_unknown", ("partner", "member", "add", key, "--user", site.user)
        yield "partner_unknown", ("partner", "member", "remove", key, "--user", site.user)
        yield "partner_unknown", ("partner", "member", "list", key)
        yield "partner_unknown", ("partner", "credentials", "issue", key, "--label", "x")
        yield "partner_unknown", ("partner", "credentials", "list", key)
        yield "partner_unknown", ("partner", "credentials", "nats", key, "x")
        yield "credential_unknown", ("partner", "credentials", "revoke", key)
        yield "partner_unknown", ("partner", "connect", key, "ZZZZ")
        yield "installation_unknown", ("partner", "disconnect", key)
        yield "installation_unknown", ("partner", "overrides", key, "--allowed", "yes")
        endpoint = ("partner", "decision-endpoint")
        there = (*endpoint, "set", key, "--url", "https://volt.example/", "--kind")
        yield "partner_unknown", (*there, "webhook")
        yield "endpoint_secret_invalid", (*there, "ocpi")
        yield "file_unreadable", (*there, "ocpi", "--secret-file", "/nowhere/at/all")
        yield "partner_unknown", (*endpoint, "remove", key)
        yield "partner_unknown", (*endpoint, "show", key)
    for url in ("volt", "ftp://volt.example/", "https://a:b@volt.example/", ENDLESS):
        there = ("partner", "decision-endpoint", "set", UNKNOWN, "--url", url)
        yield "endpoint_url_invalid", (*there, "--kind", "webhook")
    yield "usage", (*there, "--kind", "carrier-pigeon")
    yield "nothing_to_change", ("partner", "change", UNKNOWN)
    yield "subject_missing", ("partner", "member", "add", UNKNOWN)
    yield "operator_not_connected", ("partner", "disconnect", site.id)
    yield "operator_not_connected", ("partner", "overrides", site.id, "--allowed", "no")
    yield "usage", ("partner", "list", "extra")


def mails(site: Site) -> Iterator[Row]:
    for key in ("", "x", "1", "../up", UNKNOWN):
        yield "mail_unknown", ("mail", "show", key)
    yield "not_signed_in", ("mail", "choices")
    yield "not_signed_in", ("mail", "choose", "--decline", "reminders")
    yield "mail_choice_unknown", ("mail", "choose", site.user, "--decline", SECRET)
    yield "usage", ("mail", "choices", site.user, "extra")
    yield "usage", ("mail", "list", "extra")


def webhooks(site: Site) -> Iterator[Row]:
    there = ("--url", "https://volt.example/hook")
    for key in IDS:
        yield "partner_unknown", ("webhook", "add", key, *there)
        yield "partner_unknown", ("webhook", "list", key)
        yield "partner_unknown", ("feed", "show", key)
        yield "partner_unknown", ("feed", "events", key)
        for verb in ("enable", "disable", "remove", "rotate", "attempts", "replay"):
            yield "webhook_unknown", ("webhook", verb, key)
        yield "webhook_unknown", ("webhook", "change", key, *there)
    yield "usage", ("feed", "events", UNKNOWN, "--limit", "0")
    yield "usage", ("feed", "events", UNKNOWN, "--limit", "1001")
    add = ("webhook", "add", UNKNOWN)
    for url in ("volt", "ftp://volt.example/", "https://a:b@volt.example/", ENDLESS):
        yield "url_malformed", (*add, "--url", url)
    for names in ("sessionstarted", "SessionStarted,Nothing", ENDLESS):
        yield "event_unknown", (*add, *there, "--events", names)
    yield "nothing_to_change", ("webhook", "change", UNKNOWN)
    yield "usage", add
    yield "usage", ("webhook", "attempts", UNKNOWN, "--limit", "0")
    yield "usage", ("webhook", "list", UNKNOWN, site.id)


def ocpi(site: Site) -> Iterator[Row]:
    url = ("--url", "https://volt.example/ocpi/versions")
    for key in IDS:
        for verb in ("offer", "show", "disconnect", "pull"):
            yield "partner_unknown", ("ocpi", verb, key)
        yield "file_unreadable", ("ocpi", "connect", key, *url, "--token-file", "/nowhere/at/all")
    yield "usage", ("ocpi", "connect", UNKNOWN, *url)
    yield "usage", ("ocpi", "offer", UNKNOWN, site.id)


def requests(site: Site) -> Iterator[Row]:
    for key in IDS:
        if key:
            ask = ("access-request", "create", "--partner-id", key, "--roles", "service")
            yield "partner_unknown", ask
        yield "access_request_unknown", ("access-request", "show", "--token", key)
        yield "installation_unknown", ("access-request", "list", "--installation", key)
        yield "partner_unknown", ("access-request", "list", "--partner-id", key)
        yield "access_request_unknown", ("access-request", "withdraw", key)
        deny = ("access-request", "deny", key, "--installation", site.id)
        yield "access_request_unknown", deny
        approve = ("access-request", "approve", "--request", key, "--installation", site.id)
        yield "access_request_unknown", approve
    yield "installation_or_partner", ("access-request", "list")
    yield "target_missing", ("access-request", "approve", "--installation", site.id)
    yield "choice_unknown", ("access-request", "create", "--roles", "king")


def questions(site: Site) -> Iterator[Row]:
    ask = ("authorize", "--charger", site.charger, "--code")
    for position in ("", "access", f"access:{GENERATION}:-1", "1", ENDLESS):
        yield "position_malformed", (*ask, "#1357", "--at-least", position)
    elsewhere = f"history:{GENERATION}:1"
    yield "position_of_unknown_service", (*ask, "#1357", "--at-least", elsewhere)
    of_another = f"access:{GENERATION}:1"
    yield "position_of_another_generation", (*ask, "#1357", "--at-least", of_another)
    yield "positions_too_many", (*ask, "#1357", *["--at-least", of_another] * 17)
    yield "type_mismatch", (*ask, SECRET, "--type", "pin")
    yield "type_mismatch", (*ask, f"#{SECRET}", "--type", "rfid")
    yield "charger_not_named", ("authorize", "--charger", "", "--code", "#1357")
    yield "usage", (*ask, "#1357", "--type", "face")
    for past in ("sessions", "refusals"):
        for key in IDS[1:]:
            yield "installation_unknown", (past, "list", "--installation", key)
            yield "charger_unknown", (past, "list", "--charger", key)
            yield "user_unknown", (past, "list", "--user", key)
        for limit in ("0", "-1", "1001", "9" * 40, "many", "1.5"):
            yield "usage", (past, "list", "--limit", limit)
        for cursor in CURSORS:
            yield "page_token_malformed", (past, "list", "--before", cursor)
    for cursor in CURSORS:
        history = ("history", "--installation", site.id, "--before", cursor)
        yield "page_token_malformed", history
    for streams in ("", "NOWHERE", "access,NOWHERE", ENDLESS):
        yield "choice_unknown", ("events", "--stream", streams)
    yield "usage", ("events", "--limit", "-1")
    yield "usage", ("audit", "verify", SECRET)
    yield "usage", ("audit", "standing", SECRET)
    simulate = ("simulate", "--ocpp-identity", site.charger, "--password")
    yield "charger_refused", (*simulate, SECRET, "--code", "#1357")
    yield "code_too_long", (*simulate, site.password, "--code", ENDLESS)
    yield "fleet_or_charger", ("simulate",)
    yield "fleet_or_charger", ("simulate", "--ocpp-identity", site.charger)
    yield "fleet_or_charger", (*simulate, SECRET, "--chargers", "2")
    yield "fleet_or_charger", ("simulate", "--chargers", "2", "--code", "#1357")
    for wrong in (("--chargers", "0"), ("--scenario", SECRET), ("--ocpp", "1.5"), ("--rate", "0")):
        yield "usage", ("simulate", "--chargers", "2", *wrong)
    yield "usage", (SECRET,)


class Said(msgspec.Struct, frozen=True):
    """How a command ended and what it said where."""

    status: object
    out: str
    err: str


def say(system: RunningSystem, *arguments: str, as_json: bool = True) -> Said:
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    common = ("--data", str(system.data), *(["--json"] if as_json else []))
    with (
        mock.patch.object(sys, "argv", ["chargekey", *arguments, *common]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            status = ended.code
    return Said(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def site(system: RunningSystem) -> Site:
    run = system.chargekey
    home = run("installation", "create", "--name", "Home", "--time-zone", "Europe/Oslo")["id"]
    charger = "CP-bad-input"
    added = run("charger", "add", "--installation", home, "--ocpp-identity", charger)
    named = ("--first-name", "Ada", "--last-name", "Lovelace")
    ada = run("user", "add-local", "--installation", home, *named)["id"]
    pin = run("identification", "add", "--user", ada, "--type", "pin", "--code", "#1357")["id"]
    return Site(home, ada, pin, charger, added["password"], added["position"])


def everything(system: RunningSystem, site: Site) -> list[Any]:
    """Return how far the stores are, by commands that change nothing, and what was published."""
    run = system.chargekey
    return [
        run("installation", "set", site.id, "--authorisation-required", "yes")["position"],
        run("user", "unblock", site.user)["position"],
        run("sessions", "list"),
        run("refusals", "list"),
        run("events", "--stream", "access,identity,sessions"),
    ]


# Hundreds of commands, one after the other.
@pytest.mark.timeout(300)
def test_what_cannot_be_is_refused_by_name_without_an_echo_and_nothing_is_stored(
    system: RunningSystem, site: Site
) -> None:
    """The status, one line of JSON on standard error, nothing on standard output."""
    system.chargekey("installation", "set", site.id, "--authorisation-required", "yes")
    before = everything(system, site)
    for code, arguments in rows(site):
        about = tuple(each[:40] for each in arguments)
        said = say(system, *arguments)
        assert (said.status, said.out) == (2 if code == "usage" else 1, ""), (about, said)
        assert said.err.count("\n") == 1, (about, said)
        line = said.err.removesuffix("\n")
        assert set(json.loads(line)) == {"error"}, about
        error = json.loads(line)["error"]
        assert (error["code"], sorted(error)) == (code, ["code", "message"]), (about, error)
        assert 0 < len(error["message"]) < 400, about
        for never in (SECRET, ENDLESS[:50], "\u202e", "\x1b", "passwd", "Olympus"):
            assert never not in line, about
    assert everything(system, site) == before


def test_people_are_told_the_same_on_one_line(system: RunningSystem, site: Site) -> None:
    add = ("identification", "add", "--user", site.user, "--type", "pin", "--code")
    said = say(system, *add, SECRET, as_json=False)
    assert (said.status, said.out) == (1, "")
    assert said.err == (
        "A PIN is the sign # followed by 4 to 8 digits, exactly as typed at the charger. "
        "(pin_malformed)\n"
    )


@pytest.mark.parametrize(
    ("code", "type_", "reason"),
    [
        ("", None, "identification_unknown"),  # nothing presented
        ("#123", None, "identification_malformed"),
        (f"#{ENDLESS}", None, "identification_malformed"),
        (ENDLESS, None, "identification_malformed"),
        ("\x07", None, "identification_malformed"),
        ("0102030405", "rfid", "identification_malformed"),
        ("0102030405", None, "identification_unknown"),
        ("08A1B2C3", "rfid", "identification_unknown"),
        ("#9999", "pin", "identification_unknown"),
    ],
)
def test_whatever_is_presented_is_decided(
    system: RunningSystem, site: Site, code: str, type_: str | None, reason: str
) -> None:
    typed = () if type_ is None else ("--type", type_)
    ask = ("authorize", "--charger", site.charger, "--at-least", site.position, "--code")
    said = say(system, *ask, code, *typed)
    assert (said.status, said.err) == (0, "")
    decision = json.loads(said.out)
    assert (decision["status"], decision["reason"]) == ("Invalid", reason)


@pytest.mark.parametrize(
    "arguments",
    [
        ("installation", "create", "--name", "\udcff", "--time-zone", "Europe/Oslo"),
        ("installation", "show", "\udcff"),
        ("authorize", "--charger", "CP-1", "--code", "#24\udc80"),
        ("authorize", "--charger", "CP-1", "--code", "#1357", "--at-least", "\ud800"),
        ("sessions", "list", "--charger", "\udcff"),
        ("simulate", "--ocpp-identity", "CP-1", "--password", "\udcff", "--code", "#1357"),
        ("simulate", "--ocpp-identity", "CP-1", "--password", "wrong", "--code", "\udcff"),
        ("\udcff",),
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_what_is_no_utf8_is_no_command_line(
    system: RunningSystem, arguments: tuple[str, ...], *, as_json: bool
) -> None:
    """Python makes half a surrogate pair of a byte that is no UTF-8."""
    said = say(system, *arguments, as_json=as_json)
    assert (said.status, said.out) == (2, "")
    assert "usage" in said.err
    assert said.err.isascii()


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_what_is_no_utf8_is_no_code_from_standard_input_either(
    system: RunningSystem, site: Site, errors: str
) -> None:
    typed = io.TextIOWrapper(io.BytesIO(b"#24\xff\n"), encoding="utf-8", errors=errors)
    with mock.patch.object(sys, "stdin", typed):
        said = say(system, "authorize", "--charger", site.charger, "--code", "-")
    assert (said.status, said.out) == (2, "")
    assert json.loads(said.err)["error"]["code"] == "usage"
    assert "24" not in said.err


def test_an_unknown_charger_is_a_decision_too(system: RunningSystem) -> None:
    said = say(system, "authorize", "--charger", "CP-404", "--code", "#1357")
    assert json.loads(said.out)["reason"] == "charger_unknown"


def test_every_command_has_its_rows() -> None:
    """A new command comes with what it must not be told."""

    def leaves(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
        for name, below in getattr(command, "commands", {}).items():
            yield from leaves(below, *path, name) if hasattr(below, "commands") else [(*path, name)]

    tried = [arguments for _, arguments in rows(Site("", "", "", "", "", ""))]
    for leaf in leaves(typer.main.get_command(cli.app)):
        known = any(arguments[: len(leaf)] == leaf for arguments in tried)
        assert known or leaf[0] in OF_NO_RUNNING_SYSTEM, f"nobody tried chargekey {' '.join(leaf)}"
