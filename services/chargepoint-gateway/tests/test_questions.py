"""Questions in batches and streams: each answered as a call of its own would be, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from grpc import aio
from nats.aio.client import Client

from chargekey.gateway.v1 import gateway_pb2 as pb
from chargekey.gateway.v1.gateway_pb2_grpc import GatewayServiceStub
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.errors import PermissionDeniedError, UnavailableError
from chargekey_common.follower import Message
from chargekey_common.grpc.client import remote_error
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.positions import Position
from chargekey_common.published import access
from chargekey_common.published.envelope import POSITION_HEADER, PublishedEvent
from chargekey_common.testing.grpc import served
from chargekey_common.testing.waiting import until
from chargekey_gateway.api import questions
from chargekey_gateway.api.errors import MOST_QUESTIONS
from chargekey_gateway.api.pin_questions import MOST
from chargekey_gateway.api.questions import A_TURN
from chargekey_gateway.api.service import service
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view.view import View

ADA = Caller("user:ada")
SECRET = b"a secret of 24 bytes, so"
CARD = "04A1B2C3"


class Rules:
    """Lets everybody ask; people about the charger `garage` alone, while access is there."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.away = False

    async def __call__(self, caller: Caller, action: str, obj: str) -> None:
        self.asked.append((action, obj))
        if self.away:
            raise UnavailableError
        if caller != ADMINISTRATOR and obj not in {"system", "charger:garage"}:
            raise PermissionDeniedError


class Clock:
    """Stands still, and knows how often it was looked at: once a decision about a card."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> int:
        self.looks += 1
        return 1_000


class World(msgspec.Struct, frozen=True):
    """The gateway served, with the charger `garage` that is open and `office` that is not."""

    rules: Rules
    view: View
    clock: Clock
    as_caller: Callable[[Caller], aio.Channel]

    def stub(self, caller: Caller = ADA) -> Any:
        return GatewayServiceStub(self.as_caller(caller))


def told(view: View, number: int, event: PublishedEvent) -> None:
    about = {POSITION_HEADER: str(Position("access", "0" * 16, number))}
    view.handle(Message(event.subject, number, msgspec.json.encode(event), about))


@asynccontextmanager
async def a_world(place: Path) -> AsyncIterator[World]:
    view, rules, clock = View(), Rules(), Clock()
    number = 0
    for site, charger, restricted in (("home", "garage", False), ("work", "office", True)):
        for event in (
            access.InstallationCreated(
                installation_id=site, name="", time_zone="UTC", authorisation_required=restricted
            ),
            access.ChargerAdded(
                charger_id=charger,
                installation_id=site,
                ocpp_identity=f"CP-{charger}",
                authorisation_override="INHERIT",
                identification_types=("RFID", "PIN"),
            ),
        ):
            number += 1
            told(view, number, event)
    gateway = Gateway(
        Client(),
        view=view,
        running=RunningSessions(),
        keyed_ids=KeyedIds(SECRET),
        start_keys=StartKeys(SECRET),
        passwords=ChargerPasswords(SECRET),
        unknown=[].append,
        clock=clock,
    )
    async with served(service(gateway, OcppServer(gateway)), place, rules) as as_caller:
        yield World(rules, view, clock, as_caller)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as running:
        yield running


# Each by what comes of it for Ada.
ASKED = {
    "open_charger": pb.AuthorizeRequest(charger_id="garage", code=CARD),
    "permission_denied": pb.AuthorizeRequest(charger_id="office", code=CARD),
    "charger_not_named": pb.AuthorizeRequest(code=CARD),
    "type_mismatch": pb.AuthorizeRequest(charger_id="garage", code=CARD, type=pb.TOKEN_TYPE_PIN),
    "position_malformed": pb.AuthorizeRequest(charger_id="garage", code=CARD, at_least=["x"]),
    "positions_too_many": pb.AuthorizeRequest(charger_id="garage", at_least=["x"] * 17),
}


async def in_batch(
    world: World, asked: list[pb.AuthorizeRequest], caller: Caller = ADA
) -> list[Any]:
    answer = await world.stub(caller).AuthorizeBatch(pb.AuthorizeBatchRequest(questions=asked))
    return list(answer.outcomes)


async def in_stream(
    world: World, asked: list[pb.AuthorizeRequest], caller: Caller = ADA
) -> list[Any]:
    requests = [pb.AuthorizeStreamRequest(question=each) for each in asked]
    stream = world.stub(caller).AuthorizeStream(iter(requests))
    return [each.outcome async for each in stream]


BOTH = pytest.mark.parametrize("asking", [in_batch, in_stream])
Asking = Callable[..., Any]


def said(outcome: pb.AuthorizeOutcome) -> str:
    decided = outcome.WhichOneof("outcome") == "decision"
    return outcome.decision.reason if decided else outcome.refusal.code


@BOTH
async def test_answers_come_in_the_order_of_the_questions_refusals_among_them(
    world: World, asking: Asking
) -> None:
    """S7-1: who may not ask about a charger hears so in its place, and no more."""
    asked = [*ASKED.items(), *reversed(ASKED.items()), *ASKED.items()]
    outcomes = await asking(world, [request for _, request in asked])
    assert [said(each) for each in outcomes] == [code for code, _ in asked]
    denied = outcomes[1].refusal
    assert (denied.sentence, denied.HasField("retry_after")) == (
        PermissionDeniedError.sentence,
        False,
    )


@BOTH
async def test_each_is_answered_as_by_a_call_of_its_own(world: World, asking: Asking) -> None:
    asked = [
        pb.AuthorizeRequest(charger_id=charger, code=code, explain=explain)
        for charger in ("garage", "office", "nowhere")
        for code in (CARD, "#2468", "", "\x07")
        for explain in (False, True)
    ]
    alone = [await world.stub(ADMINISTRATOR).Authorize(each) for each in asked]
    outcomes = await asking(world, asked, ADMINISTRATOR)
    assert [each.decision for each in outcomes] == alone


@BOTH
async def test_a_charger_that_is_not_there_is_told_from_one_that_is_by_nobody_who_may_not(
    world: World, asking: Asking
) -> None:
    there, nowhere = await asking(
        world,
        [
            pb.AuthorizeRequest(ocpp_identity="CP-office", code=CARD),
            pb.AuthorizeRequest(ocpp_identity="CP-nowhere", code=CARD),
        ],
    )
    assert there == nowhere
    assert there.refusal.code == "permission_denied"


@BOTH
async def test_the_rules_of_one_question_are_asked_about_each_charger_once(
    world: World, asking: Asking
) -> None:
    await asking(world, [ASKED["open_charger"]] * 120)
    opened, *about = world.rules.asked
    assert opened[0].startswith("gateway.Authorize")
    assert opened[1] == "system"
    assert about == [("gateway.Authorize", "charger:garage")]


@BOTH
async def test_pins_are_limited_among_other_questions_as_they_are_alone(
    world: World, asking: Asking
) -> None:
    """R14; without a word about those that were asked about."""
    pins = [
        pb.AuthorizeRequest(charger_id="garage", code=f"#{1111 * n}") for n in range(1, MOST + 3)
    ]
    outcomes = await asking(world, [*pins, ASKED["open_charger"]])
    codes = list(map(said, outcomes))
    assert codes[MOST : MOST + 2] == ["too_many_attempts"] * 2
    assert codes.count("too_many_attempts") == 2
    assert outcomes[MOST].refusal.retry_after == 600
    with pytest.raises(aio.AioRpcError, match="too many attempts"):
        await world.stub().Authorize(pins[0])


@BOTH
async def test_a_question_waits_for_a_position_and_the_next_one_for_it(
    world: World, asking: Asking
) -> None:
    later = Position("access", "0" * 16, 5)
    waits = pb.AuthorizeRequest(charger_id="garage", code=CARD, at_least=[str(later)])
    asked = asyncio.create_task(asking(world, [waits, ASKED["open_charger"]]))
    await until(lambda: len(world.rules.asked) >= 2)
    renamed = access.InstallationRenamed(installation_id="home", name="Home")
    told(world.view, later.number, renamed)
    outcomes = await asked
    assert [said(each) for each in outcomes] == ["open_charger"] * 2
    assert str(later) in outcomes[0].decision.positions


async def test_a_view_that_does_not_get_there_costs_its_questions_their_answers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a batch all of them wait together, and not each in its turn."""
    monkeypatch.setattr(questions, "LONGEST_WAIT", 0.1)
    never = str(Position("access", "0" * 16, 99))
    waits = pb.AuthorizeRequest(charger_id="garage", code=CARD, at_least=[never])
    async with asyncio.timeout(8):
        outcomes = await in_batch(world, [waits, ASKED["open_charger"]] * 100)
    assert [said(each) for each in outcomes] == ["view_behind", "open_charger"] * 100


