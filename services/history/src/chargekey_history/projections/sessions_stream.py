"""From the SESSIONS stream into the past: what can be read is kept, the rest is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import msgspec
import structlog
from prometheus_client import Counter

from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.follower import Follower, Message
from chargekey_common.jetstream import StreamClient
from chargekey_common.published.envelope import Catalogue, attributes
from chargekey_common.published.sessions import (
    EVENTS,
)
from chargekey_common.standing import Standing
from chargekey_common.telemetry import Reach
from chargekey_history.projections.past import Bookmark, Event, Fact, Past

STREAM = "SESSIONS"
PART = "past"
SUBJECTS = ["sessions.v1.installation.>"]  # the others are marks of the gateway's own
FIRST_DELAY = 0.2  # seconds before a refused write is tried again, doubled each time
LONGEST_DELAY = 30.0

_CATALOGUE = Catalogue(*EVENTS)
_COLUMN = range(-(2**63), 2**63)  # the integers a column holds
_LONGEST = 500  # characters; PostgreSQL's indexes take some more
_SKIPPED = Counter(
    "history_events_skipped_total", "Events of an unknown type, or unreadable ones.", ["why"]
)

log = structlog.get_logger()


class SessionsStream:
    """Keeps the past in step with the stream."""

    def __init__(
        self, past: Past, forgotten_before: Callable[[], int | None] = lambda: None
    ) -> None:
        """Keep nothing that ended `forgotten_before` then, in nanoseconds since the epoch."""
        self._past = past
        self._forgotten_before = forgotten_before
        self._follower: Follower | None = None
        self._reached = 0

    @property
    def reach(self) -> dict[str, Reach]:
        """How far the stream is read, by its name; nothing before it is."""
        return {} if self._follower is None else {STREAM: self._follower.reach}

    async def follower(self, client: StreamClient) -> Follower:
        """Return what reads on from where the rows end, to be run once."""
        known = await asyncio.to_thread(self._past.bookmark)
        self._reached = known.sequence
        self._follower = Follower(
            client, STREAM, self._handle, after=known.sequence, made=known.made, subjects=SUBJECTS
        )
        return self._follower

    async def standings(self) -> Sequence[Standing]:
        """Ask how far the past is."""
        follower = self._follower
        return [Standing(PART, STREAM) if follower is None else await follower.standing(PART)]

    async def _handle(self, batch: Sequence[Message]) -> None:
        facts = [fact for message in batch if (fact := read(message)) is not None]
        made = None if self._follower is None else self._follower.made
        bookmark = Bookmark(made, batch[-1].sequence)
        starting_over = batch[0].sequence <= self._reached
        delay = FIRST_DELAY
        while True:
            try:
                await asyncio.to_thread(
                    self._past.apply,
                    facts,
                    bookmark,
                    starting_over=starting_over,
                    forgotten_before=self._forgotten_before(),
                )
            except DatabaseUnavailableError as error:
                log.warning("history_not_written", again_in=delay, error=str(error))
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)
            else:
                self._reached = bookmark.sequence
                return


def read(message: Message) -> Fact | None:
    """Return what a message says; None, counted, for what nobody can read here.

    Skipping is safe: a later version that can read it fills the past anew.
    """
    try:
        event = cast("Event | None", _CATALOGUE.decode(message.subject, message.data))
        if event is None:
            _SKIPPED.labels("unknown").inc()
            return None
        about = attributes(message.headers)
        _require_storable(event, about.id)
    except (msgspec.DecodeError, KeyError, ValueError) as error:
        _SKIPPED.labels("unreadable").inc()
        log.error(  # noqa: TRY400 - the traceback would show the payload
            "event_unreadable", sequence=message.sequence, error=type(error).__name__
        )
        return None
    return Fact(event, about.id, about.at, message.sequence)


def _require_storable(event: Event, event_id: str) -> None:
    """Raise ValueError for what no column holds: it would stop everything behind it."""
    for value in (event_id, *msgspec.structs.astuple(event)):
        if isinstance(value, int) and value not in _COLUMN:
            reason = "a number of more than 64 bits"
            raise ValueError(reason)
        if isinstance(value, str) and ("\0" in value or len(value) > _LONGEST):
            reason = "a text that PostgreSQL refuses"
            raise ValueError(reason)
