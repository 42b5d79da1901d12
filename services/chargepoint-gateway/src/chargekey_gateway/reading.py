"""The streams that the gateway's memory is made from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from chargekey_common.follower import Follower, Message
from chargekey_common.jetstream import StreamClient
from chargekey_common.process import Lifetime
from chargekey_common.standing import Standing
from chargekey_common.telemetry import Reach
from chargekey_gateway import lockouts, remote_starts
from chargekey_gateway.freshness import Freshness
from chargekey_gateway.lockouts import Lockouts
from chargekey_gateway.operators import last_known
from chargekey_gateway.operators.last_known import LastKnown
from chargekey_gateway.reconcile import confirmed
from chargekey_gateway.reconcile.confirmed import Confirmed
from chargekey_gateway.remote_starts import RemoteStarts
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.sessions.stream import STREAM
from chargekey_gateway.snapshots import Place
from chargekey_gateway.view.refill import refilled
from chargekey_gateway.view.view import SERVICES, View

WATCH = 1.0  # seconds
BEGINNING = Place(0, None)


class Reading:
    """Reads them from their beginnings: for the view, running sessions and what buckets keep."""

    def __init__(
        self,
        client: StreamClient,
        view: View,
        running: RunningSessions,
        locks: Lockouts,
        answers: LastKnown,
        chargers: Confirmed,
        starts: RemoteStarts,
        places: Mapping[str, Place] | None = None,
    ) -> None:
        """Read behind `places`, where view and running sessions know what is before these."""
        self._client = client
        self._view = view
        self._of_view = [
            _follower(client, service.upper(), view.follow, places or {}) for service in SERVICES
        ]
        self._freshness = Freshness(view, self._of_view)
        of_sessions = _follower(client, STREAM, running.follow, places or {})
        self._kept = [*self._of_view, of_sessions]
        self._followers = [
            *self._kept,
            Follower(client, lockouts.STREAM, locks.follow),
            Follower(client, last_known.STREAM, answers.follow),
            Follower(client, confirmed.STREAM, chargers.follow),
            Follower(client, remote_starts.STREAM, starts.follow),
        ]

    @property
    def reach(self) -> dict[str, Reach]:
        """How far each stream is read, by its name."""
        return {each.stream: each.reach for each in self._followers}

    @property
    def places(self) -> Mapping[str, Place]:
        """How far the streams are read of which all is known that counts."""
        return {each.stream: Place(each.sequence, each.made) for each in self._kept}

    def begin(self, lifetime: Lifetime) -> None:
        """Read for the whole life of the process."""
        for follower in self._followers:
            lifetime.own(follower.run(), f"follow {follower.stream}")
        lifetime.own(self._mend(), "mend the view")
        lifetime.own(self._freshness.run(), "freshness of the view")

    async def caught_up(self) -> None:
        """Return once everything that was there is known, also where it is being refilled."""
        for follower in self._followers:
            await follower.caught_up.wait()
        await refilled(self._client, self._view)

    async def standings(self) -> Sequence[Standing]:
        """Ask how far the view is, and the rest of what is remembered."""
        return await asyncio.gather(
            *(
                each.standing("view" if each in self._of_view else "memory")
                for each in self._followers
            )
        )

    async def _mend(self) -> None:
        """Notice when a view that heard of a restored store has heard all of it."""
        while True:
            await asyncio.sleep(WATCH)
            if not self._view.whole:
                await refilled(self._client, self._view)
                self._view.mended()


def _follower(
    client: StreamClient,
    stream: str,
    handle: Callable[[Sequence[Message]], Awaitable[None]],
    places: Mapping[str, Place],
) -> Follower:
    place = places.get(stream, BEGINNING)
    return Follower(client, stream, handle, after=place.sequence, made=place.made)
