"""The four streams in one order: of their events' times, as far as that is known.

The earliest of what has come from each is next, once every other stream has told something
too, or its end is reached. So whoever was away for a day hears of a session and of the
revocation behind it in the order in which they were, and live it is the order of arrival.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import msgspec

from chargekey_common.follower import BATCH, Follower, Message
from chargekey_common.jetstream import StreamClient
from chargekey_common.process import cancel
from chargekey_common.published.envelope import time_of
from chargekey_common.standing import Standing
from chargekey_notifier.feeds.memory import Bookmark

# Without what is secret: the keys of identifications, the credentials of chargers.
STREAMS: Mapping[str, Sequence[str]] = {
    "ACCESS": [
        f"access.v1.{kind}.>"
        for kind in ("installation", "charger", "partner", "access_request", "user")
    ],
    "IDENTITY": [f"identity.v1.{kind}.>" for kind in ("user", "partner", "charger")],
    "SESSIONS": ["sessions.v1.installation.>"],
    "CHARGERS": ["chargers.v1.charger.>", "chargers.v1.installation.>"],
}


# What reads them.
PART = "feeds"


class Arrived(msgspec.Struct, frozen=True):
    """A message of a stream that was made then; `at` is its event's time, 0 where none is told."""

    stream: str
    made: str | None
    message: Message
    at: int


class Merging:
    """Reads the streams on from their bookmarks, while `reading` is entered."""

    def __init__(self, client: StreamClient, bookmarks: Mapping[str, Bookmark]) -> None:
        self._arrived: dict[str, deque[Arrived]] = {stream: deque() for stream in STREAMS}
        self._news = asyncio.Event()
        self._taken = asyncio.Event()
        self._followers = {
            stream: Follower(
                client,
                stream,
                partial(self._arrive, stream),
                after=bookmarks[stream].sequence,
                made=bookmarks[stream].made,
                subjects=subjects,
            )
            for stream, subjects in STREAMS.items()
        }

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read for as long as it is entered."""
        tasks = [
            asyncio.create_task(follower.run(), name=f"follow {stream}")
            for stream, follower in self._followers.items()
        ]
        try:
            yield
        finally:
            await cancel(*tasks)

    @property
    def lag(self) -> int:
        """How many events are known to wait."""
        return sum(
            len(self._arrived[stream]) + (follower.pending or 0)
            for stream, follower in self._followers.items()
        )

    async def standings(self) -> Sequence[Standing]:
        """Ask how far each stream has been taken."""
        return await asyncio.gather(*map(self._standing, STREAMS))

    async def _standing(self, stream: str) -> Standing:
        read = await self._followers[stream].standing(PART)
        if read.behind is None:
            return read
        return msgspec.structs.replace(read, behind=read.behind + len(self._arrived[stream]))

    def is_at_end(self, stream: str) -> bool:
        """Whether all that the stream holds has been taken, as far as its server has said."""
        return not self._arrived[stream] and self._followers[stream].pending == 0

    @property
    def caught_up(self) -> bool:
        """Whether all that the streams hold has been taken."""
        return all(self.is_at_end(stream) for stream in STREAMS)

    async def take(self, most: int, *, within: float) -> Sequence[Arrived]:
        """Return what is next, waiting for it `within` seconds; nothing where nothing comes."""
        try:
            async with asyncio.timeout(within):
                while not (found := self._next(most)):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return []
        self._make_room()
        return found

    async def take_of(self, stream: str, most: int, *, within: float) -> Sequence[Arrived]:
        """Return what is next of one stream, whatever the others hold."""
        waiting = self._arrived[stream]
        try:
            async with asyncio.timeout(within):
                while not waiting:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return []
        found = [waiting.popleft() for _ in range(min(most, len(waiting)))]
        self._make_room()
        return found

    def _next(self, most: int) -> Sequence[Arrived]:
        found: list[Arrived] = []
        while len(found) < most:
            heads = [waiting[0] for waiting in self._arrived.values() if waiting]
            silent = [stream for stream, waiting in self._arrived.items() if not waiting]
            if not heads or not all(self._followers[each].pending == 0 for each in silent):
                break
            earliest = min(heads, key=lambda each: each.at)
            found.append(self._arrived[earliest.stream].popleft())
        return found

    def _make_room(self) -> None:
        self._taken.set()
        self._taken = asyncio.Event()

    async def _arrive(self, stream: str, batch: Sequence[Message]) -> None:
        made = self._followers[stream].made
        waiting = self._arrived[stream]
        waiting.extend(Arrived(stream, made, message, _time(message)) for message in batch)
        self._news.set()
        while len(waiting) > BATCH:
            await self._taken.wait()


def _time(message: Message) -> int:
    try:
        return time_of(message.headers)
    except (KeyError, ValueError):
        return 0
