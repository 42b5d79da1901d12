"""A gateway that is killed between the steps of a start or a stop has recorded it or not.

O21, O23, R21, R23: never half, and the charger's retry gets the one id and verdict.
"""

from __future__ import annotations

import pytest

from chargekey_common.nats_server import NatsServer
from chargekey_common.published.sessions import SessionEnded, SessionStarted
from chargekey_gateway.sessions.transactions import Phase

from .dying import Life, live
from .replicas import NOW, Replicas, events_of, messages_of

# A start is three messages, or four in OCPP 2.x, an end three; the last one commits them.
STARTS = [("start", step) for step in (1, 2, 3, 0)] + [
    ("started", step) for step in (1, 2, 3, 4, 0)
]
ENDS = [(says, step) for says in ("stop", "ended") for step in (1, 2, 3, 0)]


def gone(server: NatsServer, says: str, step: int | None, transaction_id: int = 0) -> Life:
    return Life(
        url=server.url, token=server.token, says=says, step=step, transaction_id=transaction_id
    )


@pytest.mark.parametrize(("says", "step"), STARTS)
async def test_a_start_survives_its_gateway_whole_or_not_at_all(
    replicas: Replicas, nats_server: NatsServer, says: str, step: int
) -> None:
    replica, other = replicas
    await live(gone(nats_server, says, step))
    stored = await events_of(replica.client)
    assert [type(event) for event in stored] == ([SessionStarted] if step == 0 else [])
    await other.running.follow(await messages_of(replica.client))
    assert len(other.running.of_charger("first")) == len(stored)
    assert other.running.lock("pin").held is bool(stored)
    again = await live(gone(nats_server, says, None))
    (event,) = await events_of(replica.client)
    assert isinstance(event, SessionStarted)
    if stored:
        assert event == stored[0]
    if says == "start":
        started = await other.start()
        assert again == (started.transaction_id, "Accepted")
    else:
        decision = await other.take(Phase.STARTED)
        assert decision is not None
        assert again == (0, decision.status)
    assert len(await events_of(replica.client)) == 1
    assert not (await replica.start("second", connector=2)).decision.accepted


@pytest.mark.parametrize(("says", "step"), ENDS)
async def test_a_stop_survives_its_gateway_whole_or_not_at_all(
    replicas: Replicas, nats_server: NatsServer, says: str, step: int
) -> None:
    replica, other = replicas
    transaction_id = 0
    if says == "stop":
        transaction_id = (await replica.start()).transaction_id
    else:
        await replica.take(Phase.STARTED)
    await live(gone(nats_server, says, step, transaction_id))
    stored = await events_of(replica.client)
    assert len(stored) == (2 if step == 0 else 1)
    await live(gone(nats_server, says, None, transaction_id))
    if says == "stop":
        await other.end(transaction_id)
    else:
        await other.take(Phase.ENDED, number=1, token=None, at=NOW, meter=900)
    assert [type(event) for event in await events_of(replica.client)] == [
        SessionStarted,
        SessionEnded,
    ]
    assert (await other.start("second", connector=2)).decision.accepted


@pytest.mark.parametrize("step", [1, 0])
async def test_a_first_reading_survives_its_gateway_or_is_told_again(
    replicas: Replicas, nats_server: NatsServer, step: int
) -> None:
    """R24: of a transaction that began without one, and goes on at the next gateway."""
    replica, other = replicas
    await replica.take(Phase.STARTED, meter=None)
    await live(gone(nats_server, "metered", step))
    if step:  # it has no answer
        await live(gone(nats_server, "metered", None))
    await other.take(Phase.ENDED, number=2, token=None, at=NOW, meter=1_800)
    *_, ended = await events_of(replica.client)
    assert isinstance(ended, SessionEnded)
    assert ended.meter_stop == 800
