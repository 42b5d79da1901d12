"""From a partner's feed to what it is told by OCPI: the same events, in their order, once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import grpc
import msgspec
import structlog
from grpc import aio

from chargekey.access.v1 import installations_pb2, installations_pb2_grpc
from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.process import set_within
from chargekey_common.published import feed
from chargekey_notifier.feeds.store import Entry, Feeds
from chargekey_notifier.ocpi import cdrs, locations, sessions
from chargekey_notifier.ocpi.locations import Place, Site
from chargekey_notifier.ocpi.messages import nanoseconds
from chargekey_notifier.ocpi.objects import CDR, LOCATION, SESSION, Changes, Objects
from chargekey_notifier.ocpi.sessions import Charge
from chargekey_notifier.ocpi.starts import Starts

LOOK = 2.0  # seconds between looks for what other replicas have done
BATCH = 100  # events and objects at once
DEADLINE = 5.0  # seconds for access to answer
_SECOND = 1_000_000_000
AGAIN = 60 * _SECOND  # until what could not be seen to is tried again
KEPT = 400 * 24 * 3600 * _SECOND  # of sessions, CDRs, and what they were begun with
FORGETTING = 3600.0  # seconds between looks for what is kept no longer

_EVENTS: Mapping[str, type[feed.FeedEvent]] = {
    each.cloudevents_type(): each
    for each in (
        feed.AccessStarted,
        feed.AccessChanged,
        feed.AccessEnded,
        feed.InstallationAddressSet,
        feed.ChargerAdded,
        feed.ChargerMoved,
        feed.ChargerConnected,
        feed.ChargerDisconnected,
        feed.ConnectorStatusChanged,
        feed.SessionStarted,
        feed.SessionUpdated,
        feed.SessionEnded,
        feed.SessionCorrected,
        feed.StartRefused,
    )
}
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_ENVELOPE = msgspec.json.Decoder(feed.Envelope)
_OfSession = (
    feed.SessionStarted
    | feed.SessionUpdated
    | feed.SessionEnded
    | feed.SessionCorrected
    | feed.StartRefused
)

log = structlog.get_logger()


class Following:
    """The one that makes objects of feeds, for every partner, whether it speaks OCPI or not.

    Who connects later so finds all there, although a feed is kept for some weeks only. A dead
    operator holds up nothing here: nothing is sent.
    """

    def __init__(
        self,
        objects: Objects,
        starts: Starts,
        feeds: Feeds,
        access: aio.Channel,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`access` is asked for sites' addresses; `clock` tells nanoseconds since the epoch."""
        self._objects = objects
        self._starts = starts
        self._feeds = feeds
        self._installations = installations_pb2_grpc.InstallationServiceStub(access)
        self._clock = clock
        self._told = asyncio.Event()
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        feeds.on_told(lambda _: self._wake(self._told))
        objects.on_changed(lambda: self._wake(self._changed))

    def _wake(self, event: asyncio.Event) -> None:
        self._loop.call_soon_threadsafe(event.set)

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._again_and_again(self.follow, self._told))
            # Beside it: access may not answer.
            tasks.create_task(self._again_and_again(self.see_to, self._changed))
            tasks.create_task(self._forget())

    async def follow(self) -> None:
        """Make objects of all that every feed has told; raises DatabaseUnavailableError."""
        for partner_id in await asyncio.to_thread(self._feeds.partners):
            number = await asyncio.to_thread(self._objects.number, partner_id)
            while entries := await asyncio.to_thread(
                self._feeds.read, partner_id, after=number, limit=BATCH
            ):
                await asyncio.to_thread(self._follow, partner_id, number, entries)
                number = entries[-1].number

    async def see_to(self) -> None:
        """Ask for addresses, settle sessions: all that is due; raises DatabaseUnavailableError."""
        partners = await asyncio.to_thread(self._feeds.partners)
        await self._ask(partners)
        for partner_id in partners:
            await asyncio.to_thread(self._settle, partner_id)

    async def _ask(self, partners: Sequence[str]) -> None:
        """Ask access where sites are, until there are no more or it does not answer."""
        for partner_id in partners:
            sites = await asyncio.to_thread(
                self._objects.due, partner_id, LOCATION, now=self._clock(), limit=BATCH
            )
            for site in sites:
                try:
                    place = await self._place(site.id)
                except aio.AioRpcError as error:
                    log.warning("ocpi_address_not_told", code=error.code().name)
                    if error.code() in _AWAY:
                        return
                    again = self._clock() + AGAIN
                    await asyncio.to_thread(self._placed, partner_id, site.id, None, again)
                else:
                    await asyncio.to_thread(self._placed, partner_id, site.id, place)

    async def _again_and_again(
        self, work: Callable[[], Awaitable[None]], woken: asyncio.Event
    ) -> None:
        while True:
            woken.clear()
            try:
                await work()
            except DatabaseUnavailableError as error:
                log.warning("ocpi_not_followed", error=str(error))
                await asyncio.sleep(LOOK)
            else:
                await set_within(woken, LOOK)

    async def _forget(self) -> None:
        while True:
            with contextlib.suppress(DatabaseUnavailableError):
                await asyncio.to_thread(self._objects.forget, self._clock() - KEPT)
                await asyncio.to_thread(self._starts.forget, self._clock() - KEPT)
            await asyncio.sleep(FORGETTING)

    def _follow(self, partner_id: str, after: int, entries: Sequence[Entry]) -> None:
        now = self._clock()
        with self._objects.changing(partner_id, now) as changes:
            if not changes.follow(after, entries[-1].number):
                return
            for entry in entries:
                envelope = _ENVELOPE.decode(entry.document)
                form = _EVENTS.get(envelope.type)
                if form is None:
                    continue
                event = msgspec.json.decode(envelope.data, type=form)
                if isinstance(event, feed.InstallationAddressSet):
                    changes.due(LOCATION, event.installation_id, now)
                elif isinstance(event, _OfSession):
                    _of_session(changes, event, now)
                else:
                    _of_sites(changes, event, nanoseconds(envelope.time), now)

    async def _place(self, installation_id: str) -> Place | None:
        """Return where a site is, if access knows; raises AioRpcError where it cannot say."""
        request = installations_pb2.GetInstallationRequest(installation_id=installation_id)
        answer = await self._installations.GetInstallation(request, timeout=DEADLINE)
        found = answer.installation
        if not found.HasField("address"):
            # OCPI has no Location without one; access tells when there is.
            log.warning("ocpi_location_without_address", site=installation_id)
            return None
        where = found.address
        return Place(
            address=where.address,
            postal_code=where.postal_code,
            city=where.city,
            country=where.country,
            latitude=where.latitude,
            longitude=where.longitude,
            time_zone=found.time_zone,
        )

    def _placed(
        self,
        partner_id: str,
        installation_id: str,
        place: Place | None,
        again: int | None = None,
    ) -> None:
        now = self._clock()
        with self._objects.changing(partner_id, now) as changes:
            changes.due(LOCATION, installation_id, again)
            site = changes.get(LOCATION, installation_id)
            if site is not None and place is not None and site.place != place:
                site = msgspec.structs.replace(site, place=place)
                changes.put(LOCATION, site, listed=site.listed, going_on=True)
                changes.settle(now)

    def _settle(self, partner_id: str) -> None:
        """Complete what was waited for long enough, and make CDRs of what is completed."""
        now = self._clock()
        waiting = self._objects.due(partner_id, SESSION, now=now, limit=BATCH)
        if not waiting:
            return
        with self._objects.changing(partner_id, now) as changes:
            for each in waiting:
                before = changes.get(SESSION, each.id)
                if before is not None:
                    charge = msgspec.structs.replace(before, presumed=False)
                    _complete(changes, charge, before, now)


