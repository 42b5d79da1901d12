"""Sites and their chargers as people meet them: over gRPC, on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc import aio

from chargekey.access.v1 import chargers_pb2, installations_pb2
from chargekey.identity.v1 import identifications_pb2
from chargekey_access.api import chargers, check
from chargekey_access.api.gateway import Gateway
from chargekey_access.domain import owners
from chargekey_access.domain.events import (
    AuthenticationTypeSet,
    AuthorisationRequiredSet,
    ChargerMoved,
    OperatorConnected,
    OperatorDisconnected,
    PermissionGranted,
    PermissionRevoked,
)
from chargekey_access.domain.permission import Subject, Target
from chargekey_common.accounts import Caller
from chargekey_common.eventstore.store import Work
from chargekey_common.grpc.client import remote_error
from chargekey_common.pages import token_of
from chargekey_common.testing.grpc import served

from .conftest import Access, serving
from .given import by, leaves
from .worlds import Callers, a_partner_called, done, events, given, taken

ADMINISTRATOR = "administrator:local"
ADA, EVE, GUS, OLE = "user:ada", "user:eve", "user:gus", "user:ole"
NATIVE = installations_pb2.AUTHENTICATION_TYPE_NATIVE
EXTERNAL = installations_pb2.AUTHENTICATION_TYPE_EXTERNAL
INHERIT = chargers_pb2.AUTHORISATION_OVERRIDE_INHERIT
REQUIRED = chargers_pb2.AUTHORISATION_OVERRIDE_REQUIRED
NOT_REQUIRED = chargers_pb2.AUTHORISATION_OVERRIDE_NOT_REQUIRED
MANAGED = (grpc.StatusCode.FAILED_PRECONDITION, "managed_by_third_party")
CHANGED = (grpc.StatusCode.FAILED_PRECONDITION, "changed_meanwhile")
DENIED = (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")


@pytest_asyncio.fixture
async def callers(access: Access, tmp_path: Path) -> AsyncIterator[Callers]:
    async with serving(access, tmp_path) as as_caller:
        yield Callers(as_caller)


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as error:
        await call
    return error.value.code(), remote_error(error.value).code


async def sentence(call: Any) -> str:
    with pytest.raises(aio.AioRpcError) as error:
        await call
    return str(error.value.details())


async def a_site(callers: Callers, owner: str = ADA, name: str = "Home") -> str:
    request = installations_pb2.CreateInstallationRequest(name=name, time_zone="Europe/Oslo")
    return str((await callers[owner].CreateInstallation(request)).installation_id)


async def a_charger(callers: Callers, site: str, identity: str = "CP-1", by: str = ADA) -> str:
    request = chargers_pb2.AddChargerRequest(installation_id=site, ocpp_identity=identity)
    return str((await callers[by].AddCharger(request)).charger_id)


def set_required(site: str, *, required: bool) -> Any:
    return installations_pb2.SetAuthorisationRequiredRequest(
        installation_id=site, authorisation_required=required
    )


def override(charger: str, wanted: Any) -> Any:
    return chargers_pb2.SetAuthorisationOverrideRequest(
        charger_id=charger, authorisation_override=wanted
    )


def connection(site: str, **choices: Any) -> Any:
    fields = {"partner_id": "volt"} | choices
    return installations_pb2.ConnectOperatorRequest(installation_id=site, **fields)


def disconnection(site: str) -> Any:
    return installations_pb2.DisconnectOperatorRequest(installation_id=site)


def move(charger: str, site: str) -> Any:
    return chargers_pb2.MoveChargerRequest(charger_id=charger, installation_id=site)


def decides(site: str, authentication_type: Any) -> Any:
    return installations_pb2.SetAuthenticationTypeRequest(
        installation_id=site, authentication_type=authentication_type
    )


async def shown(callers: Callers, site: str, caller: str = ADA) -> Any:
    request = installations_pb2.GetInstallationRequest(installation_id=site)
    return (await callers[caller].GetInstallation(request)).installation


async def charger_shown(callers: Callers, charger: str, caller: str = ADA) -> Any:
    request = chargers_pb2.GetChargerRequest(charger_id=charger)
    return (await callers[caller].GetCharger(request)).charger


# Sites of one's own.


async def test_a_person_owns_the_site_he_creates_and_may_charge_there(
    access: Access, callers: Callers
) -> None:
    """S3-2, S3-5, S3-9: from the first moment, in the same save."""
    site = await a_site(callers)
    [held] = [held for _, held in access.directory.holdings.on(Target(site))]
    assert (held.subject, held.roles) == (Subject("ada"), ("OWNER", "USER"))
    assert access.directory.holdings.owners(site).owners == {"ada"}
    assert len({record.cause for _, record, _ in access.store.read(0, 10)}) == 1
    await callers[ADA].SetAuthorisationRequired(set_required(site, required=False))


async def test_the_administrators_site_waits_for_its_owner_and_no_program_creates_one(
    access: Access, callers: Callers
) -> None:
    site = await a_site(callers, ADMINISTRATOR)
    assert not access.directory.holdings.on(Target(site))
    a_partner_called(access, "volt")
    end = access.store.position()
    assert await refused(a_site(callers, "partner:volt")) == DENIED
    assert access.store.position() == end


async def test_an_owner_renames_his_site_and_nobody_else_does(callers: Callers) -> None:
    site = await a_site(callers)
    request = installations_pb2.RenameInstallationRequest(installation_id=site, name=" Cabin ")
    assert await refused(callers[EVE].RenameInstallation(request)) == DENIED
    await callers[ADA].RenameInstallation(request)
    assert (await shown(callers, site)).name == "Cabin"


async def test_who_runs_a_site_says_where_it_is(callers: Callers) -> None:
    """P20."""
    site = await a_site(callers)
    assert not (await shown(callers, site)).HasField("address")
    address = installations_pb2.Address(
        address="Storgata 1",
        postal_code="0155",
        city="Oslo",
        country="NOR",
        latitude="59.913868",
        longitude="10.752245",
    )
    request = installations_pb2.SetInstallationAddressRequest(installation_id=site, address=address)
    assert await refused(callers[EVE].SetInstallationAddress(request)) == DENIED
    await callers[ADA].SetInstallationAddress(request)
    assert (await shown(callers, site)).address == address


async def test_policies_are_replaced_as_a_whole_and_told(callers: Callers) -> None:
    site = await a_site(callers)
    policies = installations_pb2.Policies(
        on_block=installations_pb2.RUNNING_SESSIONS_FINISH,
        on_revoke=installations_pb2.RUNNING_SESSIONS_STOP,
        on_operator_timeout=installations_pb2.ON_OPERATOR_TIMEOUT_LAST_KNOWN,
        offline_unknown_ids=True,
        offline_pins=True,
        master_pass=True,
        view_bound_minutes=60,
        on_view_behind=installations_pb2.ON_VIEW_BEHIND_LAST_KNOWN,
        pin_length=6,
    )
    request = installations_pb2.SetPoliciesRequest(installation_id=site, policies=policies)
    await callers[ADA].SetPolicies(request)
    assert (await shown(callers, site)).policies == policies
    nothing = installations_pb2.SetPoliciesRequest(installation_id=site)
    assert await refused(callers[ADA].SetPolicies(nothing)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "policy_missing",
    )
    policies.pin_length = 3
    short = installations_pb2.SetPoliciesRequest(installation_id=site, policies=policies)
    assert await refused(callers[ADA].SetPolicies(short)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "pin_length_malformed",
    )


async def test_what_somebody_else_has_set_meanwhile_is_not_replaced_unseen(
    callers: Callers,
) -> None:
    """Of two who began from the same, the second is told; who says nothing replaces anything."""
    site = await a_site(callers)
    charger = await a_charger(callers, site)
    seen = (await shown(callers, site)).policies
    of_charger = await charger_shown(callers, charger)
    types = chargers_pb2.IdentificationTypes(types=of_charger.identification_types)
    for number, again in enumerate((False, True), 4):
        mine = installations_pb2.Policies()
        mine.CopyFrom(seen)
        mine.pin_length = number + 1
        for call in (
            callers[ADA].RenameInstallation(
                installations_pb2.RenameInstallationRequest(
                    installation_id=site, name=f"Home {number}", instead_of="Home"
                )
            ),
            callers[ADA].SetInstallationAddress(
                installations_pb2.SetInstallationAddressRequest(
                    installation_id=site,
                    address=installations_pb2.Address(
                        address=f"Storgata {number}",
                        city="Oslo",
                        country="NOR",
                        latitude="59.913868",
                        longitude="10.752245",
                    ),
                    instead_of=installations_pb2.Address(),
                )
            ),
            callers[ADA].SetPolicies(
                installations_pb2.SetPoliciesRequest(
                    installation_id=site, policies=mine, instead_of=seen
                )
            ),
            callers[ADA].SetAuthorisationOverride(
                chargers_pb2.SetAuthorisationOverrideRequest(
                    charger_id=charger,
                    authorisation_override=NOT_REQUIRED if again else REQUIRED,
                    instead_of=INHERIT,
                )
            ),
            callers[ADA].SetIdentificationTypes(
                chargers_pb2.SetIdentificationTypesRequest(
                    charger_id=charger, identification_types=[number], instead_of=types
                )
            ),
            callers[ADA].SetReaderQuirks(
                chargers_pb2.SetReaderQuirksRequest(
                    charger_id=charger,
                    reader_quirks=chargers_pb2.ReaderQuirks(prefix=str(number)),
                    instead_of=of_charger.reader_quirks,
                )
            ),
        ):
            if again:
                assert await refused(call) == CHANGED
            else:
                await call
    assert (await shown(callers, site)).policies.pin_length == 5


# Open and restricted (R1).


async def test_a_site_is_opened_and_restricted_at_any_time_and_its_chargers_follow_at_once(
    callers: Callers,
) -> None:
    """R1, S3-2, S3-10, S3-11, S3-13, S3-30, S3-34, S3-57."""
    site = await a_site(callers)
    charger = await a_charger(callers, site)
    for required in (False, True, False, True, True, False):
        await callers[ADA].SetAuthorisationRequired(set_required(site, required=required))
        assert (await charger_shown(callers, charger)).authorisation_required == required
        assert (await shown(callers, site)).open_chargers == (0 if required else 1)


async def test_one_charger_deviates_from_its_site_and_the_others_do_not(
    callers: Callers,
) -> None:
    """R1, S3-35, S3-38, S3-39, S3-40: by one command, and the site counts what is open."""
    site = await a_site(callers)
    first, second = [await a_charger(callers, site, each) for each in ("CP-1", "CP-2")]
    for wanted, locked in ((NOT_REQUIRED, False), (REQUIRED, True), (NOT_REQUIRED, False)):
        await callers[ADA].SetAuthorisationOverride(override(first, wanted))
        assert (await charger_shown(callers, first)).authorisation_required == locked
        assert (await charger_shown(callers, second)).authorisation_required
    assert (await shown(callers, site)).open_chargers == 1
    await callers[ADA].SetAuthorisationRequired(set_required(site, required=False))
    await callers[ADA].SetAuthorisationOverride(override(first, REQUIRED))
    assert (await charger_shown(callers, first)).authorisation_required
    assert not (await charger_shown(callers, second)).authorisation_required


async def test_owners_and_service_partners_set_authentication_and_drivers_and_strangers_do_not(
    access: Access, callers: Callers
) -> None:
    """R5, S3-6, S3-7, S3-9, S3-31, S3-32, S3-33."""
    site = await a_site(callers)
    charger = await a_charger(callers, site)
    given(access, Subject("gus"), Target(site), "USER")
    service = a_partner_called(access, "fix", "ole", kind="SERVICE_PARTNER", lookup_key="FIXX")
    given(access, service, Target(site), "SERVICE", kind="SERVICE_PARTNER")
    for caller, may in (
        (ADA, True),
        (OLE, True),
        ("partner:fix", True),
        (GUS, False),
        (EVE, False),
    ):
        for call in (
            callers[caller].SetAuthorisationRequired(set_required(site, required=True)),
            callers[caller].SetAuthenticationType(decides(site, NATIVE)),
            callers[caller].SetAuthorisationOverride(override(charger, INHERIT)),
        ):
            if may:
                await call
            else:
                assert await refused(call) == DENIED
    assert not (await shown(callers, site, GUS)).HasField("managed_by")


# What a charger accepts.


async def test_what_a_charger_accepts_is_read_switched_and_kept_by_one_command(
    access: Access, callers: Callers
) -> None:
    """S0-1, S0-2, S0-3, S0-7, S0-8, S0-9, S3-12, R19: nothing changes before it is saved."""
    site = await a_site(callers)
    charger = await a_charger(callers, site)
    assert await refused(charger_shown(callers, charger, EVE)) == DENIED
    kinds = identifications_pb2.IdentificationType
    every = [number for number in kinds.values() if number]
    assert set((await charger_shown(callers, charger)).identification_types) == {
        identifications_pb2.IDENTIFICATION_TYPE_RFID,
        identifications_pb2.IDENTIFICATION_TYPE_PIN,
        identifications_pb2.IDENTIFICATION_TYPE_APP,
    }
    for wanted in (every, [], [identifications_pb2.IDENTIFICATION_TYPE_PIN], every):
        before = len(events(access))
        await callers[ADA].SetIdentificationTypes(
            chargers_pb2.SetIdentificationTypesRequest(
                charger_id=charger, identification_types=wanted
            )
        )
        assert len(events(access)) == before + 1
        told = (await charger_shown(callers, charger)).identification_types
        assert set(told) == set(wanted)


async def test_how_a_reader_deviates_is_replaced_as_a_whole_and_told(callers: Callers) -> None:
    """R15."""
    site = await a_site(callers)
    charger = await a_charger(callers, site)
    assert (await charger_shown(callers, charger)).reader_quirks == chargers_pb2.ReaderQuirks()
    for quirks in (
        chargers_pb2.ReaderQuirks(reversed=True, truncated=True, prefix="0x"),
        chargers_pb2.ReaderQuirks(truncated=True),
    ):
        request = chargers_pb2.SetReaderQuirksRequest(charger_id=charger, reader_quirks=quirks)
        await callers[ADA].SetReaderQuirks(request)
        assert (await charger_shown(callers, charger)).reader_quirks == quirks
    wrong = chargers_pb2.SetReaderQuirksRequest(
        charger_id=charger, reader_quirks=chargers_pb2.ReaderQuirks(prefix="longer than 8")
    )
    assert await refused(callers[ADA].SetReaderQuirks(wrong)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "reader_prefix_malformed",
    )


# Payment operators (R2, R3, R9).


async def test_an_owner_connects_an_operator_in_one_save(access: Access, callers: Callers) -> None:
    """R3, S3-42, S3-43: by its id or its lookup key, in either case."""
    a_partner_called(access, "volt")
    for named in ({"partner_id": "volt"}, {"lookup_key": "volt", "partner_id": None}):
        site = await a_site(callers)
        before = access.store.end()
        answer = await callers[ADA].ConnectOperator(
            connection(site, authentication_type=EXTERNAL, overrides_allowed=True, **named)
        )
        records = [record for _, record, _ in access.store.read(before, 10)]
        assert {type(each.event) for each in records} == {
            OperatorConnected,
            AuthenticationTypeSet,
            PermissionGranted,
        }
        assert len({each.cause for each in records}) == 1
        assert access.directory.holdings.permission(answer.permission_id).roles == ("OPERATOR",)
        assert (await shown(callers, site)).managed_by == installations_pb2.ManagedBy(
            partner_id="volt",
            name="Volt AS",
            contact="help@volt.example",
            overrides_allowed=True,
        )


async def test_only_a_payment_operator_that_there_is_can_be_connected_and_only_one(
    access: Access, callers: Callers
) -> None:
    """R3, S3-42."""
    site = await a_site(callers)
    a_partner_called(access, "fix", kind="SERVICE_PARTNER", lookup_key="FIXX")
    a_partner_called(access, "volt", "ada")
    a_partner_called(access, "watt", lookup_key="WATT")
    owner = callers[ADA]
    for named, code in (
        ({"partner_id": "fix"}, "not_a_payment_operator"),
        ({"partner_id": "nobody"}, "partner_unknown"),
        ({"partner_id": None, "lookup_key": "ZZZZ"}, "partner_unknown"),
        ({"partner_id": None}, "operator_not_named"),
        ({"authentication_type": 7}, "authentication_type_missing"),
    ):
        assert (await refused(owner.ConnectOperator(connection(site, **named))))[1] == code
    assert (await refused(owner.SetAuthenticationType(decides(site, EXTERNAL))))[1] == (
        "external_needs_operator"
    )
    assert (await refused(owner.DisconnectOperator(disconnection(site))))[1] == (
        "operator_not_connected"
    )
    await owner.ConnectOperator(connection(site))
    # Ada is in it, and so is the operator's own voice.
    again = owner.ConnectOperator(connection(site, partner_id="watt"))
    assert await refused(again) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "operator_connected_already",
    )


async def test_a_connected_operator_keeps_what_else_it_held_on_the_site(
    access: Access, callers: Callers
) -> None:
    site = await a_site(callers)
    volt = a_partner_called(access, "volt")
    permission = given(access, volt, Target(site), "SERVICE", kind="PAYMENT_OPERATOR")
    answer = await callers[ADA].ConnectOperator(connection(site))
    assert answer.permission_id == permission
    assert access.directory.holdings.permission(permission).roles == ("OPERATOR", "SERVICE")


async def test_a_managed_site_refuses_whoever_is_not_its_operator_and_says_whom_to_ask(
    access: Access, callers: Callers
) -> None:
    """R3, S3-8, S3-29: owners and administrators alike; the operator's own edits stay."""
    site = await a_site(callers)
    charger = await a_charger(callers, site)
    a_partner_called(access, "volt", "ole")
    await callers[ADA].ConnectOperator(connection(site))
    end = access.store.position()
    types = chargers_pb2.SetIdentificationTypesRequest(charger_id=charger)
    policies = installations_pb2.SetPoliciesRequest(
        installation_id=site,
        policies=installations_pb2.Policies(
            on_block=1,
            on_revoke=1,
            on_operator_timeout=1,
            view_bound_minutes=1,
            on_view_behind=1,
            pin_length=4,
        ),
    )
    edits: list[tuple[str, Any]] = [
        ("SetAuthorisationRequired", set_required(site, required=False)),
        ("SetAuthenticationType", decides(site, EXTERNAL)),
        ("SetPolicies", policies),
        ("SetIdentificationTypes", types),
    ]
    for caller in (ADA, ADMINISTRATOR):
        for method, request in (*edits, ("ConnectOperator", connection(site))):
            call = getattr(callers[caller], method)
            assert await refused(call(request)) == MANAGED
            assert "Volt AS, help@volt.example" in await sentence(call(request))
        for action in (
            "access.GrantPermission",
            "identity.BlockUser",
            "identity.AddIdentification",
        ):
            for obj in (f"installation:{site}", f"charger:{charger}"):
                refusal = access.check.refusal(Caller(caller), action, obj)
                assert refusal is not None
                assert (refusal.code, "help@volt.example" in str(refusal)) == (MANAGED[1], True)
    assert access.store.position() == end
    assert (await shown(callers, site)).managed_by.contact == "help@volt.example"
    for caller in (OLE, "partner:volt"):
        for method, request in edits:
            await getattr(callers[caller], method)(request)
        for obj in (f"installation:{site}", f"charger:{charger}"):
            assert access.check.refusal(Caller(caller), "access.GrantPermission", obj) is None


