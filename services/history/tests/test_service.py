"""The gRPC service on a real server: what people get, and what they are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from grpc import aio

from chargekey.history.v1 import history_pb2 as pb
from chargekey.history.v1.history_pb2_grpc import HistoryServiceStub
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.grpc.client import remote_error
from chargekey_common.pages import token_of
from chargekey_common.published.sessions import SessionUpdated
from chargekey_common.testing.grpc import served
from chargekey_history.api.service import service
from chargekey_history.projections.past import Bookmark, Past

from .neighbours import small_access
from .sessions import HOUR, NOON, ended, fact, refused, started

Asked = list[tuple[str, str]]


@pytest.fixture
def asked() -> Asked:
    """Return what access was asked: action and object."""
    return []


@pytest_asyncio.fixture
async def stub(past: Past, tmp_path: Path, asked: Asked) -> AsyncIterator[HistoryServiceStub]:
    async def check(caller: Caller, action: str, obj: str) -> None:
        asked.append((action, obj))
        if caller != "user:owner-of-home" or obj != "installation:home":
            raise PermissionDeniedError

    async with (
        small_access(tmp_path) as access,
        served(service(past, access), tmp_path, check) as as_caller,
    ):
        yield HistoryServiceStub(as_caller(Caller("user:owner-of-home")))


async def refusal(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as failed:
        await call  # type: ignore[misc] # any call
    return failed.value.code(), remote_error(failed.value).code


async def test_sessions_are_told_as_they_were(past: Past, stub: HistoryServiceStub) -> None:
    past.apply(
        [
            fact(started("s1"), 17),
            fact(ended("s1", 17), 20),
            fact(started("s2", started_at=NOON + 1, user_id=None, identification_id=None), 23),
        ],
        Bookmark("then", 23),
    )
    answer = await stub.ListSessions(pb.ListSessionsRequest(installation_id="home"))
    running, over = answer.sessions
    assert over == pb.Session(
        id="s1",
        transaction_id=17,
        installation_id="home",
        charger_id="garage",
        connector=1,
        user_id="anna",
        identification_id="anna-pin",
        reason="installation_permission",
        started_at=NOON,
        ended_at=NOON + HOUR,
        end_reason="Local",
        energy_wh=7_400,
    )
    assert not running.HasField("ended_at")
    assert not running.HasField("energy_wh")
    assert (running.user_id, running.identification_id, running.end_reason) == ("", "", "")
    request = pb.ListSessionsRequest(installation_id="home", running_only=True)
    assert list((await stub.ListSessions(request)).sessions) == [running]


async def test_what_is_special_about_a_session_is_told(
    past: Past, stub: HistoryServiceStub
) -> None:
    """R23: begun offline, what it has delivered so far, how sure its end is."""
    where = {"installation_id": "home", "charger_id": "garage"}
    meter = SessionUpdated(
        **where,
        session_id="s1",
        transaction_id=17,
        connector=1,
        at=NOON + 5,
        meter=3_500,
        power=11_000,
    )
    begun = started("s1", offline=True, ocpp_transaction_id="theirs")
    past.apply([fact(begun, 17), fact(meter, 18)], Bookmark("then", 18))
    request = pb.ListSessionsRequest(installation_id="home")
    [session] = (await stub.ListSessions(request)).sessions
    assert (session.offline, session.ocpp_transaction_id) == (True, "theirs")
    assert (session.energy_wh, session.power_w, session.last_updated_at) == (
        2_500,
        11_000,
        NOON + 5,
    )
    assert not session.HasField("ended_at")
    end = ended("s1", 17, presumed=True, messages_missing=2)
    past.apply([fact(end, 19)], Bookmark("then", 19))
    [session] = (await stub.ListSessions(request)).sessions
    assert (session.presumed, session.messages_missing, session.energy_wh) == (True, 2, 7_400)


async def test_refusals_are_told_with_their_reason(past: Past, stub: HistoryServiceStub) -> None:
    past.apply([fact(refused(), 1, event_id="r1")], Bookmark("then", 1))
    answer = await stub.ListRefusals(pb.ListRefusalsRequest(installation_id="home"))
    assert list(answer.refusals) == [
        pb.Refusal(
            id="r1",
            installation_id="home",
            charger_id="garage",
            user_id="anna",
            identification_id="anna-pin",
            status="Blocked",
            reason="user_blocked",
            at=NOON,
            stage="authorize",
        )
    ]


async def test_access_is_asked_about_the_one_installation_that_the_answer_is_of(
    past: Past, stub: HistoryServiceStub, asked: Asked
) -> None:
    """Without an installation, named or found, it is a user's own past, or everybody's."""
    past.apply(
        [
            fact(started("s1"), 1),
            fact(started("s2", installation_id="office", charger_id="roof"), 2),
        ],
        Bookmark("then", 2),
    )
    by_charger = pb.ListSessionsRequest(charger_id="garage")
    assert [each.id for each in (await stub.ListSessions(by_charger)).sessions] == ["s1"]
    both = pb.ListRefusalsRequest(installation_id="home", charger_id="roof")
    assert not (await stub.ListRefusals(both)).refusals
    denied = (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")
    for request in (
        pb.ListSessionsRequest(charger_id="roof"),
        pb.ListSessionsRequest(charger_id="nowhere"),
        pb.ListSessionsRequest(user_id="anna"),
        pb.ListSessionsRequest(charger_id="nowhere", user_id="anna"),
        pb.ListSessionsRequest(),
        pb.ListSessionsRequest(installation_id="office"),
    ):
        assert await refusal(stub.ListSessions(request)) == denied
    assert asked == [
        ("history.ListSessions", "installation:home"),
        ("history.ListRefusals", "installation:home"),
        ("history.ListSessions", "installation:office"),
        ("history.ListSessions", "system"),
        ("history.ListSessions", "user:anna"),
        ("history.ListSessions", "user:anna"),
        ("history.ListSessions", "system"),
        ("history.ListSessions", "installation:office"),
    ]


async def test_the_owner_of_a_site_asks_about_a_charger_without_a_past(
    stub: HistoryServiceStub,
) -> None:
    assert not (await stub.ListSessions(pb.ListSessionsRequest(charger_id="new"))).sessions
    assert not (await stub.ListRefusals(pb.ListRefusalsRequest(charger_id="new"))).refusals


@pytest.mark.parametrize("entries_at_home", [0, 1])
async def test_of_a_charger_that_moved_its_site_sees_its_own_part_and_administrators_all(
    past: Past, tmp_path: Path, entries_at_home: int
) -> None:
    """R11: old sessions keep the old installation, whose owner asks for them by its name."""

    async def check(caller: Caller, _: str, obj: str) -> None:
        if caller not in (ADMINISTRATOR, obj.replace("installation:", "user:owner-of-")):
            raise PermissionDeniedError

    past.apply(
        [
            fact(started("before", installation_id="office"), 1),
            fact(refused(installation_id="office"), 2, event_id="before"),
            *[
                fact(started("after", started_at=NOON + 1), 3),
                fact(refused(), 4, event_id="after", at=NOON + 1),
            ][: 2 * entries_at_home],
        ],
        Bookmark("then", 4),
    )
    async with (
        small_access(tmp_path) as access,
        served(service(past, access), tmp_path, check) as as_caller,
    ):

        async def seen(caller: str, **where: str) -> list[list[str]]:
            stub = HistoryServiceStub(as_caller(Caller(caller)))
            sessions = await stub.ListSessions(pb.ListSessionsRequest(**where))
            refusals = await stub.ListRefusals(pb.ListRefusalsRequest(**where))
            return [
                [each.id for each in sessions.sessions],
                [each.id for each in refusals.refusals],
            ]

        after = ["after"] * entries_at_home
        garage = {"charger_id": "garage"}
        assert await seen("user:owner-of-home", **garage) == [after] * 2
        assert await seen(ADMINISTRATOR, **garage) == [[*after, "before"]] * 2
        old = {**garage, "installation_id": "office"}
        assert await seen("user:owner-of-office", **old) == [["before"]] * 2
        former = HistoryServiceStub(as_caller(Caller("user:owner-of-office")))
        denied = (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")
        assert await refusal(former.ListSessions(pb.ListSessionsRequest(**garage))) == denied


async def test_nothing_is_told_of_what_exists_and_has_no_past_and_what_exists_no_more_still_is(
    past: Past, stub: HistoryServiceStub
) -> None:
    """Only where nothing is found does it matter whether there is such a thing."""
    for request in (
        pb.ListSessionsRequest(installation_id="home"),
        pb.ListSessionsRequest(installation_id="home", charger_id="garage"),
        pb.ListSessionsRequest(installation_id="home", user_id="grace"),
    ):
        assert not (await stub.ListSessions(request)).sessions
    past.apply(
        [fact(started("s1", charger_id="scrapped", user_id="erased"), 1)], Bookmark("then", 1)
    )
    for gone in (
        pb.ListSessionsRequest(charger_id="scrapped"),
        pb.ListSessionsRequest(installation_id="home", user_id="erased"),
    ):
        assert [each.id for each in (await stub.ListSessions(gone)).sessions] == ["s1"]
    never = pb.ListSessionsRequest(installation_id="home", charger_id="never-was")
    assert await refusal(stub.ListSessions(never)) == (
        grpc.StatusCode.NOT_FOUND,
        "charger_unknown",
    )
    nobody = pb.ListRefusalsRequest(installation_id="home", user_id="nobody")
    assert await refusal(stub.ListRefusals(nobody)) == (grpc.StatusCode.NOT_FOUND, "user_unknown")


async def test_everybody_lists_what_was_of_himself_at_a_charger_whosever_it_is(
    past: Past, tmp_path: Path
) -> None:
    """Also where the charger was another site's then (R11)."""
    asked: Asked = []

    async def check(caller: Caller, action: str, obj: str) -> None:
        asked.append((action, obj))
        if obj != caller:
            raise PermissionDeniedError

    past.apply(
        [
            fact(started("his"), 1),
            fact(started("theirs", user_id="grace"), 2),
            fact(started("elsewhere", charger_id="roof"), 3),
            fact(started("before", installation_id="office"), 4),
            fact(refused(), 5, event_id="his"),
            fact(refused(user_id="grace"), 6, event_id="theirs"),
        ],
        Bookmark("then", 6),
    )
    garage = {"charger_id": "garage", "user_id": "anna"}
    async with (
        small_access(tmp_path) as access,
        served(service(past, access), tmp_path, check) as as_caller,
    ):
        anna = HistoryServiceStub(as_caller(Caller("user:anna")))
        sessions = await anna.ListSessions(pb.ListSessionsRequest(**garage))
        refusals = await anna.ListRefusals(pb.ListRefusalsRequest(**garage))
        assert sorted(each.id for each in sessions.sessions) == ["before", "his"]
        assert [each.id for each in refusals.refusals] == ["his"]
        at_home = pb.ListSessionsRequest(installation_id="home", **garage)
        assert [each.id for each in (await anna.ListSessions(at_home)).sessions] == ["his"]
        # Whether a charger or a site is there is not his to know: never there, and without him.
        for where in ({"charger_id": "never-was"}, {"charger_id": "new"}):
            nothing = pb.ListSessionsRequest(user_id="anna", **where)
            assert not (await anna.ListSessions(nothing)).sessions
        eve = HistoryServiceStub(as_caller(Caller("user:eve")))
        denied = (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")
        assert await refusal(eve.ListSessions(pb.ListSessionsRequest(**garage))) == denied
    assert {obj for _, obj in asked} == {"user:anna"}


@pytest.mark.parametrize(("limit", "count"), [(0, 100), (7, 7), (5_000, 1_000)])
async def test_a_page_has_no_more_entries_than_asked_for_and_tells_that_there_are_more(
    past: Past, stub: HistoryServiceStub, limit: int, count: int
) -> None:
    past.apply([fact(refused(), n) for n in range(1_100)], Bookmark("then", 1_100))
    request = pb.ListRefusalsRequest(installation_id="home", page_size=limit)
    answer = await stub.ListRefusals(request)
    assert len(answer.refusals) == count
    assert answer.next_page_token


async def test_pages_of_sessions_are_the_whole_list_while_newer_ones_begin(
    past: Past, stub: HistoryServiceStub
) -> None:
    """Several that started at once are told apart; none is told twice, and none left out."""
    starts = [started(f"s{n}", started_at=NOON + n // 3) for n in range(11)]
    past.apply([fact(each, n) for n, each in enumerate(starts, start=1)], Bookmark("then", 20))
    request, found = pb.ListSessionsRequest(installation_id="home", page_size=2), []
    while True:
        answer = await stub.ListSessions(request)
        found += [each.id for each in answer.sessions]
        newer = started(f"newer{len(found)}", started_at=NOON + HOUR)
        past.apply([fact(newer, 20 + len(found))], Bookmark("then", 20 + len(found)))
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert found == [f"s{n}" for n in reversed(range(11))]


async def test_pages_of_refusals_are_the_whole_list(past: Past, stub: HistoryServiceStub) -> None:
    told = [fact(refused(), n, event_id=f"r{n:02}", at=NOON + n // 4) for n in range(10)]
    past.apply(told, Bookmark("then", 10))
    request, found = pb.ListRefusalsRequest(installation_id="home", page_size=5), []
    while True:
        answer = await stub.ListRefusals(request)
        found += [each.id for each in answer.refusals]
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert found == [f"r{n:02}" for n in reversed(range(10))]


async def test_a_page_behind_the_end_is_empty_and_asks_nobody(
    past: Past, stub: HistoryServiceStub
) -> None:
    past.apply([fact(started("s1"), 1)], Bookmark("then", 1))
    token = token_of(f"{NOON}/1/s1")
    for request in (
        pb.ListSessionsRequest(installation_id="home", page_token=token),
        pb.ListSessionsRequest(
            installation_id="home", charger_id="never-was", page_token=token_of("-5/1/s1")
        ),
    ):
        assert not (await stub.ListSessions(request)).sessions


async def test_a_negative_size_is_refused_by_name(stub: HistoryServiceStub) -> None:
    request = pb.ListSessionsRequest(installation_id="home", page_size=-1)
    assert await refusal(stub.ListSessions(request)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "page_size_malformed",
    )