async def test_a_batch_is_refused_whole_where_it_is_too_long_or_access_is_away(
    world: World,
) -> None:
    with pytest.raises(aio.AioRpcError) as refused:
        await in_batch(world, [ASKED["open_charger"]] * (MOST_QUESTIONS + 1))
    assert remote_error(refused.value).code == "questions_too_many"
    assert len(await in_batch(world, [ASKED["open_charger"]] * MOST_QUESTIONS)) == MOST_QUESTIONS
    assert await in_batch(world, []) == []
    world.rules.away = True
    with pytest.raises(aio.AioRpcError) as refused:
        await in_batch(world, [ASKED["permission_denied"]])
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_stream_outlives_access(world: World) -> None:
    stream = world.stub().AuthorizeStream()
    for away, code in (
        (False, "permission_denied"),
        (True, "unavailable"),
        (False, "permission_denied"),
    ):
        world.rules.away = away
        await stream.write(pb.AuthorizeStreamRequest(question=ASKED["permission_denied"]))
        assert said((await stream.read()).outcome) == code
    await stream.done_writing()
    assert await stream.read() is aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_what_cannot_be_read_ends_a_stream(world: World) -> None:
    nul = pb.AuthorizeRequest(charger_id="garage", code="a\0")
    with pytest.raises(aio.AioRpcError) as refused:
        await in_stream(world, [nul])
    assert remote_error(refused.value).code == "text_malformed"


async def test_others_have_their_turn_while_a_batch_is_decided(world: World) -> None:
    seen = [world.clock.looks]

    async def look() -> None:
        while True:
            seen.append(world.clock.looks)
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    await in_batch(world, [ASKED["open_charger"]] * MOST_QUESTIONS)
    looking.cancel()
    assert seen[-1] == MOST_QUESTIONS
    assert max(after - before for before, after in pairwise(seen)) <= A_TURN