async def test_overrides_are_refused_with_the_operators_contact_unless_it_allows_them(
    access: Access, callers: Callers
) -> None:
    """R2, S3-36: the one that was set before is kept, suspended, and comes back."""
    site = await a_site(callers)
    charger = await a_charger(callers, site)
    await callers[ADA].SetAuthorisationOverride(override(charger, NOT_REQUIRED))
    a_partner_called(access, "volt", "ole")
    await callers[ADA].ConnectOperator(connection(site))

    async def assert_suspended(*, suspended: bool) -> None:
        told = await charger_shown(callers, charger)
        assert told.authorisation_override == NOT_REQUIRED
        assert told.override_suspended == told.authorisation_required == suspended

    def allow(caller: str, *, allowed: bool) -> Any:
        return callers[caller].SetOverridesAllowed(
            installations_pb2.SetOverridesAllowedRequest(
                installation_id=site, overrides_allowed=allowed
            )
        )

    for wanted in (REQUIRED, INHERIT, NOT_REQUIRED):
        for caller in (ADA, OLE, ADMINISTRATOR):
            call = callers[caller].SetAuthorisationOverride
            assert (await refused(call(override(charger, wanted)))) == (
                grpc.StatusCode.FAILED_PRECONDITION,
                "payment_operator_connected",
            )
            assert "Volt AS, help@volt.example" in await sentence(call(override(charger, wanted)))
    await assert_suspended(suspended=True)
    assert await refused(allow(ADA, allowed=True)) == DENIED
    await allow(OLE, allowed=True)
    await assert_suspended(suspended=False)
    for wanted in (REQUIRED, NOT_REQUIRED):
        await callers[ADA].SetAuthorisationOverride(override(charger, wanted))
    await allow(OLE, allowed=False)
    await assert_suspended(suspended=True)
    await callers[ADA].DisconnectOperator(disconnection(site))
    await assert_suspended(suspended=False)
    assert (await refused(allow(ADMINISTRATOR, allowed=True)))[1] == "operator_not_connected"


