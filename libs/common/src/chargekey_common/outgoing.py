"""Requests to addresses that somebody else has chosen: guarded, bounded, and told nobody.

What was checked is what is connected to: a name cannot turn into another address in
between. Nothing follows redirects, nothing reads proxies from the environment, nothing logs
an address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self

import httpcore2
import httpx2
import msgspec

from chargekey_common.host_names import IpAddress, Names

LONGEST_ANSWER = 64 * 1024  # bytes

# Public by their numbers, and yet ways into somebody's own network: addresses of IPv4 in
# those of IPv6 (NAT64, 6to4, Teredo, compatible, translated), what was site-local before
# there was fc00::/7, and a cloud's own services at a public address.
_FORBIDDEN = tuple(
    map(
        ipaddress.ip_network,
        (
            "64:ff9b::/96",
            "64:ff9b:1::/48",
            "2002::/16",
            "2001::/32",
            "::/96",
            "::ffff:0:0:0/96",
            "fec0::/10",
            "168.63.129.16/32",
        ),
    )
)

# Whose request is being sent: it connects, if need be, in the task that sends it.
_ASKER: ContextVar[str] = ContextVar("asker")

# It would write the address of every request, and that has the token in it.
logging.getLogger("httpx2").setLevel(logging.WARNING)
logging.getLogger("httpcore2").setLevel(logging.WARNING)


class Request(msgspec.Struct, frozen=True):
    """What is to be sent; nothing of it may be logged."""

    url: str
    headers: dict[str, str]
    body: bytes = b""
    method: str = "POST"

    def __repr__(self) -> str:
        return f"Request({self.method}, {len(self.body)} bytes)"


class Said(msgspec.Struct, frozen=True):
    """What came back; `retry_after` and `link` are the headers of these names."""

    status: int
    body: bytes
    retry_after: str | None = None
    link: str | None = None

    def __repr__(self) -> str:
        return f"Said({self.status}, {len(self.body)} bytes)"


class UnsafeAddressError(Exception):
    """Not an address outside: our own network is not for others to send requests into."""


def is_outside(address: IpAddress) -> bool:
    """Whether it is somewhere on the internet, and not here, nearby or nowhere."""
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return is_outside(mapped)
    # A version's address is in no network of the other.
    forbidden = any(address in network for network in _FORBIDDEN)
    return address.is_global and not address.is_multicast and not forbidden


class _Guarded(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that may be connected to."""

    def __init__(self, names: Names, may: Callable[[IpAddress], bool]) -> None:
        self._names = names
        self._may = may
        self._backend = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's own
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve, check every address, and connect to the first that answers."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._names.addresses(host, _ASKER.get())
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout from error
        if not all(self._may(each) for each in addresses):
            raise UnsafeAddressError
        failure: Exception = httpcore2.ConnectError()
        for address in addresses:
            try:
                return await self._backend.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except httpcore2.ConnectError as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)


@cache
def _trusted() -> ssl.SSLContext:
    """Return what believes the world's authorities, read once for all that a process sends by."""
    return httpx2.create_ssl_context(trust_env=False)


class _Transport(httpx2.AsyncHTTPTransport):
    """The library's own, over a pool that connects where we say; it has no setting for that."""

    def __init__(self, backend: httpcore2.AsyncNetworkBackend) -> None:
        context = _trusted()
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            # How many are asked at once is bounded where they are asked.
            max_connections=None,
            max_keepalive_connections=100,
            keepalive_expiry=30.0,
            network_backend=backend,
        )


class Outgoing:
    """One client for all of them; an async context manager."""

    def __init__(
        self, *, deadline: float, anywhere: bool = False, names: Names | None = None
    ) -> None:
        """Give every step of a request `deadline` seconds.

        `anywhere`, also without TLS and in our own network: for development.
        """
        backend = _Guarded(
            Names() if names is None else names, _anybody if anywhere else is_outside
        )
        self._anywhere = anywhere
        self._http = httpx2.AsyncClient(
            transport=_Transport(backend),
            timeout=deadline,
            follow_redirects=False,
            trust_env=False,
            # And what is compressed all the same is not unpacked: it could become endless.
            headers={"accept-encoding": "identity", "user-agent": "chargekey"},
        )
        # One party's cookies could be sent to another whose address has the same end.
        self._http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    async def __aenter__(self) -> Self:
        """Open it."""
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Close every connection."""
        await self._http.__aexit__(kind, error, trace)

    async def send(self, request: Request, *, asker: str, longest: int = LONGEST_ANSWER) -> Said:
        """Send it, and return what comes back; a body of more than `longest` bytes is empty.

        `asker` is who has chosen the address, as a partner's id: his slow names are his alone.
        Raises UnsafeAddressError, httpx2.HTTPError or httpx2.InvalidURL.
        """
        if not self._anywhere and not request.url.lower().startswith("https://"):
            raise UnsafeAddressError
        _ASKER.set(asker)
        sent = self._http.stream(
            request.method, request.url, headers=request.headers, content=request.body
        )
        async with sent as response:
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > longest:
                    body.clear()
                    break
            headers = response.headers
            return Said(
                response.status_code, bytes(body), headers.get("retry-after"), headers.get("link")
            )


def _anybody(_: IpAddress) -> bool:
    return True
