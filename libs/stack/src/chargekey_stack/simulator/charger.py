"""A simulated charger with one connector: one model for every version of OCPP.

It is connected for as long as it can be: what is lost it opens again by itself, and what
it has to tell of a transaction it keeps until it is answered.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Literal, TypeVar

import msgspec

from chargekey_common.errors import ChargekeyError
from chargekey_common.process import set_within
from chargekey_stack.errors import (
    ChargerConnectedError,
    ChargerDisconnectedError,
    ChargerRefusedError,
    RequestRefusedError,
)
from chargekey_stack.simulator import judging
from chargekey_stack.simulator.authorization_cache import AuthorizationCache
from chargekey_stack.simulator.local_list import LocalList, Taken, Update
from chargekey_stack.simulator.observer import Observer
from chargekey_stack.simulator.ocpp2 import Peer21, Peer201
from chargekey_stack.simulator.ocpp16 import Peer16
from chargekey_stack.simulator.settings import Meaning, Settings
from chargekey_stack.simulator.transactions import Answer, Message, Moment, Outbox, Transaction
from chargekey_stack.simulator.values import (
    ACCEPTED,
    NOTHING,
    Reason,
    Started,
    State,
    Token,
    Verdict,
)
from chargekey_stack.simulator.wire import Line, UnansweredError

Version = Literal["1.6", "2.0.1", "2.1"]
Peer = Peer16 | Peer201 | Peer21

PEERS: Mapping[str, type[Peer]] = {each.version: each for each in (Peer16, Peer201, Peer21)}
METER_INTERVAL = 1.0
# Watt-hours between two meter values: a fast charger, so that something is seen.
METER_STEP = 25
CACHE_CAPACITY = 100

Result = TypeVar("Result")
Order = Callable[[], Awaitable[None]]


class Make(msgspec.Struct, frozen=True):
    """How one charger differs from another. `settings` are other ones than the factory's.

    `back_off`: seconds before a lost connection is tried again, for the first time and so
    on; each half to one and a half times that, so that not all chargers come at once.
    """

    settings: Mapping[str, str] = msgspec.field(default_factory=dict)
    list_capacity: int = 100
    list_most_at_once: int = 20
    back_off: tuple[float, ...] = (0.2, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


class SimulatedCharger:
    """A charger; every method returns at the milestone it is named for.

    `settings`, `local_list`, `cache` and `outbox` are its own, to be looked at. Whatever
    asks the gateway raises ChargerDisconnectedError when the connection is lost meanwhile,
    ChargerConnectedError when another charger has it, and RequestRefusedError when the
    answer is an error.
    """

    def __init__(
        self,
        line: Line,
        version: Version,
        *,
        meter_interval: float = METER_INTERVAL,
        make: Make | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Speak `version` over `line`."""
        make = make or Make()
        self._line = line
        self._kind = PEERS[version]
        self._meter_interval = meter_interval
        self._back_off = make.back_off
        self._observer = observer or Observer()
        self.settings = Settings(make.settings, self._kind.settings)
        self.settings.note(Meaning.LIST_CAPACITY, make.list_capacity)
        self.settings.note(Meaning.LIST_MOST_AT_ONCE, make.list_most_at_once)
        self.local_list = LocalList(
            capacity=make.list_capacity, most_at_once=make.list_most_at_once
        )
        self.cache = AuthorizationCache(CACHE_CAPACITY)
        self.outbox = Outbox()
        self.meter = 0  # the energy register, in watt-hours
        self.state = State.AVAILABLE
        self.transaction: Transaction | None = None
        self._operative = True
        self._plugged_in = False
        self._booted = False
        self._boots_as: str | None = None  # why it has to boot again
        self._reset_when_idle = False
        self._peer: Peer | None = None
        self._online = asyncio.Event()
        self._wanted = asyncio.Event()  # to be connected
        self._gone = asyncio.Event()  # for good
        self._failure: ChargekeyError | None = None
        self._begun: asyncio.Queue[Started] = asyncio.Queue()
        self._started_as: Message | None = None
        self._charging: asyncio.Task[Reason] | None = None
        self._promised: list[Order] = []
        self._orders: asyncio.Queue[Order] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._wanted.set()

    def now(self) -> int:
        """Return the charger's time, in nanoseconds since the epoch."""
        return time.time_ns()

    @property
    def version(self) -> str:
        """The version of OCPP it speaks."""
        return self._kind.version

    @property
    def online(self) -> bool:
        """Whether there is a connection over which anything can be said."""
        return self._online.is_set()

    # What happens to a charger.

    async def connect(self) -> None:
        """Connect, and stay so; raises ChargerRefusedError or ChargerDisconnectedError."""
        peer = await self._open()
        for name, work in (
            ("connection", self._stay_connected(peer)),
            ("outbox", self._deliver()),
            ("orders", self._follow_orders()),
        ):
            self._tasks.append(asyncio.create_task(work, name=name))
        await asyncio.sleep(0)

    async def boot(self) -> None:
        """Return when the gateway has accepted the boot and knows how the connector is."""
        await self._boot(self._connected(), "PowerUp")
        self._booted = True

    async def plug_in(self) -> None:
        """Return when a vehicle is there, and the gateway knows if it can.

        Where nothing need be presented (2.x: AuthCtrlr.Enabled), charging begins by itself.
        """
        await self._become(State.PREPARING)
        self._plugged_in = True
        if (
            self.transaction is None
            and self._kind is not Peer16
            and not self.settings.on(Meaning.AUTHORIZATION)
        ):
            self._orders.put_nowait(lambda: self._start_by_order(NOTHING, None))

    async def authorize(self, code: str) -> str:
        """Present `code`; return the status it got. Raises CodeTooLongError.

        Offline, and where the charger knows enough (LocalPreAuthorize), it says so itself.
        """
        token = Token.of(code)
        known = self._known(token)
        verdict = judging.online(self.settings, known)
        if not self.online and self._failure is None:
            verdict = judging.offline(self.settings, known)
        if verdict is None:
            verdict = await self._connected().authorize(token)
            self._learn(token, verdict)
        return verdict.status

    async def start(self, code: str) -> Started:
        """Begin a transaction and charge until stopped; not accepted, it ends at once.

        Plugged in by then, if not before. Offline it is answered by what the charger
        knows itself, and told to the gateway when that is there again.
        """
        if not self._plugged_in:
            await self.plug_in()
        return await self._start(Token.of(code), None)

    async def started(self) -> Started:
        """Return what the next start is answered that nobody at the charger made."""
        return await self._unless_gone(self._begun.get())

    async def repeat_start(self) -> Started:
        """Say the start of what charges again, as if its answer had been lost with the line."""
        if self._started_as is None:
            trouble = "nothing charges"
            raise RequestRefusedError(trouble)
        again = self._started_as.again()
        self.outbox.put_first(again)
        self.cut()
        answer = await self._unless_gone(again.answered)
        return self._told(again.transaction, answer)

    async def stopped(self) -> str:
        """Return why charging ended, once the gateway has taken it; offline, once it has."""
        if self._charging is None:
            raise ChargerDisconnectedError
        return str(await self._unless_gone(asyncio.shield(self._charging)))

    async def stop(self) -> str:
        """End the transaction at the charger; return the reason that is reported."""
        if self.transaction is not None:
            self.transaction.end(Reason.LOCAL)
        return await self.stopped()

    def cut(self) -> None:
        """Lose the connection without a word; it comes back by itself."""
        if self._peer is not None:
            self._peer.cut()

    async def go_offline(self) -> None:
        """Lose the connection, and stay so; returns when it is gone."""
        self._wanted.clear()
        if self._peer is not None:
            peer = self._peer
            peer.cut()
            await peer.closed()
            self._lose(peer)

    async def come_back(self) -> None:
        """Return when the connection is there again."""
        self._wanted.set()
        await self._unless_gone(self._online.wait())

    async def reboot(self, reason: Reason = Reason.POWER_LOSS, why: str = "PowerUp") -> None:
        """Start again; what charges ends for `reason`, and is told of afterwards if not before.

        List, cache and what is not answered yet are kept; settings that waited count now.
        """
        if self.transaction is not None and self._charging is not None:
            self.transaction.end(reason)
            await self._unless_gone(asyncio.shield(self._charging))
        self.settings.boot()
        self._boots_as = why
        if self._peer is not None:
            peer = self._peer
            self._online.clear()
            await peer.close()
        await self.come_back()

    async def disconnected(self) -> None:
        """Return when the connection is gone."""
        if self._peer is not None:
            await self._peer.closed()

    async def close(self) -> None:
        """Stop without a word, as a charger that loses its power for good."""
        tasks = [*self._tasks, *([] if self._charging is None else [self._charging])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._peer is not None:
            await self._peer.close()

    # What the gateway asks for; a peer answers it, and calls `oblige` then.

    def oblige(self) -> None:
        """Do what was promised in the answer that is out."""
        for order in self._promised:
            self._orders.put_nowait(order)
        self._promised.clear()

    def on_remote_start(self, token: Token, request_id: int | None = None) -> bool:
        """Begin as if `token` had been presented here, unless the connector is taken."""
        if self.transaction is not None or not self._operative:
            return False
        self._promised.append(lambda: self._start_by_order(token, request_id))
        return True

    def on_remote_stop(self, transaction_id: int | str) -> bool:
        """End what runs, if it is this."""
        running = self.transaction
        if running is None or self._kind.transaction_id(running) != transaction_id:
            return False

        async def stop() -> None:
            running.end(Reason.REMOTE)

        self._promised.append(stop)
        return True

    def on_clear_cache(self) -> bool:
        """Forget who was accepted, if it is remembered at all."""
        if not self.settings.on(Meaning.CACHE):
            return False
        self.cache.clear()
        return True

    def on_list_version(self) -> int | None:
        """Return the version of the local list; None where there is none."""
        return self.local_list.version if self.settings.on(Meaning.LIST) else None

    def on_local_list(self, update: Update) -> Taken | None:
        """Take an update of the local list; None where there is none."""
        if not self.settings.on(Meaning.LIST):
            return None
        taken = self.local_list.take(update)
        self.settings.note(Meaning.LIST_COUNT, len(self.local_list))
        return taken

    def on_trigger(self, message: str) -> bool:
        """Send a message of one's own, if there is one of this name."""
        orders: Mapping[str, Order] = {
            "BootNotification": lambda: self._boot(self._connected(), "Triggered"),
            "Heartbeat": lambda: self._connected().heartbeat(),
            "StatusNotification": lambda: self._connected().report(self.state),
            "MeterValues": self._measure,
        }
        order = orders.get(message)
        if order is not None:
            self._promised.append(order)
        return order is not None

    def on_reset(self, *, at_once: bool, hard: bool) -> bool:
        """Start again, at once or once nothing charges; return whether it is at once."""
        now = at_once or self.transaction is None
        if now:
            reason = Reason.HARD_RESET if hard else Reason.SOFT_RESET
            self._promised.append(lambda: self.reboot(reason, "RemoteReset"))
        else:
            self._reset_when_idle = True
        return now

    def on_unlock(self) -> None:
        """Let the cable go; what charges ends."""
        if self.transaction is not None:
            self.transaction.end(Reason.UNLOCKED)

    def on_availability(self, *, operative: bool) -> bool:
        """Serve vehicles or none; return whether it counts at once."""
        self._operative = operative
        if self.transaction is not None:
            return False
        self._promised.append(lambda: self._become(self._idle()))
        return True

    # Starting, charging, stopping.

    async def _start(self, token: Token, request_id: int | None) -> Started:
        if self.transaction is not None:
            trouble = "something charges already"
            raise RequestRefusedError(trouble)
        offline = not self.online
        if offline:
            self._raise_failure()
            verdict = Verdict(ACCEPTED)
            if token != NOTHING:
                verdict = judging.offline(self.settings, self._known(token))
            if verdict.status != ACCEPTED:
                return Started(-1, verdict.status, offline=True)
        transaction = self.transaction = Transaction(token, self.meter, request_id)
        message = self._started_as = self._tell(transaction, Moment.STARTED)
        if offline:
            self._charge_from_now_on(transaction)
            return Started(self._kind.transaction_id(transaction), ACCEPTED, offline=True)
        try:
            answer = await self._unless_gone(message.answered)
        except ChargekeyError:
            self.transaction = None
            raise
        self._charge_from_now_on(transaction)
        return self._told(transaction, answer)

    async def _start_by_order(self, token: Token, request_id: int | None) -> None:
        if self.settings.on(Meaning.AUTHORIZE_REMOTE_STARTS) and token != NOTHING:
            verdict = await self._connected().authorize(token)
            if verdict.status != ACCEPTED:
                self._begun.put_nowait(Started(-1, verdict.status))
                return
        if not self._plugged_in:
            await self._become(State.PREPARING)
            self._plugged_in = True
        self._begun.put_nowait(await self._start(token, request_id))

    def _told(self, transaction: Transaction, answer: Answer) -> Started:
        number = answer.number if self._kind is Peer16 else transaction.own_id
        return Started(number, ACCEPTED if answer.verdict is None else answer.verdict.status)

    def _charge_from_now_on(self, transaction: Transaction) -> None:
        self._charging = asyncio.create_task(self._charge(transaction), name="charging")

    async def _charge(self, transaction: Transaction) -> Reason:
        """Report meter values until it is to end, then report the end."""
        if not transaction.ending.is_set():
            await self._become(
                State.CHARGING if transaction.status == ACCEPTED else State.SUSPENDED
            )
            await self._measure_until_it_ends(transaction)
        reason = transaction.reason or Reason.LOCAL
        message = self._tell(transaction, Moment.ENDED, reason)
        self.transaction = self._started_as = None
        self._plugged_in = False
        if self.online:
            await message.answered
        await self._become(self._idle())
        if self._reset_when_idle:
            self._reset_when_idle = False
            self._orders.put_nowait(lambda: self.reboot(Reason.SOFT_RESET, "ScheduledReset"))
        return reason

    async def _measure_until_it_ends(self, transaction: Transaction) -> None:
        while not transaction.ending.is_set():
            if transaction.status == ACCEPTED:
                self.meter += METER_STEP
            if not self.outbox.full():
                self._tell(transaction, Moment.UPDATED)
            await set_within(transaction.ending, self._meter_interval)

    async def _measure(self) -> None:
        if self.transaction is None:
            await self._connected().measure(self.meter, self.now())
        else:
            self._tell(self.transaction, Moment.UPDATED)

    # What the charger knows.

    def _known(self, token: Token) -> Verdict | None:
        return judging.known(token, self.now(), self.settings, self.local_list, self.cache)

    def _learn(self, token: Token, verdict: Verdict) -> None:
        if self.settings.on(Meaning.CACHE) and self.local_list.verdict(token) is None:
            self.cache.learn(token, verdict)

    # Telling of transactions.

    def _tell(
        self, transaction: Transaction, moment: Moment, cause: Reason | None = None
    ) -> Message:
        message = Message(
            transaction,
            moment,
            self.now(),
            self.meter,
            transaction.next_sequence_number(),
            not self.online,
            asyncio.get_running_loop().create_future(),
            cause,
        )
        self.outbox.put(message)
        return message

    async def _deliver(self) -> None:
        """Send what is in the outbox, in its order, each until it is answered or given up."""
        attempts = 0
        while True:
            message = await self.outbox.first()
            peer = self._peer
            if peer is None or not self.online:
                await self._online.wait()
                continue
            try:
                answer = await peer.deliver(message)
            except (RequestRefusedError, UnansweredError) as error:
                attempts += 1
                if attempts < self.settings.number(Meaning.MESSAGE_ATTEMPTS):
                    interval = self.settings.number(Meaning.MESSAGE_INTERVAL)
                    await asyncio.sleep(interval * attempts)  # 1.6 §3.7.1, 2.0.1 E13
                    continue
                self._give_up(message, error)
            except (ChargerConnectedError, ChargerDisconnectedError):
                await peer.closed()
                self._lose(peer)
                continue
            else:
                await self._take(message, answer)
            attempts = 0

    def _give_up(self, message: Message, error: ChargekeyError) -> None:
        self.outbox.remove(message)
        if not message.answered.done():
            message.answered.set_exception(error)
            message.answered.exception()  # where nobody waits for it, nobody need know

    async def _take(self, message: Message, answer: Answer) -> None:
        transaction = message.transaction
        if message.moment is Moment.STARTED:
            transaction.number = answer.number
        self.outbox.remove(message)
        if answer.verdict is not None:
            listed = self.local_list.verdict(transaction.token)
            self._learn(transaction.token, answer.verdict)
            if message.moment is not Moment.ENDED and answer.verdict.status != ACCEPTED:
                transaction.status = answer.verdict.status
                if self.settings.on(Meaning.STOP_ON_INVALID):
                    transaction.end(Reason.DE_AUTHORIZED)
                if listed is not None and listed.status == ACCEPTED:
                    self._orders.put_nowait(lambda: self._connected().report_list_conflict())
        if not message.answered.done():
            message.answered.set_result(answer)

    # Being connected.

    async def _open(self) -> Peer:
        socket = await self._line.open(self._kind.subprotocol)
        return self._kind(self._line, socket, self, self._observer)

    async def _stay_connected(self, peer: Peer) -> None:
        """Hold the connection, and open it again whenever it is lost."""
        again = False
        while True:
            self._peer = peer
            if again and not await self._say_how_it_is(peer):
                peer = await self._reopen()
                continue
            self._online.set()
            self._observer.connected(again=again)
            await peer.closed()
            self._lose(peer)
            lost = peer.lost()
            self._observer.disconnected(str(lost))
            if isinstance(lost, ChargerConnectedError) and not self._booted:
                self._failure = lost
                self._gone.set()
                return
            peer = await self._reopen()
            again = True

    async def _say_how_it_is(self, peer: Peer) -> bool:
        """Say what a charger says that is there again; return whether that was heard."""
        try:
            if self._boots_as is not None:
                await self._boot(peer, self._boots_as)
                self._boots_as = None
            else:
                await peer.report(self.state)
        except (ChargerConnectedError, ChargerDisconnectedError, RequestRefusedError):
            await peer.close()
            return False
        return True

    async def _reopen(self) -> Peer:
        attempt = 0
        while True:
            if not self._wanted.is_set():
                await self._wanted.wait()
            else:
                seconds = self._back_off[min(attempt, len(self._back_off) - 1)]
                await asyncio.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            attempt += 1
            try:
                return await self._open()
            except (ChargerRefusedError, ChargerDisconnectedError) as error:
                self._observer.failed("connect", error.code)

    def _lose(self, peer: Peer) -> None:
        if self._peer is peer:
            self._online.clear()
            self._peer = None

    def _connected(self) -> Peer:
        self._raise_failure()
        if self._peer is None:
            raise ChargerDisconnectedError
        return self._peer

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _boot(self, peer: Peer, why: str) -> None:
        status = await peer.boot(why)
        if status != ACCEPTED:
            trouble = f"BootNotification: {status}"
            raise RequestRefusedError(trouble)
        await peer.report(self.state)

    async def _become(self, state: State) -> None:
        """Be in this state; what cannot be said now is said after the next connection."""
        self.state = state
        if self.online:
            try:
                await self._connected().report(state)
            except ChargerDisconnectedError:
                return

    def _idle(self) -> State:
        return State.AVAILABLE if self._operative else State.UNAVAILABLE

    async def _follow_orders(self) -> None:
        """Do what the gateway was promised, one after the other."""
        while True:
            order = await self._orders.get()
            try:
                await order()
            except ChargekeyError as error:
                self._observer.failed("order", error.code)

    async def _unless_gone(self, awaited: Awaitable[Result]) -> Result:
        waiting = asyncio.ensure_future(awaited)
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return await waiting
            self._raise_failure()
            raise ChargerDisconnectedError
        finally:
            gone.cancel()
            if not isinstance(awaited, asyncio.Future):
                waiting.cancel()


@asynccontextmanager
async def simulated_charger(
    url: str,
    ocpp_identity: str,
    password: str,
    *,
    version: Version = "1.6",
    meter_interval: float = METER_INTERVAL,
    make: Make | None = None,
    observer: Observer | None = None,
) -> AsyncIterator[SimulatedCharger]:
    """Connect a charger to `<url>/<ocpp_identity>` for the length of the block.

    Meter values come every `meter_interval` seconds. Raises ChargerRefusedError where
    the gateway knows no such charger and password, and ChargerDisconnectedError.
    """
    charger = SimulatedCharger(
        Line(url, ocpp_identity, password),
        version,
        meter_interval=meter_interval,
        make=make,
        observer=observer,
    )
    await charger.connect()
    try:
        yield charger
    finally:
        await charger.close()
