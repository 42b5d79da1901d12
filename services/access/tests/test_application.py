"""Commands on a real store, read back through the directory and the published form."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from chargekey_access.application import REACTIONS, Access
from chargekey_access.domain import rules
from chargekey_access.domain.errors import (
    LocalUserCannotOwnError,
    LocalUserElsewhereError,
    ObjectMalformedError,
    UserUnknownError,
)
from chargekey_access.domain.events import EVENTS, Role
from chargekey_access.domain.permission import Target
from chargekey_access.projections.directory import Directory
from chargekey_access.published import publication
from chargekey_access.reactions.on_local_user_added import on_local_user_added
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.store import Context, EventStore, Reaction
from chargekey_common.positions import Position
from chargekey_common.published import access as published
from chargekey_common.published.envelope import Catalogue
from chargekey_common.published.identity import LocalUserAdded

SECRET = b"a secret of at least sixteen bytes"


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Access]:
    store = EventStore("access", tmp_path / "access.db", EVENTS)
    yield Access(store, Directory(store), ChargerPasswords(SECRET))
    store.close()


_ids = iter(range(10**6))


def now() -> Context:
    return Context(ADMINISTRATOR, f"command-{next(_ids)}")


def site(access: Access) -> str:
    return access.create_installation(now(), name="Home", time_zone="Europe/Oslo").result


def a_local_user(access: Access, installation_id: str, user_id: str, number: int = 1) -> None:
    handled = Handled("access-on-local-user-added", Position("identity", "0" * 16, number))
    access.react_to_local_user_added(
        LocalUserAdded(user_id=user_id, installation_id=installation_id),
        Reaction(handled, f"event-{number}", 0, "administrator:local"),
    )


def roles_of(access: Access, installation_id: str) -> list[tuple[str, tuple[Role, ...]]]:
    held = access.directory.permissions(Target(installation_id))
    return [(permission.user_id, permission.roles) for _, permission in held]


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
    [(permission_id, _)] = access.directory.permissions(Target(home))
    access.revoke_permission(now(), permission_id=permission_id)
    handled = Handled("access-on-local-user-added", Position("identity", "f" * 16, 1))
    access.react_to_local_user_added(
        LocalUserAdded(user_id="u", installation_id=home), Reaction(handled, "event-1", 0, "x")
    )
    assert roles_of(access, home) == []


def test_permissions_on_installation_and_charger_stand_side_by_side(access: Access) -> None:
    """R4: revoking one leaves the other."""
    home = site(access)
    a_local_user(access, home, "u")
    charger_id = access.add_charger(now(), installation_id=home, ocpp_identity="CP-1").result
    at_charger = Target(home, charger_id)
    access.grant_permission(
        now(), target=at_charger, user_id="u", roles=["SERVICE"], valid_until=""
    )
    assert access.directory.roles("u", at_charger, now=0) == {"USER", "SERVICE"}
    assert access.directory.roles("u", Target(home), now=0) == {"USER"}
    [(permission_id, _)] = access.directory.permissions(Target(home))
    access.revoke_permission(now(), permission_id=permission_id)
    assert access.directory.roles("u", at_charger, now=0) == {"SERVICE"}


def test_a_permission_ends_with_its_last_local_day(access: Access) -> None:
    """R10, R18."""
    home = site(access)
    a_local_user(access, home, "u")
    access.grant_permission(
        now(), target=Target(home), user_id="u", roles=["USER"], valid_until="2199-06-30"
    )
    [(_, permission)] = access.directory.permissions(Target(home))
    assert permission.valid_until is not None
    end = permission.valid_until
    assert access.directory.roles("u", Target(home), now=end - 1) == {"USER"}
    assert access.directory.roles("u", Target(home), now=end) == set()


def test_nobody_unknown_and_nobody_of_another_installation_is_granted_anything(
    access: Access,
) -> None:
    home, elsewhere = site(access), site(access)
    a_local_user(access, home, "u")
    with pytest.raises(UserUnknownError):
        access.grant_permission(
            now(), target=Target(home), user_id="nobody", roles=["USER"], valid_until=""
        )
    with pytest.raises(LocalUserElsewhereError):
        access.grant_permission(
            now(), target=Target(elsewhere), user_id="u", roles=["USER"], valid_until=""
        )
    with pytest.raises(LocalUserCannotOwnError):
        access.grant_permission(
            now(), target=Target(home), user_id="u", roles=["OWNER"], valid_until=""
        )
    assert roles_of(access, elsewhere) == []


def test_many_callers_adding_the_same_charger_add_it_once(access: Access) -> None:
    home = site(access)
    results: list[str] = []

    def add() -> None:
        try:
            access.add_charger(now(), installation_id=home, ocpp_identity="CP-1")
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
    access.set_authorisation_required(now(), installation_id=home, required=False)
    again = Directory(access.store)
    assert again.installations() == access.directory.installations()
    assert again.permissions(Target(home)) == access.directory.permissions(Target(home))


def test_every_stored_event_has_a_published_form_with_the_same_name(access: Access) -> None:
    home = site(access)
    a_local_user(access, home, "u")
    charger_id = access.add_charger(now(), installation_id=home, ocpp_identity="CP-1").result
    access.set_authorisation_required(now(), installation_id=home, required=False)
    access.set_authorisation_override(now(), charger_id=charger_id, override="REQUIRED")
    access.set_identification_types(now(), charger_id=charger_id, types=["PIN"])
    [(permission_id, _)] = access.directory.permissions(Target(home))
    access.grant_permission(
        now(), target=Target(home), user_id="u", roles=["USER"], valid_until="2199-01-01"
    )
    access.revoke_permission(now(), permission_id=permission_id)
    told = {}
    for _, record, _ in access.store.read(0, 100):
        event = publication(record).event
        assert type(event).__name__ == type(record.event).__name__
        assert (
            Catalogue(*published.EVENTS).decode(event.subject, msgspec.json.encode(event)) == event
        )
        told[type(event)] = event
    # Owners come with people who can sign in.
    assert set(published.EVENTS) - set(told) == {published.OwnerAdded, published.OwnerRemoved}


def test_a_password_stands_in_no_event_and_only_its_hash_is_told_in_private(
    access: Access, tmp_path: Path
) -> None:
    home = site(access)
    context = now()
    charger_id = access.add_charger(context, installation_id=home, ocpp_identity="CP-1").result
    password = access.password(charger_id, context.command_id)
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("access.db*"))
    assert password.encode() not in stored
    *_, (_, record, _) = access.store.read(0, 100)
    told = publication(record)
    [credential] = told.private
    assert credential.subject == f"access.v1.credential.{charger_id}"
    assert b"password" not in msgspec.json.encode(told.event)


USER = Caller("user:u")


def test_a_user_may_what_his_roles_on_the_object_allow(access: Access) -> None:
    home, elsewhere = site(access), site(access)
    a_local_user(access, home, "u")
    charger_id = access.add_charger(now(), installation_id=home, ocpp_identity="CP-1").result
    assert access.allowed(USER, "access.GetInstallation", f"installation:{home}")
    assert access.allowed(USER, "access.GetCharger", f"charger:{charger_id}")
    assert not access.allowed(USER, "access.GetInstallation", f"installation:{elsewhere}")
    assert not access.allowed(USER, "access.SetAuthorisationOverride", f"charger:{charger_id}")
    assert not access.allowed(USER, "access.ListInstallations", "system")


def test_what_no_rule_names_is_refused_to_everybody(access: Access) -> None:
    home = site(access)
    for caller in (ADMINISTRATOR, Caller("service:gateway"), USER, Caller("stranger:x")):
        assert not access.allowed(caller, "access.Explode", f"installation:{home}")


@pytest.mark.parametrize("obj", ["", "galaxy:7", "system:", "installation", " charger:x"])
@pytest.mark.parametrize("caller", [USER, ADMINISTRATOR])
def test_an_object_nobody_can_name_is_refused(access: Access, caller: Caller, obj: str) -> None:
    with pytest.raises(ObjectMalformedError):
        access.allowed(caller, "access.GetInstallation", obj)


@pytest.mark.parametrize("kind", ["installation", "charger", "permission"])
@pytest.mark.parametrize("name", ["none", "", "a:b", "x" * 10_000, "\n"])
def test_people_may_nothing_to_what_does_not_exist(access: Access, kind: str, name: str) -> None:
    """They hear of it what they hear of what others have."""
    assert not access.allowed(USER, "access.GetCharger", f"{kind}:{name}")
    assert access.allowed(ADMINISTRATOR, "access.GetCharger", f"{kind}:{name}")


def test_what_can_be_waited_for_are_the_reactions_there_are(access: Access) -> None:
    ons = [on_local_user_added(access)]
    assert {on.name("access"): on.event for on in ons} == REACTIONS


@pytest.mark.parametrize("action", sorted(rules.RULES))
@pytest.mark.parametrize("kind", ["administrator", "service", "user", "stranger"])
def test_each_action_is_open_to_exactly_whom_its_rule_names(action: str, kind: str) -> None:
    """R5: of people, owners alone grant; owners and service partners set authentication."""
    for authentication in ("SetAuthorisationRequired", "SetAuthorisationOverride"):
        assert rules.RULES[f"access.{authentication}"].roles == {"OWNER", "SERVICE"}
    assert rules.RULES["access.GrantPermission"].roles == {"OWNER"}
    rule = rules.RULES[action]
    everyone: list[Role] = ["OWNER", "USER", "SERVICE", "OPERATOR"]
    for role in everyone:
        expected = {"administrator": True, "user": role in rule.roles}.get(kind, False)
        assert rules.allowed(kind, "somebody", action, {role}) == expected
    for service in ("access", "identity", "gateway", "history", "notifier", "portal"):
        assert rules.allowed("service", service, action, set()) == (service in rule.services)


def test_an_expired_role_allows_nothing(access: Access) -> None:
    home = site(access)
    a_local_user(access, home, "u")
    access.grant_permission(
        now(), target=Target(home), user_id="u", roles=["USER"], valid_until="2199-01-01"
    )
    assert access.directory.roles("u", Target(home), now=time.time_ns()) == {"USER"}
    assert access.directory.roles("u", Target(home), now=2**63 - 1) == set()
