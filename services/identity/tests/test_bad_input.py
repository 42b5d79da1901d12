"""Every method of identity with what it may not be sent: refused by name, nothing stored."""

from __future__ import annotations

import base64
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import msgspec
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from grpc import aio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chargekey.identity.v1 import (
    credentials_pb2,
    identifications_pb2,
    invitations_pb2,
    scans_pb2,
    sign_in_pb2,
    users_pb2,
)
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.eventstore.postgres import PostgresRecorder
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context, EventStore, Reaction
from chargekey_common.grpc.server import SYSTEM
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres
from chargekey_common.testing.bad_input import (
    COMMAND_ID,
    INVALID,
    MISSING,
    NAME,
    STRANGE,
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
from chargekey_common.testing.openid import REDIRECT_URI, OpenIdServer
from chargekey_identity.domain import invitation
from chargekey_identity.domain.email import Email
from chargekey_identity.domain.events import IdentificationType, SignInLinkRequested
from chargekey_identity.domain.invitation import Given
from chargekey_identity.storage import opened

from .conftest import MASTER, PARTNERS, Identity, beside, serving
from .openid_server import signing_in_by_a_provider

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICES = (
    users_pb2.DESCRIPTOR.services_by_name["UserService"],
    identifications_pb2.DESCRIPTOR.services_by_name["IdentificationService"],
    scans_pb2.DESCRIPTOR.services_by_name["ScanService"],
    invitations_pb2.DESCRIPTOR.services_by_name["InvitationService"],
    sign_in_pb2.DESCRIPTOR.services_by_name["SignInService"],
    credentials_pb2.DESCRIPTOR.services_by_name["CredentialService"],
)
METHODS = [name for each in SERVICES for name in methods(each)]
TAKEN = grpc.StatusCode.ALREADY_EXISTS
WHO = grpc.StatusCode.UNAUTHENTICATED
PINS = ("", "#", "1234", "#123", "#123456789", "#12a4", "# 1234", " #1234", "#1234\n", "##1234")
PINS_OF_OTHER_DIGITS = ("#١٢٣٤", "#\uff11\uff12\uff13\uff14", "\uff031234")
CARDS = ("", "04A1", "0102030405", "04A1B2C3D4E5", "04A1B2CG", "#1234", "x04A1B2C3", "04A1B2C3\n")
OTHER_CARDS = (
    "04A1B2\ufb00",
    "\uff10\uff14\uff21\uff11\uff22\uff12\uff23\uff13",
    ":" * 10_000 + "04A1B2C3",
)
RANDOM_CARDS = ("08A1B2C3", "08:a1:b2:c3", "01020304", "00000000", "FF" * 7, "00" * 10)
NO_ADDRESSES = ("", "ada", "@nowhere.org", "ada@", "a b@example.com", "a@b@c.example", *STRANGE)
NO_TOKENS = ("", "x", "A" * 44, base64.urlsafe_b64encode(bytes(32)).decode(), "é", *STRANGE)

ELSEWHERE = bad(INVALID, "installation_foreign", "away", *UNKNOWN_IDS[1:])
FIELDS: Fields = {
    "command_id": COMMAND_ID,
    "installation_id": bad(MISSING, "installation_unknown", *UNKNOWN_IDS),
    "user_id": bad(MISSING, "user_unknown", *UNKNOWN_IDS),
    "identification_id": bad(MISSING, "identification_unknown", *UNKNOWN_IDS),
    "first_name": NAME,
    "last_name": NAME,
    "blocked": (),
    "everywhere": (),
    "email": bad(INVALID, "email_malformed", *NO_ADDRESSES),
    "time_zone": bad(INVALID, "time_zone_unknown", "", "Europe/Utopia", "localtime", *STRANGE),
    "language": bad(INVALID, "language_unknown", "", "EN", "no", "tlh", *STRANGE),
    # Whoever begins is let in whatever he reads.
    "AcceptInvitation.language": (),
    "AcceptInvitation.time_zone": (),
    "SignIn.language": (),
    "CompleteOpenIdSignIn.language": (),
    "user_ids": bad(INVALID, "too_many_users", ["x"] * 1001),
    "DescribeIdentifications.identification_ids": bad(INVALID, "too_many_described", ["x"] * 1001),
    # Whatever is in no name is not found.
    "search": (),
    "invitation_id": bad(MISSING, "invitation_unknown", *UNKNOWN_IDS),
    "token": bad(grpc.StatusCode.FAILED_PRECONDITION, "link_invalid", *NO_TOKENS),
    "refresh_token": bad(WHO, "sign_in_ended", *NO_TOKENS, f"{'0' * 32}.{'A' * 43}"),
    # Whoever signs out is out, whatever he has.
    "SignOut.refresh_token": (),
    "redirect_uri": bad(INVALID, "redirect_uri_refused", "", "https://evil.example", *STRANGE),
    "state": bad(WHO, "openid_state_unknown", *NO_TOKENS),
    # Good for one try: a code that is none uses the state up.
    "CompleteOpenIdSignIn.code": (),
    "event_id": bad(MISSING, "link_unknown", *UNKNOWN_IDS),
    "partner_id": bad(MISSING, "partner_unknown", *UNKNOWN_IDS),
    "label": NAME,
    "credential_id": bad(MISSING, "credential_unknown", *UNKNOWN_IDS),
    "ExchangePartnerCredential.credential_id": bad(WHO, "credential_refused", *UNKNOWN_IDS),
    "secret": bad(WHO, "credential_refused", "", *STRANGE),
    # Without one it is asked about everywhere.
    "ListNames.partner_id": bad(MISSING, "partner_unknown", *UNKNOWN_IDS[1:]),
    "ListNames.installation_id": bad(MISSING, "installation_unknown", *UNKNOWN_IDS[1:]),
    "SearchPeople.installation_id": bad(MISSING, "installation_unknown", *UNKNOWN_IDS[1:]),
    "AddIdentification.installation_id": ELSEWHERE,
    "StartScan.installation_id": ELSEWHERE,
    "AddFromUnknownCode.installation_id": bad(
        MISSING, "unknown_code_gone", "away", *UNKNOWN_IDS[1:]
    ),
    # What nobody has at an installation is nothing.
    "ListIdentifications.installation_id": (),
    "group": bad(INVALID, "group_malformed", "a b", "x" * 21, "\u00e6", *STRANGE),
    "group_card": (),
    "page_size": bad(INVALID, "page_size_malformed", -1, -(2**31)),
    "page_token": bad(INVALID, "page_token_malformed", "x", "eA==", "é", *STRANGE),
    # Of a PIN's code.
    "type": [
        *bad(INVALID, "identification_type_unknown", 0, -1, 7, 2**31 - 1),
        *bad(INVALID, "rfid_malformed", identifications_pb2.IDENTIFICATION_TYPE_RFID),
        *bad(INVALID, "rfid_malformed", identifications_pb2.IDENTIFICATION_TYPE_CREDIT_CARD),
        *bad(INVALID, "vehicle_id_malformed", identifications_pb2.IDENTIFICATION_TYPE_VEHICLE_ID),
        *bad(INVALID, "phone_malformed", identifications_pb2.IDENTIFICATION_TYPE_SMS),
        *bad(INVALID, "app_not_by_hand", identifications_pb2.IDENTIFICATION_TYPE_APP),
    ],
    "StartScan.type": [
        *bad(INVALID, "type_not_scannable", -1, 7, 2**31 - 1),
        *bad(INVALID, "type_not_scannable", identifications_pb2.IDENTIFICATION_TYPE_PIN),
        *bad(INVALID, "type_not_scannable", identifications_pb2.IDENTIFICATION_TYPE_APP),
        *bad(INVALID, "type_not_scannable", identifications_pb2.IDENTIFICATION_TYPE_SMS),
    ],
    "count": bad(INVALID, "pin_count_malformed", -1, 21, 2**31 - 1),
    "charger_id": bad(MISSING, "charger_unknown", *UNKNOWN_IDS),
    "scan_id": bad(MISSING, "scan_unknown", *UNKNOWN_IDS),
    "unknown_code_id": bad(MISSING, "unknown_code_gone", *UNKNOWN_IDS),
    # The gateway tells what it was told, and what is no code is passed over.
    "ReportUnknownCode.charger_id": (),
    "ReportUnknownCode.installation_id": (),
    "ReportUnknownCode.code": (),
    "at": (),
    "code": [
        *bad(INVALID, "pin_malformed", *PINS, *PINS_OF_OTHER_DIGITS, *CARDS[1:4], *STRANGE),
        *bad(TAKEN, "code_unavailable", "#4444"),
    ],
    # Unspecified is ACTIVE where something is added, and nothing where it is changed.
    "AddIdentification.status": bad(INVALID, "status_unknown", -1, 4, 2**31 - 1),
    "status": bad(INVALID, "status_unknown", 0, -1, 4, 2**31 - 1),
    "valid_until": VALID_UNTIL,
}
CARD_FIELDS: Fields = {
    **FIELDS,
    "type": (),
    "code": [
        *bad(INVALID, "rfid_malformed", *CARDS, *OTHER_CARDS, *STRANGE),
        *bad(INVALID, "rfid_random", *RANDOM_CARDS),
        *bad(TAKEN, "rfid_in_use", "04D4E5F6", "04:d4:e5:f6"),
    ],
}

GRACE = Email("grace@example.com")
TOM = Email("tom@example.com")
HERS: tuple[tuple[IdentificationType, str], ...] = (
    ("PIN", "#1111"),
    ("PIN", "#4444"),
    ("RFID", "04D4E5F6"),
)


class World(msgspec.Struct, frozen=True):
    """Identity served, with Ada, two PINs and a card of hers, and requests that are served.

    In their order they are served one after the other, too. Each method has the door of its
    service.
    """

    store: EventStore
    administrator: dict[str, Door]
    stranger: dict[str, Door]
    good: dict[str, Message]
    good_card: Message


def doors(channel: aio.Channel) -> dict[str, Door]:
    return {name: Door(each, channel) for each in SERVICES for name in methods(each)}


async def of_signing_in(identity: Identity, provider: OpenIdServer) -> list[Message]:
    """Return requests about an account that can sign in, and a partner's credential."""
    tom = identity.addresses.resolve_email(Context(ADMINISTRATOR, "3"), TOM).result
    identity.arrivals.sign_in(Context(ADMINISTRATOR, "4"), user_id=tom, by="LINK")
    identity.sign_in_links.request(TOM)
    [requested] = [
        record.event_id
        for _, record, _ in identity.store.read(0, 1000)
        if isinstance(record.event, SignInLinkRequested)
    ]
    token = identity.sign_ins.issue(tom).refresh
    begun = await identity.openid.begin(REDIRECT_URI)
    state, code = provider.sign_in(begun.authorization_url)
    [partner, _] = PARTNERS
    made = identity.credentials.issue(
        Context(ADMINISTRATOR, "5"), partner_id=partner, label="Backend"
    ).result
    return [
        sign_in_pb2.IssueSignInLinkRequest(event_id=requested, user_id=tom),
        sign_in_pb2.RequestSignInLinkRequest(email=TOM),
        sign_in_pb2.SignInRequest(token=identity.sign_in_links.issue(requested, tom).token),
        sign_in_pb2.BeginOpenIdSignInRequest(redirect_uri=REDIRECT_URI),
        sign_in_pb2.CompleteOpenIdSignInRequest(state=state, code=code),
        sign_in_pb2.RefreshSignInRequest(refresh_token=token),
        sign_in_pb2.SignOutRequest(refresh_token=token),
        sign_in_pb2.SignInAsRequest(user_id=tom),
        sign_in_pb2.ActAsAdministratorRequest(),
        sign_in_pb2.GetKeysRequest(),
        credentials_pb2.IssuePartnerCredentialRequest(partner_id=partner, label="Backend"),
        credentials_pb2.ListPartnerCredentialsRequest(partner_id=partner),
        credentials_pb2.ExchangePartnerCredentialRequest(credential_id=made.id, secret=made.secret),
        credentials_pb2.RevokePartnerCredentialRequest(credential_id=made.id),
    ]


def an_invitation(identity: Identity, user_id: str, permission_id: str) -> str:
    """Return a new invitation of somebody who was given this permission at home."""
    handled = Handled(f"reaction-to-{permission_id}", Position("access", "0" * 16, 1))
    event_id = new_id()
    given_to_him = Given(user_id, installation_id="home", permission_id=permission_id)
    identity.invitations.invite(given_to_him, Reaction(handled, event_id, 0, ADMINISTRATOR))
    return invitation.invitation_id(event_id)


@asynccontextmanager
async def a_world(directory: Path, place: Path | Postgres) -> AsyncIterator[World]:
    if isinstance(place, Postgres):
        PostgresRecorder.migrate(place)
    with opened(beside(directory, place), MASTER) as storage:
        async with a_running_world(Identity(storage, TOM), directory) as world:
            yield world


@asynccontextmanager
async def a_running_world(identity: Identity, directory: Path) -> AsyncIterator[World]:
    ada = identity.users.add_local_user(
        Context(ADMINISTRATOR, "1"),
        installation_id="home",
        first_name="Ada",
        last_name="Lovelace",
        blocked=False,
    ).result
    grace = identity.addresses.resolve_email(Context(ADMINISTRATOR, "2"), GRACE).result
    invited, uninvited = (an_invitation(identity, grace, permission) for permission in ("p1", "p2"))
    pin, *_ = [
        identity.identifications.add_identification(
            Context(ADMINISTRATOR, code),
            user_id=ada,
            identification_type=kind,
            code=code,
            status="ACTIVE",
            valid_until="",
            time_zone="",
        ).result
        for kind, code in HERS
    ]
    identity.scans.report(
        charger_id="garage", installation_id="home", code="04C1C2C3", at=time.time_ns()
    )
    [unknown] = identity.scans.unknown_codes("home", before=None, limit=1)
    scan_id = identity.scans.start_scan(
        Context(ADMINISTRATOR, "scan"),
        user_id=ada,
        charger_id="garage",
        installation_id="",
        identification_type="RFID",
    ).result.scan_id
    pin_type, card_type = (
        identifications_pb2.IDENTIFICATION_TYPE_PIN,
        identifications_pb2.IDENTIFICATION_TYPE_RFID,
    )
    inactive = identifications_pb2.IDENTIFICATION_STATUS_INACTIVE
    good: list[Message] = [
        users_pb2.AddLocalUserRequest(
            installation_id="home", first_name="Grace", last_name="Hopper"
        ),
        users_pb2.RenameUserRequest(user_id=ada, first_name="Ada", last_name="King"),
        users_pb2.BlockUserRequest(user_id=ada),
        users_pb2.UnblockUserRequest(user_id=ada),
        users_pb2.GetUserRequest(user_id=ada),
        users_pb2.ListUsersRequest(installation_id="home"),
        users_pb2.ResolveEmailRequest(email=GRACE),
        users_pb2.ChangeProfileRequest(user_id=grace, time_zone="Europe/Oslo", language="nb"),
        users_pb2.ListNamesRequest(user_ids=[ada, grace], installation_id="home"),
        users_pb2.SearchPeopleRequest(installation_id="home", search="ada"),
        invitations_pb2.ListInvitationsRequest(installation_id="home"),
        invitations_pb2.ResendInvitationRequest(invitation_id=uninvited),
        invitations_pb2.RevokeInvitationRequest(invitation_id=uninvited),
        invitations_pb2.IssueInvitationLinkRequest(invitation_id=invited),
        invitations_pb2.GetInvitationRequest(token=identity.invitations.issue(invited).token),
        invitations_pb2.AcceptInvitationRequest(
            token=identity.invitations.issue(invited).token, first_name="Grace", last_name="Hopper"
        ),
        identifications_pb2.AddIdentificationRequest(user_id=ada, type=pin_type, code="#2222"),
        identifications_pb2.ChangeIdentificationRequest(
            identification_id=pin, code="#3333", status=inactive
        ),
        identifications_pb2.RevealCodeRequest(identification_id=pin),
        identifications_pb2.RemoveIdentificationRequest(identification_id=pin),
        identifications_pb2.ListIdentificationsRequest(user_id=ada),
        identifications_pb2.GeneratePinsRequest(installation_id="home", count=2),
        identifications_pb2.DescribeIdentificationsRequest(
            installation_id="home", identification_ids=["card"]
        ),
        scans_pb2.StartScanRequest(user_id=ada, charger_id="garage"),
        scans_pb2.GetScanRequest(scan_id=scan_id),
        scans_pb2.CancelScanRequest(scan_id=scan_id),
        scans_pb2.ReportUnknownCodeRequest(
            charger_id="garage", installation_id="home", code="04B1B2B3", at=time.time_ns()
        ),
        scans_pb2.ListUnknownCodesRequest(installation_id="home"),
        scans_pb2.AddFromUnknownCodeRequest(unknown_code_id=unknown.id, user_id=ada),
    ]
    async with (
        signing_in_by_a_provider(identity) as provider,
        serving(identity, directory) as (as_caller, access),
    ):
        good += await of_signing_in(identity, provider)
        # For a person alone, whose address is an administrator's.
        tom = identity.addresses.resolve_email(Context(ADMINISTRATOR, new_id()), TOM).result
        person = Caller(f"user:{tom}")
        access.allowed.add((person, SYSTEM))
        his = doors(as_caller(person))["ActAsAdministrator"]
        yield World(
            identity.store,
            {**doors(as_caller(ADMINISTRATOR)), "ActAsAdministrator": his},
            doors(as_caller(Caller("user:somebody"))),
            {each.DESCRIPTOR.name.removesuffix("Request"): each for each in good},
            identifications_pb2.AddIdentificationRequest(
                user_id=ada, type=card_type, code="04A1B2C3"
            ),
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
    """R13, R17, R18. The rest of the request is right: the next test has it served."""
    end = world.store.position()
    await assert_every_bad_value_is_refused(world.administrator[method], world.good[method], FIELDS)
    await assert_no_message_is_refused(world.administrator[method], method)
    assert world.store.position() == end


async def test_what_can_be_is_served(tmp_path: Path, place: Path | Postgres) -> None:
    async with a_world(tmp_path, place) as world:
        await assert_each_is_served(world.administrator, world.good)
        await world.administrator["AddIdentification"].call("AddIdentification", world.good_card)


async def test_what_is_no_card_is_refused_by_name_without_an_echo_and_nothing_is_stored(
    world: World,
) -> None:
    """R15, S3-54."""
    end = world.store.position()
    door = world.administrator["AddIdentification"]
    await assert_every_bad_value_is_refused(door, world.good_card, CARD_FIELDS)
    assert world.store.position() == end


async def test_a_stranger_cannot_tell_what_exists_from_what_does_not(world: World) -> None:
    end = world.store.position()
    for method in METHODS:
        await assert_a_stranger_learns_nothing(world.stranger[method], world.good[method])
    assert world.store.position() == end


ANY_CHANGES = st.one_of(*(any_changes(each) for each in SERVICES))


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ANY_CHANGES, min_size=20, max_size=40))
async def test_nothing_that_can_be_sent_is_an_internal_error(
    sent: list[tuple[str, Changes]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with a_world(Path(directory), Path(directory) / "identity.db") as world:
            for each in sent:
                door = world.administrator[each[0]]
                await assert_nothing_is_an_internal_error(door, world.good, [each])
