"""Commands on a real store, read back through the directory and the published form."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import msgspec
import pytest

from chargekey_access.application.check import REACTIONS
from chargekey_access.application.proposals import Proposals
from chargekey_access.domain import rules
from chargekey_access.domain.errors import (
    ChargerPasswordReplacedError,
    LocalUserCannotOwnError,
    LocalUserElsewhereError,
    ObjectMalformedError,
    UserUnknownError,
)
from chargekey_access.domain.events import Role
from chargekey_access.domain.permission import Subject, Target
from chargekey_access.projections.directory import Directory
from chargekey_access.published import publication
from chargekey_access.reactions.on_access_proposed import on_access_proposed
from chargekey_access.reactions.on_local_user_added import on_local_user_added
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.store import Context, Reaction
from chargekey_common.positions import Position
from chargekey_common.published.access import ChargerPasswordReplaced
from chargekey_common.published.identity import LocalUserAdded

from .conftest import Access

_ids = iter(range(10**6))


def now() -> Context:
    return Context(ADMINISTRATOR, f"command-{next(_ids)}")


def site(access: Access) -> str:
    return access.installations.create_installation(
        now(), name="Home", time_zone="Europe/Oslo"
    ).result


def a_local_user(access: Access, installation_id: str, user_id: str, number: int = 1) -> None:
    handled = Handled("access-on-local-user-added", Position("identity", "0" * 16, number))
    access.permissions.react_to_local_user_added(
        LocalUserAdded(user_id=user_id, installation_id=installation_id),
        Reaction(handled, f"event-{number}", 0, "administrator:local"),
    )


def roles_of(access: Access, installation_id: str) -> list[tuple[str | None, tuple[Role, ...]]]:
    held = access.directory.holdings.on(Target(installation_id))
    return [(permission.subject.user_id, permission.roles) for _, permission in held]


def test_a_new_local_user_may_charge_at_his_installation(access: Access) -> None:
    """S0-24."""
    home = site(access)
    a_local_user(access, home, "u")
    assert roles_of(access, home) == [("u", ("USER",))]


def test_the_same_user_told_again_under_another_generation_is_not_granted_again(
    access: Access,
) -> None:
    home = site(access)
    a_local_user(access, home, "u")
    [(permission_id, _)] = access.directory.holdings.on(Target(home))
    access.permissions.revoke_permission(now(), permission_id=permission_id)
    handled = Handled("access-on-local-user-added", Position("identity", "f" * 16, 1))
    access.permissions.react_to_local_user_added(
        LocalUserAdded(user_id="u", installation_id=home), Reaction(handled, "event-1", 0, "x")
    )
    assert roles_of(access, home) == []


def test_permissions_on_installation_and_charger_stand_side_by_side(access: Access) -> None:
    """R4: revoking one leaves the other."""
    home = site(access)
    a_local_user(access, home, "u")
    charger_id = access.chargers.add_charger(
        now(), installation_id=home, ocpp_identity="CP-1"
    ).result
    at_charger = Target(home, charger_id)
    access.permissions.grant_permission(
        now(), target=at_charger, subject=Subject("u"), roles=["SERVICE"], valid_until=""
    )
    assert access.directory.holdings.roles(Subject("u"), at_charger, now=0) == {"USER", "SERVICE"}
    assert access.directory.holdings.roles(Subject("u"), Target(home), now=0) == {"USER"}
    [(permission_id, _)] = access.directory.holdings.on(Target(home))
    access.permissions.revoke_permission(now(), permission_id=permission_id)
    assert access.directory.holdings.roles(Subject("u"), at_charger, now=0) == {"SERVICE"}


def test_a_permission_ends_with_its_last_local_day(access: Access) -> None:
    """R10, R18."""
    home = site(access)
    a_local_user(access, home, "u")
    access.permissions.grant_permission(
        now(), target=Target(home), subject=Subject("u"), roles=["USER"], valid_until="2199-06-30"
    )
    [(_, permission)] = access.directory.holdings.on(Target(home))
    assert permission.valid_until is not None
    end = permission.valid_until
    assert access.directory.holdings.roles(Subject("u"), Target(home), now=end - 1) == {"USER"}
    assert access.directory.holdings.roles(Subject("u"), Target(home), now=end) == set()


def test_nobody_unknown_and_nobody_of_another_installation_is_granted_anything(
    access: Access,
) -> None:
    home, elsewhere = site(access), site(access)
    a_local_user(access, home, "u")
    with pytest.raises(UserUnknownError):
        access.permissions.grant_permission(
            now(), target=Target(home), subject=Subject("nobody"), roles=["USER"], valid_until=""
        )
    with pytest.raises(LocalUserElsewhereError):
        access.permissions.grant_permission(
            now(), target=Target(elsewhere), subject=Subject("u"), roles=["USER"], valid_until=""
        )
    with pytest.raises(LocalUserCannotOwnError):
        access.permissions.grant_permission(
            now(), target=Target(home), subject=Subject("u"), roles=["OWNER"], valid_until=""
        )
    assert roles_of(access, elsewhere) == []


def test_many_callers_adding_the_same_charger_add_it_once(access: Access) -> None:
    home = site(access)
    results: list[str] = []

    def add() -> None:
        try:
            access.chargers.add_charger(now(), installation_id=home, ocpp_identity="CP-1")
            results.append("added")
        except Exception as error:  # noqa: BLE001 - its name is what the test compares
            results.append(type(error).__name__)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["OcppIdentityInUseError"] * 3 + ["added"]


def test_the_directory_is_the_same_after_a_restart(access: Access) -> None:
    home = site(access)
    a_local_user(access, home, "u")
    access.installations.set_authorisation_required(now(), installation_id=home, required=False)
    again = Directory(access.store)
    assert again.sites.installations() == access.directory.sites.installations()
    assert again.holdings.on(Target(home)) == access.directory.holdings.on(Target(home))


def test_a_password_stands_in_no_event_and_only_its_hash_is_told_in_private(
    access: Access, tmp_path: Path
) -> None:
    home = site(access)
    context = now()
    charger_id = access.chargers.add_charger(
        context, installation_id=home, ocpp_identity="CP-1"
    ).result
    password = access.chargers.password(charger_id, context.command_id)
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("access.db*"))
    assert password.encode() not in stored
    *_, (_, record, _) = access.store.read(0, 100)
    told = publication(record)
    [credential] = told.private
    assert credential.subject == f"access.v1.credential.{charger_id}"
    assert b"password" not in msgspec.json.encode(told.event)


def test_a_replaced_password_stands_nowhere_either_and_its_hash_follows_in_private(
    access: Access, tmp_path: Path
) -> None:
    """O49."""
    charger_id = access.chargers.add_charger(
        now(), installation_id=site(access), ocpp_identity="CP-1"
    ).result
    context = now()
    access.chargers.replace_charger_password(context, charger_id=charger_id)
    password = access.chargers.password(charger_id, context.command_id)
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("access.db*"))
    assert password.encode() not in stored
    *_, first, last = (publication(record) for _, record, _ in access.store.read(0, 100))
    [before], [after] = first.private, last.private
    assert before.subject == after.subject
    assert before != after
    assert last.event == ChargerPasswordReplaced(
        charger_id=charger_id, installation_id=first.event.installation_id
    )


def test_a_command_shows_a_password_only_while_it_is_the_charger_s(access: Access) -> None:
    """O49: repeated as often as anybody likes, by whoever gave it."""
    home = site(access)
    added, replaced, again = now(), now(), now()

    def add() -> str:
        charger_id = access.chargers.add_charger(
            added, installation_id=home, ocpp_identity="CP-1"
        ).result
        return access.chargers.password(charger_id, added.command_id)

    def replace(context: Context) -> str:
        access.chargers.replace_charger_password(context, charger_id=charger_id)
        return access.chargers.password(charger_id, context.command_id)

    first = add()
    charger_id = access.directory.sites.charger_id("CP-1")
    assert add() == first
    second = replace(replaced)
    assert replace(replaced) == second
    third = replace(again)
    assert len({first, second, third}) == 3
    for late in (add, lambda: replace(replaced)):
        with pytest.raises(ChargerPasswordReplacedError):
            late()
    assert replace(again) == third
    other = access.chargers.add_charger(now(), installation_id=home, ocpp_identity="CP-2").result
    for nothing in (other, charger_id):
        with pytest.raises(ChargerPasswordReplacedError):
            access.chargers.password(nothing, "never done")


USER = Caller("user:u")


def refused(access: Access, caller: Caller, action: str, obj: str) -> bool:
    return access.check.refusal(caller, action, obj) is not None


def test_a_user_may_what_his_roles_on_the_object_allow(access: Access) -> None:
    home, elsewhere = site(access), site(access)
    a_local_user(access, home, "u")
    charger_id = access.chargers.add_charger(
        now(), installation_id=home, ocpp_identity="CP-1"
    ).result
    assert not refused(access, USER, "access.GetInstallation", f"installation:{home}")
    assert not refused(access, USER, "access.GetCharger", f"charger:{charger_id}")
    assert refused(access, USER, "access.GetInstallation", f"installation:{elsewhere}")
    assert refused(access, USER, "access.SetAuthorisationOverride", f"charger:{charger_id}")
    assert not refused(access, USER, "access.ListInstallations", "system")
    assert refused(access, USER, "access.CreatePartner", "system")


def test_what_no_rule_names_is_refused_to_everybody(access: Access) -> None:
    home = site(access)
    for caller in (ADMINISTRATOR, Caller("service:gateway"), USER, Caller("stranger:x")):
        assert refused(access, caller, "access.Explode", f"installation:{home}")


@pytest.mark.parametrize("obj", ["", "galaxy:7", "system:", "installation", " charger:x"])
@pytest.mark.parametrize("caller", [USER, ADMINISTRATOR])
def test_an_object_nobody_can_name_is_refused(access: Access, caller: Caller, obj: str) -> None:
    with pytest.raises(ObjectMalformedError):
        refused(access, caller, "access.GetInstallation", obj)


@pytest.mark.parametrize("kind", ["installation", "charger", "permission"])
@pytest.mark.parametrize("name", ["none", "", "a:b", "x" * 10_000, "\n"])
def test_people_may_nothing_to_what_does_not_exist(access: Access, kind: str, name: str) -> None:
    """They hear of it what they hear of what others have."""
    assert refused(access, USER, "access.GetCharger", f"{kind}:{name}")
    assert not refused(access, ADMINISTRATOR, "access.GetCharger", f"{kind}:{name}")


def test_what_can_be_waited_for_are_the_reactions_there_are(access: Access) -> None:
    proposals = Proposals(access.store, access.directory, access.permissions)
    ons = [on_local_user_added(access.permissions), on_access_proposed(proposals)]
    assert {on.name("access"): on.event for on in ons} == REACTIONS


@pytest.mark.parametrize("action", sorted(rules.RULES))
@pytest.mark.parametrize("kind", ["administrator", "service", "user", "stranger"])
def test_each_action_is_open_to_exactly_whom_its_rule_names(action: str, kind: str) -> None:
    """R5: of people, owners and operators grant; they and service partners set authentication."""
    for authentication in ("SetAuthorisationRequired", "SetAuthorisationOverride"):
        words = rules.RULES[f"access.{authentication}"].words
        assert words == {"OWNER", "SERVICE", "OPERATOR"}
    assert rules.RULES["access.GrantPermission"].words == {"OWNER", "OPERATOR"}
    rule = rules.RULES[action]

    def allowed(name: str, *words: rules.Word) -> bool:
        refused = rules.refusal(kind, name, action, {*words}, system=False, managed=False)
        return refused is None

    everyone: list[Role] = ["OWNER", "USER", "SERVICE", "OPERATOR"]
    for role in everyone:
        expected = {"administrator": True, "user": role in rule.words}.get(kind, False)
        assert allowed("somebody", role) == (rule.anybody or expected)
    if kind == "service":
        for service in ("access", "identity", "gateway", "history", "notifier", "portal"):
            assert allowed(service) == (rule.anybody or service in rule.services)


def test_an_expired_role_allows_nothing(access: Access) -> None:
    home = site(access)
    a_local_user(access, home, "u")
    access.permissions.grant_permission(
        now(), target=Target(home), subject=Subject("u"), roles=["USER"], valid_until="2199-01-01"
    )
    assert access.directory.holdings.roles(Subject("u"), Target(home), now=time.time_ns()) == {
        "USER"
    }
    assert access.directory.holdings.roles(Subject("u"), Target(home), now=2**63 - 1) == set()
