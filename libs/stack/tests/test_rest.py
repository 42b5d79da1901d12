"""The REST API on a running system: what the portal does, for programs."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import httpx2
import openpyxl
import pytest

from chargekey_access.domain.rules import RULES, Rule
from chargekey_common.testing.browser import OpenPage, axe
from chargekey_portal.rest.endpoints import endpoints
from chargekey_portal.rest.openapi import encoded

from .at_rest import Caller, Site, administrator, invited
from .mails import token
from .running_system import RunningSystem

# For who runs the system, and `chargekey audit`: the first is answered bit by bit, for minutes.
# Of many questions each answer may be a refusal with a status of its own: gRPC's to tell.
MANY_QUESTIONS = {"gateway.AuthorizeBatch", "gateway.AuthorizeStream"}
NOT_BY_REST = {"audit.Verify", "audit.ListStandings"} | MANY_QUESTIONS


@pytest.fixture(scope="module")
def site(system: RunningSystem) -> Site:
    return Site(system, "rest")


@pytest.fixture(scope="module")
def run(system: RunningSystem) -> Caller:
    return administrator(system)


@pytest.fixture
def nobody(system: RunningSystem) -> Caller:
    return Caller(system)


def _is_for_services_alone(rule: Rule) -> bool:
    return bool(rule.services) and not (rule.words or rule.everybody or rule.anybody)


def test_every_method_that_people_or_programs_may_call_has_an_address() -> None:
    routed = {f"{each.method.full_name.split('.')[1]}.{each.method.name}" for each in endpoints()}
    theirs = {name for name, rule in RULES.items() if not _is_for_services_alone(rule)}
    assert routed | NOT_BY_REST == theirs
    assert not routed & NOT_BY_REST


# What the portal does, by a program on a phone (S3-17 to S3-21).


def test_an_owner_lists_his_installations(site: Site) -> None:
    """S3-14, S3-17."""
    listed = site.owner.done("GET", "/installations")["installations"]
    assert [each["id"] for each in listed] == [site.id]


@pytest.mark.parametrize("role", ["OWNER", "USER", "SERVICE"])
def test_an_owner_gives_access_by_address_and_chooses_the_role(site: Site, role: str) -> None:
    """S3-15, S3-16, S3-18, S3-19, S3-21, S3-1: one call."""
    asked = {"email": f"{role.lower()}@rest-roles.example", "roles": [role]}
    answer = site.owner.ask("POST", f"{site.path}/permissions", asked)
    assert answer.status_code == 201
    there = answer.headers["location"].removeprefix("/api/v1")
    assert site.owner.done("GET", there)["roles"] == [role]


def test_an_owner_gives_access_by_lookup_key(site: Site, run: Caller) -> None:
    """S3-15, S3-19, S3-47, R8."""
    made = {"name": "Rest AS", "kind": "SERVICE_PARTNER", "contact": "help@rest.example"}
    partner = run.done("POST", "/partners", made)
    found = site.owner.done("GET", f"/lookup-keys/{partner['lookup_key']}")
    assert found == {
        "partner_id": partner["partner_id"],
        "name": "Rest AS",
        "kind": "SERVICE_PARTNER",
        "logo_url": "",
    }
    asked = {"partner_id": found["partner_id"], "roles": ["SERVICE"]}
    site.owner.done("POST", f"{site.path}/permissions", asked)
    held = run.done("GET", f"/partners/{partner['partner_id']}/permissions")["permissions"]
    assert [(each["installation_id"], each["roles"]) for each in held] == [(site.id, ["SERVICE"])]


def test_whoever_is_invited_signs_up_by_the_link_and_can_charge(
    system: RunningSystem, site: Site
) -> None:
    """S3-20, S3-27: at one charger, and without another step of the owner."""
    address = "driver@rest.example"
    asked = {"email": address, "roles": ["USER"], "valid_until": "2099-12-31"}
    site.owner.done("POST", f"/chargers/{site.charger}/permissions", asked)
    driver, driver_id = invited(system, address)
    usable = driver.done("GET", "/usable-chargers")["chargers"]
    assert [(each["charger"]["id"], each["key"]) for each in usable] == [(site.charger, True)]
    # The last local day is through in Oslo an hour before it is in Greenwich (R18).
    assert usable[0]["valid_until"] == "2099-12-31T23:00:00Z"
    mine = driver.done("GET", f"/users/{driver_id}/identifications")["identifications"]
    assert [each["type"] for each in mine] == ["APP"]


def test_a_user_changes_no_setting(system: RunningSystem, site: Site) -> None:
    """S3-6, R5."""
    address = "user@rest.example"
    site.owner.done("POST", f"{site.path}/permissions", {"email": address, "roles": ["USER"]})
    user, _ = invited(system, address)
    for name, body in (
        ("authorisation-required", {"authorisation_required": False}),
        ("authentication-type", {"authentication_type": "NATIVE"}),
        ("policies", {"on_block": "STOP"}),
    ):
        assert user.refused("PUT", f"{site.path}/{name}", body) == (403, "permission_denied")
    assert user.refused("PATCH", site.path, {"name": "Mine"}) == (403, "permission_denied")


def test_a_program_of_a_partners_exchanges_its_credential(
    system: RunningSystem, run: Caller, nobody: Caller
) -> None:
    made = {"name": "Rest Volt", "kind": "PAYMENT_OPERATOR", "contact": "volt@rest.example"}
    path = f"/partners/{run.done('POST', '/partners', made)['partner_id']}"
    issued = run.done("POST", f"{path}/credentials", {"label": "rest"})
    exchange = f"/partner-credentials/{issued['credential_id']}/exchange"
    answer = nobody.done("POST", exchange, {"secret": issued["secret"]})
    program = Caller(system, answer["access_token"])
    assert program.done("GET", path)["name"] == "Rest Volt"
    assert program.done("GET", f"{path}/feed/events") == {"events": []}
    assert nobody.refused("POST", exchange, {"secret": "wrong"})[0] == 401


def test_somebody_signs_in_stays_so_and_signs_out(system: RunningSystem, nobody: Caller) -> None:
    site = Site(system, "rest-sign-in")
    address = "owner@rest-sign-in.example"
    assert nobody.ask("POST", "/sign-in/links", {"email": address}).status_code == 204
    signed_in = nobody.done("POST", "/sign-in", {"token": token(system.data, address, 2)})
    assert signed_in["user_id"] == site.owner_id
    refreshing = {"refresh_token": signed_in["refresh_token"]}
    fresh = nobody.done("POST", "/sign-in/refresh", refreshing)
    assert Caller(system, fresh["access_token"]).done("GET", f"/users/{site.owner_id}")
    nobody.done("POST", "/sign-out", {"refresh_token": fresh["refresh_token"]})
    assert nobody.refused("POST", "/sign-in/refresh", refreshing)[0] == 401


def test_tokens_are_verified_by_the_keys_that_are_told(site: Site, nobody: Caller) -> None:
    keys = httpx2.get(f"{nobody.portal}/.well-known/jwks.json", trust_env=False, timeout=30)
    assert keys.headers["content-type"] == "application/jwk-set+json"
    assert site.owner.token is not None
    head = base64.urlsafe_b64decode(site.owner.token.partition(".")[0] + "==")
    assert json.loads(head)["kid"] in {each["kid"] for each in keys.json()["keys"]}


# What is refused, by name.


def test_the_last_owner_stays(site: Site, run: Caller) -> None:
    """R6."""
    path = f"/permissions/{site.ownership}"
    others = [
        each["id"]
        for each in run.done("GET", f"{site.path}/permissions")["permissions"]
        if "OWNER" in each["roles"] and each["id"] != site.ownership
    ]
    for other in others:
        run.done("DELETE", f"/permissions/{other}")
    assert site.owner.refused("DELETE", path) == (409, "last_owner")
    assert site.owner.refused("PATCH", path, {"roles": ["USER"]}) == (409, "last_owner")


def test_a_pin_that_is_taken_is_refused_and_told_nowhere(site: Site) -> None:
    """R13, R17."""
    first, second = site.local_user("Ada"), site.local_user("Bo")
    pin = {"type": "PIN", "code": "#24689753", "installation_id": site.id}
    added = site.owner.done("POST", f"/users/{first}/identifications", pin)
    answer = site.owner.ask("POST", f"/users/{second}/identifications", pin)
    assert (answer.status_code, answer.json()["code"]) == (409, "code_unavailable")
    assert "24689753" not in answer.text
    assert first not in answer.text
    reveal = f"/identifications/{added['identification_id']}/reveal"
    assert site.owner.done("POST", reveal)["code"] == "#24689753"
    listed = site.owner.ask("GET", f"/users/{first}/identifications")
    assert "24689753" not in listed.text
    # Without its mark it is no PIN, and the mark is not added (R13).
    pin["code"] = "1234"
    assert site.owner.refused("POST", f"/users/{first}/identifications", pin)[0] == 400


def test_a_managed_site_is_its_operators_to_change(system: RunningSystem, run: Caller) -> None:
    """S3-29, S3-8, R3: at both scopes, and whom to contact is told."""
    site = Site(system, "rest-managed")
    made = {"name": "Manager", "kind": "PAYMENT_OPERATOR", "contact": "call@manager.example"}
    key = run.done("POST", "/partners", made)["lookup_key"]
    operator = {"lookup_key": key, "authentication_type": "NATIVE"}
    site.owner.done("PUT", f"{site.path}/operator", operator)
    assert site.owner.done("GET", site.path)["managed_by"]["contact"] == "call@manager.example"
    asked = {"email": "late@rest-managed.example", "roles": ["USER"]}
    for path in (site.path, f"/chargers/{site.charger}"):
        answer = site.owner.ask("POST", f"{path}/permissions", asked)
        assert (answer.status_code, answer.json()["code"]) == (409, "managed_by_third_party")
        assert "call@manager.example" in answer.json()["detail"]
    override = {"authorisation_override": "NOT_REQUIRED"}
    refused = site.owner.refused(
        "PUT", f"/chargers/{site.charger}/authorisation-override", override
    )
    assert refused == (409, "payment_operator_connected")
    site.owner.done("DELETE", f"{site.path}/operator")
    assert "managed_by" not in site.owner.done("GET", site.path)


@pytest.mark.parametrize(
    "header",
    ["Basic YTpi", "Bearer", "Bearer a b", "bearer \xe5", f"Bearer {'a' * 5000}"],
)
def test_whoever_is_not_known_is_told_to_sign_in(nobody: Caller, header: str) -> None:
    answer = nobody.send("GET", "/installations", headers={"Authorization": header.encode()})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_who_says_nothing_is_nobody_and_cookies_say_nothing(nobody: Caller) -> None:
    assert nobody.refused("GET", "/installations") == (401, "unauthenticated")
    assert nobody.refused("GET", "/installations", Cookie="chargekey=x")[0] == 401
    assert nobody.refused("POST", "/installations", {"name": "A"})[0] == 401


@pytest.mark.parametrize(
    ("body", "media_type", "status", "code"),
    [
        (b"{", "application/json", 400, "body_malformed"),
        (b"[]", "application/json", 400, "body_malformed"),
        (b'"\xff"', "application/json", 400, "body_malformed"),
        (b"[" * 100_000, "application/json", 400, "body_malformed"),
        (b'{"name": 1}', "application/json", 400, "field_malformed"),
        (b'{"nam": "x"}', "application/json", 400, "field_unknown"),
        (b'{"command_id": "x"}', "application/json", 400, "field_unknown"),
        (b'{"name": "\\u0000"}', "application/json", 400, "text_malformed"),
        (b"name=x", "application/x-www-form-urlencoded", 415, "media_type_unsupported"),
        (b" " * (1 << 21), "application/json", 413, "request_too_long"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    site: Site, body: bytes, media_type: str, status: int, code: str
) -> None:
    headers = {"Content-Type": media_type}
    answer = site.owner.send("PATCH", site.path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_parameter_that_nobody_knows_is_refused(site: Site) -> None:
    assert site.owner.refused("GET", "/installations?access_token=x") == (400, "field_unknown")
    assert site.owner.refused("PATCH", f"{site.path}?name=x", {}) == (400, "field_unknown")
    assert site.owner.refused("DELETE", f"/permissions/{site.ownership}", {"a": 1}) == (
        400,
        "body_unexpected",
    )


def test_an_address_that_is_none_and_a_method_that_it_has_not(site: Site) -> None:
    assert site.owner.refused("GET", "/nothing") == (404, "not_found")
    assert site.owner.refused("GET", "/installations/") == (404, "not_found")
    answer = site.owner.ask("DELETE", site.path)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "PATCH"}


def test_too_many_attempts_are_told_when_to_come_back(system: RunningSystem) -> None:
    """R8: lookup keys are not for guessing."""
    guessing = Site(system, "rest-guessing").owner
    for _ in range(50):
        answer = guessing.ask("GET", "/lookup-keys/ZZZZ")
        if answer.status_code != 404:
            break
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_attempts")
    assert 0 < int(answer.headers["retry-after"]) <= 3600


# Repeating, pages, versions.


def test_a_command_repeated_under_its_key_is_done_once(site: Site, run: Caller) -> None:
    made = {"name": "Once", "time_zone": "UTC"}
    first = run.done("POST", "/installations", made, Idempotency_Key="rest-once")
    assert run.done("POST", "/installations", made, Idempotency_Key="rest-once") == first
    assert run.done("POST", "/installations", made) != first
    path = f"/installations/{first['installation_id']}"
    again = run.refused("PATCH", path, {"name": "B"}, Idempotency_Key="rest-once")
    assert again[0] in (400, 409)
    assert again[1] == "command_id_reused"
    assert run.done("GET", path)["name"] == "Once"
    # Another's key is another one, though it is called the same.
    assert site.owner.done("POST", "/installations", made, Idempotency_Key="rest-once") != first


@pytest.mark.parametrize("key", ["", "a" * 65, "a b", "a/b"])
def test_a_key_that_is_none_is_refused(run: Caller, key: str) -> None:
    made = {"name": "Never", "time_zone": "UTC"}
    refused = run.refused("POST", "/installations", made, Idempotency_Key=key)
    assert refused == (400, "idempotency_key_malformed")


def test_what_is_done_each_time_takes_no_key(site: Site) -> None:
    path = f"/chargers/{site.charger}/reset"
    refused = site.owner.refused("POST", path, {}, Idempotency_Key="a")
    assert refused == (400, "idempotency_key_unsupported")
    assert site.owner.refused("POST", path, {}) == (409, "charger_offline")


def test_pages_are_followed_by_their_links_to_the_end(system: RunningSystem) -> None:
    site = Site(system, "rest-pages")
    users = [site.local_user(f"User {number}") for number in range(5)]
    found: list[str] = []
    following = f"{site.path}/users?page_size=2"
    pages = 0
    while following:
        answer = site.owner.ask("GET", following)
        found += [each["id"] for each in answer.json()["users"]]
        link = answer.links.get("next")
        assert (link is None) == (answer.json()["next_page_token"] == "")
        following = "" if link is None else link["url"].removeprefix("/api/v1")
        pages += 1
    assert (found, pages) == (users, 3)
    assert site.owner.refused("GET", f"{site.path}/users?page_size=x") == (400, "field_malformed")
    refused = site.owner.refused("GET", f"{site.path}/users?page_token=x")
    assert refused == (400, "page_token_malformed")


def test_what_is_known_is_not_told_again(site: Site) -> None:
    first = site.owner.ask("GET", site.path)
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = site.owner.ask("GET", site.path, If_None_Match=known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    assert site.owner.ask("GET", site.path, If_None_Match='"other"').content == first.content
    head = site.owner.ask("HEAD", site.path)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag)


def test_what_is_another_by_now_is_not_edited(site: Site, system: RunningSystem) -> None:
    site = Site(system, "rest-versions")
    tag = site.owner.ask("GET", site.path).headers["etag"]
    required = {"authorisation_required": False}
    setting = f"{site.path}/authorisation-required"
    site.owner.done("PUT", setting, required, If_Match=f'"other", {tag}')
    stale = (412, "precondition_failed")
    assert site.owner.refused("PUT", setting, required, If_Match=tag) == stale
    assert site.owner.refused("PATCH", site.path, {"name": "B"}, If_Match=tag) == stale
    assert site.owner.refused("PATCH", site.path, {"name": "B"}, If_Match=f"W/{tag}") == stale
    site.owner.done("PATCH", site.path, {"name": "B"}, If_Match="*")
    unsupported = (400, "precondition_unsupported")
    offer = f"{site.path}/ownership-offer"
    assert site.owner.refused("DELETE", offer, If_Match=tag) == unsupported
    named = {"first_name": "A", "last_name": "B"}
    assert site.owner.refused("POST", f"{site.path}/users", named, If_Match=tag) == unsupported


# Files.


def test_people_come_and_go_as_a_table(system: RunningSystem) -> None:
    site = Site(system, "rest-people")
    importing = f"{site.path}/people/import"
    table = (
        "first_name,last_name,email,roles,valid_until,pin,rfid,blocked\nAda,Hansen,,,,#13572468,,\n"
    )
    csv: dict[str, Any] = {"content": table.encode(), "headers": {"Content-Type": "text/csv"}}
    tried = site.owner.send("POST", f"{importing}?dry_run=true", **csv).json()
    assert (len(tried["lines"]), tried["imported"]) == (1, False)
    assert site.owner.send("POST", importing, **csv).json()["imported"]
    assert site.owner.refused("POST", importing, {"csv": table})[0] == 415
    exported = site.owner.ask("POST", f"{site.path}/people/export", {"with_codes": True})
    assert exported.headers["content-type"] == "text/csv; charset=utf-8"
    assert exported.headers["chargekey-position"].startswith("identity:")
    assert "Ada,Hansen" in exported.text
    assert "#13572468" in exported.text
    found = site.owner.done("POST", f"{site.path}/people/search", {"search": "ada"})["users"]
    assert [each["name"] for each in found] == ["Ada Hansen"]


def test_a_report_is_had_as_json_and_as_files(site: Site) -> None:
    """R24."""
    since = "ended_since=2026-01-01T00:00:00%2B01:00"
    report = site.owner.done("GET", f"{site.path}/report?{since}")
    assert report["total"]["sessions"] == 0
    asked = {"report": {"installation_id": site.id}, "format": "XLSX"}
    sheet = site.owner.ask("POST", "/report-files", asked)
    assert openpyxl.load_workbook(io.BytesIO(sheet.content)).sheetnames
    assert sheet.headers["content-disposition"].startswith('attachment; filename="')
    table = site.owner.ask("POST", "/report-files", {"report": {"installation_id": site.id}})
    assert table.headers["content-type"].startswith("text/csv")


def test_all_that_is_known_of_somebody_is_a_document(site: Site) -> None:
    """R20."""
    user = site.local_user("Gone")
    known = site.owner.done("POST", f"/users/{user}/export")["document"]
    assert known["profile"]["first_name"] == "Gone"
    site.owner.done("DELETE", f"/users/{user}")
    assert site.owner.refused("GET", f"/users/{user}")[0] in (403, 404)


# The document, and the page that shows it.


def test_the_document_is_served(nobody: Caller) -> None:
    answer = nobody.ask("GET", "/openapi.json")
    assert (answer.headers["content-type"], answer.content) == ("application/json", encoded())


def test_a_page_shows_the_document_and_loads_nothing_from_elsewhere(
    open_page: OpenPage, system: RunningSystem
) -> None:
    page = open_page(system.ready["portal"])
    page.goto("/api/v1/docs")
    # A large script draws it, which takes long where much else runs.
    page.get_by_text("Create an installation", exact=True).click(timeout=60_000)
    page.get_by_text("A person who creates a site owns it").wait_for()
    assert axe(page) == []
