"""Privacy and tables of people over gRPC: who may, what access is asked, what is refused."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from grpc import aio

from chargekey.access.v1 import (
    check_pb2,
    check_pb2_grpc,
    installations_pb2,
    installations_pb2_grpc,
    permissions_pb2,
    permissions_pb2_grpc,
)
from chargekey.identity.v1 import people_pb2, privacy_pb2
from chargekey.identity.v1.people_pb2_grpc import PeopleServiceStub
from chargekey.identity.v1.privacy_pb2_grpc import PrivacyServiceStub
from chargekey_common.accounts import ADMINISTRATOR, Caller, service_account
from chargekey_common.errors import FailedPreconditionError, NotFoundError, PermissionDeniedError
from chargekey_common.eventstore.records import DomainEvent, new_id
from chargekey_common.eventstore.store import Context, EventStore, Work
from chargekey_common.grpc.client import RemoteCheck, remote_error
from chargekey_common.grpc.server import Service
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.positions import Position
from chargekey_common.testing.bad_input import (
    COMMAND_ID,
    INVALID,
    MISSING,
    UNKNOWN_IDS,
    Door,
    Fields,
    assert_a_stranger_learns_nothing,
    assert_every_bad_value_is_refused,
    assert_no_message_is_refused,
    bad,
    methods,
)
from chargekey_common.testing.grpc import served, stubs
from chargekey_identity.api import people, privacy
from chargekey_identity.api.access import ON_ACCESS_PROPOSED, Access
from chargekey_identity.application.addresses import Addresses
from chargekey_identity.application.identifications import Details, Identifications
from chargekey_identity.application.people import People
from chargekey_identity.application.privacy import Privacy
from chargekey_identity.application.users import Users
from chargekey_identity.domain import email
from chargekey_identity.domain.email import Reservations
from chargekey_identity.domain.events import (
    EmailVerified,
    InvitationAccepted,
    InvitationCreated,
    UserRenamed,
)
from chargekey_identity.domain.people import COLUMNS
from chargekey_identity.ledger import Written
from chargekey_identity.projections.directory import Directory
from chargekey_identity.storage import Storage
from chargekey_identity.tables.keyring import KeyRing

from .conftest import SECRET

HEADER = ",".join(COLUMNS)
OWNER, STRANGER = Caller("user:owner"), Caller("user:stranger")
SERVICES = (
    privacy_pb2.DESCRIPTOR.services_by_name["PrivacyService"],
    people_pb2.DESCRIPTOR.services_by_name["PeopleService"],
)
METHODS = [name for each in SERVICES for name in methods(each)]


class LastOwnerError(FailedPreconditionError):
    code = "last_owner"
    sentence = "This is the installation's last owner."


class InstallationMissingError(NotFoundError):
    code = "installation_unknown"
    sentence = "There is no such installation."


class SmallAccess(
    check_pb2_grpc.CheckServiceServicer,
    installations_pb2_grpc.InstallationServiceServicer,
    permissions_pb2_grpc.PermissionServiceServicer,
):
    """One installation, its owner, and what people hold there."""

    def __init__(self) -> None:
        self.allowed = {(OWNER, "installation:home")}
        self.refused: set[str] = set()  # actions that even he may not do
        self.asked: list[tuple[str, str, str]] = []
        self.last_owners: set[str] = set()
        self.forgotten: list[str] = []
        self.awaited: list[tuple[str, str]] = []
        self.held: list[permissions_pb2.Permission] = []
        self.granting = asyncio.Event()
        self.granting.set()

    async def Check(self, request: check_pb2.CheckRequest, _: object) -> check_pb2.CheckResponse:
        self.asked.append((request.caller, request.action, request.object))
        allowed = request.caller == ADMINISTRATOR or (
            (request.caller, request.object) in self.allowed and request.action not in self.refused
        )
        return check_pb2.CheckResponse(allowed=allowed)

    async def AwaitReaction(
        self, request: check_pb2.AwaitReactionRequest, _: object
    ) -> check_pb2.AwaitReactionResponse:
        self.awaited.append((request.reaction, request.position))
        await self.granting.wait()
        return check_pb2.AwaitReactionResponse(position=str(Position("access", "0" * 16, 7)))

    async def GetInstallation(
        self, request: installations_pb2.GetInstallationRequest, _: object
    ) -> installations_pb2.GetInstallationResponse:
        if request.installation_id != "home":
            raise InstallationMissingError
        return installations_pb2.GetInstallationResponse(
            installation=installations_pb2.Installation(
                id="home",
                time_zone="Europe/Oslo",
                policies=installations_pb2.Policies(pin_length=4),
            )
        )

    async def ForgetUser(
        self, request: permissions_pb2.ForgetUserRequest, _: object
    ) -> permissions_pb2.ForgetUserResponse:
        if request.user_id in self.last_owners:
            raise LastOwnerError
        self.forgotten.append(request.user_id)
        return permissions_pb2.ForgetUserResponse()

    async def ListPermissions(
        self, request: permissions_pb2.ListPermissionsRequest, _: object
    ) -> permissions_pb2.ListPermissionsResponse:
        """Answer in pages of one, whatever is asked for."""
        at = int(request.page_token or 0)
        more = at + 1 < len(self.held)
        return permissions_pb2.ListPermissionsResponse(
            permissions=self.held[at : at + 1], next_page_token=str(at + 1) if more else ""
        )


class World(msgspec.Struct, frozen=True):
    """Identity's part, served; Ada is LOCAL with a PIN, Grace has an account and two cards."""

    store: EventStore
    keyring: KeyRing
    access: SmallAccess
    as_caller: Callable[[Caller], aio.Channel]
    ada: str
    grace: str
    directory: Directory
    written: Written

    def caller(self, caller: Caller = OWNER) -> Any:
        return stubs(self.as_caller(caller), PrivacyServiceStub, PeopleServiceStub)

    def good(self) -> dict[str, Message]:
        return {
            "ExportUser": privacy_pb2.ExportUserRequest(user_id=self.ada),
            "EraseUser": privacy_pb2.EraseUserRequest(user_id=self.ada),
            "ImportPeople": people_pb2.ImportPeopleRequest(
                installation_id="home", csv=f"{HEADER}\nA,B,,,,,,\n".encode()
            ),
            "ExportPeople": people_pb2.ExportPeopleRequest(installation_id="home"),
        }