@pytest.mark.parametrize("who", [ADA, OLE, "partner:volt", ADMINISTRATOR])
async def test_a_disconnected_site_is_native_and_restricted_in_one_save(
    access: Access, callers: Callers, who: str
) -> None:
    """R3, R9: by the owner or by the operator itself, which then may nothing there."""
    site = await a_site(callers)
    charger = await a_charger(callers, site)
    await callers[ADA].SetAuthorisationRequired(set_required(site, required=False))
    a_partner_called(access, "volt", "ole")
    await callers[ADA].ConnectOperator(connection(site, authentication_type=EXTERNAL))
    before = access.store.end()
    await callers[who].DisconnectOperator(disconnection(site))
    records = [record for _, record, _ in access.store.read(before, 10)]
    assert [type(each.event) for each in records] == [
        PermissionRevoked,
        AuthorisationRequiredSet,
        AuthenticationTypeSet,
        OperatorDisconnected,
    ]
    assert len({each.cause for each in records}) == 1
    told = await shown(callers, site)
    assert (told.authentication_type, told.authorisation_required) == (NATIVE, True)
    assert not told.HasField("managed_by")
    assert (await charger_shown(callers, charger)).authorisation_required
    assert await refused(
        callers[OLE].SetAuthorisationRequired(set_required(site, required=False))
    ) == (DENIED)
    await callers[ADA].SetAuthorisationRequired(set_required(site, required=False))
    await callers[ADA].ConnectOperator(connection(site))


