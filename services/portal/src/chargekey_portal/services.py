"""How the services are, by their own word: gRPC health, asked at the moment somebody looks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

import msgspec
from grpc import aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

DEADLINE = 1.0
# A channel that failed tries again after this long; the library's own two minutes
# would tell of a past in which the service was away.
RECONNECT_MS = 500

_OPTIONS = (
    # Services are reached directly, whatever proxy a person's shell is set to.
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", RECONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", RECONNECT_MS),
)

State = Literal["SERVING", "NOT_SERVING", "UNREACHABLE"]


class Service(msgspec.Struct, frozen=True):
    """A service and its state; UNREACHABLE is one that said nothing within the deadline."""

    name: str
    state: State


class Services:
    """The services of one system, by their addresses (`host:port`)."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._channels = {
            name: aio.insecure_channel(address, options=_OPTIONS)
            for name, address in addresses.items()
        }

    async def ask(self) -> tuple[Service, ...]:
        """Return every service's state, after DEADLINE seconds at the latest."""
        return tuple(
            await asyncio.gather(
                *(_asked(name, channel) for name, channel in self._channels.items())
            )
        )

    async def close(self) -> None:
        """Ask no more."""
        for channel in self._channels.values():
            await channel.close()


async def _asked(name: str, channel: aio.Channel) -> Service:
    check = HealthStub(channel).Check  # type: ignore[attr-defined] # untyped there
    try:
        answer = await check(HealthCheckRequest(), timeout=DEADLINE)
    except aio.AioRpcError:
        return Service(name, "UNREACHABLE")
    serving = answer.status == HealthCheckResponse.SERVING
    return Service(name, "SERVING" if serving else "NOT_SERVING")
