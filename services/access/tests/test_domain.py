"""Given these events, when this command, then those events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import msgspec
import pytest

from chargekey_access.domain import charger, installation
from chargekey_access.domain.errors import (
    ChargerUnknownError,
    InstallationUnknownError,
    OcppIdentityInUseError,
    OcppIdentityMalformedError,
)
from chargekey_access.domain.events import (
    AuthorisationOverrideSet,
    AuthorisationRequiredSet,
    ChargerAdded,
    ChargerMoved,
    ChargerPasswordReplaced,
    IdentificationTypesSet,
    InstallationCreated,
)
from chargekey_access.domain.installation import Installation

CREATED = InstallationCreated(name="Home", time_zone="Europe/Oslo", authorisation_required=True)
ADDED = ChargerAdded(
    installation_id="i",
    ocpp_identity="CP-1",
    password_hash="h",
    authorisation_override="INHERIT",
    identification_types=("APP", "PIN", "RFID"),
)


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


def test_a_charger_has_the_last_password_it_was_given_and_all_else_stays() -> None:
    """O49."""
    given = [
        ADDED,
        ChargerMoved(from_installation_id="i", installation_id="j"),
        IdentificationTypesSet(installation_id="j", identification_types=("PIN",)),
    ]
    before = state(charger.evolve, given)
    [replaced] = charger.replace_password(before, "x")
    assert replaced == ChargerPasswordReplaced(installation_id="j", password_hash="x")
    after = charger.evolve(before, replaced)
    assert (before.password_hash, after.password_hash) == ("h", "x")
    assert msgspec.structs.replace(after, password_hash="h") == before


def test_a_charger_that_was_never_added_has_no_password_to_replace() -> None:
    with pytest.raises(ChargerUnknownError):
        charger.replace_password(None, "x")


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
    site = Installation("Home", "Europe/Oslo", authorisation_required=by_installation)
    assert overridden.authorisation_required(site) == required


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
