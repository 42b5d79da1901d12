"""What is recorded says from which view it was decided, whatever that has heard since."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import pytest
from nats.aio.client import Client

from chargekey_common.follower import Message
from chargekey_common.positions import Position
from chargekey_common.process import cancel
from chargekey_common.published import access, identity
from chargekey_common.published.envelope import Attributes, headers
from chargekey_common.published.sessions import (
    AuthorizationRefused,
    SessionStarted,
    StartRefused,
)
from chargekey_gateway.decision import Decision
from chargekey_gateway.sessions import stream
from chargekey_gateway.sessions.transactions import Phase

from .operators.operator_server import ALLOWED, Asked, an_operator, answer
from .replicas import CARD, MINUTE, NOW, OTHERS_CARD, Replica, Replicas, events_of
from .test_external_sites import asked_by, tap

GENERATION = "0123456789abcdef"
UNKNOWN = "04FFFFFF"
RENAMED = access.InstallationRenamed(installation_id="site", name="as before")
ADDRESSED = identity.EmailVerified(user_id="nobody")

Recorded = SessionStarted | StartRefused | AuthorizationRefused


def hears(replica: Replica, number: int) -> tuple[str, ...]:
    """Have the view read up to `number` of both streams, and return what it is then."""
    for event in (RENAMED, ADDRESSED):
        position = Position(event.stream, GENERATION, number)
        about = Attributes(id=f"{number}", at=NOW, cause="", actor="", position=position)
        data, told = msgspec.json.encode(event), headers(event, about, source=event.stream)
        replica.view.handle(Message(event.subject, number, data, told))
    positions = f"access:{GENERATION}:{number}", f"identity:{GENERATION}:{number}"
    assert replica.view.positions == positions
    return positions


async def recorded(replica: Replica) -> Sequence[Recorded]:
    events = await events_of(replica.client)
    return [each for each in events if isinstance(each, Recorded)]


async def begun(replica: Replica) -> Decision:
    return (await replica.start(token=CARD)).decision


async def refused(replica: Replica) -> Decision:
    return (await replica.start(token=UNKNOWN)).decision


async def begun_offline(replica: Replica) -> Decision:
    """By what was known then: he has lost it since."""
    lost = access.PermissionRevoked(installation_id="site", permission_id="ada", user_id="ada")
    replica.view.apply(lost, NOW - MINUTE)
    return (await replica.start(token=CARD, started_at=NOW - 60 * MINUTE)).decision


async def refused_offline(replica: Replica) -> Decision:
    return (await replica.start(token=UNKNOWN, started_at=NOW - 60 * MINUTE)).decision


async def begun_in_2x(replica: Replica) -> Decision:
    decision = await replica.take(Phase.STARTED, token=CARD)
    assert decision is not None
    return decision


async def refused_in_2x(replica: Replica) -> Decision:
    decision = await replica.take(Phase.STARTED, token=UNKNOWN)
    assert decision is not None
    return decision


async def refused_tap(replica: Replica) -> Decision:
    decision = replica.gateway.deciding.authorize(replica.charger(), UNKNOWN)
    assert isinstance(decision, Decision)
    return decision


@pytest.mark.parametrize(
    ("happens", "kind"),
    [
        (begun, SessionStarted),
        (refused, StartRefused),
        (begun_offline, SessionStarted),
        (refused_offline, StartRefused),
        (begun_in_2x, SessionStarted),
        (refused_in_2x, StartRefused),
        (refused_tap, AuthorizationRefused),
    ],
    ids=lambda each: each.__name__,
)
async def test_what_began_or_was_refused_is_told_with_the_view_it_was_decided_from(
    replicas: Replicas, happens: Callable[[Replica], Awaitable[Decision]], kind: type[Recorded]
) -> None:
    replica, _ = replicas
    hears(replica, 4)
    then = hears(replica, 7)
    await happens(replica)
    hears(replica, 9)  # before a refusal is published, which takes its time
    publishing = asyncio.create_task(replica.gateway.run())
    async with asyncio.timeout(30):
        await replica.gateway.deciding.idle()
    await cancel(publishing)
    [told] = await recorded(replica)
    assert isinstance(told, kind)
    assert told.inputs.positions == then
    offline = getattr(told, "offline", False)
    assert offline is ("offline" in happens.__name__)


async def test_a_start_that_is_sent_again_keeps_the_view_it_was_decided_from(
    replicas: Replicas,
) -> None:
    """R23: at the replica that has heard more as well."""
    one, other = replicas
    then = hears(one, 7)
    hears(other, 9)
    first = await one.start(token=CARD)
    assert await other.start(token=CARD) == first
    [told] = await recorded(one)
    assert told.inputs.positions == then


@pytest.mark.parametrize("stage", ["tap", "start", "start in 2.x"])
async def test_what_an_operator_decides_is_told_with_the_view_from_before_it_was_asked(
    nats_client: Client, stage: str
) -> None:
    """What else it was decided from is of that moment, too."""
    await stream.declare(nats_client.jetstream(), now=NOW, replicas=1)
    async with an_operator() as volt, asked_by(nats_client, volt) as replica:
        then = hears(replica, 7)
        answers = answer(b'{"allowed": "BLOCKED"}' if stage == "tap" else ALLOWED)

        async def meanwhile(asked: Asked, writer: asyncio.StreamWriter) -> None:
            block = access.UserBlockedAtInstallation(installation_id="site", user_id="bob")
            replica.view.apply(block, NOW)
            hears(replica, 9)
            await answers(asked, writer)

        volt.behave = meanwhile
        publishing = asyncio.create_task(replica.gateway.run())
        if stage == "tap":
            await tap(replica, OTHERS_CARD)
            async with asyncio.timeout(30):
                await replica.gateway.deciding.idle()
        elif stage == "start":
            await replica.start(token=OTHERS_CARD)
        else:
            await replica.take(Phase.STARTED, token=OTHERS_CARD)
        await cancel(publishing)
        assert replica.view.positions != then
        [told] = await recorded(replica)
        assert told.inputs.positions == then
        assert not told.inputs.user_blocked
