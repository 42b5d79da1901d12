"""gRPC by mutual TLS, always with the newest certificates.

A certificate lets a process on the wire; who calls, its token says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

import grpc
from grpc import aio

from chargekey_common.certificates import Certificate, Certificates
from chargekey_common.process import cancel


def server_credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Return what a server shows, to nobody but who shows a certificate of the same authority."""
    shown = certificates.current

    def newest() -> grpc.ServerCertificateConfiguration | None:
        """Tell, on a thread of the library's, before each handshake; None: as before."""
        nonlocal shown
        if certificates.current is shown:
            return None
        shown = certificates.current
        return _configuration(shown)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(shown),
        newest,  # type: ignore[arg-type] # None is what it may tell as well
        require_client_authentication=True,
    )


def _configuration(shown: Certificate) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(shown.key, shown.chain)], shown.authority)


class RenewingChannel(aio.Channel):
    """A channel that shows the newest certificate: one behind the other, each made by `make`.

    The library's own keeps what it was made with. The first call after a renewal goes by a new
    one, also from a stub made earlier; calls in flight end on the one before.
    """

    def __init__(
        self,
        certificates: Certificates,
        make: Callable[[grpc.ChannelCredentials], aio.Channel],
        *,
        stays: float,
    ) -> None:
        """Close each one `stays` seconds after the next was made: as long as calls may last."""
        self._certificates = certificates
        self._make = make
        self._stays = stays
        self._shown = certificates.current
        self._channel = make(_credentials(self._shown))
        self._staying: set[asyncio.Task[None]] = set()

    def _newest(self) -> aio.Channel:
        if self._certificates.current is not self._shown:
            shown = self._certificates.current
            made = self._make(_credentials(shown))
            staying = asyncio.create_task(self._close_later(self._channel))
            self._staying.add(staying)
            staying.add_done_callback(self._staying.discard)
            self._shown, self._channel = shown, made
        return self._channel

    async def _close_later(self, channel: aio.Channel) -> None:
        try:
            await asyncio.sleep(self._stays)
        finally:
            await channel.close()

    def unary_unary(self, *method: Any, **how: Any) -> Any:  # noqa: ANN401 - as generated stubs say
        """Return a method with one answer."""
        return self._method(lambda channel: channel.unary_unary(*method, **how))

    def unary_stream(self, *method: Any, **how: Any) -> Any:  # noqa: ANN401 - as generated stubs say
        """Return a method with several answers."""
        return self._method(lambda channel: channel.unary_stream(*method, **how))

    def stream_unary(self, *method: Any, **how: Any) -> Any:  # noqa: ANN401 - as generated stubs say
        """Return a method with several requests."""
        return self._method(lambda channel: channel.stream_unary(*method, **how))

    def stream_stream(self, *method: Any, **how: Any) -> Any:  # noqa: ANN401 - as generated stubs say
        """Return a method with several of both."""
        return self._method(lambda channel: channel.stream_stream(*method, **how))

    def _method(self, of: Callable[[aio.Channel], Any]) -> Callable[..., Any]:
        made = lru_cache(maxsize=1)(of)

        def call(*request: Any, **how: Any) -> Any:  # noqa: ANN401 - as the newest's
            return made(self._newest())(*request, **how)

        return call

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - as the library has it
        """Tell of the newest channel."""
        return self._newest().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Return when the newest channel's state is another."""
        await self._newest().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Return once the newest channel has a connection."""
        await self._newest().channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """Close all of them; calls in flight have `grace` seconds."""
        await cancel(*self._staying)
        await self._channel.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _credentials(shown: Certificate) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(shown.authority, shown.key, shown.chain)
