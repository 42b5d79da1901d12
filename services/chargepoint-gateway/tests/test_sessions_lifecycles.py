"""Lifecycles of sessions against a model of a few lines: both versions, in any order.

R21, R22, R23; O20, O21, O24, O40. Starts, retries, stops, stops without an id, boots, free
connectors, offline starts, on two gateways that only meet in NATS and are restarted.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from nats.aio.client import Client

from chargekey_common import jetstream
from chargekey_common.follower import Message
from chargekey_common.nats_server import NatsServer
from chargekey_common.published.envelope import Catalogue
from chargekey_common.published.sessions import (
    EVENTS,
    SessionCorrected,
    SessionEnded,
    SessionStarted,
)
from chargekey_gateway.decision import Reason
from chargekey_gateway.sessions import stream
from chargekey_gateway.sessions.transactions import Phase

from .replicas import CARD, MINUTE, NOW, OTHERS_CARD, PIN, Replica, messages_of

Result = TypeVar("Result")

WHOSE = {PIN: ("pin", "ada"), CARD: ("card", "ada"), OTHERS_CARD: ("others", "bob")}
CHARGERS = st.sampled_from(("first", "second"))
CONNECTORS = st.sampled_from((1, 2))
TOKENS = st.sampled_from(tuple(WHOSE))
REPLICAS = st.sampled_from((0, 1))
EARLIER = st.sampled_from((0, 20 * MINUTE))


class Begun(msgspec.Struct):
    """A start as the model knows it; `transaction` is the charger's own name in OCPP 2.x.

    `metered` where its beginning has a reading; `first` is what its registers count from, None
    where that is not known yet; `energy_wh` what its charger told by its end, so counted.
    """

    charger: str
    connector: int
    token: str
    at: int
    meter: int
    accepted: bool = False
    running: bool = False
    presumed: bool = False
    energy: bool = False
    transaction_id: int = 0
    transaction: str = ""
    metered: bool = True
    first: int | None = 0
    energy_wh: int | None = None


class Lifecycles(RuleBasedStateMachine):
    """Does what chargers do, and expects what the model says."""

    url = token = ""

    starts = Bundle("starts")
    transactions = Bundle("transactions")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.begun: list[Begun] = []
        self.corrected = 0
        self.now = NOW
        self.messages: list[Message] = []
        self.clients: list[Client] = []
        self.do(self._open())

    async def _open(self) -> None:
        bus = jetstream.Bus(self.url, lambda: self.token)
        for name in ("one", "other"):
            self.clients.append(await jetstream.connect(bus, name))
        js = self.clients[0].jetstream()
        await stream.declare(js, now=NOW, replicas=1)
        await js.purge_stream(stream.STREAM)
        self.replicas = [Replica(client, grace=0) for client in self.clients]

    def teardown(self) -> None:
        for client in self.clients:
            self.do(client.close())
        self.runner.close()

    def do(self, what: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(what)

    # The model.

    def charging(self, charger: str) -> list[Begun]:
        return [each for each in self.begun if each.running and each.charger == charger]

    def end(self, each: Begun, *, presumed: bool = False) -> None:
        each.running, each.presumed = False, presumed

    def metered(self, each: Begun, meter: int) -> int:
        """Return the reading as it counts."""
        if each.first is None:
            each.first = meter
        return meter - each.first

    def told(self, each: Begun) -> None:
        """The charger tells the end of this one, for the first time or again."""
        if each.running:
            self.end(each)
        elif each.presumed:
            each.presumed = False
            self.corrected += 1

    def begin(self, each: Begun) -> Reason:
        """Say what becomes of a start that nobody has heard of before."""
        for other in self.charging(each.charger):
            if other.connector == each.connector and other.at < each.at:
                self.end(other, presumed=True)
                if each.metered:
                    self.metered(other, each.meter)
        locked = any(other.running and other.token == each.token for other in self.begun)
        each.accepted = each.running = not locked
        self.begun.append(each)
        return Reason.ALREADY_CHARGING if locked else Reason.INSTALLATION_PERMISSION

    # What chargers do.

    def _new(self, charger: str, connector: int, token: str, earlier: int) -> Begun:
        self.now += MINUTE
        for replica in self.replicas:
            replica.now = self.now
        at = self.now - earlier
        return Begun(charger, connector, token, at, meter=len(self.begun))

    @rule(
        target=starts,
        charger=CHARGERS,
        connector=CONNECTORS,
        token=TOKENS,
        replica=REPLICAS,
        earlier=EARLIER,
    )
    def start(self, charger: str, connector: int, token: str, replica: int, earlier: int) -> Begun:
        each = self._new(charger, connector, token, earlier)
        started = self.do(self._start(replica, each))
        assert started.decision.reason is self.begin(each)
        each.transaction_id = started.transaction_id
        return each

    async def _start(self, replica: int, each: Begun) -> Any:
        await self._catch_up()
        return await self.replicas[replica].start(
            each.charger,
            token=each.token,
            connector=each.connector,
            started_at=each.at,
            meter_start=each.meter,
        )

    @rule(each=starts, replica=REPLICAS)
    def start_again(self, each: Begun, replica: int) -> None:
        """O21: the same id and verdict, whatever has happened since; and it proves nothing more."""
        started = self.do(self._start(replica, each))
        assert (started.transaction_id, started.decision.accepted) == (
            each.transaction_id,
            each.accepted,
        )

    @rule(each=starts, replica=REPLICAS, token=TOKENS)
    def stop(self, each: Begun, replica: int, token: str) -> None:
        """O24: whoever it is; once."""
        self.do(self._stop(replica, each.charger, each.transaction_id, token))
        if each.accepted:
            self.told(each)
        else:
            each.energy = True  # that flowed all the same

    @rule(charger=CHARGERS, replica=REPLICAS, token=st.none() | TOKENS)
    def stop_without_an_id(self, charger: str, replica: int, token: str | None) -> None:
        """O20: the charger's only one, or the only one of whose card it is."""
        self.do(self._stop(replica, charger, -1, token))
        meant = self.charging(charger)
        if len(meant) > 1 and token is not None:
            meant = [each for each in meant if WHOSE[each.token][1] == WHOSE[token][1]]
        if len(meant) == 1:
            self.end(meant[0])

    async def _stop(
        self, replica: int, charger: str, transaction_id: int, token: str | None
    ) -> None:
        await self._catch_up()
        await self.replicas[replica].end(transaction_id, charger, token=token, ended_at=self.now)

    @rule(
        target=transactions,
        charger=CHARGERS,
        connector=CONNECTORS,
        token=TOKENS,
        replica=REPLICAS,
        earlier=EARLIER,
        metered=st.booleans(),
    )
    def transaction(
        self, charger: str, connector: int, token: str, replica: int, earlier: int, metered: bool
    ) -> Any:
        each = self._new(charger, connector, token, earlier)
        each.metered, each.first = metered, 0 if metered else None
        each.transaction = f"tx-{each.meter}"
        decision = self.do(self._take(replica, each, Phase.STARTED, 0))
        assert decision.reason is self.begin(each)
        return each if each.accepted else multiple()

    async def _take(
        self, replica: int, each: Begun, phase: Phase, number: int, token: str | None = ""
    ) -> Any:
        await self._catch_up()
        return await self.replicas[replica].take(
            phase,
            number=number,
            charger_id=each.charger,
            transaction=each.transaction,
            at=each.at if phase is Phase.STARTED else self.now,
            connector=each.connector,
            token=each.token if token == "" else token,
            meter=each.meter + number if number or each.metered else None,
        )

    @rule(each=transactions, replica=REPLICAS, again=st.booleans())
    def transaction_again(self, each: Begun, replica: int, again: bool) -> None:
        """O21, O39: the same message, or the same token in a later one, begins nothing."""
        phase, number = (Phase.STARTED, 0) if again else (Phase.UPDATED, 1)
        assert self.do(self._take(replica, each, phase, number)).accepted
        if number or each.metered:
            self.metered(each, each.meter + number)

    @rule(each=transactions, replica=REPLICAS)
    def transaction_ends(self, each: Begun, replica: int) -> None:
        self.do(self._take(replica, each, Phase.ENDED, 2, token=None))
        energy_wh = self.metered(each, each.meter + 2)
        if each.energy_wh is None and (each.running or each.presumed):
            each.energy_wh = energy_wh
        self.told(each)

    @rule(charger=CHARGERS, replica=REPLICAS)
    def boot(self, charger: str, replica: int) -> None:
        self.do(self._boot(replica, charger))
        for each in self.charging(charger):
            self.end(each, presumed=True)

    async def _boot(self, replica: int, charger: str) -> None:
        await self._catch_up()
        here = self.replicas[replica]
        here.gateway.reports.booted(
            here.charger(charger), vendor="Acme", model="One", firmware_version=None
        )
        await here.gateway.presuming.idle()

    @rule(charger=CHARGERS, connector=CONNECTORS, replica=REPLICAS)
    def free(self, charger: str, connector: int, replica: int) -> None:
        self.do(self._free(replica, charger, connector))
        for each in self.charging(charger):
            if each.connector == connector:
                self.end(each, presumed=True)

    async def _free(self, replica: int, charger: str, connector: int) -> None:
        await self._catch_up()
        here = self.replicas[replica]
        here.gateway.reports.connector_status(
            here.charger(charger), connector=connector, status="Available", error_code="NoError"
        )
        await here.gateway.presuming.idle()

    @rule(replica=REPLICAS)
    def restart(self, replica: int) -> None:
        fresh = Replica(self.clients[replica], grace=0)
        fresh.now = self.now
        self.replicas[replica] = fresh

    async def _catch_up(self) -> None:
        """Hand every replica what it has not followed yet."""
        known = self.messages[-1].sequence if self.messages else 0
        messages = self.messages
        messages += await messages_of(self.clients[0], after=known)
        for replica in self.replicas:
            await replica.running.follow(
                [each for each in messages if each.sequence > replica.running.followed]
            )

    @invariant()
    def what_runs_is_what_the_model_says(self) -> None:
        self.do(self._catch_up())
        running = Counter((each.charger, each.connector) for each in self.begun if each.running)
        held = {WHOSE[each.token][0] for each in self.begun if each.running}
        for replica in self.replicas:
            known = [
                session
                for charger in ("first", "second")
                for session in replica.running.of_charger(charger)
            ]
            assert Counter((each.charger_id, each.connector) for each in known) == running
            locks = {name for name, _ in WHOSE.values() if replica.running.lock(name).held}
            assert locks == held
        events = [each.subject.rpartition(".")[2] for each in self.messages]
        accepted = sum(each.accepted for each in self.begun)
        assert events.count("SessionStarted") == accepted
        assert events.count("SessionEnded") == (
            accepted - sum(running.values()) + sum(each.energy for each in self.begun)
        )
        assert events.count("SessionCorrected") == self.corrected
        told = [Catalogue(*EVENTS).decode(each.subject, each.data) for each in self.messages]
        stops = {
            each.session_id: each.meter_stop
            for each in told
            if isinstance(each, SessionEnded | SessionCorrected)
        }
        counted = {
            each.ocpp_transaction_id: stops.get(each.session_id)
            for each in told
            if isinstance(each, SessionStarted)
        }
        for each in self.begun:
            if each.energy_wh is not None:
                assert counted[each.transaction] == each.energy_wh


@pytest.mark.timeout(300)
def test_sessions_live_as_the_model_does(nats_server: NatsServer) -> None:
    class Here(Lifecycles):
        url, token = nats_server.url, nats_server.token

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
