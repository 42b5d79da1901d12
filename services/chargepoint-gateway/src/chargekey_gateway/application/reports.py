"""Reports: what chargers tell of themselves, kept for whoever asks and published."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Container, Iterable, Sequence

from nats.aio.client import Client

from chargekey_common.published.chargers import (
    ChargerBooted,
    ChargerConnected,
    ChargerDisconnected,
    ConnectorStatusChanged,
)
from chargekey_common.published.envelope import Attributes, PublishedEvent
from chargekey_gateway.announcer import Announcer
from chargekey_gateway.charger_states import ChargerState, ChargerStates
from chargekey_gateway.view.entries import Charger


class Reports:
    """Tells of chargers on the CHARGERS stream; every method but `run` and `idle` is memory."""

    def __init__(self, client: Client, states: ChargerStates, *, clock: Callable[[], int]) -> None:
        """Publish over `client`; `clock` tells nanoseconds since the epoch."""
        self._announcer = Announcer(client)
        self._states = states
        self._clock = clock

    async def run(self) -> None:
        """Publish until cancelled."""
        await self._announcer.run()

    async def idle(self) -> None:
        """Return once everything is told."""
        await self._announcer.idle()

    def connected(self, charger: Charger, ocpp_version: str) -> None:
        """Tell that the charger is here."""
        self.tell(ChargerConnected(**of(charger), ocpp_version=ocpp_version))

    def disconnected(self, charger: Charger) -> None:
        """Tell that it has gone."""
        self.tell(ChargerDisconnected(**of(charger)))

    def booted(
        self, charger: Charger, *, vendor: str, model: str, firmware_version: str | None
    ) -> None:
        """Tell what the charger says of itself."""
        self.tell(
            ChargerBooted(
                **of(charger), vendor=vendor, model=model, firmware_version=firmware_version
            )
        )

    def connector_status(
        self, charger: Charger, *, connector: int, status: str, error_code: str
    ) -> None:
        """Tell the state of a connector, or with 0 of the whole charger."""
        self._states.told(charger.id, connector, status)
        self.tell(
            ConnectorStatusChanged(
                **of(charger), connector=connector, status=status, error_code=error_code
            )
        )

    def states(self, chargers: Iterable[Charger], online: Container[str]) -> Sequence[ChargerState]:
        """Return how chargers are, by their ids; `online` are those connected here."""
        now = self._clock()
        return [
            self._states.of(charger, online=online, at=now)
            for charger in sorted(chargers, key=lambda each: each.id)
        ]

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
    return Attributes(id=str(uuid.uuid4()), at=at, cause="", actor=f"charger:{charger_id}")
