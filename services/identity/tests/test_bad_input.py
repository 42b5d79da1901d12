"""Every method of identity with what it may not be sent: refused by name, nothing stored."""

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

from chargekey.identity.v1 import identity_pb2 as pb
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.eventstore.postgres import PostgresRecorder
from chargekey_common.eventstore.store import Context, EventStore
from chargekey_common.keyed_ids import KeyedIds
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
    assert_every_bad_value_is_refused,
    assert_no_message_is_refused,
    assert_nothing_is_an_internal_error,
    bad,
    methods,
)
from chargekey_identity.application import Identity
from chargekey_identity.domain.events import EVENTS, IdentificationType
from chargekey_identity.keyring import KeyRing
from chargekey_identity.projections.directory import Directory

from .conftest import MASTER, SECRET, serving

SERVICE = pb.DESCRIPTOR.services_by_name["IdentityService"]
TAKEN = grpc.StatusCode.ALREADY_EXISTS
PINS = ("", "#", "1234", "#123", "#123456789", "#12a4", "# 1234", " #1234", "#1234\n", "##1234")
PINS_OF_OTHER_DIGITS = ("#١٢٣٤", "#\uff11\uff12\uff13\uff14", "\uff031234")
CARDS = ("", "04A1", "0102030405", "04A1B2C3D4E5", "04A1B2CG", "#1234", "x04A1B2C3", "04A1B2C3\n")
OTHER_CARDS = (
    "04A1B2\ufb00",
    "\uff10\uff14\uff21\uff11\uff22\uff12\uff23\uff13",
    ":" * 10_000 + "04A1B2C3",
)
RANDOM_CARDS = ("08A1B2C3", "08:a1:b2:c3", "01020304", "00000000", "FF" * 7, "00" * 10)

FIELDS: Fields = {
    "command_id": COMMAND_ID,
    "installation_id": bad(MISSING, "installation_unknown", *UNKNOWN_IDS),
    "user_id": bad(MISSING, "user_unknown", *UNKNOWN_IDS),
    "identification_id": bad(MISSING, "identification_unknown", *UNKNOWN_IDS),
    "first_name": NAME,
    "last_name": NAME,
    "blocked": (),
    "type": [
        *bad(INVALID, "identification_type_unknown", 0, -1, 3, 2**31 - 1),
        *bad(INVALID, "rfid_malformed", pb.IDENTIFICATION_TYPE_RFID),  # of a PIN's code
    ],
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

HERS: tuple[tuple[IdentificationType, str], ...] = (
    ("PIN", "#1111"),
    ("PIN", "#4444"),
    ("RFID", "04D4E5F6"),
)


class World(msgspec.Struct, frozen=True):
    """Identity served, with Ada, two PINs and a card of hers, and requests that are served."""

    store: EventStore
    administrator: Door
    stranger: Door
    good: dict[str, Message]
    good_card: Message


@asynccontextmanager
async def a_world(directory: Path, place: Path | Postgres) -> AsyncIterator[World]:
    if isinstance(place, Postgres):
        PostgresRecorder.migrate(place)
    keyring = KeyRing(directory / "identity-keys.db", MASTER)
    store = EventStore("identity", place, EVENTS, keyring)
    identity = Identity(store, KeyedIds(SECRET))
    ada = identity.add_local_user(
        Context(ADMINISTRATOR, "1"),
        installation_id="home",
        first_name="Ada",
        last_name="Lovelace",
        blocked=False,
    ).result
    pin, *_ = [
        identity.add_identification(
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
    pin_type, card_type = pb.IDENTIFICATION_TYPE_PIN, pb.IDENTIFICATION_TYPE_RFID
    inactive = pb.IDENTIFICATION_STATUS_INACTIVE
    good: list[Message] = [
        pb.AddLocalUserRequest(installation_id="home", first_name="Grace", last_name="Hopper"),
        pb.RenameUserRequest(user_id=ada, first_name="Ada", last_name="King"),
        pb.BlockUserRequest(user_id=ada),
        pb.UnblockUserRequest(user_id=ada),
        pb.GetUserRequest(user_id=ada),
        pb.ListUsersRequest(installation_id="home"),
        pb.AddIdentificationRequest(user_id=ada, type=pin_type, code="#2222"),
        pb.ChangeIdentificationRequest(identification_id=pin, code="#3333", status=inactive),
        pb.RemoveIdentificationRequest(identification_id=pin),
        pb.RevealCodeRequest(identification_id=pin),
        pb.ListIdentificationsRequest(user_id=ada),
    ]
    async with serving(identity, Directory(store), directory) as (as_caller, _access):
        yield World(
            store,
            Door(SERVICE, as_caller(ADMINISTRATOR)),
            Door(SERVICE, as_caller(Caller("user:somebody"))),
            {each.DESCRIPTOR.name.removesuffix("Request"): each for each in good},
            pb.AddIdentificationRequest(user_id=ada, type=card_type, code="04A1B2C3"),
        )
    store.close()
    keyring.close()


@pytest.fixture
async def world(tmp_path: Path, place: Path | Postgres) -> AsyncIterator[World]:
    async with a_world(tmp_path, place) as running:
        yield running


@pytest.mark.parametrize("method", methods(SERVICE))
async def test_what_cannot_be_is_refused_by_name_without_an_echo_and_nothing_is_stored(
    world: World, method: str
) -> None:
    """R13, R17, R18. The rest of the request is right: without the bad value it is served."""
    end = world.store.position()
    await assert_every_bad_value_is_refused(world.administrator, world.good[method], FIELDS)
    await assert_no_message_is_refused(world.administrator, method)
    assert world.store.position() == end
    await world.administrator.call(method, world.good[method])


async def test_what_is_no_card_is_refused_by_name_without_an_echo_and_nothing_is_stored(
    world: World,
) -> None:
    """R15, S3-54."""
    end = world.store.position()
    await assert_every_bad_value_is_refused(world.administrator, world.good_card, CARD_FIELDS)
    assert world.store.position() == end
    await world.administrator.call("AddIdentification", world.good_card)


@pytest.mark.parametrize("method", methods(SERVICE))
async def test_a_stranger_cannot_tell_what_exists_from_what_does_not(
    world: World, method: str
) -> None:
    end = world.store.position()
    await assert_a_stranger_learns_nothing(world.stranger, world.good[method])
    assert world.store.position() == end


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(any_changes(SERVICE), min_size=20, max_size=40))
def test_nothing_that_can_be_sent_is_an_internal_error(sent: list[tuple[str, Changes]]) -> None:
    async def example(directory: Path) -> None:
        async with a_world(directory, directory / "identity.db") as world:
            await assert_nothing_is_an_internal_error(world.administrator, world.good, sent)

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(example(Path(directory)))