async def test_nothing_is_open_where_the_operator_decides(access: Access, callers: Callers) -> None:
    """R3, S3-29, S3-57: the charger is locked, whatever the site's own flag says."""
    site = await a_site(callers)
    charger = await a_charger(callers, site)
    await callers[ADA].SetAuthorisationRequired(set_required(site, required=False))
    a_partner_called(access, "volt", "ole")
    await callers[ADA].ConnectOperator(connection(site))
    for decider, locked in ((EXTERNAL, True), (NATIVE, False), (EXTERNAL, True)):
        await callers[OLE].SetAuthenticationType(decides(site, decider))
        assert (await charger_shown(callers, charger)).authorisation_required == locked
        assert (await shown(callers, site)).open_chargers == (0 if locked else 1)


# Moving (R11).


async def test_an_idle_charger_moves_and_leaves_behind_what_was_given_on_it_alone(
    access: Access, callers: Callers
) -> None:
    """R11."""
    home, work = await a_site(callers), await a_site(callers, name="Work")
    charger, other = [await a_charger(callers, home, each) for each in ("CP-1", "CP-2")]
    await callers[ADA].SetAuthorisationOverride(override(charger, NOT_REQUIRED))
    fix = a_partner_called(access, "fix", kind="SERVICE_PARTNER", lookup_key="FIXX")
    here = Target(home, charger)
    dropped = {
        given(access, Subject("gus"), here, "USER"),
        given(access, fix, here, "SERVICE", kind="SERVICE_PARTNER"),
    }
    given(access, Subject("eve"), here, "USER")
    taken(access, Subject("eve"), here)
    given(access, Subject("gus"), Target(home), "USER")
    given(access, Subject("gus"), Target(home, other), "USER")
    before = access.store.end()
    await callers[ADA].MoveCharger(move(charger, work))
    records = [record for _, record, _ in access.store.read(before, 10)]
    assert [type(each.event) for each in records] == [
        PermissionRevoked,
        PermissionRevoked,
        ChargerMoved,
    ]
    assert {each.originator_id for each in records[:2]} == dropped
    assert len({each.cause for each in records}) == 1
    told = await charger_shown(callers, charger)
    assert (told.installation_id, told.authorisation_override) == (work, INHERIT)
    assert await refused(charger_shown(callers, charger, GUS)) == DENIED
    assert (await charger_shown(callers, other, GUS)).id == other
    assert len(access.directory.holdings.of(Subject("gus"))) == 2
    # There already, nothing happens, whoever may be charging by now.
    end = access.store.position()
    access.charging.add(charger)
    await callers[ADA].MoveCharger(move(charger, work))
    assert access.store.position() == end


