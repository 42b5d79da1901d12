"""Pushing to operators what they take: sites first, then sessions, then CDRs, as they are by then.

What changes faster than an operator takes it is sent as it is in the end. A PUT may come
twice, and so may a CDR where we end between its being taken and our noting that: by its id the
operator knows it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from urllib.parse import quote

import msgspec
import structlog
from prometheus_client import Counter

from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.process import cancel, set_within
from chargekey_notifier.errors import OcpiRefusedError, OcpiUnreachableError
from chargekey_notifier.ocpi import locations
from chargekey_notifier.ocpi.calls import Calls, NotNowError, WrongEncodingError
from chargekey_notifier.ocpi.locations import Location, Push
from chargekey_notifier.ocpi.objects import CDR, LOCATION, SESSION, Kind, Object, Objects, State
from chargekey_notifier.ocpi.peers import Peer, Peers
from chargekey_notifier.ocpi.sessions import Charge
from chargekey_notifier.ocpi.telling import Teller

LOOK = 2.0  # seconds between looks for what other replicas have done
BATCH = 50  # objects read at once
FIRST_DELAY = 1.0  # seconds before an operator that is away is tried again, doubled each time
LONGEST_DELAY = 300.0

_PUSHES = Counter("ocpi_pushes_total", "Objects pushed by OCPI.", ["module", "result"])

log = structlog.get_logger()


class Pushing:
    """Pushes to every operator by a task of its own, so that a dead one delays nobody.

    One replica runs it; for some seconds a lost leader may run beside it, and some is sent
    twice then.
    """

    def __init__(
        self,
        objects: Objects,
        peers: Peers,
        calls: Calls,
        teller: Teller,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`chance` tells a number from 0 to 1."""
        self._objects = objects
        self._peers = peers
        self._calls = calls
        self._teller = teller
        self._chance = chance
        self._tasks: dict[str, tuple[asyncio.Task[None], asyncio.Event]] = {}
        self._loop = asyncio.get_running_loop()
        objects.on_changed(self._hear)

    def _hear(self) -> None:
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for _, woken in self._tasks.values():
            woken.set()

    async def run(self) -> None:
        """Push until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    try:
                        await self._look(tasks)
                    except DatabaseUnavailableError as error:
                        log.warning("ocpi_not_pushed", error=str(error))
                    await asyncio.sleep(LOOK)
        finally:
            self._tasks.clear()

    async def _look(self, tasks: asyncio.TaskGroup) -> None:
        """Begin with those that are connected by now, and end with those that are not."""
        connected = [each.partner_id for each in await asyncio.to_thread(self._peers.connected)]
        await asyncio.to_thread(self._objects.push_to_no_more, connected)
        for partner_id, (task, _) in list(self._tasks.items()):
            if partner_id not in connected or task.done():
                await cancel(task)
                del self._tasks[partner_id]
        for partner_id in connected:
            if partner_id not in self._tasks:
                woken = asyncio.Event()
                task = tasks.create_task(self._push_to(partner_id, woken))
                self._tasks[partner_id] = task, woken

    async def _push_to(self, partner_id: str, woken: asyncio.Event) -> None:
        """Push what there is and what comes; ends where the operator is connected no more."""
        delay = FIRST_DELAY
        while True:
            woken.clear()
            try:
                peer = await asyncio.to_thread(self._peers.get, partner_id)
                if peer is None or peer.state != "connected":
                    return
                await asyncio.to_thread(self._objects.push_to, partner_id)
                await self.push(peer)
            except (
                DatabaseUnavailableError,
                NotNowError,
                OcpiUnreachableError,
                WrongEncodingError,
            ) as error:
                log.warning(
                    "ocpi_operator_away",
                    partner=partner_id,
                    error=type(error).__name__,
                    again=delay,
                )
                await asyncio.sleep(delay * (0.5 + self._chance() / 2))
                delay = min(delay * 2, LONGEST_DELAY)
            else:
                delay = FIRST_DELAY
                await set_within(woken, LOOK)

    async def push(self, peer: Peer) -> None:
        """Push all that the operator has not taken.

        Raises what passes: NotNowError, OcpiUnreachableError, WrongEncodingError,
        DatabaseUnavailableError.
        """
        while await self._push_some(peer):
            pass

    async def _push_some(self, peer: Peer) -> bool:
        """Push all sites, some sessions and some CDRs; return whether there was anything."""
        some = False
        # Read in the other order: where these are, is known by the time that sites are read.
        cdrs = await self._unpushed(peer, CDR)
        charges = await self._unpushed(peer, SESSION)
        url = peer.module("locations", "RECEIVER")
        while url and (sites := await self._unpushed(peer, LOCATION)):
            some = True
            for site in sites:
                await self._push_location(peer, url, site)
        for charge in charges:
            some |= await self._push_session(peer, charge)
        url = peer.module("cdrs", "RECEIVER")
        if not url:
            return some
        for settled in cdrs:
            some = True
            # The Session is told first that it is over.
            over = await asyncio.to_thread(
                self._objects.unpushed_one, peer.partner_id, SESSION, settled.state.charge.id
            )
            if over is not None:
                await self._push_session(peer, over)
            told = await asyncio.to_thread(self._teller.cdr, settled, peer)
            await self._send(peer, "cdrs", url, [Push("POST", (), told)])
            await self._pushed(peer, CDR, settled)
        return some

    async def _unpushed(self, peer: Peer, kind: Kind[State]) -> Sequence[Object[State]]:
        return await asyncio.to_thread(self._objects.unpushed, peer.partner_id, kind, limit=BATCH)

    async def _pushed(
        self, peer: Peer, kind: Kind[State], each: Object[State], taken: bytes | None = None
    ) -> None:
        await asyncio.to_thread(
            self._objects.pushed, peer.partner_id, kind, each.id, each.version, taken
        )

    async def _push_session(self, peer: Peer, charge: Object[Charge]) -> bool:
        """Push a session to an operator that takes any; return whether it does."""
        url = peer.module("sessions", "RECEIVER")
        if not url:
            return False
        told = await asyncio.to_thread(self._teller.session, charge, peer)
        push = Push("PUT", (told.country_code, told.party_id, told.id), told)
        await self._send(peer, "sessions", url, [push])
        await self._pushed(peer, SESSION, charge)
        return True

    async def _push_location(self, peer: Peer, url: str, site: Object[locations.Site]) -> None:
        now = self._teller.location(site)
        taken = None if site.taken is None else msgspec.json.decode(site.taken, type=Location)
        accepted = await self._send(peer, "locations", url, locations.pushes(now, taken))
        if not accepted and taken is not None:
            # §4.1.3.4: what it cannot patch, it may not have.
            accepted = await self._send(peer, "locations", url, locations.pushes(now, None))
        await self._pushed(peer, LOCATION, site, msgspec.json.encode(now) if accepted else None)

    async def _send(self, peer: Peer, module: str, url: str, pushes: Sequence[Push]) -> bool:
        """Return whether the operator has taken it all.

        What it refuses for good is not sent again as it is, and does not hold up the rest:
        it can still be pulled.
        """
        for push in pushes:
            where = "/".join((url.rstrip("/"), *(quote(each, safe="*") for each in push.path)))
            try:
                await self._calls.call_peer(peer, push.method, where, push.body)
            except (NotNowError, OcpiUnreachableError, WrongEncodingError):
                _PUSHES.labels(module, "again").inc()
                raise
            except OcpiRefusedError as error:
                _PUSHES.labels(module, "refused").inc()
                log.warning(
                    "ocpi_push_refused", partner=peer.partner_id, module=module, said=str(error)
                )
                return False
            _PUSHES.labels(module, "taken").inc()
        return True
