"""Who has which charger: across replicas, by a core-NATS subject a connected charger.

Whoever has a charger's connection listens at `gateway.v1.charger.<id>`; nobody there means
that it is not connected. Nothing is stored, so nothing is left of a replica that was killed.

A newcomer's replica asks there first: of a charger that is connected elsewhere and alive the
newcomer is refused. Two that ask at once hear of nobody, and both come in: so everybody says
afterwards that he is there, and of those who hear it the one that came first stays, if it
lives. That also sorts out whom a replica let in while it had no bus, which it does rather
than turn chargers away: once it is back it says again who is there.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import msgspec
import nats.errors
import structlog
from nats.errors import NoRespondersError

from chargekey_common import jetstream
from chargekey_common.errors import UnavailableError
from chargekey_common.jetstream import StreamClient, Taking
from chargekey_gateway.charger_states import ChargerState
from chargekey_gateway.command_errors import ChargerOfflineError, ChargerSilentError
from chargekey_gateway.commands import AnyCommand, Outcome, Result, SendLocalList

SUBJECT = "gateway.v1.charger"
# Seconds. A call of gRPC lasts 30 at the most, and shall end with the better error.
CARRY_OUT_WITHIN = 25.0
LOOK_WITHIN = 0.5
LEAVE_WITHIN = 2.0
WATCH = 1.0
ON_THE_WAY = 1.0  # added to a deadline that the other side keeps, too
ASKED_AT_ONCE = 256

_BEFORE = f"{SUBJECT}.".encode()
_NAME = re.compile(r"[A-Za-z0-9_-]+")  # what cannot stand for other subjects

log = structlog.get_logger()


class Presence(msgspec.Struct, frozen=True):
    """A connected charger; `connected_at` in nanoseconds since the epoch."""

    charger_id: str
    ocpp_version: str
    connected_at: int
    state: ChargerState


class Newcomer(Protocol):
    """A second connection of a charger, wherever it is."""

    def hold(self) -> None:
        """Wait: the first one is being asked."""

    def refuse(self) -> None:
        """Go: the first one lives."""

    def come_in(self) -> None:
        """Come: there is none any more."""


class Place(Protocol):
    """A charger's connection at this replica."""

    def carry_out(self, command: AnyCommand) -> Awaitable[Result]:
        """Have the charger do something."""

    def presence(self) -> Presence | None:
        """Return how the charger is; None before it was let in."""

    def challenge(self, newcomer: Newcomer) -> None:
        """Show a sign of life, or make room."""

    def refuse(self) -> None:
        """Go: the charger has another connection, which lives."""

    def disconnect(self) -> None:
        """Go: somebody who may says so."""


class CarryOut(msgspec.Struct, frozen=True, tag=True):
    """Have the charger do this. Never SendLocalList: it holds readable codes."""

    command: AnyCommand


class Look(msgspec.Struct, frozen=True, tag=True):
    """Tell how the charger is."""


class Claim(msgspec.Struct, frozen=True, tag=True):
    """Show that your connection lives, or let a newcomer have the place."""


class Leave(msgspec.Struct, frozen=True, tag=True):
    """Close your connection."""


class Here(msgspec.Struct, frozen=True, tag=True):
    """The charger is connected at `replica` since a time there; whether that was tried out."""

    replica: str
    since: int
    lives: bool = False


class Done(msgspec.Struct, frozen=True, tag=True):
    """What came of a command; None where the charger gave no answer in time."""

    result: Result | None


class Present(msgspec.Struct, frozen=True, tag=True):
    """How the charger is."""

    presence: Presence


class Taken(msgspec.Struct, frozen=True, tag=True):
    """The charger's connection here lives."""


class Left(msgspec.Struct, frozen=True, tag=True):
    """The charger's connection here is closed."""


class Nobody(msgspec.Struct, frozen=True, tag=True):
    """It has just gone."""


Question = CarryOut | Look | Claim | Leave | Here
Answer = Done | Present | Taken | Left | Nobody

_QUESTIONS: msgspec.json.Decoder[Question] = msgspec.json.Decoder(Question)
_ANSWERS: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


class _Held:
    """A place that is listened for; `since` in nanoseconds."""

    __slots__ = ("place", "since", "taking")

    def __init__(self, place: Place, since: int) -> None:
        self.place = place
        self.since = since
        self.taking: Taking | None = None


class _FromElsewhere:
    """A newcomer at another replica; `stays` tells whether the first one does."""

    def __init__(self) -> None:
        self.stays: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def hold(self) -> None:
        """Wait: its own replica lets it."""

    def refuse(self) -> None:
        """Take note that the first one lives."""
        self._decide(stays=True)

    def come_in(self) -> None:
        """Take note that the first one has gone."""
        self._decide(stays=False)

    def _decide(self, *, stays: bool) -> None:
        if not self.stays.done():
            self.stays.set_result(stays)