async def test_what_was_given_while_the_charger_moved_away_lets_nobody_then_nor_when_it_is_back(
    access: Access, callers: Callers
) -> None:
    """R11: a permission counts at the site it was given at, and its charger stands elsewhere."""
    home, work = await a_site(callers), await a_site(callers, name="Work")
    charger = await a_charger(callers, home)
    await callers[ADA].MoveCharger(move(charger, work))
    given(access, Subject("gus"), Target(home, charger), "USER")
    assert await refused(charger_shown(callers, charger, GUS)) == DENIED
    await callers[ADA].MoveCharger(move(charger, home))
    assert await refused(charger_shown(callers, charger, GUS)) == DENIED
    assert not access.directory.holdings.of(Subject("gus"))


async def test_a_charger_stays_while_somebody_charges(access: Access, callers: Callers) -> None:
    """R11."""
    home, work = await a_site(callers), await a_site(callers, name="Work")
    charger = await a_charger(callers, home)
    access.charging.add(charger)
    assert await refused(callers[ADA].MoveCharger(move(charger, work))) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "charger_busy",
    )
    assert (await charger_shown(callers, charger)).installation_id == home
    access.charging.clear()
    await callers[ADA].MoveCharger(move(charger, work))
    assert (await charger_shown(callers, charger)).installation_id == work


