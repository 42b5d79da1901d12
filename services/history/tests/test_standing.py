"""How far the past is, by its own word."""

from __future__ import annotations

import pytest

from chargekey_common.standing import Standing
from chargekey_common.testing.waiting import until
from chargekey_history.projections.past import Past
from chargekey_history.projections.sessions_stream import SessionsStream

from .sessions import Stream, started
from .test_sessions_stream import following


async def test_the_past_tells_how_far_it_is(
    past: Past, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chargekey_common.standing.PATIENCE", 30.0)  # the machine may be busy
    assert await SessionsStream(past).standings() == [Standing("past", "SESSIONS")]
    async with following(past, stream) as sessions:
        sequence = await stream.publish(started("s1"))
        await until(lambda: sessions.reach["SESSIONS"].applied == sequence)
        [standing] = await sessions.standings()
    assert (standing.applied, standing.behind) == (sequence, 0)
