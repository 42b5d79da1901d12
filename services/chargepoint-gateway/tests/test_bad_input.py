"""Every method of the gateway with what it may not be sent: refused by name, or decided."""

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
from nats.aio.client import Client

from chargekey.gateway.v1 import gateway_pb2 as pb
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.follower import Message as StreamMessage
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.positions import Position
from chargekey_common.published import access
from chargekey_common.published.envelope import POSITION_HEADER
from chargekey_common.testing.bad_input import (
    INVALID,
    STRANGE,
    UNKNOWN,
    UNKNOWN_IDS,
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
from chargekey_gateway.api.service import service
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.view import View

SERVICE = pb.DESCRIPTOR.services_by_name["GatewayService"]
SECRET = b"a secret of 24 bytes, so"
HERE = Position("access", "0" * 16, 2)
FIELDS: Fields = {
    # A charger nobody knows is a decision; one that nobody named is none.
    "charger_id": bad(INVALID, "charger_not_named", ""),
    "ocpp_identity": bad(INVALID, "charger_not_named", "CP-1", *STRANGE),
    # What one of several is refused for is said in its place.
    "questions": bad(INVALID, "questions_too_many", [pb.AuthorizeRequest()] * 1001),
    "question": [],
    # What is presented is decided, whatever it is.
    "code": bad(INVALID, "type_mismatch", "", "1234", "04A1B2C3", *STRANGE),
    "type": [
        *bad(INVALID, "identification_type_unknown", -1, 3, 99, 2**31 - 1),
        *bad(INVALID, "type_mismatch", pb.TOKEN_TYPE_RFID),
    ],
    "explain": (),
    # Access knows what there is. Here, nothing stands or runs at what nobody has heard of.
    "installation_id": (),
    "ListChargerStates.charger_id": (),
    "charger_ids": bad(INVALID, "chargers_too_many", ["x"] * 1001),
    "ListRunningSessions.charger_id": (),
    "at_least": [
        *bad(INVALID, "position_malformed", *([each] for each in ("", "access", *STRANGE))),
        *bad(INVALID, "position_malformed", [f"access:{'0' * 16}:{9**30}"], [str(HERE), "x"]),
        *bad(INVALID, "position_of_unknown_service", [f"history:{'0' * 16}:1"]),
        *bad(INVALID, "positions_too_many", [str(HERE)] * 17, [str(HERE)] * 10_000),
        *bad(
            grpc.StatusCode.FAILED_PRECONDITION,
            "position_of_another_generation",
            [f"access:{'1' * 16}:1"],
        ),
    ],
}


class World(msgspec.Struct, frozen=True):
    """The gateway served, with the charger CP-1, and requests that are served."""

    view: View
    administrator: Door
    stranger: Door
    good: dict[str, Message]


@asynccontextmanager
async def a_world(place: Path) -> AsyncIterator[World]:
    view = View()
    for number, event in enumerate(
        (
            access.InstallationCreated(
                installation_id="home", name="", time_zone="UTC", authorisation_required=True
            ),
            access.ChargerAdded(
                charger_id="garage",
                installation_id="home",
                ocpp_identity="CP-1",
                authorisation_override="INHERIT",
                identification_types=("RFID", "PIN"),
            ),
        ),
        start=1,
    ):
        position = Position("access", HERE.generation, number)
        data, about = msgspec.json.encode(event), {POSITION_HEADER: str(position)}
        view.handle(StreamMessage(event.subject, number, data, about))
    gateway = Gateway(
        Client(),
        view=view,
        running=RunningSessions(),
        keyed_ids=KeyedIds(SECRET),
        start_keys=StartKeys(SECRET),
        passwords=ChargerPasswords(SECRET),
        unknown=[].append,
        clock=lambda: 1_000,
    )

    async def check(caller: Caller, _: str, __: str) -> None:
        if caller != ADMINISTRATOR:
            raise PermissionDeniedError

    good: list[Message] = [
        pb.AuthorizeRequest(
            charger_id="garage",
            code="#1234",
            type=pb.TOKEN_TYPE_PIN,
            at_least=[str(HERE)] * 16,
        ),
        pb.AuthorizeBatchRequest(questions=[pb.AuthorizeRequest(charger_id="garage", code="#1")]),
        pb.AuthorizeStreamRequest(question=pb.AuthorizeRequest(charger_id="garage", code="#1")),
        pb.ListConnectionsRequest(),
        pb.ListChargerStatesRequest(installation_id="home"),
        pb.ListRunningSessionsRequest(charger_id="garage"),
    ]
    async with served(service(gateway, OcppServer(gateway)), place, check) as as_caller:
        yield World(
            view,
            Door(SERVICE, as_caller(ADMINISTRATOR)),
            Door(SERVICE, as_caller(Caller("user:somebody"))),
            {each.DESCRIPTOR.name.removesuffix("Request"): each for each in good},
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as running:
        yield running


@pytest.mark.parametrize("method", methods(SERVICE))
async def test_what_cannot_be_is_refused_by_name_without_an_echo_and_changes_nothing(
    world: World, method: str
) -> None:
    """The rest of the request is right: without the bad value it is served."""
    before = world.view.digest()
    await assert_every_bad_value_is_refused(world.administrator, world.good[method], FIELDS)
    await assert_no_message_is_refused(world.administrator, method)
    assert world.view.digest() == before
    await world.administrator.call(method, world.good[method])


@pytest.mark.parametrize(
    ("code", "type_", "reason"),
    [
        ("", 0, "identification_unknown"),  # nothing presented
        ("#", 0, "identification_malformed"),
        ("#123", 0, "identification_malformed"),
        ("#123456789", pb.TOKEN_TYPE_PIN, "identification_malformed"),
        ("#12\n34", 0, "identification_malformed"),
        ("\x07", 0, "identification_malformed"),
        ("04A1\u202eB2C3", 0, "identification_malformed"),
        ("x" * 10_000, 0, "identification_malformed"),
        ("0102030405", pb.TOKEN_TYPE_RFID, "identification_malformed"),
        ("1234", pb.TOKEN_TYPE_RFID, "identification_malformed"),
        ("#9999", 0, "identification_unknown"),
        ("04A1B2C3", pb.TOKEN_TYPE_RFID, "identification_unknown"),
        # A charger of OCPP 1.6 says of no code what it is: these may be on some card.
        ("0102030405", 0, "identification_unknown"),
        ("1234", 0, "identification_unknown"),
        ("DE-8AA-123456", 0, "identification_unknown"),
        # No one's for ever, and for all that a number that some phone shows.
        ("08A1B2C3", 0, "identification_unknown"),
    ],
)
async def test_what_can_be_nobodys_code_is_told_from_what_nobody_has(
    world: World, code: str, type_: int, reason: str
) -> None:
    request = pb.AuthorizeRequest(charger_id="garage", code=code, type=type_, explain=True)  # type: ignore[arg-type] # a number of the enum
    decision = await world.administrator.call("Authorize", request)
    assert (decision.status, decision.reason) == (pb.AUTHORIZATION_STATUS_INVALID, reason)
    assert decision.explanation[-1] == f"7. Is the identification unknown? yes: {reason}"
    assert (decision.steps[-1].question, decision.steps[-1].reason) == (
        "identification_unknown",
        reason,
    )
    assert len(code) < 4 or code not in str(decision)


@pytest.mark.parametrize("name", UNKNOWN_IDS[1:])
@pytest.mark.parametrize("field", ["charger_id", "ocpp_identity"])
async def test_an_unknown_charger_is_a_decision(world: World, field: str, name: str) -> None:
    """The same as for every client; a malformed code says nothing more about it."""
    request = pb.AuthorizeRequest(code="#", **{field: name})
    decision = await world.administrator.call("Authorize", request)
    assert (decision.status, decision.reason) == (
        pb.AUTHORIZATION_STATUS_INVALID,
        "charger_unknown",
    )


@pytest.mark.parametrize("method", methods(SERVICE))
async def test_a_stranger_cannot_tell_what_exists_from_what_does_not(
    world: World, method: str
) -> None:
    await assert_a_stranger_learns_nothing(world.stranger, world.good[method])


async def test_access_is_asked_about_the_charger_whichever_way_it_is_named(tmp_path: Path) -> None:
    """One this view has not heard of may be one that access knows."""
    asked: list[str] = []

    async def check(_: Caller, __: str, obj: str) -> None:
        asked.append(obj)
        raise PermissionDeniedError

    gateway = Gateway(
        Client(),
        view=View(),
        running=RunningSessions(),
        keyed_ids=KeyedIds(SECRET),
        start_keys=StartKeys(SECRET),
        passwords=ChargerPasswords(SECRET),
        unknown=[].append,
        clock=lambda: 1_000,
    )
    async with served(service(gateway, OcppServer(gateway)), tmp_path, check) as as_caller:
        door = Door(SERVICE, as_caller(ADMINISTRATOR))
        await door.refusal("Authorize", pb.AuthorizeRequest(charger_id=UNKNOWN))
        await door.refusal("Authorize", pb.AuthorizeRequest(ocpp_identity="CP-404"))
    assert asked == [f"charger:{UNKNOWN}", "charger:unknown"]


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(any_changes(SERVICE), min_size=20, max_size=40))
def test_nothing_that_can_be_sent_is_an_internal_error(sent: list[tuple[str, Changes]]) -> None:
    async def example(place: Path) -> None:
        async with a_world(place) as world:
            await assert_nothing_is_an_internal_error(world.administrator, world.good, sent)

    with tempfile.TemporaryDirectory() as place:
        asyncio.run(example(Path(place)))
