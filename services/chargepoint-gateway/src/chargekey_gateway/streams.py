"""What the gateway owns on the bus, declared at the start and again whenever they are gone."""

from __future__ import annotations

import asyncio
import time

import nats.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError as NothingThereError

from chargekey_common.jetstream import BatchRefusedError, BatchUnansweredError
from chargekey_gateway import lockouts
from chargekey_gateway.announcer import CHARGERS_STREAM, declare_chargers_stream
from chargekey_gateway.lockouts import Lockouts
from chargekey_gateway.operators import last_known
from chargekey_gateway.operators.last_known import LastKnown
from chargekey_gateway.reconcile import confirmed
from chargekey_gateway.reconcile.confirmed import Confirmed
from chargekey_gateway.sessions.journal import Journal
from chargekey_gateway.sessions.stream import STREAM, declare

WATCH = 1.0

log = structlog.get_logger()


async def keep_streams(
    client: Client,
    journal: Journal,
    locks: Lockouts,
    answers: LastKnown,
    chargers: Confirmed,
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
    sessions_declared = chargers_declared = lockouts_declared = answers_declared = False
    confirmed_declared = False
    while True:
        try:
            if not sessions_declared or await _is_gone(js, STREAM):
                sessions_declared = False  # until it is whole again
                async with journal.made_again():
                    await declare(
                        js, now=time.time_ns(), replicas=replicas, last_known=journal.last_known
                    )
                sessions_declared = True
            if not chargers_declared or await _is_gone(js, CHARGERS_STREAM):
                await declare_chargers_stream(client, replicas=replicas)
                chargers_declared = True
            if not lockouts_declared or await _is_gone(js, lockouts.STREAM):
                await lockouts.declare_lockouts(js, replicas=replicas)
                locks.tell_again()
                lockouts_declared = True
            if not answers_declared or await _is_gone(js, last_known.STREAM):
                await last_known.declare_answers(js, replicas=replicas)
                answers.tell_again()
                answers_declared = True
            if not confirmed_declared or await _is_gone(js, confirmed.STREAM):
                await confirmed.declare_confirmed(js, replicas=replicas)
                chargers.tell_again()
                confirmed_declared = True
        except (BatchRefusedError, BatchUnansweredError, nats.errors.Error, OSError) as error:
            log.info("streams_undeclared", error=type(error).__name__)
        await asyncio.sleep(WATCH)


async def _is_gone(js: JetStreamContext, stream: str) -> bool:
    try:
        await js.stream_info(stream)
    except NothingThereError:
        return True
    return False
