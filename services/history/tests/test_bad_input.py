"""Every method of history with what it may not be sent: refused by name, nothing stored."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chargekey.history.v1 import history_pb2 as pb
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.pages import token_of
from chargekey_common.postgres import Postgres
from chargekey_common.testing.bad_input import (
    INVALID,
    MISSING,
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
from chargekey_history.api.service import service
from chargekey_history.projections.past import Bookmark, Past

from .neighbours import small_access
from .sessions import fact, refused, started

SERVICE = pb.DESCRIPTOR.services_by_name["HistoryService"]
FIELDS: Fields = {
    # Empty narrows nothing.
    "installation_id": bad(MISSING, "installation_unknown", *UNKNOWN_IDS[1:]),
    "charger_id": bad(MISSING, "charger_unknown", *UNKNOWN_IDS[1:]),
    "user_id": bad(MISSING, "user_unknown", *UNKNOWN_IDS[1:]),
    # More than there can be are as many as there can be.
    "page_size": bad(INVALID, "page_size_malformed", -1, -(2**31)),
    "running_only": (),
    "page_token": bad(
        INVALID,
        "page_token_malformed",
        "x",
        "no token",
        *map(token_of, ("1", "x/1/x", f"{2**63}/1/x", "1/2/")),
    ),
}


class World(msgspec.Struct, frozen=True):
    """History served, with a session and a refusal, and requests that are served."""

    past: Past
    administrator: Door
    stranger: Door
    good: dict[str, Message]


@asynccontextmanager
async def a_world(directory: Path, place: Path | Postgres) -> AsyncIterator[World]:
    if isinstance(place, Postgres):
        Past.migrate(place)
    past = Past(place)
    past.apply([fact(started("s1"), 1), fact(refused(), 2)], Bookmark("then", 2))

    async def check(caller: Caller, _: str, __: str) -> None:
        if caller != ADMINISTRATOR:
            raise PermissionDeniedError

    where = {"installation_id": "home", "charger_id": "garage"}
    good: list[Message] = [
        pb.ListSessionsRequest(**where, page_size=2**31 - 1),
        pb.ListRefusalsRequest(**where, page_size=2**31 - 1),
    ]
    async with (
        small_access(directory) as access,
        served(service(past, access), directory, check) as as_caller,
    ):
        yield World(
            past,
            Door(SERVICE, as_caller(ADMINISTRATOR)),
            Door(SERVICE, as_caller(Caller("user:somebody"))),
            {each.DESCRIPTOR.name.removesuffix("Request"): each for each in good},
        )
    past.close()


@pytest.fixture
async def world(tmp_path: Path, place: Path | Postgres) -> AsyncIterator[World]:
    async with a_world(tmp_path, place) as running:
        yield running


@pytest.mark.parametrize("method", methods(SERVICE))
async def test_what_cannot_be_is_refused_by_name_without_an_echo(world: World, method: str) -> None:
    """The rest of the request is right: without the bad value it is served."""
    await assert_every_bad_value_is_refused(world.administrator, world.good[method], FIELDS)
    await assert_no_message_is_refused(world.administrator, method)
    assert world.past.bookmark() == Bookmark("then", 2)
    await world.administrator.call(method, world.good[method])


@pytest.mark.parametrize("method", methods(SERVICE))
async def test_a_stranger_cannot_tell_what_exists_from_what_does_not(
    world: World, method: str
) -> None:
    await assert_a_stranger_learns_nothing(world.stranger, world.good[method])


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(any_changes(SERVICE), min_size=20, max_size=40))
def test_nothing_that_can_be_sent_is_an_internal_error(sent: list[tuple[str, Changes]]) -> None:
    async def example(directory: Path) -> None:
        async with a_world(directory, directory / "history.db") as world:
            await assert_nothing_is_an_internal_error(world.administrator, world.good, sent)

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(example(Path(directory)))
