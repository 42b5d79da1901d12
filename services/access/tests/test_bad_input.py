"""Every method of access with what it may not be sent: refused by name, nothing stored."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import grpc
import msgspec
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from grpc import aio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chargekey.access.v1 import (
    access_requests_pb2,
    chargers_pb2,
    check_pb2,
    decision_endpoints_pb2,
    installations_pb2,
    owners_pb2,
    partners_pb2,
    permissions_pb2,
)
from chargekey.identity.v1 import identifications_pb2
from chargekey_access.api import (
    access_requests,
    chargers,
    check,
    decision_endpoints,
    installations,
    owners,
    partners,
    permissions,
)
from chargekey_access.application.decision_endpoints import DecisionEndpoints
from chargekey_access.domain.permission import Subject, Target
from chargekey_access.tables.endpoint_secrets import EndpointSecrets
from chargekey_common import pages
from chargekey_common.accounts import ADMINISTRATOR, Caller, service_account
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.store import Context, EventStore, Reaction
from chargekey_common.grpc.client import RemoteCheck
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres
from chargekey_common.published.identity import LocalUserAdded
from chargekey_common.testing.bad_input import (
    COMMAND_ID,
    INVALID,
    MISSING,
    NAME,
    NAMES,
    STRANGE,
    UNKNOWN,
    UNKNOWN_IDS,
    VALID_UNTIL,
    Changes,
    Door,
    Fields,
    any_changes,
    assert_a_stranger_learns_nothing,
    assert_each_is_served,
    assert_every_bad_value_is_refused,
    assert_no_message_is_refused,
    assert_nothing_is_an_internal_error,
    bad,
    methods,
)

from .conftest import SECRET, Access, serving
from .given import opened
from .worlds import a_partner_called

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHANGED = grpc.StatusCode.FAILED_PRECONDITION
SERVICES = (
    installations_pb2.DESCRIPTOR.services_by_name["InstallationService"],
    chargers_pb2.DESCRIPTOR.services_by_name["ChargerService"],
    permissions_pb2.DESCRIPTOR.services_by_name["PermissionService"],
    owners_pb2.DESCRIPTOR.services_by_name["OwnersService"],
    partners_pb2.DESCRIPTOR.services_by_name["PartnerService"],
    decision_endpoints_pb2.DESCRIPTOR.services_by_name["DecisionEndpointService"],
    access_requests_pb2.DESCRIPTOR.services_by_name["AccessRequestService"],
    check_pb2.DESCRIPTOR.services_by_name["CheckService"],
)
BUILT = (
    installations.InstallationServicer,
    chargers.ChargerServicer,
    permissions.PermissionServicer,
    owners.OwnersServicer,
    partners.PartnerServicer,
    decision_endpoints.DecisionEndpointServicer,
    access_requests.AccessRequestServicer,
    check.CheckServicer,
)
METHODS_OF = [
    [name for name in methods(each) if name in vars(servicer)]
    for each, servicer in zip(SERVICES, BUILT, strict=True)
]
METHODS = [name for each in METHODS_OF for name in each]
# To begin with, and to see that one has nothing yet.
FOR_EVERYBODY = {
    "CreateInstallation",
    "ListInstallations",
    "ListPartners",
    "SearchPartner",
    "GetAccessRequest",
}
ZONES = ("", "Mars/Olympus", "europe/oslo", "EUROPE/OSLO", "America", "Europe/Oslo ", "localtime")


def the_parties(**changes: str) -> decision_endpoints_pb2.OcpiParties:
    """Return parties that can be, with these changes."""
    good = {
        "from_country_code": "NO",
        "from_party_id": "CKY",
        "to_country_code": "DE",
        "to_party_id": "VLT",
    }
    return decision_endpoints_pb2.OcpiParties(**good | changes)


def an_address(**changes: str) -> installations_pb2.Address:
    """Return an address that can be, with these changes."""
    good = {
        "address": "Storgata 1",
        "postal_code": "0155",
        "city": "Oslo",
        "country": "NOR",
        "latitude": "59.913868",
        "longitude": "10.752245",
    }
    return installations_pb2.Address(**good | changes)


def policies(**changes: int) -> installations_pb2.Policies:
    """Return policies that can be, with these changes."""
    possible = dict.fromkeys(("on_block", "on_revoke", "on_operator_timeout", "on_view_behind"), 1)
    return installations_pb2.Policies(
        **{**possible, "view_bound_minutes": 60, "pin_length": 4, **changes}
    )


FIELDS: Fields = {
    "page_size": bad(INVALID, "page_size_malformed", -1, -(2**31)),
    # Whatever is in no name is not found.
    "search": (),
    "user_ids": bad(INVALID, "too_many_users", ["x"] * 1001),
    "installation_ids": bad(INVALID, "too_many_installations", ["x"] * 1001),
    "charger_ids": bad(INVALID, "too_many_chargers", ["x"] * 1001),
    "partner_ids": bad(INVALID, "too_many_partners", ["x"] * 1001),
    "page_token": bad(
        INVALID, "page_token_malformed", "nonsense", "====", pages.token_of(UNKNOWN), *STRANGE
    ),
    # Behind whom a page begins, and he may be gone.
    "ListChargerUsers.page_token": bad(INVALID, "page_token_malformed", "====", *STRANGE),
    "email": bad(INVALID, "email_malformed", "", "nonsense", "ada.example.org", *STRANGE),
    "partner_id": bad(MISSING, "partner_unknown", *UNKNOWN_IDS),
    "lookup_key": [
        *bad(INVALID, "lookup_key_malformed", "", "VOL", "VOLTS", "V LT", "VØLT", *STRANGE),
        *bad(MISSING, "partner_unknown", "ZZZZ"),
    ],
    "kind": bad(INVALID, "partner_kind_missing", 0, -1, 3, 2**31 - 1),
    "SetDecisionEndpoint.kind": bad(INVALID, "endpoint_kind_missing", 0, -1, 4, 2**31 - 1),
    "url": bad(
        INVALID,
        "endpoint_url_invalid",
        "",
        "nowhere at all",
        "https:watt.example/",
        "ftp://watt.example/",
        "https://a:s3cr3t@watt.example/",
        "https://watt.example/?key=s3cr3t",
        "https://watt.example/#s3cr3t",
        "https://watt.example:65536/",
        "https://volt.example/" + "x" * 500,
        *STRANGE,
    ),
    "parties": bad(
        INVALID,
        "ocpi_parties_malformed",
        *(the_parties(from_country_code=text) for text in ("", "N", "NOR", "\n\n", "ÆØ")),
        *(the_parties(from_party_id=text) for text in ("", "CKEY", "C K", *STRANGE)),
        *(the_parties(to_country_code=text) for text in ("", "D", "D ", *STRANGE)),
        *(the_parties(to_party_id=text) for text in ("", "VOLT", "\r\n", "É")),
    ),
    "secret": bad(INVALID, "endpoint_secret_invalid", "", "two words", "é", "x" * 256, "\n"),
    "contact": bad(INVALID, "contact_malformed", *NAMES),
    "logo_url": bad(
        INVALID, "logo_url_malformed", "http://volt.example/", "javascript:alert(1)", *STRANGE
    ),
    "manages": (),
    "AddPartnerMember.user_id": [
        *bad(MISSING, "user_unknown", *UNKNOWN_IDS),
        *bad(grpc.StatusCode.FAILED_PRECONDITION, "local_user_cannot_join", "ada"),
    ],
    "RemovePartnerMember.user_id": bad(MISSING, "partner_member_unknown", *UNKNOWN_IDS),
    # Of nobody the administrator is none; anywhere is where the owner says.
    "RequestAccess.partner_id": [
        *bad(INVALID, "subject_missing", ""),
        *bad(MISSING, "partner_unknown", *UNKNOWN_IDS[1:]),
    ],
    "RequestAccess.installation_id": bad(MISSING, "installation_unknown", *UNKNOWN_IDS[1:]),
    "RequestAccess.roles": [
        *bad(INVALID, "roles_missing", [], [0], [2, 5], [-1], [2**31 - 1] * 10_000),
        *bad(grpc.StatusCode.FAILED_PRECONDITION, "partner_cannot_own", [1], [2, 1]),
    ],
    "ApproveAccessRequest.roles": [
        *bad(INVALID, "roles_missing", [0], [2, 5], [-1], [2**31 - 1] * 10_000),
        *bad(INVALID, "roles_not_asked", [1], [2, 3], [4]),
    ],
    "access_request_id": bad(MISSING, "access_request_unknown", *UNKNOWN_IDS),
    "link_token": bad(
        MISSING, "access_request_unknown", "", "nonsense", "====", UNKNOWN, "A" * 48, *STRANGE
    ),
    "command_id": COMMAND_ID,
    "name": NAME,
    "time_zone": bad(
        INVALID, "time_zone_unknown", *ZONES, "posix/Europe/Oslo", "../etc/passwd", *STRANGE
    ),
    "installation_id": bad(MISSING, "installation_unknown", *UNKNOWN_IDS),
    "charger_id": bad(MISSING, "charger_unknown", *UNKNOWN_IDS),
    "GetCharger.charger_id": [
        *bad(INVALID, "charger_not_named", ""),
        *bad(MISSING, "charger_unknown", *UNKNOWN_IDS[1:]),
    ],
    # Beside an id that names the charger already.
    "GetCharger.ocpp_identity": bad(INVALID, "charger_not_named", "CP-1", "CP-2", *STRANGE),
    "AddCharger.ocpp_identity": [
        *bad(
            INVALID, "ocpp_identity_malformed", "", "CP 1", "CP:1", "CP/1", "x" * 49, "Ä", *STRANGE
        ),
        *bad(grpc.StatusCode.ALREADY_EXISTS, "ocpp_identity_in_use", "CP-1"),
    ],
    "permission_id": bad(MISSING, "permission_unknown", *UNKNOWN_IDS),
    "user_id": bad(MISSING, "user_unknown", *UNKNOWN_IDS),
    "BlockUserAtInstallation.user_id": [
        *bad(MISSING, "user_unknown", *UNKNOWN_IDS),
        *bad(grpc.StatusCode.FAILED_PRECONDITION, "block_local_user", "ada"),
        *bad(grpc.StatusCode.FAILED_PRECONDITION, "last_owner", "ann"),
    ],
    "OfferOwnership.user_id": [
        *bad(MISSING, "user_unknown", *UNKNOWN_IDS),
        *bad(grpc.StatusCode.FAILED_PRECONDITION, "local_user_cannot_own", "ada"),
        *bad(grpc.StatusCode.FAILED_PRECONDITION, "already_owner", "ann"),
    ],
    # Whom access never heard of is forgotten, too: nothing can come to be his.
    "ForgetUser.user_id": [
        *bad(MISSING, "user_unknown", "", UNKNOWN + "\n", "installation:x", *STRANGE),
        *bad(grpc.StatusCode.FAILED_PRECONDITION, "last_owner", "ann"),
    ],
    # As he hears who may nothing there.
    "AcceptOwnership.installation_id": bad(
        grpc.StatusCode.PERMISSION_DENIED, "permission_denied", *UNKNOWN_IDS
    ),
    "authorisation_required": (),
    "authentication_type": bad(INVALID, "authentication_type_missing", 0, -1, 3, 2**31 - 1),
    "ConnectOperator.authentication_type": bad(
        INVALID, "authentication_type_missing", -1, 3, 2**31 - 1
    ),
    "overrides_allowed": (),
    "RenameInstallation.instead_of": bad(CHANGED, "changed_meanwhile", "Another", "home", "æ"),
    "SetInstallationAddress.instead_of": bad(CHANGED, "changed_meanwhile", an_address()),
    "SetPolicies.instead_of": [
        *bad(INVALID, "policy_missing", installations_pb2.Policies(), policies(on_block=3)),
        *bad(CHANGED, "changed_meanwhile", policies(pin_length=7), policies(on_block=2)),
    ],
    "SetAuthorisationOverride.instead_of": bad(INVALID, "override_missing", -1, 4, 2**31 - 1),
    "SetIdentificationTypes.instead_of": [
        *bad(
            INVALID,
            "identification_type_unknown",
            *(chargers_pb2.IdentificationTypes(types=types) for types in ([0], [1, 7], [-1])),
        ),
        *bad(CHANGED, "changed_meanwhile", chargers_pb2.IdentificationTypes()),
    ],
    "SetReaderQuirks.instead_of": bad(
        CHANGED, "changed_meanwhile", chargers_pb2.ReaderQuirks(reversed=True)
    ),
    "policies": [
        *bad(
            INVALID,
            "policy_missing",
            installations_pb2.Policies(),
            *(
                policies(**{name: number})
                for name in ("on_block", "on_revoke", "on_operator_timeout", "on_view_behind")
                for number in (0, -1, 3, 2**31 - 1)
            ),
        ),
        *bad(
            INVALID,
            "pin_length_malformed",
            *(policies(pin_length=length) for length in (0, -1, 3, 9, 2**31 - 1)),
        ),
        *bad(
            INVALID,
            "view_bound_malformed",
            *(policies(view_bound_minutes=minutes) for minutes in (0, -1, 10_081, 2**31 - 1)),
        ),
    ],
    "address": [
        *bad(
            INVALID,
            "address_malformed",
            installations_pb2.Address(),
            *(
                an_address(**{name: text})
                for name in ("address", "city", "country", "latitude", "longitude")
                for text in ("", " ", "x" * 46, "a\u202eb")
            ),
            *(an_address(postal_code=text) for text in ("12345678901", "\u202e")),
            *(an_address(country=text) for text in ("NO", "Norway", "N0R", *STRANGE)),
            *(an_address(latitude=text) for text in ("90.1", "nan", "1e1", "5,9", *STRANGE)),
        ),
        *bad(INVALID, "text_malformed", an_address(city="a\0b")),
    ],
    "reader_quirks": [
        *bad(
            INVALID,
            "reader_prefix_malformed",
            *(
                chargers_pb2.ReaderQuirks(prefix=text)
                for text in ("123456789", "\n", "\x7f", "Ä", *STRANGE)
            ),
        ),
        *bad(INVALID, "text_malformed", chargers_pb2.ReaderQuirks(prefix="a\0b")),
    ],
    "authorisation_override": bad(INVALID, "override_missing", 0, -1, 4, 2**31 - 1),
    # None at all is a charger that accepts nothing; twice the same is the same set.
    "identification_types": bad(
        INVALID, "identification_type_unknown", [0], [2, 99], [-1], [2**31 - 1] * 10_000
    ),
    "roles": [
        *bad(INVALID, "roles_missing", [], [0], [2, 5], [-1], [2**31 - 1] * 10_000),
        *bad(grpc.StatusCode.FAILED_PRECONDITION, "local_user_cannot_own", [1], [2, 1]),
    ],
    # None leave those there are.
    "ChangePermission.roles": [
        *bad(INVALID, "roles_missing", [0], [2, 5], [-1], [2**31 - 1] * 10_000),
        *bad(grpc.StatusCode.FAILED_PRECONDITION, "local_user_cannot_own", [1], [2, 1]),
        *bad(grpc.StatusCode.FAILED_PRECONDITION, "not_a_payment_operator", [4], [2, 4]),
    ],
    "valid_until": VALID_UNTIL,
    # Whoever is nobody may nothing, and what is no method is nobody's to do: the answer is no.
    "caller": (),
    "action": (),
    "actions": (),
    "grantable": (),
    "object": bad(INVALID, "object_malformed", "", "galaxy:7", "system:", *STRANGE),
    "reaction": bad(MISSING, "reaction_unknown", "", "access-on-user-blocked", *STRANGE),
    "position": [
        *bad(INVALID, "position_malformed", "", "identity:7", f"identity:{'0' * 16}:-1", *STRANGE),
        *bad(INVALID, "position_foreign", f"access:{'0' * 16}:1"),
    ],
}


class World(msgspec.Struct, frozen=True):
    """Access served, with a site, the charger CP-1, Ada, and requests that are served.

    In their order they are served one after the other, too. Each method has the door of its
    service; `allowed` is the administrator's, but for what is somebody's own.
    """

    store: EventStore
    administrator: dict[str, Door]
    allowed: dict[str, Door]
    stranger: dict[str, Door]
    check: RemoteCheck
    good: dict[str, Message]


def doors(channel: aio.Channel) -> dict[str, Door]:
    return {name: Door(each, channel) for each in SERVICES for name in methods(each)}


@asynccontextmanager
async def a_world(directory: Path, place: Path | Postgres) -> AsyncIterator[World]:
    with closing(opened(place)) as store:
        async with a_running_world(Access(store), directory) as world:
            yield world


@asynccontextmanager
async def a_running_world(access: Access, directory: Path) -> AsyncIterator[World]:
    def now(command_id: str) -> Context:
        return Context(ADMINISTRATOR, command_id)

    site = access.installations.create_installation(
        now("1"), name="Home", time_zone="Europe/Oslo"
    ).result
    charger = access.chargers.add_charger(
        now("2"), installation_id=site, ocpp_identity="CP-1"
    ).result
    added = Position("identity", "0" * 16, 1)
    access.permissions.react_to_local_user_added(
        LocalUserAdded(user_id="ada", installation_id=site),
        Reaction(Handled("access-on-local-user-added", added), "event-1", 0, ADMINISTRATOR),
    )
    [(permission, _)] = access.directory.holdings.on(Target(site))
    a_partner_called(access, "volt", "cy")
    other, managed = (
        access.installations.create_installation(
            now(name), name=name, time_zone="Europe/Oslo"
        ).result
        for name in ("other", "managed")
    )
    access.installations.connect_operator(
        now("3"),
        installation_id=managed,
        partner_id="volt",
        authentication_type="NATIVE",
        overrides_allowed=False,
    )
    owned, offered, unwanted = (
        access.installations.create_installation(
            now(name), name=name, time_zone="Europe/Oslo", owner_id="ann"
        ).result
        for name in ("owned", "offered", "unwanted")
    )
    for each in (offered, unwanted):
        access.owners.offer_ownership(now(each), installation_id=each, user_id="bo", invited=True)
    asked, denied, withdrawn = (
        access.access_requests.request_access(
            Context("user:cy", where), subject=Subject("cy"), installation_id=where, roles=["USER"]
        ).result
        for where in (site, other, owned)
    )
    inherit = chargers_pb2.AUTHORISATION_OVERRIDE_INHERIT
    pin = identifications_pb2.IDENTIFICATION_TYPE_PIN
    good: list[Message] = [
        installations_pb2.CreateInstallationRequest(name="Home", time_zone="Europe/Oslo"),
        installations_pb2.SetAuthorisationRequiredRequest(installation_id=site),
        installations_pb2.GetInstallationRequest(installation_id=site),
        installations_pb2.ListInstallationsRequest(),
        installations_pb2.RenameInstallationRequest(installation_id=site, name="Cabin"),
        installations_pb2.SetInstallationAddressRequest(
            installation_id=site,
            address=an_address(),
        ),
        installations_pb2.SetPoliciesRequest(
            installation_id=site,
            policies=policies(pin_length=8),
        ),
        chargers_pb2.ReplaceChargerPasswordRequest(charger_id=charger),
        chargers_pb2.SetReaderQuirksRequest(
            charger_id=charger, reader_quirks=chargers_pb2.ReaderQuirks(prefix="0x")
        ),
        chargers_pb2.ListUsableChargersRequest(user_id="ada"),
        chargers_pb2.ListChargerUsersRequest(charger_id=charger),
        chargers_pb2.AddChargerRequest(installation_id=site, ocpp_identity="CP-2"),
        chargers_pb2.SetAuthorisationOverrideRequest(
            charger_id=charger, authorisation_override=inherit
        ),
        chargers_pb2.SetIdentificationTypesRequest(
            charger_id=charger, identification_types=[pin, pin]
        ),
        chargers_pb2.GetChargerRequest(charger_id=charger),
        chargers_pb2.ListChargersRequest(installation_id=site),
        permissions_pb2.GrantPermissionRequest(
            charger_id=charger, user_id="ada", roles=[2, 3, 2] * 3_000
        ),
        permissions_pb2.ListPermissionsRequest(installation_id=site),
        permissions_pb2.ListPermissionsOfUserRequest(user_id="ada"),
        owners_pb2.BlockUserAtInstallationRequest(installation_id=owned, user_id="bo"),
        owners_pb2.UnblockUserAtInstallationRequest(installation_id=owned, user_id="bo"),
        owners_pb2.ListBlockedUsersRequest(installation_id=owned),
        owners_pb2.GetOwnersRequest(installation_id=owned),
        owners_pb2.OfferOwnershipRequest(installation_id=owned, user_id="bo"),
        owners_pb2.AcceptOwnershipRequest(installation_id=offered),
        owners_pb2.WithdrawOwnershipOfferRequest(installation_id=unwanted),
        partners_pb2.CreatePartnerRequest(
            name="Watt", kind=1, contact="help@watt.example", logo_url="https://watt.example/"
        ),
        partners_pb2.ChangePartnerRequest(
            partner_id="volt", name="Volt", contact="+47 22 00 00 00", logo_url=""
        ),
        partners_pb2.AddPartnerMemberRequest(partner_id="volt", user_id="bo", manages=True),
        decision_endpoints_pb2.SetDecisionEndpointRequest(
            partner_id="volt",
            kind=decision_endpoints_pb2.DECISION_ENDPOINT_KIND_OCPI,
            url="https://volt.example/tokens",
            secret="s3cr3t",
            parties=the_parties(),
        ),
        partners_pb2.GetPartnerRequest(partner_id="volt"),
        partners_pb2.ListPartnersRequest(),
        partners_pb2.ListPartnerMembersRequest(partner_id="volt"),
        partners_pb2.ListPartnerPermissionsRequest(partner_id="volt"),
        partners_pb2.ListPartnerNamesRequest(installation_id=site, partner_ids=["volt"]),
        access_requests_pb2.RequestAccessRequest(partner_id="volt", roles=[3, 2, 3] * 3_000),
        access_requests_pb2.GetAccessRequestRequest(link_token=access.links.token(asked)),
        access_requests_pb2.ListAccessRequestsRequest(installation_id=site),
        access_requests_pb2.ApproveAccessRequestRequest(
            access_request_id=asked, installation_id=site
        ),
        access_requests_pb2.DenyAccessRequestRequest(
            access_request_id=denied, installation_id=other
        ),
        access_requests_pb2.FindAccessRequestRequest(access_request_id=asked),
        access_requests_pb2.WithdrawAccessRequestRequest(access_request_id=withdrawn),
        check_pb2.CheckRequest(caller=ADMINISTRATOR, action="access.GetCharger", object="system"),
        check_pb2.ListAllowedRequest(
            caller=ADMINISTRATOR, actions=["access.GetCharger"], object="system"
        ),
        check_pb2.AwaitReactionRequest(reaction="access-on-local-user-added", position=str(added)),
        installations_pb2.SetAuthenticationTypeRequest(installation_id=site, authentication_type=1),
        decision_endpoints_pb2.DescribeDecisionEndpointRequest(partner_id="volt"),
        decision_endpoints_pb2.GetDecisionEndpointRequest(partner_id="volt"),
        decision_endpoints_pb2.RemoveDecisionEndpointRequest(partner_id="volt"),
        partners_pb2.SearchPartnerRequest(lookup_key="volt"),
        partners_pb2.RotateLookupKeyRequest(partner_id="volt"),
        installations_pb2.SetOverridesAllowedRequest(installation_id=managed),
        installations_pb2.DisconnectOperatorRequest(installation_id=managed),
        permissions_pb2.ChangePermissionRequest(permission_id=permission, roles=[2, 3, 2] * 3_000),
        permissions_pb2.GetPermissionRequest(permission_id=permission),
        permissions_pb2.RevokePermissionRequest(permission_id=permission),
        chargers_pb2.MoveChargerRequest(charger_id=charger, installation_id=other),
        installations_pb2.ConnectOperatorRequest(installation_id=site, partner_id="volt"),
        partners_pb2.RemovePartnerMemberRequest(partner_id="volt", user_id="cy"),
        check_pb2.FindUserRequest(user_id="ada"),
        permissions_pb2.ForgetUserRequest(user_id="ada"),
    ]
    with closing(EndpointSecrets(directory / "access-secrets.db", SECRET)) as secrets:
        DecisionEndpoints(access.store, access.directory, secrets).set_(
            now("6"), partner_id="volt", kind="WEBHOOK", url="https://volt.example/", given=""
        )
    async with serving(access, directory) as as_caller:
        administrator = doors(as_caller(ADMINISTRATOR))
        bos = {"AcceptOwnership": doors(as_caller(Caller("user:bo")))["AcceptOwnership"]}
        yield World(
            access.store,
            administrator,
            administrator | bos,
            doors(as_caller(Caller("user:somebody"))),
            RemoteCheck(as_caller(service_account("gateway"))),
            {each.DESCRIPTOR.name.removesuffix("Request"): each for each in good},
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    shared_place: Path | Postgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """Serve one world to all tests that are refused everything, and so leave it as it was."""
    async with a_world(tmp_path_factory.mktemp("world"), shared_place) as running:
        yield running


@pytest.mark.parametrize("method", METHODS)
async def test_what_cannot_be_is_refused_by_name_without_an_echo_and_nothing_is_stored(
    world: World, method: str
) -> None:
    """The rest of the request is right: the next test has it served."""
    end = world.store.position()
    await assert_every_bad_value_is_refused(world.allowed[method], world.good[method], FIELDS)
    await assert_no_message_is_refused(world.allowed[method], method)
    assert world.store.position() == end


async def test_what_can_be_is_served(tmp_path: Path, place: Path | Postgres) -> None:
    async with a_world(tmp_path, place) as world:
        await assert_each_is_served(world.allowed, world.good)


async def test_a_stranger_cannot_tell_what_exists_from_what_does_not(world: World) -> None:
    end = world.store.position()
    for method in sorted({*METHODS} - FOR_EVERYBODY):
        await assert_a_stranger_learns_nothing(world.stranger[method], world.good[method])
    assert world.store.position() == end


async def test_a_stranger_cannot_tell_an_ocpp_identity_that_is_registered(world: World) -> None:
    answers = set()
    for identity in ("CP-1", "CP-404", "x" * 10_000):
        request = chargers_pb2.GetChargerRequest(ocpp_identity=identity)
        error = await world.stranger["GetCharger"].refusal("GetCharger", request)
        answers.add((error.code(), error.details()))
    assert [code for code, _ in answers] == [grpc.StatusCode.PERMISSION_DENIED]


@pytest.mark.parametrize(
    "request_", [permissions_pb2.GrantPermissionRequest, permissions_pb2.ListPermissionsRequest]
)
async def test_a_permission_about_nothing_is_refused_by_name(
    world: World, request_: type[Message]
) -> None:
    method = request_.DESCRIPTOR.name.removesuffix("Request")
    error = await world.administrator[method].refusal(method, request_())
    assert error.code() == INVALID


@pytest.mark.parametrize("obj", [f"charger:{UNKNOWN}", f"permission:{UNKNOWN}", "installation:"])
async def test_a_service_is_told_of_people_that_they_may_not_where_there_is_nothing(
    world: World, obj: str
) -> None:
    """What a gateway asks for a caller ends in that caller's refusal, never as its own failure."""
    with pytest.raises(PermissionDeniedError):
        await world.check(Caller("user:somebody"), "gateway.Authorize", obj)
    await world.check(ADMINISTRATOR, "gateway.Authorize", obj)


ANY_CHANGES = st.one_of(map(any_changes, SERVICES, METHODS_OF))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ANY_CHANGES, min_size=20, max_size=40))
async def test_nothing_that_can_be_sent_is_an_internal_error(
    sent: list[tuple[str, Changes]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with a_world(Path(directory), Path(directory) / "access.db") as world:
            for each in sent:
                door = world.administrator[each[0]]
                await assert_nothing_is_an_internal_error(door, world.good, [each])
