"""Every method of access with what it may not be sent: refused by name, nothing stored."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import msgspec
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chargekey.access.v1 import access_pb2 as pb
from chargekey_access.api.service import service
from chargekey_access.application import Access
from chargekey_access.domain.events import EVENTS
from chargekey_access.domain.permission import Target
from chargekey_access.projections.directory import Directory
from chargekey_common.accounts import ADMINISTRATOR, Caller, service_account
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.eventstore.postgres import PostgresRecorder
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.store import Context, EventStore, Reaction
from chargekey_common.eventstore.waiting import HandledPositions
from chargekey_common.grpc.client import RemoteCheck
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres
from chargekey_common.published.identity import LocalUserAdded
from chargekey_common.testing.bad_input import (
    COMMAND_ID,
    INVALID,
    MISSING,
    NAME,
    STRANGE,
    UNKNOWN,
    UNKNOWN_IDS,
    VALID_UNTIL,
    Changes,
    Door,
    Fields,
    any_changes,
    assert_a_stranger_learns_nothing,
    assert_every_bad_value_is_refused,
    assert_no_message_is_refused,
    assert_nothing_is_an_internal_error,
    bad,
    methods,
)
from chargekey_common.testing.grpc import served

SERVICE = pb.DESCRIPTOR.services_by_name["AccessService"]
SECRET = b"a secret of at least sixteen bytes"
ZONES = ("", "Mars/Olympus", "europe/oslo", "EUROPE/OSLO", "America", "Europe/Oslo ", "localtime")

FIELDS: Fields = {
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
    "authorisation_required": (),
    "authorisation_override": bad(INVALID, "override_missing", 0, -1, 4, 2**31 - 1),
    # None at all is a charger that accepts nothing; twice the same is the same set.
    "identification_types": bad(
        INVALID, "identification_type_unknown", [0], [2, 99], [-1], [2**31 - 1] * 10_000
    ),
    "roles": [
        *bad(INVALID, "roles_missing", [], [0], [2, 5], [-1], [2**31 - 1] * 10_000),
        *bad(grpc.StatusCode.FAILED_PRECONDITION, "local_user_cannot_own", [1], [2, 1]),
    ],
    "valid_until": VALID_UNTIL,
    # Whoever is nobody may nothing, and what is no method is nobody's to do: the answer is no.
    "caller": (),
    "action": (),
    "object": bad(INVALID, "object_malformed", "", "galaxy:7", "system:", *STRANGE),
    "reaction": bad(MISSING, "reaction_unknown", "", "access-on-user-blocked", *STRANGE),
    "position": [
        *bad(INVALID, "position_malformed", "", "identity:7", f"identity:{'0' * 16}:-1", *STRANGE),
        *bad(INVALID, "position_foreign", f"access:{'0' * 16}:1"),
    ],
}


class World(msgspec.Struct, frozen=True):
    """Access served, with a site, the charger CP-1, Ada, and requests that are served."""

    store: EventStore
    administrator: Door
    stranger: Door
    check: RemoteCheck
    good: dict[str, Message]


@asynccontextmanager
async def a_world(directory: Path, place: Path | Postgres) -> AsyncIterator[World]:
    if isinstance(place, Postgres):
        PostgresRecorder.migrate(place)
    store = EventStore("access", place, EVENTS)
    access = Access(store, Directory(store), ChargerPasswords(SECRET))

    async def check(caller: Caller, action: str, obj: str) -> None:
        if not access.allowed(caller, action, obj):
            raise PermissionDeniedError

    def now(command_id: str) -> Context:
        return Context(ADMINISTRATOR, command_id)

    site = access.create_installation(now("1"), name="Home", time_zone="Europe/Oslo").result
    charger = access.add_charger(now("2"), installation_id=site, ocpp_identity="CP-1").result
    added = Position("identity", "0" * 16, 1)
    access.react_to_local_user_added(
        LocalUserAdded(user_id="ada", installation_id=site),
        Reaction(Handled("access-on-local-user-added", added), "event-1", 0, ADMINISTRATOR),
    )
    [(permission, _)] = access.directory.permissions(Target(site))
    inherit = pb.AUTHORISATION_OVERRIDE_INHERIT
    pin = pb.IDENTIFICATION_TYPE_PIN
    good: list[Message] = [
        pb.CreateInstallationRequest(name="Home", time_zone="Europe/Oslo"),
        pb.SetAuthorisationRequiredRequest(installation_id=site),
        pb.GetInstallationRequest(installation_id=site),
        pb.ListInstallationsRequest(),
        pb.AddChargerRequest(installation_id=site, ocpp_identity="CP-2"),
        pb.SetAuthorisationOverrideRequest(charger_id=charger, authorisation_override=inherit),
        pb.SetIdentificationTypesRequest(charger_id=charger, identification_types=[pin, pin]),
        pb.GetChargerRequest(charger_id=charger),
        pb.ListChargersRequest(installation_id=site),
        pb.GrantPermissionRequest(charger_id=charger, user_id="ada", roles=[2, 3, 2] * 3_000),
        pb.RevokePermissionRequest(permission_id=permission),
        pb.ListPermissionsRequest(installation_id=site),
        pb.FindUserRequest(user_id="ada"),
        pb.CheckRequest(caller=ADMINISTRATOR, action="access.GetCharger", object="system"),
        pb.AwaitReactionRequest(reaction="access-on-local-user-added", position=str(added)),
    ]
    served_ = service(access, HandledPositions(store))
    async with served(served_, directory, check) as as_caller:
        yield World(
            store,
            Door(SERVICE, as_caller(ADMINISTRATOR)),
            Door(SERVICE, as_caller(Caller("user:somebody"))),
            RemoteCheck(as_caller(service_account("gateway"))),
            {each.DESCRIPTOR.name.removesuffix("Request"): each for each in good},
        )
    store.close()


@pytest.fixture
async def world(tmp_path: Path, place: Path | Postgres) -> AsyncIterator[World]:
    async with a_world(tmp_path, place) as running:
        yield running


@pytest.mark.parametrize("method", methods(SERVICE))
async def test_what_cannot_be_is_refused_by_name_without_an_echo_and_nothing_is_stored(
    world: World, method: str
) -> None:
    """The rest of the request is right: without the bad value it is served."""
    end = world.store.position()
    await assert_every_bad_value_is_refused(world.administrator, world.good[method], FIELDS)
    await assert_no_message_is_refused(world.administrator, method)
    assert world.store.position() == end
    await world.administrator.call(method, world.good[method])


@pytest.mark.parametrize("method", methods(SERVICE))
async def test_a_stranger_cannot_tell_what_exists_from_what_does_not(
    world: World, method: str
) -> None:
    end = world.store.position()
    await assert_a_stranger_learns_nothing(world.stranger, world.good[method])
    assert world.store.position() == end


async def test_a_stranger_cannot_tell_an_ocpp_identity_that_is_registered(world: World) -> None:
    answers = set()
    for identity in ("CP-1", "CP-404", "x" * 10_000):
        request = pb.GetChargerRequest(ocpp_identity=identity)
        error = await world.stranger.refusal("GetCharger", request)
        answers.add((error.code(), error.details()))
    assert [code for code, _ in answers] == [grpc.StatusCode.PERMISSION_DENIED]


@pytest.mark.parametrize("request_", [pb.GrantPermissionRequest, pb.ListPermissionsRequest])
async def test_a_permission_about_nothing_is_refused_by_name(
    world: World, request_: type[Message]
) -> None:
    method = request_.DESCRIPTOR.name.removesuffix("Request")
    error = await world.administrator.refusal(method, request_())
    assert error.code() == INVALID


@pytest.mark.parametrize("obj", [f"charger:{UNKNOWN}", f"permission:{UNKNOWN}", "installation:"])
async def test_a_service_is_told_of_people_that_they_may_not_where_there_is_nothing(
    world: World, obj: str
) -> None:
    """What a gateway asks for a caller ends in that caller's refusal, never as its own failure."""
    with pytest.raises(PermissionDeniedError):
        await world.check(Caller("user:somebody"), "gateway.Authorize", obj)
    await world.check(ADMINISTRATOR, "gateway.Authorize", obj)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(any_changes(SERVICE), min_size=20, max_size=40))
def test_nothing_that_can_be_sent_is_an_internal_error(sent: list[tuple[str, Changes]]) -> None:
    async def example(directory: Path) -> None:
        async with a_world(directory, directory / "access.db") as world:
            await assert_nothing_is_an_internal_error(world.administrator, world.good, sent)

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(example(Path(directory)))
