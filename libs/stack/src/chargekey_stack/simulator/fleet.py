"""A fleet of simulated chargers that plays a scenario, and watches what was promised."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence

from grpc import aio

from chargekey.gateway.v1 import gateway_pb2
from chargekey.history.v1 import history_pb2
from chargekey.identity.v1 import users_pb2
from chargekey_common.errors import ChargekeyError
from chargekey_common.grpc.client import remote_error
from chargekey_stack.client import Client
from chargekey_stack.errors import ChargerDisconnectedError, ChargerRefusedError
from chargekey_stack.simulator.charger import SimulatedCharger, Version
from chargekey_stack.simulator.population import ocpp_identity
from chargekey_stack.simulator.provision import Site
from chargekey_stack.simulator.scenarios import Action, Step
from chargekey_stack.simulator.tally import Snapshot, Tally
from chargekey_stack.simulator.transactions import Transaction
from chargekey_stack.simulator.values import ACCEPTED, Reason, Started
from chargekey_stack.simulator.wire import Line

METER_INTERVAL = 5.0
# Seconds for a charger to be connected, for one that lost its connection to be there
# again, for whoever is blocked to be stopped, and for the rest to be told.
PATIENCE = 30.0
POLL = 0.5
# R14: the right PIN is refused as well while a charger is locked; that is kept, not broken.
LOCKED = "pin_locked_out"
CONNECT_ATTEMPTS = 5


class Fleet:
    """Chargers, each of which plays its own steps."""

    def __init__(
        self, client: Client, site: Site, steps: Sequence[Step], *, version: Version
    ) -> None:
        self._client = client
        self._site = site
        self._steps: defaultdict[int, list[Step]] = defaultdict(list)
        for step in steps:
            self._steps[step.charger].append(step)
        self._tally = Tally(len(site.passwords))
        # Not checked against the schemas: see Line.
        self._chargers = {
            number: SimulatedCharger(
                Line(client.system.ocpp, ocpp_identity(number), password, checked=False),
                version,
                meter_interval=METER_INTERVAL,
                observer=self._tally,
            )
            for number, password in site.passwords.items()
        }
        self._starts: dict[int, Started] = {}
        self._began = time.monotonic()

    def snapshot(self) -> Snapshot:
        """Return what has been seen so far."""
        return self._tally.snapshot(
            seconds=time.monotonic() - self._began,
            charging=sum(each.transaction is not None for each in self._chargers.values()),
        )

    async def play(self, *, lasting: float) -> None:
        """Play every step at its time, for `lasting` seconds; return when all is told."""
        self._began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in self._chargers:
                group.create_task(self._play(number))
            group.create_task(self._until(lasting))
        await self._check_the_end()

    async def close(self) -> None:
        """Stop what charges, as people do who leave, and switch everything off."""
        await asyncio.gather(*map(self._leave, self._chargers), return_exceptions=True)
        await asyncio.gather(*(each.close() for each in self._chargers.values()))

    async def _play(self, number: int) -> None:
        for step in self._steps[number]:
            await self._until(step.at)
            try:
                async with asyncio.timeout(2 * PATIENCE):
                    await self._do(step, self._chargers[number])
            except ChargekeyError as error:
                self._tally.failed(step.action, error.code)
            except aio.AioRpcError as error:
                self._tally.failed(step.action, remote_error(error).code)
            except TimeoutError:
                self._broke(number, f"did not come to an end of `{step.action}`")

    async def _do(self, step: Step, charger: SimulatedCharger) -> None:
        match step.action:
            case Action.CONNECT:
                await self._connect(step.charger)
            case Action.PLUG_IN:
                await charger.plug_in()
            case Action.PRESENT:
                await self._present(step, charger)
            case Action.REPEAT_START:
                await self._repeat_start(step.charger, charger)
            case Action.LOSE_CONNECTION:
                await charger.go_offline()
            case Action.COME_BACK:
                await charger.come_back()
            case Action.CUT:
                charger.cut()
            case Action.BLOCK:
                await self._block(step, charger)
            case Action.LEAVE:
                await self._leave(step.charger)

    async def _connect(self, number: int) -> None:
        charger = self._chargers[number]
        for attempt in range(CONNECT_ATTEMPTS):
            try:
                await charger.connect()
            except (ChargerDisconnectedError, ChargerRefusedError) as error:
                # Of several gateways this one may not have heard of the charger yet.
                self._tally.failed("connect", error.code)
                await asyncio.sleep(2**attempt)
            else:
                await charger.boot()
                return
        self._broke(number, "could not connect")

    async def _present(self, step: Step, charger: SimulatedCharger) -> None:
        online = charger.online
        status = await charger.authorize(step.presents)
        if status == ACCEPTED:
            started = await charger.start(step.presents)
            self._starts[step.charger] = started
            status, online = started.status, online and not started.offline
            self._tally.sessions += status == ACCEPTED
        if status == ACCEPTED:
            self._tally.tapped(status)
            if not step.may:
                self._broke(step.charger, "accepted somebody who may not charge there")
            return
        if not online:  # what it does not know itself, nobody has promised
            self._tally.tapped(status, "offline")
            return
        reason = await self._reason(step)
        self._tally.tapped(status, reason)
        if step.may and reason != LOCKED:
            self._broke(
                step.charger,
                f"was told {status} for {_name(step)}, who may charge there ({reason})",
            )

    async def _reason(self, step: Step) -> str:
        decision = await self._client.gateway.Authorize(
            gateway_pb2.AuthorizeRequest(
                ocpp_identity=ocpp_identity(step.charger), code=step.presents
            )
        )
        return decision.reason

    async def _repeat_start(self, number: int, charger: SimulatedCharger) -> None:
        """R23: a start that is sent again gets the same id and the same verdict."""
        first = self._starts.get(number)
        if first is None or charger.transaction is None or first.offline:
            return
        again = await charger.repeat_start()
        if again != first:
            self._broke(
                number,
                f"sent a start again, and got {again.transaction_id} {again.status} "
                f"instead of {first.transaction_id} {first.status}",
            )

    async def _block(self, step: Step, charger: SimulatedCharger) -> None:
        """R12: whoever is blocked while charging is stopped."""
        running = charger.transaction
        if step.person is None or running is None:
            return
        await self._client.users.BlockUser(
            users_pb2.BlockUserRequest(user_id=self._site.users[step.person])
        )
        try:
            async with asyncio.timeout(PATIENCE):
                reason = await charger.stopped()
        except TimeoutError:
            self._broke(step.charger, f"goes on charging for {_name(step)}, who is blocked")
        else:
            if reason != Reason.REMOTE:
                self._broke(step.charger, f"ended with {reason} what a block should have ended")

    async def _leave(self, number: int) -> None:
        charger = self._chargers[number]
        if charger.transaction is not None:
            async with asyncio.timeout(PATIENCE):
                await charger.stop()
        self._starts.pop(number, None)

    async def _check_the_end(self) -> None:
        """Whatever was kept is told, everybody is connected, and nobody charges any more."""
        deadline = time.monotonic() + PATIENCE
        late = dict(self._chargers)
        running: Sequence[history_pb2.Session] = ()
        while time.monotonic() < deadline:
            late = {number: each for number, each in late.items() if each.outbox or not each.online}
            running = await self._running() if not late else ()
            if not late and not running:
                return
            await asyncio.sleep(POLL)
        for number, charger in late.items():
            waiting = f"has {len(charger.outbox)} messages that were not answered"
            self._broke(number, waiting if charger.online else "did not come back")
        if running:
            self._tally.broken.append(
                f"{len(running)} sessions are over, and history shows them running."
            )

    async def _running(self) -> Sequence[history_pb2.Session]:
        charging: set[Transaction] = {
            each.transaction for each in self._chargers.values() if each.transaction is not None
        }
        request = history_pb2.ListSessionsRequest(
            installation_id=self._site.installation_id, running_only=True, page_size=1000
        )
        sessions = (await self._client.history.ListSessions(request)).sessions
        return () if len(sessions) <= len(charging) else sessions

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, self._began + at - time.monotonic()))

    def _broke(self, number: int, what: str) -> None:
        self._tally.broken.append(f"{ocpp_identity(number)} {what}.")


def _name(step: Step) -> str:
    return "nobody" if step.person is None else step.person.name
