"""The gateway as one: what it decides, records and reports, and the chargers it looks after."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from nats.aio.client import Client

from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.keyed_ids import KeyedIds
from chargekey_gateway.application.boots import Boots
from chargekey_gateway.application.charging import Charging
from chargekey_gateway.application.deciding import Deciding, NobodyToAsk, Operators
from chargekey_gateway.application.free_vending import FreeVending
from chargekey_gateway.application.metering import Metering
from chargekey_gateway.application.operating import Operating
from chargekey_gateway.application.presuming import GRACE, Presuming
from chargekey_gateway.application.reports import Reports
from chargekey_gateway.application.starting import Starting
from chargekey_gateway.application.starting_from_afar import StartingFromAfar
from chargekey_gateway.application.transacting import Transacting
from chargekey_gateway.charger_states import ChargerStates
from chargekey_gateway.lockouts import Lockouts
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.metrics import CONNECTIONS
from chargekey_gateway.reconcile.codes import NOBODY_TELLS, Codes
from chargekey_gateway.reconcile.confirmed import Confirmed
from chargekey_gateway.reconcile.convergence import Convergence
from chargekey_gateway.reconcile.kept import Connection
from chargekey_gateway.reconcile.lists import Lists
from chargekey_gateway.reconcile.reconciler import GREETING, Reconciler
from chargekey_gateway.reconcile.seen import Seen
from chargekey_gateway.remote_starts import RemoteStarts
from chargekey_gateway.sessions.journal import PATIENCE, Journal
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.snapshots import Told
from chargekey_gateway.unknown_codes import UnknownCode
from chargekey_gateway.view.entries import Charger
from chargekey_gateway.view.view import View

FAREWELL = 2.0  # seconds
FORGETTING = 3600.0  # seconds between two looks for what is older than a week


class Gateway:
    """Decisions from memory, sessions made durable, chargers kept in line.

    Belongs to one event loop. `run` must be running for refusals and charger events to
    be published, those of `lockouts`, `confirmed` and `remote_starts` for other replicas to
    know of them; whoever follows the streams feeds the three, `view` and `running`.
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
        operators: Operators | None = None,
        codes: Codes = NOBODY_TELLS,
        patience: float = PATIENCE,
        grace: float = GRACE,
        greeting: float = GREETING,
    ) -> None:
        """Serve over `client`; tell `unknown` of cards that are nobody's.

        `codes` tells those that go into chargers' own lists.

        `clock` tells nanoseconds since the epoch, `patience`, `grace` and `greeting` are
        seconds.
        """
        self.view = view
        self.running = running
        self._passwords = passwords
        states = ChargerStates(running, view.chargers_at)
        view.on_site_change(states.site_changed)
        view.on_charger_change(states.charger_changed)
        look_up = Lookup(view, keyed_ids)
        self.reports = Reports(client, states, clock=clock)
        self.lockouts = Lockouts(client, tell=self.reports.tell, clock=clock)
        self.remote_starts = RemoteStarts(client, clock=clock)
        self.operators = NobodyToAsk() if operators is None else operators
        self.confirmed = Confirmed(client)
        self.deciding = Deciding(
            client,
            view=view,
            look_up=look_up,
            keyed_ids=keyed_ids,
            lockouts=self.lockouts,
            remote_starts=self.remote_starts,
            knows_master_pass=self.confirmed.knows_master_pass,
            states=states,
            unknown=unknown,
            clock=clock,
            operators=self.operators,
        )
        self.journal = Journal(client, running, clock=clock, patience=patience)
        self.metering = Metering(client, running, clock=clock)
        self.presuming = Presuming(
            running, self.journal, clock=clock, grace=grace, greeting=greeting
        )
        self.reports.on_boot(self.presuming.booted)
        self.reports.on_status(self.presuming.status)
        starting = Starting(
            deciding=self.deciding,
            look_up=look_up,
            journal=self.journal,
            running=running,
            states=states,
            clock=clock,
            patience=patience,
        )
        self.charging = Charging(
            starting=starting,
            look_up=look_up,
            journal=self.journal,
            running=running,
            start_keys=start_keys,
            metering=self.metering,
            presuming=self.presuming,
            clock=clock,
        )
        self.transacting = Transacting(
            deciding=self.deciding,
            starting=starting,
            look_up=look_up,
            journal=self.journal,
            running=running,
            start_keys=start_keys,
            metering=self.metering,
            presuming=self.presuming,
            clock=clock,
        )
        self.operating = Operating(view, running, self.deciding, clock=clock)
        self.starting_from_afar = StartingFromAfar(view, running, self.deciding, self.remote_starts)
        self.seen = seen = Seen(view, running)
        lists = Lists(view, seen, keyed_ids.group_token)
        self.convergence = Convergence(view, running, self.confirmed, lists, clock=clock)
        self.reconciler = Reconciler(
            view,
            running,
            self.confirmed,
            lists,
            seen,
            self.convergence,
            codes=codes,
            look_up=look_up,
            tell=self.reports.tell,
            clock=clock,
            greeting=greeting,
        )
        self.boots = Boots(self.confirmed)
        self.reports.on_boot(self.boots.booted)
        self.free_vending = FreeVending(running)
        self.reports.on_status(self.free_vending.told)
        view.on_site_change(self.free_vending.site_changed)
        view.on_charger_change(self.free_vending.charger_changed)
        self.reports.on_boot(self.reconciler.booted)
        self.reports.on_list_conflict(self.reconciler.list_in_conflict)

    @property
    def told(self) -> Told:
        """What the stream of sessions has told, for a snapshot."""
        return Told(self.running.saved(), self.seen.saved())

    def remember(self, told: Told) -> None:
        """Know what was told before; nothing may be known of sessions yet."""
        self.running.restore(told.sessions)
        self.seen.restore(told.seen)

    async def run(self) -> None:
        """Publish and reconcile until cancelled."""
        async with contextlib.AsyncExitStack() as ending, asyncio.TaskGroup() as tasks:
            # Last first, and each also where whoever waits for another's end is cancelled.
            for each in (self.reconciler, self.free_vending, self.presuming):
                ending.push_async_callback(each.close)
            tasks.create_task(self.deciding.run())
            tasks.create_task(self.reports.run())
            tasks.create_task(self.metering.run())
            tasks.create_task(self._forget_old())

    async def _forget_old(self) -> None:
        """Have the view forget what was, also where nothing happens: codes are among it."""
        while True:
            await asyncio.sleep(FORGETTING)
            self.view.past.forget_old()

    async def tell_the_rest(self, within: float = FAREWELL) -> None:
        """Return once refusals, reports and lockouts are told, or after `within` seconds.

        The last of a gateway's life: that it has let its chargers go.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.deciding.idle()
                await self.lockouts.idle()
                await self.confirmed.idle()
                await self.metering.idle()
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
        self.charging.connected(connection.charger)
        self.reports.connected(connection.charger, connection.version)
        self.free_vending.connected(connection)
        self.presuming.connected(connection)
        self.boots.connected(connection.charger)
        self.reconciler.connected(connection)

    def disconnected(self, connection: Connection) -> None:
        """Let go of the connection."""
        self.reconciler.disconnected(connection)
        self.free_vending.disconnected(connection)
        CONNECTIONS.labels(connection.version).dec()
        self.reports.disconnected(connection.charger)
