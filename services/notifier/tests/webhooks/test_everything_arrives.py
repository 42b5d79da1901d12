"""Whatever an endpoint answers, and whenever the sender ends: it takes the feed in order."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chargekey_common.testing.waiting import until
from chargekey_notifier.webhooks import retrying, sending

from .endpoint_server import (
    Behave,
    Posted,
    an_endpoint,
    answer,
    drop_by_drop,
    hang_up,
    never,
)
from .world import OFFLINE, REQUIRED, a_world, command

ANSWERS: dict[str, Behave] = {
    "200": answer(),
    "204": answer(204),
    "299 at length": answer(299, body=b"x" * 100_000),
    "301": answer(301, "location: /elsewhere"),
    "410": answer(410),
    "429": answer(429, "retry-after: 0"),
    "503": answer(503, "retry-after: never"),
    "500": answer(500),
    "never": never,
    "hang up": hang_up,
    "drop by drop": drop_by_drop,
}
TAKEN = {"200", "204", "299 at length"}
EVENTS = 6


async def what_is_taken(script: Sequence[str], lives: Sequence[int], directory: Path) -> list[int]:
    """Return what an endpoint took that answers like this at first, and then well.

    Each sender lives for so many requests, wherever it is then, and the last to the end.
    """
    taken: list[int] = []
    rest = iter(script)

    async def behave(posted: Posted, writer: asyncio.StreamWriter) -> None:
        says = next(rest, "200")
        if says in TAKEN:
            taken.append(posted.number)
        await ANSWERS[says](posted, writer)

    with a_world(directory) as world:
        async with an_endpoint() as endpoint:
            endpoint.behave = behave
            webhook_id = world.create(endpoint.url)
            world.tell(*[REQUIRED, OFFLINE] * (EVENTS // 2))

            def has_all() -> bool:
                now = world.now(webhook_id)
                if now.disabled_because is not None:
                    world.webhooks.change(command(), webhook_id, enabled=True)
                return now.delivered == EVENTS

            for life in lives:
                end = len(endpoint.posted) + life
                async with world.sending():
                    await until(lambda end=end: has_all() or len(endpoint.posted) >= end)  # type: ignore[misc]
            async with world.sending():
                await until(has_all)
    return taken


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from(sorted(ANSWERS)), max_size=12),
    st.lists(st.integers(0, 4), max_size=3),
)
def test_an_endpoint_takes_the_feed_in_order_without_a_gap(
    script: list[str], lives: list[int]
) -> None:
    """F20. An event may come twice, where nobody heard that it was taken."""
    with (
        tempfile.TemporaryDirectory() as directory,
        mock.patch.object(retrying, "FIRST_DELAY", 10**6),
        mock.patch.object(retrying, "LONGEST_DELAY", 2 * 10**6),
        mock.patch.object(sending, "DEADLINE", 0.05),
    ):
        taken = asyncio.run(what_is_taken(script, lives, Path(directory)))
    assert list(dict.fromkeys(taken)) == list(range(1, EVENTS + 1))
    assert all(after - before in (0, 1) for before, after in itertools.pairwise(taken))
