"""What the gateway owns on the bus, declared at the start and again whenever they are gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol

import nats.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError as NothingThereError

from chargekey_common.jetstream import BatchRefusedError, BatchUnansweredError
from chargekey_gateway import kept_sessions, lockouts, remote_starts
from chargekey_gateway.announcer import CHARGERS_STREAM, declare_chargers_stream
from chargekey_gateway.lockouts import Lockouts
from chargekey_gateway.operators import last_known
from chargekey_gateway.operators.last_known import LastKnown
from chargekey_gateway.reconcile import confirmed
from chargekey_gateway.reconcile.confirmed import Confirmed
from chargekey_gateway.remote_starts import RemoteStarts
from chargekey_gateway.sessions.journal import Journal
from chargekey_gateway.sessions.stream import STREAM, declare

WATCH = 1.0

log = structlog.get_logger()


class _Declare(Protocol):
    async def __call__(self, js: JetStreamContext, *, replicas: int) -> None:
        """Declare a bucket, or bring it in line."""


class _Memory(Protocol):
    def tell_again(self) -> None:
        """Have all that is known written into a bucket that was lost."""


async def keep_streams(
    client: Client,
    journal: Journal,
    locks: Lockouts,
    answers: LastKnown,
    chargers: Confirmed,
    starts: RemoteStarts,
    *,
    replicas: int,
) -> None:
    """Declare SESSIONS, CHARGERS and the buckets, and look after them until cancelled.

    A bus that lost its disk has lost the streams too, and starts wait until they are
    back: their numbers continue above those that this replica knows of, and SESSIONS
    is told of what still runs, the buckets of what is known here. A stream that is there is
    brought in line once and then left alone: every update is written by the servers, and
    replicas of two releases would undo each other's.
    """
    js = client.jetstream()

    async def sessions() -> None:
        declaring = partial(declare, js, replicas=replicas)
        if journal.is_held or await _is_gone(js, STREAM):
            async with journal.made_again():
                await declaring(now=time.time_ns(), last_known=journal.last_known)
        else:  # it knows what is known here
            await declaring(now=time.time_ns())

    async def bucket(declare_it: _Declare, memory: _Memory) -> None:
        await declare_it(js, replicas=replicas)
        memory.tell_again()

    owned: Mapping[str, Callable[[], Awaitable[None]]] = {
        STREAM: sessions,
        CHARGERS_STREAM: partial(declare_chargers_stream, client, replicas=replicas),
        lockouts.STREAM: partial(bucket, lockouts.declare_lockouts, locks),
        last_known.STREAM: partial(bucket, last_known.declare_answers, answers),
        confirmed.STREAM: partial(bucket, confirmed.declare_confirmed, chargers),
        remote_starts.STREAM: partial(bucket, remote_starts.declare_remote_starts, starts),
        kept_sessions.STREAM: partial(kept_sessions.declare_kept_sessions, js, replicas=replicas),
    }
    declared: set[str] = set()
    while True:
        try:
            for stream, make in owned.items():
                if stream not in declared or await _is_gone(js, stream):
                    declared.discard(stream)  # until it is whole again
                    await make()
                    declared.add(stream)
        except (BatchRefusedError, BatchUnansweredError, nats.errors.Error, OSError) as error:
            log.info("streams_undeclared", error=type(error).__name__)
        await asyncio.sleep(WATCH)


async def _is_gone(js: JetStreamContext, stream: str) -> bool:
    try:
        await js.stream_info(stream)
    except NothingThereError:
        return True
    return False
