"""The two streams the gateway owns, declared at the start and again whenever they are gone."""

from __future__ import annotations

import asyncio
import time

import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.errors import APIError, ServiceUnavailableError

from chargekey_gateway.announcer import declare_chargers_stream
from chargekey_gateway.sessions.stream import declare

WATCH = 1.0

log = structlog.get_logger()


async def keep_streams(client: Client, *, replicas: int) -> None:
    """Declare SESSIONS and CHARGERS, and look after them until cancelled.

    A bus that lost its disk has lost the streams too, and starts wait until they are
    back: their numbers continue above the lost ones.
    """
    js = client.jetstream()
    while True:
        try:
            await declare(js, now=time.time_ns(), replicas=replicas)
            await declare_chargers_stream(client, replicas=replicas)
        except (APIError, ServiceUnavailableError, nats.errors.Error, OSError) as error:
            log.info("streams_undeclared", error=type(error).__name__)
        await asyncio.sleep(WATCH)
