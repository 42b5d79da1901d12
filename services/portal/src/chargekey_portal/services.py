"""The services: their methods as whoever asks, and how they are by their own word."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, cast

import msgspec
from grpc import aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from chargekey.access.v1.check_pb2 import ListAllowedRequest
from chargekey.access.v1.check_pb2_grpc import CheckServiceStub
from chargekey_common.accounts import Caller
from chargekey_common.certificates import Certificates
from chargekey_common.grpc.client import Calling, Credential, channel
from chargekey_common.grpc.stubs import CHARGER_DEADLINE, Stubs

# Seconds for a service to say how it is.
PATIENCE = 1.0
# Of so many people the methods are kept ready, about 100 KiB each.
MOST_CALLERS = 128

State = Literal["SERVING", "NOT_SERVING", "UNREACHABLE"]


class Service(msgspec.Struct, frozen=True):
    """A service and its state; UNREACHABLE is one that said nothing within PATIENCE."""

    name: str
    state: State


class Services:
    """The services of one system, by their addresses (`host:port`)."""

    def __init__(
        self,
        addresses: Mapping[str, str],
        account: Credential,
        *,
        certificates: Certificates | None = None,
    ) -> None:
        """Be made; what the portal itself asks, it asks by its own account."""
        self._access = channel(addresses["access"], account, certificates)
        self._check = CheckServiceStub(self._access)
        self._channels = {
            name: channel(address, None, certificates) for name, address in addresses.items()
        }
        self._chargers = channel(
            addresses["gateway"], None, certificates, deadline=CHARGER_DEADLINE
        )
        self.as_nobody = Stubs(self._channels | {"chargers": self._chargers})
        self.as_ = lru_cache(MOST_CALLERS)(self._as)

    def _as(self, token: str) -> Stubs:
        """Return the services' methods as whoever the access token is of."""
        channels = self._channels | {"chargers": self._chargers}
        # Which is a channel as far as generated methods need one.
        return Stubs(
            {name: cast("aio.Channel", Calling(each, token)) for name, each in channels.items()}
        )

    async def allowed(self, caller: Caller, about: str, *actions: str) -> frozenset[str]:
        """Return which of these actions the caller may do to `about`, as access names both."""
        asked = ListAllowedRequest(caller=caller, actions=actions, object=about)
        return frozenset((await self._check.ListAllowed(asked)).actions)

    async def grantable(self, caller: Caller, about: str) -> frozenset[int]:
        """Return the roles that the caller may give and take there, by their numbers."""
        asked = ListAllowedRequest(caller=caller, object=about, grantable=True)
        return frozenset((await self._check.ListAllowed(asked)).grantable_roles)

    async def ask(self) -> tuple[Service, ...]:
        """Return every service's state, after PATIENCE at the latest."""
        return tuple(
            await asyncio.gather(
                *(_asked(name, channel) for name, channel in self._channels.items())
            )
        )

    async def close(self) -> None:
        """Ask no more."""
        for each in (*self._channels.values(), self._chargers, self._access):
            await each.close()


async def _asked(name: str, channel: aio.Channel) -> Service:
    check = HealthStub(channel).Check  # type: ignore[attr-defined] # untyped there
    try:
        answer = await check(HealthCheckRequest(), timeout=PATIENCE)
    except aio.AioRpcError:
        return Service(name, "UNREACHABLE")
    serving = answer.status == HealthCheckResponse.SERVING
    return Service(name, "SERVING" if serving else "NOT_SERVING")
