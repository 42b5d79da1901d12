"""The gateway as one: what it decides, records and reports, and the chargers it looks after."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from nats.aio.client import Client

from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.keyed_ids import KeyedIds
from chargekey_gateway import reconcile
from chargekey_gateway.application.charging import Charging
from chargekey_gateway.application.deciding import Deciding
from chargekey_gateway.application.reports import Reports
from chargekey_gateway.charger_states import ChargerStates
from chargekey_gateway.lockouts import Lockouts
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.metrics import CONNECTIONS
from chargekey_gateway.sessions.journal import PATIENCE, Journal
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.unknown_codes import UnknownCode
from chargekey_gateway.view.entries import Charger
from chargekey_gateway.view.view import View

FAREWELL = 2.0  # seconds


class Connection(reconcile.Connection, Protocol):
    """A charger's open connection, as far as the gateway looks at it."""

    @property
    def version(self) -> str:
        """The OCPP version spoken."""


class Gateway:
    """Decisions from memory, sessions made durable, chargers kept in line.

    Belongs to one event loop. `run` must be running for refusals and charger events to
    be published, and that of `lockouts` for other replicas to know of them; whoever
    follows the streams feeds `view`, `running` and `lockouts`.
    """

    def __init__(  # noqa: PLR0913 - what main wires together, each by its name
        self,
        client: Client,
        *,
        view: View,
        running: RunningSessions,
        keyed_ids: KeyedIds,
        start_keys: StartKeys,
        passwords: ChargerPasswords,
        unknown: Callable[[UnknownCode], None],
        clock: Callable[[], int],
        patience: float = PATIENCE,
    ) -> None:
        """Serve over `client`; tell `unknown` of cards that are nobody's.

        `clock` tells nanoseconds since the epoch, `patience` is seconds.
        """
        self.view = view
        self.running = running
        self._passwords = passwords
        states = ChargerStates(running)
        look_up = Lookup(view, keyed_ids)
        self.reports = Reports(client, states, clock=clock)
        self.lockouts = Lockouts(client, tell=self.reports.tell, clock=clock)
        self.deciding = Deciding(
            client,
            view=view,
            look_up=look_up,
            lockouts=self.lockouts,
            states=states,
            unknown=unknown,
            clock=clock,
        )
        self.journal = Journal(client, running, clock=clock, patience=patience)
        self.charging = Charging(
            deciding=self.deciding,
            look_up=look_up,
            journal=self.journal,
            running=running,
            start_keys=start_keys,
            states=states,
            clock=clock,
            patience=patience,
        )
        self.reconciler = reconcile.Reconciler(view, running, clock=clock)

    async def run(self) -> None:
        """Publish and reconcile until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.deciding.run())
                tasks.create_task(self.reports.run())
        finally:
            await self.reconciler.close()

    async def tell_the_rest(self, within: float = FAREWELL) -> None:
        """Return once refusals, reports and lockouts are told, or after `within` seconds.

        The last of a gateway's life: that it has let its chargers go.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.deciding.idle()
                await self.lockouts.idle()
                await self.reports.idle()

    def charger_by_identity(self, ocpp_identity: str) -> Charger | None:
        """Return the charger that connects under this name."""
        return self.view.charger_by_ocpp_identity(ocpp_identity)

    def password_matches(self, charger: Charger, password: str) -> bool:
        """Whether this is the charger's password; one without a credential has none."""
        known = charger.password_hash
        return known is not None and self._passwords.matches(charger.id, password, known)

    def connected(self, connection: Connection) -> None:
        """Take care of the charger over this connection."""
        CONNECTIONS.labels(connection.version).inc()
        self.reports.connected(connection.charger, connection.version)
        self.reconciler.connected(connection)

    def disconnected(self, connection: Connection) -> None:
        """Let go of the connection."""
        self.reconciler.disconnected(connection)
        CONNECTIONS.labels(connection.version).dec()
        self.reports.disconnected(connection.charger)