async def test_a_charger_stays_where_nobody_can_tell_whether_somebody_charges(
    access: Access, callers: Callers, tmp_path: Path
) -> None:
    """R11: the gateway is away."""
    home, work = await a_site(callers), await a_site(callers, name="Work")
    charger = await a_charger(callers, home)
    async with aio.insecure_channel("127.0.0.1:1") as nowhere:
        alone = chargers.service(access.chargers, access.directory, access.check, Gateway(nowhere))
        rules = check.LocalCheck(access.check)
        async with served(alone, tmp_path / "alone", rules) as as_caller:
            owner = Callers(as_caller)[ADA]
            assert await refused(owner.MoveCharger(move(charger, work))) == (
                grpc.StatusCode.UNAVAILABLE,
                "unavailable",
            )
    assert not [each for each in events(access) if isinstance(each, ChargerMoved)]


async def test_who_moves_a_charger_owns_both_sites(access: Access, callers: Callers) -> None:
    """R11: who owns the charger alone does not take it away, nor a service partner."""
    home, work = await a_site(callers), await a_site(callers, EVE)
    charger = await a_charger(callers, home)
    given(access, Subject("eve"), Target(home, charger), "OWNER")
    given(access, Subject("gus"), Target(home), "SERVICE")
    given(access, Subject("gus"), Target(work), "SERVICE")
    end = access.store.position()
    for caller in (ADA, EVE, GUS):
        assert await refused(callers[caller].MoveCharger(move(charger, work))) == DENIED
        assert await refused(callers[caller].MoveCharger(move(charger, "nowhere"))) == DENIED
        assert await refused(callers[caller].MoveCharger(move("nothing", work))) == DENIED
    assert access.store.position() == end
    given(access, Subject("ada"), Target(work), "OWNER")
    await callers[ADA].MoveCharger(move(charger, work))


@pytest.mark.parametrize("managed", ["home", "work"])
async def test_nothing_moves_from_or_to_a_managed_site_but_by_its_operator(
    access: Access, callers: Callers, managed: str
) -> None:
    """R3, R11."""
    sites = {"home": await a_site(callers), "work": await a_site(callers, name="Work")}
    charger = await a_charger(callers, sites["home"])
    a_partner_called(access, "volt", "eve")
    await callers[ADA].ConnectOperator(connection(sites[managed]))
    for caller in (ADA, ADMINISTRATOR):
        request = move(charger, sites["work"])
        assert await refused(callers[caller].MoveCharger(request)) == MANAGED
        assert "help@volt.example" in await sentence(callers[caller].MoveCharger(request))
    # The operator's member who owns both sites, too.
    for site in sites.values():
        given(access, Subject("eve"), Target(site), "OWNER")
    await callers[EVE].MoveCharger(move(charger, sites["work"]))


# What is shown to whom.


