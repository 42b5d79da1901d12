"""Given these events, when this command, then those events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_access.domain import charger, installation, owners, permission
from chargekey_access.domain.errors import (
    InstallationUnknownError,
    LastOwnerError,
    LocalUserCannotOwnError,
    OcppIdentityInUseError,
    OcppIdentityMalformedError,
    PermissionUnknownError,
    RolesMissingError,
)
from chargekey_access.domain.events import (
    AuthorisationOverrideSet,
    AuthorisationRequiredSet,
    ChargerAdded,
    IdentificationTypesSet,
    InstallationCreated,
    OwnerAdded,
    OwnerRemoved,
    PermissionChanged,
    PermissionGranted,
    PermissionRevoked,
)
from chargekey_access.domain.permission import Target

CREATED = InstallationCreated(name="Home", time_zone="Europe/Oslo", authorisation_required=True)
ADDED = ChargerAdded(
    installation_id="i",
    ocpp_identity="CP-1",
    password_hash="h",
    authorisation_override="INHERIT",
    identification_types=("APP", "PIN", "RFID"),
)
SITE = Target("i")


def state(evolve: Callable[[Any, Any], Any], events: Sequence[Any]) -> Any:
    return reduce(evolve, events, None)


def test_an_installation_is_created_restricted() -> None:
    """S3-11: nobody charges who was not let in, until the owner opens it."""
    assert installation.create(name="Home", time_zone="Europe/Oslo") == [CREATED]


@pytest.mark.parametrize(
    ("given", "required", "then"),
    [
        ([CREATED], False, [AuthorisationRequiredSet(authorisation_required=False)]),
        ([CREATED], True, []),
        (
            [CREATED, AuthorisationRequiredSet(authorisation_required=False)],
            True,
            [AuthorisationRequiredSet(authorisation_required=True)],
        ),
    ],
)
def test_requiring_authorisation_is_one_event_where_it_changes_something(
    given: Sequence[Any], required: bool, then: Sequence[Any]
) -> None:
    """R1, S3-13."""
    site = state(installation.evolve, given)
    assert installation.set_authorisation_required(site, required=required) == then


def test_what_was_never_created_cannot_be_set() -> None:
    with pytest.raises(InstallationUnknownError):
        installation.set_authorisation_required(None, required=True)


def test_a_charger_is_added_once_under_its_identity() -> None:
    added = charger.add(None, installation_id="i", ocpp_identity="CP-1", password_hash="h")
    assert added == [ADDED]
    with pytest.raises(OcppIdentityInUseError):
        charger.add(
            state(charger.evolve, added),
            installation_id="other",
            ocpp_identity="CP-1",
            password_hash="x",
        )


@pytest.mark.parametrize("identity", ["", "x" * 49, "a b", "a/b", "a:b", "ä", "a\n"])
def test_an_identity_that_some_charger_could_not_connect_with_is_refused(identity: str) -> None:
    with pytest.raises(OcppIdentityMalformedError):
        charger.ocpp_identity(identity)


@pytest.mark.parametrize(
    ("override", "by_installation", "required"),
    [
        ("INHERIT", True, True),
        ("INHERIT", False, False),
        ("REQUIRED", False, True),
        ("REQUIRED", True, True),
        ("NOT_REQUIRED", True, False),
        ("NOT_REQUIRED", False, False),
    ],
)
def test_the_override_decides_unless_it_inherits(
    override: Any,
    by_installation: bool,
    required: bool,
) -> None:
    """R1."""
    events = [ADDED, AuthorisationOverrideSet(installation_id="i", authorisation_override=override)]
    overridden = state(charger.evolve, events)
    assert overridden.authorisation_required(by_installation=by_installation) == required


def test_an_override_is_one_event_where_it_changes_something() -> None:
    added = state(charger.evolve, [ADDED])
    assert charger.set_authorisation_override(added, "INHERIT") == []
    assert charger.set_authorisation_override(added, "REQUIRED") == [
        AuthorisationOverrideSet(installation_id="i", authorisation_override="REQUIRED")
    ]


def test_identification_types_are_a_set_saved_in_one_event() -> None:
    """S0-8, S0-9."""
    added = state(charger.evolve, [ADDED])
    assert charger.set_identification_types(added, ["RFID", "PIN", "RFID"]) == [
        IdentificationTypesSet(installation_id="i", identification_types=("PIN", "RFID"))
    ]
    assert charger.set_identification_types(added, ["RFID", "APP", "PIN"]) == []


def granted(*roles: Any, **changes: Any) -> PermissionGranted:
    fields = {
        "installation_id": "i",
        "charger_id": None,
        "user_id": "u",
        "roles": roles,
        "valid_until": None,
        "local": False,
    }
    return PermissionGranted(**(fields | changes))


def grant(
    events: Sequence[Any], *roles: Any, valid_until: int | None = None, local: bool = False
) -> Sequence[Any]:
    return permission.grant(
        state(permission.evolve, events),
        target=SITE,
        user_id="u",
        roles=roles,
        valid_until=valid_until,
        local=local,
    )


def test_granting_twice_is_granting_once() -> None:
    """R4."""
    assert grant([], "USER", "OWNER") == [granted("OWNER", "USER")]
    assert grant([granted("OWNER", "USER")], "USER", "OWNER", "USER") == []


def test_another_set_of_roles_or_another_end_is_one_event_with_the_new_whole() -> None:
    """R4, R10."""
    assert grant([granted("USER")], "OWNER", valid_until=5) == [
        PermissionChanged(
            installation_id="i", charger_id=None, user_id="u", roles=("OWNER",), valid_until=5
        )
    ]


def test_a_permission_without_roles_is_refused() -> None:
    with pytest.raises(RolesMissingError):
        grant([])


def test_a_local_user_cannot_own() -> None:
    """R6."""
    with pytest.raises(LocalUserCannotOwnError):
        grant([], "OWNER", local=True)


def test_a_revoked_permission_holds_no_more_and_can_be_granted_again() -> None:
    events: list[Any] = [granted("USER")]
    revoked = permission.revoke(state(permission.evolve, events))
    assert revoked == [PermissionRevoked(installation_id="i", charger_id=None, user_id="u")]
    events += revoked
    with pytest.raises(PermissionUnknownError):
        permission.revoke(state(permission.evolve, events))
    assert grant(events, "USER") == [granted("USER")]


def test_the_last_owner_stays() -> None:
    """R6."""
    one = state(owners.evolve, [OwnerAdded(installation_id="i", user_id="u")])
    with pytest.raises(LastOwnerError):
        owners.change(one, installation_id="i", user_id="u", owns=False)
    two = owners.evolve(one, OwnerAdded(installation_id="i", user_id="v"))
    assert owners.change(two, installation_id="i", user_id="u", owns=False) == [
        OwnerRemoved(installation_id="i", user_id="u")
    ]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
def test_an_installation_that_ever_had_an_owner_always_has_one(
    changes: list[tuple[str, bool]],
) -> None:
    """R6, for every order of comings and goings."""
    current: owners.Owners | None = None
    for user_id, owns in changes:
        try:
            events = owners.change(current, installation_id="i", user_id=user_id, owns=owns)
        except LastOwnerError:
            assert current == {user_id}
            continue
        current = reduce(owners.evolve, events, current)
    assert current is None or current
