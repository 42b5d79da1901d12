"""The gRPC service on a real server: what people get, and what they are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc import aio

from chargekey.access.v1 import chargers_pb2, check_pb2, installations_pb2, permissions_pb2
from chargekey.access.v1.chargers_pb2_grpc import ChargerServiceStub
from chargekey.access.v1.check_pb2_grpc import CheckServiceStub
from chargekey.access.v1.installations_pb2_grpc import InstallationServiceStub
from chargekey.access.v1.permissions_pb2_grpc import PermissionServiceStub
from chargekey.identity.v1 import identifications_pb2
from chargekey_common.accounts import ADMINISTRATOR, Caller, service_account
from chargekey_common.eventstore.quarantine import SetAside
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.store import Reaction
from chargekey_common.grpc.client import remote_error
from chargekey_common.positions import Position
from chargekey_common.published.identity import LocalUserAdded
from chargekey_common.testing.grpc import stubs

from .conftest import Access, serving

STUBS = (InstallationServiceStub, ChargerServiceStub, PermissionServiceStub, CheckServiceStub)


@pytest_asyncio.fixture
async def callers(access: Access, tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    async with serving(access, tmp_path) as as_caller:
        yield {
            "administrator": stubs(as_caller(ADMINISTRATOR), *STUBS),
            "driver": stubs(as_caller(Caller("user:somebody")), *STUBS),
            "portal": stubs(as_caller(service_account("portal")), *STUBS),
        }


@pytest.fixture
def administrator(callers: dict[str, Any]) -> Any:
    return callers["administrator"]


async def refusal(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as refused:
        await call  # type: ignore[misc] # any call
    return refused.value.code(), remote_error(refused.value).code


async def an_installation(stub: Any) -> str:
    created = await stub.CreateInstallation(
        installations_pb2.CreateInstallationRequest(name="Home", time_zone="Europe/Oslo")
    )
    return created.installation_id


async def test_an_installation_starts_restricted_and_can_be_opened_and_closed_at_any_time(
    administrator: Any,
) -> None:
    """S3-2, S3-13, S3-34."""
    site = await an_installation(administrator)

    async def required() -> bool:
        answer = await administrator.GetInstallation(
            installations_pb2.GetInstallationRequest(installation_id=site)
        )
        return answer.installation.authorisation_required

    assert await required()
    for wanted in (False, True, False):
        await administrator.SetAuthorisationRequired(
            installations_pb2.SetAuthorisationRequiredRequest(
                installation_id=site, authorisation_required=wanted
            )
        )
        assert await required() == wanted


async def test_roles_that_may_be_given_are_told_where_that_is_asked_and_never_of_what_is_not(
    callers: dict[str, Any],
) -> None:
    site = await an_installation(callers["administrator"])

    async def told(obj: str, *, grantable: bool) -> list[int]:
        asked = check_pb2.ListAllowedRequest(
            caller=ADMINISTRATOR, actions=["access.GetCharger"], object=obj, grantable=grantable
        )
        answer = await callers["portal"].ListAllowed(asked)
        assert answer.actions == ["access.GetCharger"]
        return list(answer.grantable_roles)

    assert await told(f"installation:{site}", grantable=True) == [1, 2, 3, 4]
    assert await told(f"installation:{site}", grantable=False) == []
    for nothing in ("installation:none", "charger:none", "system"):
        for grantable in (True, False):
            assert await told(nothing, grantable=grantable) == []


async def test_adding_a_charger_answers_its_password_and_the_same_one_to_the_same_command(
    administrator: Any,
) -> None:
    site = await an_installation(administrator)
    request = chargers_pb2.AddChargerRequest(
        command_id="c1", installation_id=site, ocpp_identity="CP-1"
    )
    first = await administrator.AddCharger(request)
    assert len(bytes.fromhex(first.password)) in range(16, 21)
    assert await administrator.AddCharger(request) == first
    again = chargers_pb2.AddChargerRequest(
        command_id="c2", installation_id=site, ocpp_identity="CP-1"
    )
    assert await refusal(administrator.AddCharger(again)) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "ocpp_identity_in_use",
    )


async def test_a_replaced_password_is_answered_once_and_an_older_one_to_nobody(
    administrator: Any,
) -> None:
    """O49."""
    site = await an_installation(administrator)
    add = chargers_pb2.AddChargerRequest(
        command_id="c1", installation_id=site, ocpp_identity="CP-1"
    )
    added = await administrator.AddCharger(add)
    replace, replace_again = (
        chargers_pb2.ReplaceChargerPasswordRequest(command_id=name, charger_id=added.charger_id)
        for name in ("c2", "c3")
    )
    replaced = await administrator.ReplaceChargerPassword(replace)
    assert replaced.password != added.password
    assert len(bytes.fromhex(replaced.password)) in range(16, 21)
    assert await administrator.ReplaceChargerPassword(replace) == replaced
    last = await administrator.ReplaceChargerPassword(replace_again)
    assert last.password not in {added.password, replaced.password}
    for late in (administrator.AddCharger(add), administrator.ReplaceChargerPassword(replace)):
        assert await refusal(late) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "charger_password_replaced",
        )


async def test_a_chargers_override_decides_before_the_installation(
    administrator: Any,
) -> None:
    """R1, S3-35, S3-39."""
    site = await an_installation(administrator)
    added = await administrator.AddCharger(
        chargers_pb2.AddChargerRequest(installation_id=site, ocpp_identity="CP-1")
    )
    for override, required in (
        (chargers_pb2.AUTHORISATION_OVERRIDE_NOT_REQUIRED, False),
        (chargers_pb2.AUTHORISATION_OVERRIDE_REQUIRED, True),
        (chargers_pb2.AUTHORISATION_OVERRIDE_INHERIT, True),
    ):
        await administrator.SetAuthorisationOverride(
            chargers_pb2.SetAuthorisationOverrideRequest(
                charger_id=added.charger_id, authorisation_override=override
            )
        )
        answer = await administrator.GetCharger(
            chargers_pb2.GetChargerRequest(ocpp_identity="CP-1")
        )
        assert answer.charger.authorisation_override == override
        assert answer.charger.authorisation_required == required


async def test_identification_types_are_replaced_as_a_whole(
    administrator: Any,
) -> None:
    """S0-1, S0-2, S0-7, S0-8, S0-9."""
    site = await an_installation(administrator)
    added = await administrator.AddCharger(
        chargers_pb2.AddChargerRequest(installation_id=site, ocpp_identity="CP-1")
    )
    only_pin = [identifications_pb2.IDENTIFICATION_TYPE_PIN]
    await administrator.SetIdentificationTypes(
        chargers_pb2.SetIdentificationTypesRequest(
            charger_id=added.charger_id, identification_types=only_pin
        )
    )
    found = await administrator.ListChargers(chargers_pb2.ListChargersRequest(installation_id=site))
    assert [list(charger.identification_types) for charger in found.chargers] == [only_pin]


@pytest.mark.parametrize(
    ("name", "zone", "code"),
    [
        ("", "Europe/Oslo", "name_malformed"),
        ("x" * 10_000, "Europe/Oslo", "name_malformed"),
        ("two\nlines", "Europe/Oslo", "name_malformed"),
        ("Home", "Europe/Atlantis", "time_zone_unknown"),
        ("Home", "../../etc/passwd", "time_zone_unknown"),
        ("Home", "", "time_zone_unknown"),
    ],
)
async def test_an_impossible_installation_is_refused_by_name_and_nothing_is_stored(
    administrator: Any, name: str, zone: str, code: str
) -> None:
    request = installations_pb2.CreateInstallationRequest(name=name, time_zone=zone)
    assert await refusal(administrator.CreateInstallation(request)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        code,
    )
    found = await administrator.ListInstallations(installations_pb2.ListInstallationsRequest())
    assert not found.installations


async def test_unknown_things_are_not_found(administrator: Any) -> None:
    missing = installations_pb2.GetInstallationRequest(installation_id="nowhere")
    assert await refusal(administrator.GetInstallation(missing)) == (
        grpc.StatusCode.NOT_FOUND,
        "installation_unknown",
    )
    charger = chargers_pb2.GetChargerRequest(ocpp_identity="nobody")
    assert await refusal(administrator.GetCharger(charger)) == (
        grpc.StatusCode.NOT_FOUND,
        "charger_unknown",
    )
    permissions = permissions_pb2.ListPermissionsRequest(installation_id="nowhere")
    assert await refusal(administrator.ListPermissions(permissions)) == (
        grpc.StatusCode.NOT_FOUND,
        "installation_unknown",
    )


async def test_a_user_is_found_for_as_long_as_there_is_a_past_of_him(
    access: Access, administrator: Any
) -> None:
    site = await an_installation(administrator)
    handled = Handled("access-on-local-user-added", Position("identity", "0" * 16, 1))
    added = LocalUserAdded(user_id="ada", installation_id=site)
    access.permissions.react_to_local_user_added(
        added, Reaction(handled, "event-1", 0, ADMINISTRATOR)
    )
    await administrator.FindUser(check_pb2.FindUserRequest(user_id="ada"))
    [held] = (
        await administrator.ListPermissions(
            permissions_pb2.ListPermissionsRequest(installation_id=site)
        )
    ).permissions
    await administrator.RevokePermission(
        permissions_pb2.RevokePermissionRequest(permission_id=held.id)
    )
    await administrator.FindUser(check_pb2.FindUserRequest(user_id="ada"))
    unknown = check_pb2.FindUserRequest(user_id="grace")
    assert await refusal(administrator.FindUser(unknown)) == (
        grpc.StatusCode.NOT_FOUND,
        "user_unknown",
    )


async def test_an_event_that_is_set_aside_is_not_said_to_be_handled(
    access: Access, administrator: Any
) -> None:
    """What comes before it, and what comes behind it about others, is."""
    name = "access-on-local-user-added"
    first, unreadable, last = (Position("identity", "0" * 16, number) for number in (1, 2, 3))
    event = SetAside(name, "event-2", unreadable, "identity.v1.user.ada.LocalUserAdded", {}, b"{")
    access.store.set_aside(event)
    ada = check_pb2.AwaitReactionRequest(reaction=name, position=str(unreadable))
    assert await refusal(administrator.AwaitReaction(ada)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "reaction_set_aside",
    )
    added = LocalUserAdded(user_id="grace", installation_id=await an_installation(administrator))
    access.permissions.react_to_local_user_added(
        added, Reaction(Handled(name, last), "event-3", 0, ADMINISTRATOR)
    )
    for position in (first, last):
        request = check_pb2.AwaitReactionRequest(reaction=name, position=str(position))
        assert (await administrator.AwaitReaction(request)).position


async def test_a_caller_without_a_role_is_refused(callers: dict[str, Any]) -> None:
    """S3-6, S3-43."""
    site = await an_installation(callers["administrator"])
    request = installations_pb2.SetAuthorisationRequiredRequest(installation_id=site)
    assert await refusal(callers["driver"].SetAuthorisationRequired(request)) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "permission_denied",
    )
