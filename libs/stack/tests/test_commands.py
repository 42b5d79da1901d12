"""Every command on a running system: documents, ids, positions, refusals by name."""

from __future__ import annotations

from typing import Any

import pytest

from .running_system import RunningSystem


class Site:
    """An installation with a charger and a user."""

    def __init__(self, system: RunningSystem, name: str) -> None:
        self.run = system.chargekey
        created = self.run("installation", "create", "--name", name, "--time-zone", "Europe/Oslo")
        self.id: str = created["id"]
        self.charger = f"CP-{name}"
        added = self.run(
            "charger", "add", "--installation", self.id, "--ocpp-identity", self.charger
        )
        self.password: str = added["password"]
        self.charger_id: str = added["id"]
        self.position: str = added["position"]
        user = self.add_user("Ada", "Lovelace")
        self.user: str = user["id"]
        self.access_position: str = user["access_position"]

    def add_user(self, first: str, last: str, *more: str) -> Any:
        names = ("--first-name", first, "--last-name", last)
        return self.run("user", "add-local", "--installation", self.id, *names, *more)

    def is_known(self) -> None:
        """Return once the gateway has heard of the charger."""
        self.authorize("#0000", self.position)

    def authorize(self, code: str, *at_least: str) -> Any:
        positions = [word for each in at_least for word in ("--at-least", each)]
        return self.run(
            "authorize", "--charger", self.charger, "--code", code, "--explain", *positions
        )


@pytest.fixture(scope="module")
def site(system: RunningSystem) -> Site:
    return Site(system, "Main")


def test_what_is_created_answers_with_id_and_position(system: RunningSystem) -> None:
    run = system.chargekey
    installation = run("installation", "create", "--name", "Home", "--time-zone", "Europe/Oslo")
    assert set(installation) == {"id", "position"}
    charger = run(
        "charger", "add", "--installation", installation["id"], "--ocpp-identity", "CP-new"
    )
    assert set(charger) == {"id", "password", "position"}
    assert run("installation", "show", installation["id"]) == {
        "id": installation["id"],
        "name": "Home",
        "time_zone": "Europe/Oslo",
        "address": None,
        "authorisation_required": True,
        "authentication": "native",
        "managed_by": None,
        "contact": None,
        "overrides_allowed": None,
        "open_chargers": 0,
        "ownership_offered_to": None,
    }
    assert run("installation", "policies", installation["id"]) == {
        "on_block": "stop",
        "on_revoke": "finish",
        "on_operator_timeout": "deny",
        "offline_unknown_ids": False,
        "offline_pins": False,
        "master_pass": False,
        "view_bound_minutes": 1440,
        "on_view_behind": "deny",
        "pin_length": 4,
    }
    changed = run("installation", "policies", installation["id"], "--pin-length", "6")
    assert (changed["pin_length"], changed["on_block"]) == (6, "stop")
    run("installation", "policies", installation["id"], "--master-pass", "yes")
    shown = run("installation", "policies", installation["id"])
    assert (shown["master_pass"], shown["offline_pins"], shown["pin_length"]) == (True, False, 6)
    bound = ("--view-bound-minutes", "60", "--on-view-behind", "last-known")
    shown = run("installation", "policies", installation["id"], *bound)
    assert (shown["view_bound_minutes"], shown["on_view_behind"]) == (60, "last-known")


def test_installations_and_chargers_are_opened_and_restricted(site: Site) -> None:
    """R1."""
    required = ("--authorisation-required", "no")
    assert set(site.run("installation", "set", site.id, *required)) == {"position"}
    site.run("charger", "set", site.charger, "--authorisation", "required")
    site.run("charger", "types", site.charger, "--enable", "pin,rfid", "--disable", "app")
    [charger] = site.run("charger", "list", "--installation", site.id)["chargers"]
    assert set(charger.pop("identification_types")) == {"pin", "rfid"}
    assert charger == {
        "id": site.charger_id,
        "ocpp_identity": site.charger,
        "authorisation": "required",
        "locked": True,
        "online": False,
        "waiting": [],
    }
    site.run("installation", "set", site.id, "--authorisation-required", "yes")
    site.run("charger", "set", site.charger, "--authorisation", "inherit")


def test_users_and_identifications_from_beginning_to_end(site: Site) -> None:
    grace = site.add_user("Grace", "Hopper", "--blocked")["id"]
    site.run("user", "rename", grace, "--first-name", "Grace", "--last-name", "Murray")
    site.run("user", "unblock", grace, "--installation", site.id)
    listed = site.run("user", "list", "--installation", site.id)["users"]
    [murray] = [each for each in listed if each["id"] == grace]
    assert (murray["first_name"], murray["last_name"]) == ("Grace", "Murray")
    assert (murray["kind"], murray["blocked"]) == ("local", False)
    add = ("identification", "add", "--user", grace, "--type", "pin", "--code")
    pin = site.run(*add, "#1357", "--valid-until", "2099-12-31")
    assert set(pin) == {"id", "position"}
    assert site.run("identification", "list", "--user", grace) == {
        "identifications": [
            {
                "id": pin["id"],
                "type": "pin",
                "status": "active",
                "installation_id": site.id,
                "valid_until": "2099-12-31T23:00:00Z",
                "group": None,
                "group_card": False,
            }
        ]
    }
    site.run("identification", "change", pin["id"], "--code", "#7531", "--status", "blocked")
    assert site.run("identification", "reveal", pin["id"])["code"] == "#7531"
    site.run("identification", "remove", pin["id"])
    assert site.run("identification", "list", "--user", grace) == {"identifications": []}


