"""From the SESSIONS stream into the past: what can be read is kept, the rest is counted."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import cast

import msgspec
import structlog
from nats.aio.client import Client
from prometheus_client import Counter

from chargekey_common.follower import Follower, Message
from chargekey_common.published.envelope import Catalogue, attributes
from chargekey_common.published.sessions import (
    AuthorizationRefused,
    SessionEnded,
    SessionStarted,
    StartRefused,
)
from chargekey_history.projections.past import Bookmark, Event, Fact, Past

STREAM = "SESSIONS"
SUBJECTS = ["sessions.v1.installation.>"]  # the others are marks of the gateway's own
FIRST_DELAY = 0.2  # seconds before a refused write is tried again, doubled each time
LONGEST_DELAY = 30.0

_CATALOGUE = Catalogue(SessionStarted, SessionEnded, StartRefused, AuthorizationRefused)
_COLUMN = range(-(2**63), 2**63)  # the integers a column holds
_SKIPPED = Counter(
    "history_events_skipped_total", "Events of an unknown type, or unreadable ones.", ["why"]
)

log = structlog.get_logger()


class SessionsStream:
    """Keeps the past in step with the stream."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self._follower: Follower | None = None

    @property
    def applied(self) -> int:
        """The sequence the rows have come to in this run."""
        return 0 if self._follower is None else self._follower.sequence

    async def follower(self, client: Client) -> Follower:
        """Return what reads on from where the rows end, to be run once."""
        known = await asyncio.to_thread(self._past.bookmark)
        self._follower = Follower(
            client, STREAM, self._handle, after=known.sequence, made=known.made, subjects=SUBJECTS
        )
        return self._follower

    async def _handle(self, batch: Sequence[Message]) -> None:
        facts = [fact for message in batch if (fact := read(message)) is not None]
        made = None if self._follower is None else self._follower.made
        bookmark = Bookmark(made, batch[-1].sequence)
        delay = FIRST_DELAY
        while True:
            try:
                await asyncio.to_thread(self._past.apply, facts, bookmark)
            except sqlite3.OperationalError as error:  # locked, or the disk is full: it passes
                log.warning("history_not_written", again_in=delay, error=str(error))
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)
            else:
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
        _require_storable(event)
    except (msgspec.DecodeError, KeyError, ValueError) as error:
        _SKIPPED.labels("unreadable").inc()
        log.error(  # noqa: TRY400 - the traceback would show the payload
            "event_unreadable", sequence=message.sequence, error=type(error).__name__
        )
        return None
    return Fact(event, about.id, about.at, message.sequence)


def _require_storable(event: Event) -> None:
    """Raise ValueError for a number no column holds: it would stop everything behind it."""
    numbers = (value for value in msgspec.structs.astuple(event) if isinstance(value, int))
    if any(number not in _COLUMN for number in numbers):
        reason = "a number of more than 64 bits"
        raise ValueError(reason)