@pytest_asyncio.fixture
async def world(storage: Storage, tmp_path: Path) -> AsyncIterator[World]:
    store, keyring = storage.events, storage.keyring
    access = SmallAccess()

    async def only_identity(caller: Caller, _: str, __: str) -> None:
        if caller != service_account("identity"):
            raise PermissionDeniedError

    anything = dict.fromkeys(
        (
            "Check",
            "AwaitReaction",
            "GetInstallation",
            "ForgetUser",
            "ListPermissions",
        ),
        lambda _: "system",
    )
    checks, *beside = (
        Service(f"chargekey.access.v1.{name}", add, access, anything)
        for name, add in (
            ("CheckService", check_pb2_grpc.add_CheckServiceServicer_to_server),
            (
                "InstallationService",
                installations_pb2_grpc.add_InstallationServiceServicer_to_server,
            ),
            ("PermissionService", permissions_pb2_grpc.add_PermissionServiceServicer_to_server),
        )
    )
    addresses, directory = Addresses(store, Reservations(SECRET)), Directory(store)
    cards = Identifications(store, KeyedIds(SECRET), directory, storage.scans, storage.attempts)
    ada, grace = _people(store, cards, addresses)
    written = Written()
    written.add(ada, grace)  # as if the ledger were quick
    async with served(checks, tmp_path, only_identity, *beside) as to_access:
        asked = Access(to_access(service_account("identity")))
        erasing = Privacy(store, directory, keyring, [], storage.scans.forget_codes)
        ours = (
            privacy.service(erasing, asked, written),
            people.service(People(store, addresses, cards), directory, asked),
        )
        check = RemoteCheck(to_access(service_account("identity")))
        async with served(ours[0], tmp_path, check, ours[1]) as as_caller:
            yield World(store, keyring, access, as_caller, ada, grace, directory, written)


def _people(store: EventStore, cards: Identifications, addresses: Addresses) -> tuple[str, str]:
    def add(user_id: str, kind: Any, code: str, *, site: str) -> None:
        cards.add_identification(
            Context("user:owner", f"add {code}".replace(" ", "-")),
            user_id=user_id,
            identification_type=kind,
            code=code,
            status="ACTIVE",
            valid_until="",
            time_zone="",
            details=Details(installation_id=site),
        )

    ada = (
        Users(store)
        .add_local_user(
            Context("user:owner", "ada"),
            installation_id="home",
            first_name="Ada",
            last_name="=Lovelace",
            blocked=True,
        )
        .result
    )
    add(ada, "PIN", "#1234", site="")
    address = email.canonical("grace@navy.example")
    grace = addresses.resolve_email(Context("service:access", "grace"), address).result
    add(grace, "RFID", "04A1B2C3", site="")
    add(grace, "RFID", "04D4E5F6", site="home")
    return ada, grace


