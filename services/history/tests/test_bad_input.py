"""Every method of history with what it may not be sent: refused by name, nothing stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from grpc import aio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chargekey.history.v1 import decisions_pb2, reports_pb2
from chargekey.history.v1 import history_pb2 as pb
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.pages import token_of
from chargekey_common.postgres import Postgres
from chargekey_common.testing.bad_input import (
    INVALID,
    MISSING,
    UNKNOWN_IDS,
    Bad,
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
from chargekey_history.api import decisions, reports
from chargekey_history.api.service import service
from chargekey_history.projections.past import Bookmark, Past

from .neighbours import small_access, small_gateway
from .sessions import HOUR, NOON, ended, fact, started

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICES = (
    pb.DESCRIPTOR.services_by_name["HistoryService"],
    decisions_pb2.DESCRIPTOR.services_by_name["DecisionService"],
    reports_pb2.DESCRIPTOR.services_by_name["ReportService"],
)
METHODS = [name for each in SERVICES for name in methods(each)]
NO_SITE = bad(MISSING, "installation_unknown", *UNKNOWN_IDS)
FIELDS: Fields = {
    # Empty narrows nothing.
    "installation_id": bad(MISSING, "installation_unknown", *UNKNOWN_IDS[1:]),
    "charger_id": bad(MISSING, "charger_unknown", *UNKNOWN_IDS[1:]),
    "user_id": bad(MISSING, "user_unknown", *UNKNOWN_IDS[1:]),
    # More than there can be are as many as there can be.
    "page_size": bad(INVALID, "page_size_malformed", -1, -(2**31)),
    "running_only": (),
    "id": bad(MISSING, "decision_unknown", *UNKNOWN_IDS),
    "GetReport.installation_id": NO_SITE,
    # Where a period begins and ends, any instant is one.
    "ended_since": bad(INVALID, "period_malformed", NOON + 2 * HOUR, 2**63 - 1),
    "ended_before": bad(INVALID, "period_malformed", NOON, -(2**63)),
    "bounds": bad(INVALID, "bounds_malformed", [2, 1], [1, 1], list(range(401))),
    "report": [
        *(
            Bad(reports_pb2.GetReportRequest(installation_id=each.value), each.status, each.code)
            for each in NO_SITE
        ),
        Bad(
            reports_pb2.GetReportRequest(installation_id="home", ended_since=2, ended_before=1),
            INVALID,
            "period_malformed",
        ),
    ],
    "format": bad(INVALID, "report_format_unknown", -1, 3, 2**31 - 1),
    # Whatever the caller calls things.
    "names": (),
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
    administrator: Mapping[str, Door]
    stranger: Mapping[str, Door]
    good: dict[str, Message]


def doors(channel: aio.Channel) -> Mapping[str, Door]:
    """Return the way in to each method."""
    return {name: Door(each, channel) for each in SERVICES for name in methods(each)}


@asynccontextmanager
async def a_world(directory: Path, place: Path | Postgres) -> AsyncIterator[World]:
    if isinstance(place, Postgres):
        Past.migrate(place)
    past = Past(place)
    past.apply([fact(started("s1"), 1), fact(ended("s1", 1), 2)], Bookmark("then", 2))

    async def check(caller: Caller, _: str, __: str) -> None:
        if caller != ADMINISTRATOR:
            raise PermissionDeniedError

    where = {"installation_id": "home", "charger_id": "garage"}
    period = reports_pb2.GetReportRequest(
        **where, ended_since=NOON, ended_before=NOON + 2 * HOUR, user_id="anna"
    )
    good: list[Message] = [
        pb.ListSessionsRequest(**where, page_size=2**31 - 1),
        pb.ListRefusalsRequest(**where, page_size=2**31 - 1),
        decisions_pb2.ExplainDecisionRequest(id="s1"),
        period,
        reports_pb2.ExportReportRequest(report=period),
    ]
    async with (
        small_access(directory) as access,
        small_gateway(directory) as (gateway, _),
        served(
            service(past, access),
            directory,
            check,
            decisions.service(past, gateway),
            reports.service(past, access),
        ) as as_caller,
    ):
        yield World(
            past,
            doors(as_caller(ADMINISTRATOR)),
            doors(as_caller(Caller("user:somebody"))),
            {each.DESCRIPTOR.name.removesuffix("Request"): each for each in good},
        )
    past.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    shared_place: Path | Postgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """Serve one world to all tests: there is nothing to be changed by asking."""
    async with a_world(tmp_path_factory.mktemp("world"), shared_place) as running:
        yield running


@pytest.mark.parametrize("method", METHODS)
async def test_what_cannot_be_is_refused_by_name_without_an_echo(world: World, method: str) -> None:
    """The rest of the request is right: without the bad value it is served."""
    door = world.administrator[method]
    await assert_every_bad_value_is_refused(door, world.good[method], FIELDS)
    await assert_no_message_is_refused(door, method)
    assert world.past.bookmark() == Bookmark("then", 2)
    await door.call(method, world.good[method])


@pytest.mark.parametrize("method", METHODS)
async def test_a_stranger_cannot_tell_what_exists_from_what_does_not(
    world: World, method: str
) -> None:
    await assert_a_stranger_learns_nothing(world.stranger[method], world.good[method])


ANY_CHANGES = st.one_of(*(any_changes(each) for each in SERVICES))


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(sent=st.lists(ANY_CHANGES, min_size=20, max_size=40))
async def test_nothing_that_can_be_sent_is_an_internal_error(
    world: World, sent: list[tuple[str, Changes]]
) -> None:
    for method, changes in sent:
        door = world.administrator[method]
        await assert_nothing_is_an_internal_error(door, world.good, [(method, changes)])