async def test_everybody_lists_the_sites_that_he_has_to_do_with(
    access: Access, callers: Callers
) -> None:
    """S3-14, S3-17, S3-32: the same in every client; an administrator sees all."""
    owned = await a_site(callers)
    served_, used, expired, foreign = [
        await a_site(callers, ADMINISTRATOR, each) for each in ("Served", "Used", "Old", "Foreign")
    ]
    charger = await a_charger(callers, used, by=ADMINISTRATOR)
    fix = a_partner_called(access, "fix", "ada", kind="SERVICE_PARTNER", lookup_key="FIXX")
    given(access, fix, Target(served_), "SERVICE", kind="SERVICE_PARTNER")
    given(access, Subject("ada"), Target(used, charger), "USER")
    given(access, Subject("ada"), Target(expired), "USER", valid_until=1)

    async def listed(caller: str) -> list[str]:
        answer = await callers[caller].ListInstallations(
            installations_pb2.ListInstallationsRequest()
        )
        return [each.id for each in answer.installations]

    assert await listed(ADA) == [owned, served_, used]
    assert await listed("partner:fix") == [served_]
    assert await listed(EVE) == []
    assert await listed(ADMINISTRATOR) == [owned, served_, used, expired, foreign]
    leaves(access, "fix", "ada")
    assert await listed(ADA) == [owned, used]


async def test_sites_come_in_pages_that_are_never_silently_cut(callers: Callers) -> None:
    sites = [await a_site(callers, (ADA, EVE)[number % 2], f"{number}") for number in range(9)]
    found, token, pages = [], "", 0
    while True:
        answer = await callers[ADA].ListInstallations(
            installations_pb2.ListInstallationsRequest(page_size=2, page_token=token)
        )
        found += [each.id for each in answer.installations]
        token, pages = answer.next_page_token, pages + 1
        if not token:
            break
    assert found == sites[::2]
    assert pages == 3


async def test_chargers_come_in_pages_that_a_move_does_not_disturb(callers: Callers) -> None:
    """R11: the one the next page begins behind may be gone by then."""
    home, work = await a_site(callers), await a_site(callers, name="Work")
    known = [await a_charger(callers, home, f"CP-{number}") for number in range(5)]

    async def page_of(token: str) -> tuple[list[str], str]:
        request = chargers_pb2.ListChargersRequest(
            installation_id=home, page_size=2, page_token=token
        )
        answer = await callers[ADA].ListChargers(request)
        return [each.id for each in answer.chargers], answer.next_page_token

    first, token = await page_of("")
    assert first == known[:2]
    await callers[ADA].MoveCharger(move(known[1], work))
    await callers[ADA].MoveCharger(move(known[2], work))
    second, token = await page_of(token)
    assert (second, token) == (known[3:], "")
    await callers[ADA].MoveCharger(move(known[1], home))
    assert (await page_of(""))[0] == [known[0], known[1]]
    everything = chargers_pb2.ListChargersRequest(installation_id=home)
    told = (await callers[ADA].ListChargers(everything)).chargers
    assert [each.id for each in told] == [known[0], known[1], *known[3:]]


async def test_sites_are_searched_by_name_among_those_one_has_to_do_with(callers: Callers) -> None:
    mine = [await a_site(callers, name=name) for name in ("Sjøboden Åsane", "Cabin", "ÅSANE øst")]
    foreign = await a_site(callers, EVE, "Åsane sentrum")

    async def found(caller: str, text: str) -> list[str]:
        request = installations_pb2.ListInstallationsRequest(search=text)
        return [
            each.id for each in (await callers[caller].ListInstallations(request)).installations
        ]

    assert await found(ADA, "åsane") == [mine[0], mine[2]]
    assert await found(ADA, "A\u030asane ") == [mine[0], mine[2]]  # as some keyboards type it
    assert await found(ADMINISTRATOR, "åsane") == [mine[0], mine[2], foreign]
    assert await found(ADA, "sentrum") == []
    assert await found(ADA, " ") == mine


async def test_sites_are_listed_by_their_ids_among_those_one_has_to_do_with(
    callers: Callers,
) -> None:
    mine = [await a_site(callers, name=name) for name in ("Home", "Work", "Cabin")]
    foreign = await a_site(callers, EVE, "Home of Eve")
    asked = [foreign, "nowhere", mine[2], mine[0]]

    async def found(caller: str, **how: Any) -> list[str]:
        request = installations_pb2.ListInstallationsRequest(installation_ids=asked, **how)
        return [
            each.id for each in (await callers[caller].ListInstallations(request)).installations
        ]

    assert await found(ADA) == [mine[0], mine[2]]
    assert await found(ADMINISTRATOR) == [mine[0], mine[2], foreign]
    assert await found(ADMINISTRATOR, search="home") == [mine[0], foreign]
    assert await found(ADMINISTRATOR, page_size=2) == [mine[0], mine[2]]


