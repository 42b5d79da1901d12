"""The small service in a process of its own, to be killed or stopped between any two steps.

It is told a `Life`, as JSON. What is wrapped here are the calls that
the running code really makes; that code knows nothing of it.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from eventsourcing.persistence import Notification
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext
from nats.js.manager import JetStreamManager

from chargekey_common import jetstream, relay
from chargekey_common.eventstore.records import Record
from chargekey_common.eventstore.store import Context, EventStore, Reaction
from chargekey_common.jetstream import BatchRefusedError, OutMessage
from chargekey_common.postgres import Postgres
from chargekey_common.relay import Publication, Relay

from .shelves import EVENTS, ShelfLabelled, Shelves, publication

if TYPE_CHECKING:
    # Most of these processes react to nothing, and live for less than it takes to import.
    from chargekey_common.reactions import Reactions

# In the order in which they happen.
SAVING = ("before save", "written, not committed", "saved")
RELAYING = (
    "before read",
    "translated",
    "before erasing",
    "erased",
    "before publish",
    "half sent",
    "sent",
    "acknowledged",
)
REACTING = (
    "delivered",
    "before save",
    "written, not committed",
    "saved",
    "acknowledged",
    "before next",
)


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What the process does, and its end: at the `nth` time it comes to `step`.

    It does the `commands` of these numbers, letting the relay come after each, or saves
    on several threads without end and says what was answered.
    `mirror` is the store of its reactions.
    """

    url: str
    token: str
    name: str = ""
    store: str | Postgres | None = None
    mirror: str | Postgres | None = None
    commands: Sequence[int] = ()
    endless: bool = False
    step: str = ""
    nth: int = 1
    by: int = signal.SIGKILL


