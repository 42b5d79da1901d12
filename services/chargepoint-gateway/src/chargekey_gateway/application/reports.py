"""Reports: what chargers tell of themselves, kept for whoever asks and published."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Literal

import msgspec
import structlog
from nats.aio.client import Client

from chargekey_common import tracing
from chargekey_common.published.chargers import (
    ChargerBooted,
    ChargerConnected,
    ChargerDisconnected,
    ConnectorStatusChanged,
    SecurityEventReported,
    WaitingForAuthorisationChanged,
)
from chargekey_common.published.envelope import Attributes, PublishedEvent
from chargekey_gateway.announcer import Announcer
from chargekey_gateway.charger_states import ITS_ONLY_PLUG, ChargerState, ChargerStates
from chargekey_gateway.sessions.stream import SOURCE
from chargekey_gateway.view.entries import Charger

# §7.7 of OCPP 1.6: what it has and what it learns from the answers contradict each other.
LIST_CONFLICT = "LocalListConflict"

log = structlog.get_logger()


class Reports:
    """Tells of chargers on the CHARGERS stream; every method but `run` and `idle` is memory."""

    def __init__(self, client: Client, states: ChargerStates, *, clock: Callable[[], int]) -> None:
        """Publish over `client`; `clock` tells nanoseconds since the epoch."""
        self._announcer = Announcer(client)
        self._states = states
        self._clock = clock
        self._status_listeners: list[Callable[[Charger, int, str], None]] = []
        self._online: Counter[str] = Counter()  # connections here, by charger
        # What was told of each connector, with its error code, over the connection that is.
        self._told: dict[str, dict[int, tuple[str, str]]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}  # by charger, for the acceptance's end
        states.on_change(self._tell_waiting)
        self._boot_listeners: list[Callable[[Charger], None]] = []
        self._conflict_listeners: list[Callable[[Charger], None]] = []

    def on_boot(self, listener: Callable[[Charger], None]) -> None:
        """Call `listener` with every charger that says it has booted."""
        self._boot_listeners.append(listener)

    def on_list_conflict(self, listener: Callable[[Charger], None]) -> None:
        """Call `listener` with every charger that complains about its local list."""
        self._conflict_listeners.append(listener)

    def on_status(self, listener: Callable[[Charger, int, str], None]) -> None:
        """Call `listener` with every connector's status that is told."""
        self._status_listeners.append(listener)

    async def run(self) -> None:
        """Publish until cancelled."""
        try:
            await self._announcer.run()
        finally:
            for timer in self._timers.values():
                timer.cancel()
            self._timers.clear()

    async def idle(self) -> None:
        """Return once everything is told."""
        await self._announcer.idle()

    def connected(self, charger: Charger, ocpp_version: str) -> None:
        """Tell that the charger is here."""
        self.tell(ChargerConnected(**of(charger), ocpp_version=ocpp_version))
        self._online[charger.id] += 1
        self._states.charger_changed(charger.id)

    def disconnected(self, charger: Charger) -> None:
        """Tell that it has gone."""
        self.tell(ChargerDisconnected(**of(charger)))
        self._told.pop(charger.id, None)  # another replica may be told of what changes next
        self._online[charger.id] -= 1
        if self._online[charger.id] <= 0:
            del self._online[charger.id]
        self._states.charger_changed(charger.id)

    def booted(
        self, charger: Charger, *, vendor: str, model: str, firmware_version: str | None
    ) -> None:
        """Tell what the charger says of itself."""
        self.tell(
            ChargerBooted(
                **of(charger), vendor=vendor, model=model, firmware_version=firmware_version
            )
        )
        for listener in self._boot_listeners:
            listener(charger)

    def connector_status(
        self,
        charger: Charger,
        *,
        connector: int,
        status: str,
        error_code: str,
        plug: int = ITS_ONLY_PLUG,
    ) -> None:
        """Know the state of a connector, or with 0 of the whole charger; tell it where it is news.

        Listeners hear of it all the same: said again, it may mean something after a boot.
        Where several plugs are one connector, as at an EVSE of OCPP 2.x, `plug` says `status`.
        """
        if not self._states.may_have(charger, connector, plug):
            log.warning("charger_tells_of_too_many_connectors", charger=charger.id)
            return
        status = self._states.of_plugs(charger, connector, plug, status)
        self._tell_status(charger, connector, status, error_code)
        self._states.told(charger, connector, status)
        for status_listener in self._status_listeners:
            status_listener(charger, connector, status)
        if error_code == LIST_CONFLICT:
            for listener in self._conflict_listeners:
                listener(charger)

    def security_event(
        self, charger: Charger, kind: str, *, seen_by: Literal["CHARGER", "GATEWAY"]
    ) -> None:
        """Tell of something that bears on the charger's security.

        What was seen here is the gateway's to tell: a charger that tells too much cannot keep
        it from being told.
        """
        event = SecurityEventReported(**of(charger), kind=kind, seen_by=seen_by)
        about = told_now(charger.id, self._clock())
        if seen_by == "GATEWAY":
            about = msgspec.structs.replace(about, actor=f"service:{SOURCE}")
        if self._announcer.announce(event, about):
            log.warning("security_event", charger=charger.id, kind=kind, seen_by=seen_by)

    def states(self, chargers: Iterable[Charger], online: Container[str]) -> Sequence[ChargerState]:
        """Return how chargers are, by their ids; `online` are those connected here."""
        now = self._clock()
        return [
            self._states.of(charger, online=online, at=now)
            for charger in sorted(chargers, key=lambda each: each.id)
        ]

    def _tell_status(self, charger: Charger, connector: int, status: str, error_code: str) -> None:
        told = self._told.setdefault(charger.id, {})
        if told.get(connector) == (status, error_code):
            return
        event = ConnectorStatusChanged(
            **of(charger), connector=connector, status=status, error_code=error_code
        )
        if self._announcer.announce(event, told_now(charger.id, self._clock())):
            told[connector] = status, error_code

    def _tell_waiting(self, charger: Charger) -> None:
        """Tell where somebody is waited for (yellow) now and was not, or no longer."""
        timer = self._timers.pop(charger.id, None)
        if timer is not None:
            timer.cancel()
        now = self._clock()
        for connector, waiting in self._states.news(charger, online=self._online, at=now):
            self.tell(
                WaitingForAuthorisationChanged(**of(charger), connector=connector, waiting=waiting)
            )
        end = self._states.acceptance_ends(charger.id)
        if end is not None and now < end and charger.id in self._online:
            self._timers[charger.id] = asyncio.get_running_loop().call_later(
                (end - now) / 10**9, self._tell_waiting, charger
            )

    def tell(self, event: PublishedEvent, about: Attributes | None = None) -> None:
        """Have an event of the CHARGERS stream published; returns at once, never raises.

        Without `about` it is a fact of its own, and the charger's doing.
        """
        told_by = str(getattr(event, event.about[1]))
        self._announcer.announce(event, about or told_now(told_by, self._clock()))


def of(charger: Charger) -> dict[str, str]:
    """Return the fields by which events name a charger."""
    return {"charger_id": charger.id, "installation_id": charger.installation.id}


def told_now(charger_id: str, at: int) -> Attributes:
    """Return the attributes of what a charger does at `at`."""
    return Attributes(
        id=str(uuid.uuid4()),
        at=at,
        cause="",
        actor=f"charger:{charger_id}",
        trace=tracing.current(),
    )