def test_lists_are_searched(system: RunningSystem) -> None:
    site = Site(system, "Searched")
    other = f"{site.charger}-2"
    add = ("charger", "add", "--installation", site.id, "--ocpp-identity", other)
    second: str = system.chargekey(*add)["id"]
    hopper: str = site.add_user("Grace", "Hopper")["id"]

    def found(kind: str, text: str, *where: str) -> list[str]:
        listed = site.run(kind, "list", *where, "--search", text)
        return [each["id"] for each in listed[f"{kind}s"]]

    here = ("--installation", site.id)
    assert found("charger", site.charger.lower(), *here) == [site.charger_id, second]
    assert found("charger", "searched-2", *here) == [second]
    assert found("charger", "nowhere", *here) == []
    assert found("user", "CE HOP", *here) == [hopper]
    assert found("installation", "searched") == [site.id]
    people = site.run("user", "search", "a", *here)["people"]
    assert people == [
        {"id": site.user, "name": "Ada Lovelace"},
        {"id": hopper, "name": "Grace Hopper"},
    ]


def test_a_decision_with_its_reason_from_the_positions_it_must_include(site: Site) -> None:
    add = ("identification", "add", "--user", site.user, "--type", "pin", "--code", "#2468")
    pin = site.run(*add)
    accepted = site.authorize("#2468", pin["position"], site.access_position)
    assert (accepted["status"], accepted["reason"], accepted["valid_until"]) == (
        "Accepted",
        "installation_permission",
        None,
    )
    assert {position.split(":")[0] for position in accepted["positions"]} == {"access", "identity"}
    blocked = site.run("user", "block", site.user)
    refused = site.authorize("#2468", blocked["position"])
    assert (refused["status"], refused["reason"]) == ("Blocked", "user_blocked")
    assert "user_blocked" in refused["explanation"][-1]
    unblocked = site.run("user", "unblock", site.user)
    assert site.authorize("#2468", unblocked["position"])["status"] == "Accepted"
    assert site.authorize("#9999")["reason"] == "identification_unknown"


def test_permissions_are_granted_listed_and_revoked(site: Site) -> None:
    """R4: granting twice is one permission."""
    grant = ("permission", "grant", "--charger", site.charger, "--user", site.user, "--roles")
    first = site.run(*grant, "user,service")
    assert site.run(*grant, "user")["id"] == first["id"]
    assert site.run("permission", "list", "--charger", site.charger) == {
        "permissions": [
            {
                "id": first["id"],
                "user_id": site.user,
                "partner_id": None,
                "installation_id": site.id,
                "charger_id": site.charger_id,
                "roles": ["user"],
                "valid_until": None,
            }
        ]
    }
    assert set(site.run("permission", "revoke", first["id"])) == {"position"}
    assert site.run("permission", "list", "--charger", site.charger) == {"permissions": []}


def test_there_is_a_past_even_before_there_is_one(site: Site) -> None:
    assert site.run("sessions", "list", "--charger", site.charger) == {"sessions": []}
    assert site.run("refusals", "list", "--installation", site.id) == {"refusals": []}


def test_errors_have_their_names(site: Site) -> None:
    add = ("identification", "add", "--user", site.user, "--type", "pin", "--code")
    grant = ("permission", "grant", "--user", site.user, "--roles")
    for code, arguments in {
        "installation_unknown": ("installation", "show", "nowhere"),
        "charger_unknown": ("charger", "set", "nobody", "--authorisation", "inherit"),
        "ocpp_identity_in_use": (
            *("charger", "add", "--installation", site.id, "--ocpp-identity", site.charger),
        ),
        "choice_unknown": ("charger", "types", site.charger, "--enable", "face"),
        "target_missing": (*grant, "user"),
        "local_user_cannot_own": (*grant, "owner", "--installation", site.id),
        "local_user_elsewhere": ("user", "block", site.user, "--installation", "another"),
        "time_zone_unknown": (
            *("installation", "create", "--name", "Home", "--time-zone", "Europe/Atlantis"),
        ),
        "date_in_past": (*add, "#8642", "--valid-until", "2001-01-01"),
        "charger_refused": (
            *("simulate", "--ocpp-identity", site.charger, "--password", "wrong"),
            *("--code", "#2468"),
        ),
    }.items():
        assert site.run(*arguments) == code


def test_webhooks_from_beginning_to_end(system: RunningSystem) -> None:
    run = system.chargekey
    named = ("--name", "Hook AS", "--kind", "payment-operator", "--contact", "help@hook.example")
    partner = run("partner", "create", *named)["id"]
    # Where nobody listens.
    url = "https://127.0.0.1:1/hook"
    added = run("webhook", "add", partner, "--url", url, "--events", "SessionStarted,SessionEnded")
    webhook = added["id"]
    assert added["secret"].startswith("whsec_")
    shown = {
        "id": webhook,
        "url": url,
        "events": ["SessionEnded", "SessionStarted"],
        "enabled": True,
        "disabled_because": None,
        "delivered_sequence": None,
        "failing_since": None,
        "next_attempt_at": None,
    }
    assert run("webhook", "list", partner) == {"webhooks": [shown]}
    run("webhook", "change", webhook, "--events", "")
    run("webhook", "disable", webhook)
    assert run("webhook", "list", partner) == {
        "webhooks": [{**shown, "events": [], "enabled": False, "disabled_because": "by_hand"}]
    }
    assert run("webhook", "rotate", webhook)["secret"] != added["secret"]
    run("webhook", "enable", webhook)
    run("webhook", "replay", webhook)
    assert run("webhook", "attempts", webhook) == {"attempts": []}
    assert run("webhook", "replay", webhook, "--after", "7") == "cursor_malformed"
    run("webhook", "remove", webhook)
    assert run("webhook", "list", partner) == {"webhooks": []}
