"""When a view may be trusted: the end of a stream that is being refilled is not the end."""

from __future__ import annotations

import asyncio

import nats.errors
from nats.aio.client import Client
from nats.js.api import StreamInfo

from chargekey_common.positions import Position
from chargekey_common.relay import END, GENERATION
from chargekey_gateway.view.errors import PositionOfAnotherGenerationError, ViewBehindError
from chargekey_gateway.view.view import SERVICES, View

LOOK_AGAIN = 0.25  # seconds


async def refilled(client: Client, view: View) -> None:
    """Return once `view` holds what the stores held when their relays began.

    A bus that lost its disk has streams before they are full, and an empty view
    would know nobody.
    """
    for service in SERVICES:
        while not await _is_full(client, service, view):  # noqa: ASYNC110 - the stream tells nobody
            await asyncio.sleep(LOOK_AGAIN)


async def _is_full(client: Client, service: str, view: View) -> bool:
    try:
        held = _held(service, await client.jetstream().stream_info(service.upper()))
        await view.wait_for(held, LOOK_AGAIN)
    except (ViewBehindError, PositionOfAnotherGenerationError, nats.errors.Error, OSError):
        return False
    return True


def _held(service: str, info: StreamInfo) -> tuple[Position, ...]:
    metadata = info.config.metadata or {}
    number = int(metadata.get(END, "0"))
    return (Position(service, metadata[GENERATION], number),) if number else ()