async def test_chargers_are_searched_by_their_identity_in_pages_as_ever(callers: Callers) -> None:
    home, work = await a_site(callers), await a_site(callers, name="Work")
    known = [
        await a_charger(callers, home, identity)
        for identity in ("CP-1", "Garage.1", "cp-2", "CP-3", "GARAGE.2", "CP-4")
    ]
    await a_charger(callers, work, "CP-9")

    async def page_of(text: str, token: str = "") -> tuple[list[str], str]:
        request = chargers_pb2.ListChargersRequest(
            installation_id=home, page_size=2, page_token=token, search=text
        )
        answer = await callers[ADA].ListChargers(request)
        return [each.id for each in answer.chargers], answer.next_page_token

    first, token = await page_of("Cp-")
    assert first == [known[0], known[2]]
    await callers[ADA].MoveCharger(move(known[2], work))  # the one that the next begins behind
    assert await page_of("Cp-", token) == ([known[3], known[5]], "")
    assert await page_of("garage.") == ([known[1], known[4]], "")
    assert await page_of(".*") == ([], "")


async def test_chargers_are_listed_by_their_ids_where_they_stand(callers: Callers) -> None:
    home, work = await a_site(callers), await a_site(callers, name="Work")
    known = [await a_charger(callers, home, f"CP-{number}") for number in range(4)]
    elsewhere = await a_charger(callers, work, "CP-9")

    async def found(**how: Any) -> list[str]:
        request = chargers_pb2.ListChargersRequest(
            installation_id=home,
            charger_ids=[known[3], "nowhere", elsewhere, known[0], known[2]],
            **how,
        )
        return [each.id for each in (await callers[ADA].ListChargers(request)).chargers]

    assert await found() == [known[0], known[2], known[3]]
    assert await found(page_size=1) == [known[0]]
    assert await found(page_token=token_of(known[0])) == [known[2], known[3]]
    assert await found(search="-3") == [known[3]]
    await callers[ADA].MoveCharger(move(known[2], work))
    assert await found() == [known[0], known[3]]


async def test_whom_ownership_is_offered_to_is_shown_to_himself_and_to_owners(
    access: Access, callers: Callers
) -> None:
    """R6: he sees the site as long as it is offered, and what is about its owners not at all."""
    site = await a_site(callers)
    nothing = installations_pb2.ListInstallationsRequest()
    given(access, Subject("gus"), Target(site), "SERVICE", "USER")

    def offer(work: Work) -> None:
        loaded = work.load(owners.evolve, owners.owners_id(site))
        work.record(
            loaded,
            *owners.offer(loaded.state, installation_id=site, from_user_id="ada", to_user_id="eve"),
        )

    done(access, offer)
    assert (await shown(callers, site)).ownership_offered_to == "eve"
    for caller in (ADMINISTRATOR, "service:notifier", EVE):  # which mails it while it stands
        assert (await shown(callers, site, caller)).ownership_offered_to == "eve"
    assert not (await shown(callers, site, GUS)).ownership_offered_to
    told = await shown(callers, site, EVE)
    assert (told.name, told.HasField("policies")) == ("Home", False)
    assert list((await callers[EVE].ListInstallations(nothing)).installations) == [told]
    access.owners.withdraw_ownership_offer(by("eve"), installation_id=site)
    assert not (await callers[EVE].ListInstallations(nothing)).installations
    assert await refused(shown(callers, site, EVE)) == DENIED


async def test_who_holds_a_charger_alone_sees_its_site_without_what_is_about_the_rest_of_it(
    access: Access, callers: Callers
) -> None:
    """The same by its id as in the list; nothing once he is blocked there, or holds it no more."""
    site, other = await a_site(callers), await a_site(callers, name="Other")
    charger, open_one = await a_charger(callers, site), await a_charger(callers, site, "CP-2")
    await callers[ADA].SetAuthorisationOverride(override(open_one, NOT_REQUIRED))
    given(access, Subject("gus"), Target(site, charger), "USER")
    given(access, Subject("ole"), Target(site, charger), "USER", valid_until=1)
    listed = await callers[GUS].ListInstallations(installations_pb2.ListInstallationsRequest())
    told = await shown(callers, site, GUS)
    assert list(listed.installations) == [told]
    assert (told.name, told.time_zone, told.authorisation_required) == (
        "Home",
        "Europe/Oslo",
        True,
    )
    assert (told.HasField("policies"), told.open_chargers) == (False, 0)
    whole = await shown(callers, site)
    assert (whole.HasField("policies"), whole.open_chargers) == (True, 1)
    assert await refused(shown(callers, other, GUS)) == DENIED
    assert await refused(shown(callers, site, OLE)) == DENIED
    access.owners.block_user_at_installation(by("ada"), installation_id=site, user_id="gus")
    assert await refused(shown(callers, site, GUS)) == DENIED


async def test_the_same_command_sent_again_connects_and_moves_once(
    access: Access, callers: Callers
) -> None:
    home, work = await a_site(callers), await a_site(callers, name="Work")
    charger = await a_charger(callers, home)
    a_partner_called(access, "volt", "ada")
    moving = chargers_pb2.MoveChargerRequest(
        command_id="m", charger_id=charger, installation_id=work
    )
    first = await callers[ADA].MoveCharger(moving)
    assert await callers[ADA].MoveCharger(moving) == first
    connecting = connection(home, command_id="c")
    first = await callers[ADA].ConnectOperator(connecting)
    assert await callers[ADA].ConnectOperator(connecting) == first