def _of_sites(changes: Changes, event: feed.FeedEvent, at: int, now: int) -> None:
    known = {each: changes.get(LOCATION, each) for each in locations.sites_of(event)}
    sites = {key: site for key, site in known.items() if site is not None}
    for site in locations.after(sites, event, at):
        changes.put(LOCATION, site, listed=site.listed, going_on=True)
        if site.operated and not sites.get(site.id, Site(site.id)).operated:
            changes.due(LOCATION, site.id, now)


def _of_session(changes: Changes, event: _OfSession, now: int) -> None:
    before = changes.get(SESSION, event.session_id)
    if before is None:
        site = changes.get(LOCATION, event.installation_id)
        if site is None or not site.operates(event.charger_id):
            return  # what a partner sees as an owner is for its feed
    charge = sessions.after(before, event)
    if charge is None or charge == before:
        return
    if before is not None and before.completed:
        first = changes.get(CDR, charge.id)
        if first is not None:
            # And a Session that is completed is changed no more (§9.4.3).
            for each in cdrs.corrected(first, charge):
                changes.put(CDR, each)
            return
    if charge.completed:
        _complete(changes, charge, before, now)
        return
    changes.put(SESSION, charge, listed=charge.listed, going_on=True)
    if charge.presumed:
        changes.due(SESSION, charge.id, now + sessions.PRESUMED)


def _complete(changes: Changes, charge: Charge, before: Charge | None, now: int) -> None:
    """Write a session that is over, and its CDR where there is an address for it."""
    if charge != before:
        changes.put(SESSION, charge, listed=charge.listed)
    site = changes.get(LOCATION, charge.installation_id)
    if charge.refused or site is None:
        changes.due(SESSION, charge.id, None)
    elif site.place is None:
        changes.due(SESSION, charge.id, now + AGAIN)
    else:
        changes.due(SESSION, charge.id, None)
        changes.put(CDR, cdrs.settled(charge, site.place))
