"""Comparing a store with its stream, record by record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from chargekey_common.eventstore.store import EventStore
from chargekey_common.process import cancel
from chargekey_common.published.envelope import POSITION_HEADER, RECORD_HEADER, attributes
from chargekey_common.reactions import Reactions
from chargekey_common.relay import DivergedError, Relay, record_hash

from .shelves import publication

CHUNK = 500
EVENTS = ("ShelfLabelled", "ShelfCleared")


@asynccontextmanager
async def running(*runners: Relay | Reactions) -> AsyncIterator[asyncio.Task[None]]:
    """Run them all; the last one's task is handed over. A relay may have diverged."""
    tasks = [asyncio.create_task(runner.run()) for runner in runners]
    try:
        yield tasks[-1]
    finally:
        await asyncio.gather(*map(cancel, tasks))
        for task in tasks:
            assert task.cancelled() or isinstance(task.exception(), DivergedError)


async def stream(client: Client) -> list[Any]:
    """Every message of the stream, by its sequence."""
    js = client.jetstream()
    try:
        state = (await js.stream_info("SHELVES")).state
    except NotFoundError:
        return []
    messages: list[Any] = []
    for first in range(state.first_seq, state.last_seq + 1, CHUNK):
        found = await asyncio.gather(
            *(
                js.get_msg("SHELVES", sequence)
                for sequence in range(first, min(first + CHUNK, state.last_seq + 1))
            ),
            return_exceptions=True,
        )
        for message in found:
            if isinstance(message, NotFoundError):  # erased
                continue
            if isinstance(message, BaseException):
                raise message
            messages.append(message)
    return messages


async def events(client: Client) -> list[Any]:
    return [message for message in await stream(client) if is_event(message.subject)]


def is_event(subject: str) -> bool:
    return subject.rpartition(".")[2] in EVENTS


def told(messages: list[Any]) -> list[Any]:
    return [
        (
            message.subject,
            message.data,
            message.headers[POSITION_HEADER],
            message.headers[RECORD_HEADER],
        )
        for message in messages
    ]


def to_tell(store: EventStore) -> list[Any]:
    """What the stream holds when it has told the store's whole log, byte by byte."""
    messages: list[Any] = []
    for number, record, row in store.read(0, 1_000_000):
        telling = publication(record)
        messages = [message for message in messages if message[0] not in telling.erased]
        messages += [
            (
                event.subject,
                msgspec.json.encode(event),
                str(store.position(number)),
                record_hash(row),
            )
            for event in (*telling.private, telling.event)
        ]
    return messages


async def end_of_stream(client: Client) -> str:
    try:
        last = await client.jetstream().get_last_msg("SHELVES", "shelves.v1.>")
    except NotFoundError:
        return ""
    return (last.headers or {})[POSITION_HEADER]


def difference(messages: list[Any], expected: list[Any]) -> tuple[Any, ...]:
    """What to read when they do not agree: not thousands of lines."""
    return (
        len(messages),
        len(expected),
        next((pair for pair in zip(messages, expected, strict=False) if pair[0] != pair[1]), None),
    )


async def agree(client: Client, store: EventStore, *, private: bool = True) -> None:
    """Wait until the stream tells the store's log record by record, and nothing else.

    Without `private`, its private messages may have been told more than once.
    """
    expected = [entry for entry in to_tell(store) if private or is_event(entry[0])]
    deadline, end = time.monotonic() + 30, ""
    # Until they agree: a stream that is being made again is read half old, half new.
    while True:
        in_time, before = time.monotonic() < deadline, end
        end = await end_of_stream(client)
        if end != before:  # it is still being filled
            deadline = time.monotonic() + 30
        messages: list[Any] = []
        if not in_time or end == str(store.position()):
            messages = await (stream(client) if private else events(client))
            if told(messages) == expected:
                break
        assert in_time, difference(told(messages), expected)
        await asyncio.sleep(0.02)
    records = {
        str(store.position(number)): record for number, record, _ in store.read(0, 1_000_000)
    }
    for message in messages:
        about, record = attributes(message.headers), records[message.headers[POSITION_HEADER]]
        assert (about.id, about.cause, about.actor) == (
            record.event_id,
            record.cause,
            record.actor,
        )