async def begin(life: Life) -> asyncio.subprocess.Process:
    """Start the process; its stdout is to be read."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        # As every process of ours begins: which it does dozens of times.
        "from chargekey_common.importing import imported; imported('tests.dying:main')()",
        msgspec.json.encode(life).decode(),
        cwd=Path(__file__).parents[1],
        stdout=asyncio.subprocess.PIPE,
    )


class Fate:
    """Ends the process at its step, once; `on_wake` follows where it only stops, and goes on."""

    def __init__(self, life: Life) -> None:
        self.on_wake: Callable[[], None] | None = None
        self._step = life.step
        self._left = life.nth
        self._signal = life.by
        self._lock = threading.Lock()

    def at(self, step: str) -> None:
        with self._lock:
            self._left -= step == self._step
            if step == self._step and self._left == 0:
                os.kill(os.getpid(), self._signal)
                if self.on_wake is not None:
                    self.on_wake()


class Told:
    """How far the relay has asked: everything up to there is in the stream."""

    def __init__(self, store: EventStore, fate: Fate) -> None:
        self._number = 0
        self._grown = threading.Condition()
        self._store = store
        self._fate = fate
        self._read = store.read
        store.read = self.read  # type: ignore[method-assign]

    def read(self, after: int, limit: int) -> Sequence[tuple[int, Record, Notification]]:
        # The relay looks its bookmark up too, with another limit.
        if limit == relay.MAX_EVENTS_A_BATCH:
            self._fate.at("before read")
            say(f"told {after}")
            with self._grown:
                self._number = after
                self._grown.notify_all()
        return self._read(after, limit)

    def wait_for_end(self) -> None:
        with self._grown:
            assert self._grown.wait_for(lambda: self._number == self._store.end(), 30)


def wrap_saves(store: EventStore, fate: Fate) -> None:
    recorder: Any = store.recorder
    insert, write = recorder.insert_events, recorder._insert_events  # noqa: SLF001 - between its two halves

    def insert_events(*args: Any, **kwargs: Any) -> Any:
        fate.at("before save")
        numbers = insert(*args, **kwargs)
        fate.at("saved")
        return numbers

    def write_events(*args: Any, **kwargs: Any) -> Any:
        numbers = write(*args, **kwargs)
        fate.at("written, not committed")
        return numbers

    recorder.insert_events, recorder._insert_events = insert_events, write_events  # noqa: SLF001 - as above


def wrap_publishing(client: Client, fate: Fate) -> None:
    publish = client.publish
    publish_atomically = relay.publish_atomically
    delete_msg = JetStreamManager.delete_msg

    async def publish_one(
        subject: str,
        payload: bytes = b"",
        reply: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        await publish(subject, payload, reply=reply, headers=headers)
        if headers is not None and "Nats-Batch-Id" in headers:
            await client.flush()
            fate.at("sent" if "Nats-Batch-Commit" in headers else "half sent")

    async def publish_all(client: Client, messages: Sequence[OutMessage], **kwargs: Any) -> int:
        fate.at("before publish")
        try:
            sequence = await publish_atomically(client, messages, **kwargs)
        except BatchRefusedError as error:
            say(f"refused {error.code}")
            raise
        fate.at("acknowledged")
        return sequence

    async def delete(self: JetStreamManager, stream_name: str, seq: int) -> bool:
        fate.at("before erasing")
        done = await delete_msg(self, stream_name, seq)
        fate.at("erased")
        return done

    client.publish = publish_one  # type: ignore[method-assign]
    relay.publish_atomically = publish_all  # type: ignore[assignment]
    JetStreamManager.delete_msg = delete  # type: ignore[method-assign]


def wrap_deliveries(fate: Fate) -> None:
    ack, fetch = Msg.ack, JetStreamContext.PullSubscription.fetch

    async def acknowledge(self: Msg) -> None:
        await ack(self)
        await self._client.flush()
        fate.at("acknowledged")

    async def fetch_next(self: Any, *args: Any, **kwargs: Any) -> list[Msg]:
        fate.at("before next")
        return await fetch(self, *args, **kwargs)

    Msg.ack = acknowledge  # type: ignore[method-assign]
    JetStreamContext.PullSubscription.fetch = fetch_next  # type: ignore[method-assign]


def do(shelves: Shelves, number: int) -> None:
    """Do the command of a number: every fourth clears a shelf that was labelled before."""
    context, shelf = Context("me", f"c{number}"), f"s{number % 3}"
    if number % 4 == 3:
        shelves.clear(context, shelf_id=shelf)
    else:
        shelves.label(context, shelf_id=shelf, label=str(number))


def bus(life: Life) -> jetstream.Bus:
    return jetstream.Bus(life.url, lambda: life.token)


def mirroring(mirror: Shelves, life: Life, fate: Callable[[str], None]) -> Reactions:
    from chargekey_common.reactions import On, Reactions  # noqa: PLC0415 - as above

    async def react(event: ShelfLabelled, reaction: Reaction) -> None:
        fate("delivered")
        # Nothing but the position handled keeps this from labelling twice.
        await asyncio.to_thread(mirror.react, reaction, event.shelf_id)

    return Reactions("mirror", bus(life), mirror.store, On(ShelfLabelled, react))


def say(line: str) -> None:
    # One write a line: threads say things, and the end may come at any time.
    os.write(1, f"{line}\n".encode())


def where(place: str | Postgres) -> Path | Postgres:
    return Path(place) if isinstance(place, str) else place


def save_endlessly(shelves: Shelves, life: Life) -> None:
    def save(thread: int) -> None:
        for number in itertools.count():
            context = Context("me", f"{life.name}-{thread}-{number}")
            shelf = f"s{number % 5}-{thread}"
            if number % 7 == 6:
                answer = shelves.clear(context, shelf_id=shelf)
            else:
                answer = shelves.label(context, shelf_id=shelf, label=context.command_id)
            say(f"answered {context.command_id} {answer.position}")

    for thread in range(3):
        threading.Thread(target=save, args=(thread,), daemon=True).start()


async def live(life: Life) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    fate = Fate(life)
    tasks = []
    if life.mirror is not None:
        from chargekey_common import reactions  # noqa: PLC0415 - as above

        mirror = EventStore("shelves", where(life.mirror), EVENTS)
        wrap_saves(mirror, fate)
        wrap_deliveries(fate)
        reactions.ACK_WAIT = 0.5
        tasks.append(asyncio.create_task(mirroring(Shelves(mirror), life, fate.at).run()))
    if life.store is not None:
        store = EventStore("shelves", where(life.store), EVENTS)
        shelves = Shelves(store)
        wrap_saves(store, fate)
        client = await jetstream.connect(bus(life), "dying")
        wrap_publishing(client, fate)
        told = Told(store, fate)
        # That others have saved, as a database would say: it goes on from where it was.
        fate.on_wake = partial(store._tell_listeners, ())  # noqa: SLF001 - as the database

        def publish(record: Record) -> Publication:
            found = publication(record)
            fate.at("translated")
            return found

        relay.POLL = 0.05  # how soon it looks again, by which it is known that all is told
        tasks.append(asyncio.create_task(Relay(client, store, publish).run()))
        tasks[-1].add_done_callback(lambda _: os._exit(1))  # it diverged
        for number in life.commands:
            await asyncio.to_thread(do, shelves, number)
            await asyncio.to_thread(told.wait_for_end)
        if life.endless:
            save_endlessly(shelves, life)
    await asyncio.gather(*tasks)


def main() -> None:
    asyncio.run(live(msgspec.json.decode(sys.argv[1], type=Life)))