def tell(store: EventStore, aggregate_id: str, *events: DomainEvent) -> None:
    """Record events as commands of others would."""

    def last(_: DomainEvent | None, event: DomainEvent) -> DomainEvent:
        return event

    def decide(work: Work) -> None:
        work.record(work.load(last, aggregate_id), *events)

    store.execute("tell", type(None), Context(ADMINISTRATOR, new_id()), decide)


def a_pending_user(store: EventStore, address: str) -> str:
    addresses = Addresses(store, Reservations(SECRET))
    context = Context("service:access", new_id())
    return addresses.resolve_email(context, email.canonical(address)).result


def an_invitation(store: EventStore, user_id: str, installation_id: str) -> str:
    """Invite somebody to all of an installation; return the invitation's id."""
    key = new_id()
    created = InvitationCreated(
        user_id=user_id,
        installation_id=installation_id,
        charger_id=None,
        permission_id="p",
        partner_id=None,
        expires_at=9,
    )
    tell(store, key, created)
    return key


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as failed:
        await call
    return failed.value.code(), remote_error(failed.value).code


DENIED = (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")


async def test_a_local_user_is_erased_by_his_owner_and_access_lets_go_first(world: World) -> None:
    """R20."""
    answer = await world.caller().EraseUser(privacy_pb2.EraseUserRequest(user_id=world.ada))
    assert world.access.forgotten == [world.ada]
    assert answer.position == str(world.store.position())
    assert world.ada in world.keyring.destroyed()
    assert world.store.records(world.ada)[-1].actor == OWNER
    # Once more is no mistake, and does no harm.
    await world.caller().EraseUser(privacy_pb2.EraseUserRequest(user_id=world.ada))
    assert world.store.position() == Position.parse(answer.position)


async def test_an_erasure_is_pending_until_it_stands_in_the_ledger(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R20: a backup that is restored before that brings him back."""
    monkeypatch.setattr("chargekey_identity.api.users.MARGIN", 29.5)  # the machine may be busy
    world.written.users.clear()
    request = privacy_pb2.EraseUserRequest(user_id=world.ada)
    assert (await world.caller().EraseUser(request, timeout=30)).pending
    assert world.keyring.is_destroyed(world.ada)
    erasing = asyncio.ensure_future(world.caller().EraseUser(request, timeout=60))
    world.written.add("somebody else", world.ada)
    assert not (await erasing).pending


async def test_somebody_with_an_account_is_erased_by_himself_and_by_no_owner(world: World) -> None:
    """R20: neither by the owner of a site where he holds something, nor by a stranger."""
    request = privacy_pb2.EraseUserRequest(user_id=world.grace)
    for caller in (OWNER, STRANGER):
        assert await refusal(world.caller(caller).EraseUser(request)) == DENIED
    himself = Caller(f"user:{world.grace}")
    world.access.allowed.add((himself, f"user:{world.grace}"))
    await world.caller(himself).EraseUser(request)
    assert world.access.forgotten == [world.grace]
    assert world.grace in world.keyring.destroyed()


async def test_the_last_owner_is_told_so_and_loses_nothing(world: World) -> None:
    """R6."""
    world.access.last_owners.add(world.grace)
    before = world.store.end()
    request = privacy_pb2.EraseUserRequest(user_id=world.grace)
    assert await refusal(world.caller(ADMINISTRATOR).EraseUser(request)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "last_owner",
    )
    assert world.store.end() == before
    assert not world.keyring.destroyed()


async def test_an_export_is_a_json_document_for_whom_it_is_about(world: World) -> None:
    request = privacy_pb2.ExportUserRequest(user_id=world.grace)
    assert await refusal(world.caller(OWNER).ExportUser(request)) == DENIED
    himself = Caller(f"user:{world.grace}")
    world.access.allowed.add((himself, f"user:{world.grace}"))
    answer = await world.caller(himself).ExportUser(request)
    document = json.loads(answer.document)
    assert document["profile"]["email"] == "grace@navy.example"
    assert {each["code"] for each in document["identifications"]} == {"04A1B2C3", "04D4E5F6"}
    told = {(each["event"], each["about"]) for each in document["events"]}
    assert {("PendingUserAdded", world.grace), ("UserExported", world.grace)} <= told
    assert type(world.store.records(world.grace)[-1].event).__name__ == "UserExported"


async def test_an_import_waits_for_the_permissions_it_proposes(world: World) -> None:
    table = f"{HEADER}\nMary,Jackson,,,,#4321,,\n".encode()
    request = people_pb2.ImportPeopleRequest(installation_id="home", csv=table)
    answer = await world.caller().ImportPeople(request)
    assert answer.imported
    assert not answer.pending
    assert answer.position == str(world.store.position())
    assert Position.parse(answer.access_position).service == "access"
    assert world.access.awaited == [(ON_ACCESS_PROPOSED, answer.position)]
    [line] = answer.lines
    assert (line.line, line.refusal_code) == (2, "")
    assert world.directory.user(line.user_id).first_name == "Mary"


async def test_a_permission_that_takes_longer_is_said_to_be_pending(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chargekey_identity.api.users.MARGIN", 29.5)  # the machine may be busy
    world.access.granting.clear()
    table = f"{HEADER}\nMary,Jackson,,,,,,\n".encode()
    request = people_pb2.ImportPeopleRequest(installation_id="home", csv=table)
    answer = await world.caller().ImportPeople(request, timeout=30)
    assert (answer.imported, answer.pending, answer.access_position) == (True, True, "")


async def test_what_is_refused_or_only_tried_is_not_stored_and_not_waited_for(world: World) -> None:
    before = world.store.end()
    table = f"{HEADER}\nMary,Jackson,,,,,,\nMary,,,,,,,\n".encode()
    request = people_pb2.ImportPeopleRequest(installation_id="home", csv=table)
    answer = await world.caller().ImportPeople(request)
    assert (answer.imported, answer.pending, answer.position) == (False, False, "")
    assert [(each.line, each.refusal_code) for each in answer.lines] == [
        (2, ""),
        (3, "name_malformed"),
    ]
    good = people_pb2.ImportPeopleRequest(
        installation_id="home", csv=f"{HEADER}\nM,J,,,,,,\n".encode(), dry_run=True
    )
    assert not (await world.caller().ImportPeople(good)).imported
    assert world.store.end() == before
    assert world.access.awaited == []


async def test_whoever_may_not_make_owners_gives_the_right_to_charge_alone(world: World) -> None:
    """R5: access is asked whether the caller may make others owners there."""
    world.access.refused.add("access.OfferOwnership")
    table = f"{HEADER}\n,,a@b.example,owner,,,,\n,,c@d.example,user,,,,\n".encode()
    request = people_pb2.ImportPeopleRequest(installation_id="home", csv=table)
    answer = await world.caller().ImportPeople(request)
    assert [each.refusal_code for each in answer.lines] == ["role_not_grantable", ""]


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


async def test_an_export_has_everybody_at_the_site_and_no_code_unless_asked(world: World) -> None:
    """R17: codes only where they are asked for, each recorded; another's own card never."""
    midnight_in_oslo = 7_226_665_200 * 10**9  # 2199-01-01T23:00Z
    held = [
        permissions_pb2.Permission(user_id=world.ada, roles=[permissions_pb2.ROLE_USER]),
        permissions_pb2.Permission(partner_id="firm", roles=[permissions_pb2.ROLE_SERVICE]),
        permissions_pb2.Permission(
            user_id=world.grace,
            roles=[permissions_pb2.ROLE_SERVICE, permissions_pb2.ROLE_USER],
            valid_until=midnight_in_oslo,
        ),
    ]
    world.access.held.extend(held)
    before = world.store.end()
    request = people_pb2.ExportPeopleRequest(installation_id="home")
    answer = await world.caller().ExportPeople(request)
    assert (answer.position, world.store.end()) == ("", before)
    ada, grace = rows(answer.csv)
    assert ada == {
        "user_id": world.ada,
        "first_name": "Ada",
        "last_name": "'=Lovelace",
        "email": "",
        "roles": "user",
        "valid_until": "",
        "pin": "",
        "rfid": "",
        "blocked": "yes",
    }
    # R7: she was invited by nobody here, so that the site knows no more than her id.
    assert [grace[each] for each in ("user_id", "email", "first_name", "last_name")] == [
        world.grace,
        *[""] * 3,
    ]
    assert (grace["roles"], grace["valid_until"]) == ("user; service", "2199-01-01")
    request.with_codes = True
    answer = await world.caller().ExportPeople(request)
    ada, grace = rows(answer.csv)
    assert (ada["pin"], grace["rfid"]) == ("#1234", "04D4E5F6")
    assert answer.position == str(world.store.position())
    revealed = [record for _, record, _ in world.store.read(before, 100)]
    assert [type(each.event).__name__ for each in revealed] == ["CodeRevealed"] * 2
    assert {each.actor for each in revealed} == {OWNER}


async def exported(world: World, caller: Caller = OWNER) -> dict[str, list[str]]:
    """Return names and addresses as they are exported, by user id."""
    request = people_pb2.ExportPeopleRequest(installation_id="home")
    table = rows((await world.caller(caller).ExportPeople(request)).csv)
    personal = ("first_name", "last_name", "email")
    return {row["user_id"]: [row[each] for each in personal] for row in table}


async def test_an_export_tells_no_account_from_an_address_before_it_is_accepted(
    world: World,
) -> None:
    """R7: nor names anybody who was given something by his id alone."""
    tell(world.store, world.grace, UserRenamed(first_name="Grace", last_name="Hopper"))
    tell(world.store, world.grace, EmailVerified())
    fresh = a_pending_user(world.store, "fresh@example.com")
    world.access.held.extend(
        permissions_pb2.Permission(user_id=each, roles=[permissions_pb2.ROLE_USER])
        for each in (world.grace, fresh)
    )
    nothing = ["", "", ""]
    assert await exported(world) == {
        world.ada: ["Ada", "'=Lovelace", ""],
        world.grace: nothing,
        fresh: nothing,
    }
    elsewhere = an_invitation(world.store, world.grace, "away")
    tell(world.store, elsewhere, InvitationAccepted(user_id=world.grace))
    assert (await exported(world))[world.grace] == nothing
    here = an_invitation(world.store, world.grace, "home")
    an_invitation(world.store, fresh, "home")
    found = await exported(world)
    assert found[world.grace] == ["", "", "grace@navy.example"]
    assert found[fresh] == ["", "", "fresh@example.com"]
    tell(world.store, here, InvitationAccepted(user_id=world.grace))
    found = await exported(world)
    assert found[world.grace] == ["Grace", "Hopper", "grace@navy.example"]
    assert found[fresh] == ["", "", "fresh@example.com"]


async def test_administrators_are_told_everything_and_everybody_himself(world: World) -> None:
    tell(world.store, world.grace, UserRenamed(first_name="Grace", last_name="Hopper"))
    world.access.held.append(permissions_pb2.Permission(user_id=world.grace))
    herself = Caller(f"user:{world.grace}")
    world.access.allowed.add((herself, "installation:home"))
    for caller in (herself, ADMINISTRATOR):
        found = await exported(world, caller)
        assert found[world.grace] == ["Grace", "Hopper", "grace@navy.example"]


async def test_what_is_exported_can_be_imported_again_as_the_same_people(world: World) -> None:
    request = people_pb2.ExportPeopleRequest(installation_id="home")
    table = (await world.caller().ExportPeople(request)).csv
    again = people_pb2.ImportPeopleRequest(installation_id="home", csv=table)
    [line] = (await world.caller().ImportPeople(again)).lines
    assert (line.refusal_code, line.user_id) == ("", world.ada)
    assert world.directory.user(line.user_id).last_name == "=Lovelace"


# Bad input.

FIELDS: Fields = {
    "command_id": COMMAND_ID,
    "user_id": bad(MISSING, "user_unknown", *UNKNOWN_IDS),
    "installation_id": bad(MISSING, "installation_unknown", *UNKNOWN_IDS),
    "csv": [
        *bad(INVALID, "csv_header_malformed", b"", b"x,y\n", b'{"people": []}'),
        *bad(INVALID, "csv_malformed", b"\xff\xfe", f"{HEADER}\nA\n".encode()),
        *bad(INVALID, "csv_too_large", b"x" * (2**20 + 1)),
    ],
    "dry_run": (),
    "with_codes": (),
    "ExportPeople.command_id": (),  # nothing is recorded without codes
}


def doors(channel: aio.Channel) -> dict[str, Door]:
    return {name: Door(each, channel) for each in SERVICES for name in methods(each)}


@pytest.mark.parametrize("method", METHODS)
async def test_what_cannot_be_is_refused_by_name_without_an_echo(world: World, method: str) -> None:
    good = world.good()[method]
    door = doors(world.as_caller(ADMINISTRATOR))[method]
    before = world.store.end()
    await assert_every_bad_value_is_refused(door, good, FIELDS)
    await assert_no_message_is_refused(door, method)
    assert world.store.end() == before
    await door.call(method, good)


@pytest.mark.parametrize("method", METHODS)
async def test_a_stranger_cannot_tell_what_exists_from_what_does_not(
    world: World, method: str
) -> None:
    door = doors(world.as_caller(STRANGER))[method]
    await assert_a_stranger_learns_nothing(door, world.good()[method])