class Registry:
    """The chargers of this replica, for the others; and theirs, for this one.

    Belongs to one event loop. `run` must be running for what happened without the bus to be
    sorted out. `patience` is how many seconds a connected charger has to show that it lives.
    """

    def __init__(
        self,
        client: StreamClient,
        *,
        patience: float,
        clock: Callable[[], int] = time.time_ns,
        carry_out_within: float = CARRY_OUT_WITHIN,
    ) -> None:
        self.replica = str(uuid.uuid4())
        self._client = client
        self._patience = patience
        self._clock = clock
        self._within = carry_out_within
        self._held: dict[str, _Held] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Say who is here whenever the bus is back, until cancelled; then answer nobody."""
        reconnects = self._client.stats["reconnects"]
        try:
            while True:
                await asyncio.sleep(WATCH)
                if self._client.is_connected and reconnects != self._client.stats["reconnects"]:
                    reconnects = self._client.stats["reconnects"]
                    for charger_id, held in tuple(self._held.items()):
                        if self._held.get(charger_id) is held:
                            await self._say_here(charger_id, held)
        finally:
            for task in tuple(self._tasks):
                task.cancel()

    # For the sockets of this replica.

    async def arrive(self, charger_id: str, place: Place) -> bool:
        """Take the charger's place among all replicas, if nobody who lives has it.

        Without the bus it is taken: what that leads to is sorted out later.
        """
        if await self._is_taken(charger_id):
            return False
        held = _Held(place, self._clock())
        self._held[charger_id] = held
        try:
            held.taking = await self._client.take(subject(charger_id), self._hear)
            await self._say_here(charger_id, held)
        except asyncio.CancelledError:
            self.leave(charger_id, place)
            raise
        except nats.errors.Error as error:  # the process is about to end
            log.info("registry_closed", error=type(error).__name__)
        return True

    def leave(self, charger_id: str, place: Place) -> None:
        """Listen no more for a charger whose connection at `place` has gone; idempotent."""
        held = self._held.get(charger_id)
        if held is None or held.place is not place:
            return
        del self._held[charger_id]
        if held.taking is not None:
            # Before anything that this replica may ask there next, in the order of NATS.
            self._own(_unsubscribe(held.taking))

    # For whoever wants something of a charger.

    async def carry_out(self, charger_id: str, command: AnyCommand) -> Result:
        """Have the charger do something, wherever it is connected.

        Raises ChargerOfflineError, ChargerSilentError, and UnavailableError where it is not
        connected here and the bus is away. A SendLocalList finds only chargers connected here.
        """
        held = self._held.get(charger_id)
        if held is not None:
            return _told(await self._done(held, command))
        if isinstance(command, SendLocalList):
            raise ChargerOfflineError
        match await self._ask(charger_id, CarryOut(command), self._within + ON_THE_WAY):
            case Done(result):
                return _told(result)
            case _:
                raise ChargerOfflineError

    async def disconnect(self, charger_id: str) -> None:
        """Close the charger's connection, wherever it is, though it lives.

        Raises ChargerOfflineError, ChargerSilentError (of a replica that does not answer), and
        UnavailableError where it is not connected here and the bus is away.
        """
        held = self._held.get(charger_id)
        if held is not None:
            held.place.disconnect()
        elif not isinstance(await self._ask(charger_id, Leave(), LEAVE_WITHIN), Left):
            raise ChargerOfflineError

    async def presences(self, charger_ids: Iterable[str]) -> Sequence[Presence]:
        """Return how those of the chargers are that are connected, in the order asked for.

        Without the bus, those connected here. Of a replica that does not answer nothing is
        known, as of none.
        """
        wanted = asyncio.Semaphore(ASKED_AT_ONCE)

        async def of(charger_id: str) -> Presence | None:
            async with wanted:
                return await self._presence(charger_id)

        found = await asyncio.gather(*(of(charger_id) for charger_id in charger_ids))
        return [presence for presence in found if presence is not None]

    async def _presence(self, charger_id: str) -> Presence | None:
        held = self._held.get(charger_id)
        if held is not None:
            return held.place.presence()
        try:
            answer = await self._ask(charger_id, Look(), LOOK_WITHIN)
        except (ChargerOfflineError, UnavailableError):
            return None
        return answer.presence if isinstance(answer, Present) else None

    # Between replicas.

    async def _ask(self, charger_id: str, question: Question, within: float) -> Answer:
        if not _NAME.fullmatch(charger_id):
            raise ChargerOfflineError
        if not self._client.is_connected:
            raise UnavailableError
        try:
            answer = await self._client.ask(
                subject(charger_id), msgspec.json.encode(question), within
            )
        except NoRespondersError as error:
            raise ChargerOfflineError from error
        except nats.errors.TimeoutError as error:
            raise ChargerSilentError from error
        except (nats.errors.Error, OSError) as error:
            raise UnavailableError from error
        try:
            return _ANSWERS.decode(answer)
        except msgspec.DecodeError as error:  # a replica of another release
            log.warning("registry_message_unreadable", charger=charger_id)
            raise UnavailableError from error

    async def _is_taken(self, charger_id: str) -> bool:
        """Whether the charger is connected elsewhere and lives.

        Before the question that may take long there is one that is answered at once, and asked
        twice: a question that meets an unsubscription on its way is delivered to nobody, and
        NATS does not say so.
        """
        for _ in range(2):
            try:
                if not isinstance(await self._ask(charger_id, Look(), LOOK_WITHIN), Present):
                    return False
                claim = await self._ask(charger_id, Claim(), self._patience + ON_THE_WAY)
                return isinstance(claim, Taken)
            except ChargerSilentError:
                continue
            except (ChargerOfflineError, UnavailableError):
                return False
        return False  # somebody who cannot say that it lives

    def _hear(self, message: jetstream.Taken) -> None:
        charger_id = message.subject.removeprefix(_BEFORE).decode()
        try:
            question = _QUESTIONS.decode(message.data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.warning("registry_message_unreadable", charger=charger_id)
            return
        if isinstance(question, Here) and question.replica == self.replica:
            return  # its own word
        # Each in a task of its own: a command lasts, and others want to know meanwhile.
        self._own(self._answer(charger_id, question, message.reply.decode()))

    async def _answer(self, charger_id: str, question: Question, reply: str) -> None:
        held = self._held.get(charger_id)
        answer: Answer | None = Nobody()
        match question:
            case CarryOut(SendLocalList()):
                log.warning("registry_message_unreadable", charger=charger_id)
                return
            case CarryOut(command) if held is not None:
                answer = await self._carried_out(held, command)
            case Look() if held is not None:
                presence = held.place.presence()
                answer = Nobody() if presence is None else Present(presence)
            case Claim() if held is not None:
                answer = Taken() if await _lives(held.place) else Nobody()
            case Leave() if held is not None:
                held.place.disconnect()
                answer = Left()
            case Here():
                if held is not None:
                    await self._meet(charger_id, held, question)
                answer = None
        if answer is not None and reply:
            await self._client.publish(reply, msgspec.json.encode(answer))

    async def _carried_out(self, held: _Held, command: AnyCommand) -> Done | Nobody:
        try:
            return Done(await self._done(held, command))
        except ChargerOfflineError:
            return Nobody()

    async def _meet(self, charger_id: str, held: _Held, other: Here) -> None:
        """Settle with another replica that has the charger, too: who came first stays, if alive."""
        if (held.since, self.replica) < (other.since, other.replica):
            if await _lives(held.place):
                await self._say_here(charger_id, held, lives=True)
        elif other.lives:
            held.place.refuse()
        else:
            await self._say_here(charger_id, held)

    async def _say_here(self, charger_id: str, held: _Held, *, lives: bool = False) -> None:
        here = Here(self.replica, held.since, lives)
        await self._client.publish(subject(charger_id), msgspec.json.encode(here))

    async def _done(self, held: _Held, command: AnyCommand) -> Result | None:
        """Return what came of a command here, or None; raises ChargerOfflineError."""
        try:
            async with asyncio.timeout(self._within):
                result = await held.place.carry_out(command)
        except TimeoutError:
            return None
        match result.outcome:
            case Outcome.DISCONNECTED:
                raise ChargerOfflineError
            case Outcome.TIMED_OUT:
                return None
            case _:
                return result

    def _own(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("registry_failed", exc_info=task.exception())


def subject(charger_id: str) -> str:
    """Return where whoever has the charger listens."""
    return f"{SUBJECT}.{charger_id}"


def _told(result: Result | None) -> Result:
    if result is None:
        raise ChargerSilentError
    return result


async def _lives(place: Place) -> bool:
    newcomer = _FromElsewhere()
    place.challenge(newcomer)
    return await newcomer.stays


async def _unsubscribe(taking: Taking) -> None:
    try:
        await taking.unsubscribe()
    except nats.errors.Error as error:  # there is nothing to unsubscribe from any more
        log.debug("registry_closed", error=type(error).__name__)
