"""Calling other services: as an account, with a deadline, getting errors back by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import msgspec
from google.rpc.error_details_pb2 import ErrorInfo
from grpc import aio
from grpc_status import rpc_status

from chargekey.access.v1 import access_pb2, access_pb2_grpc
from chargekey_common.accounts import Caller, Signer
from chargekey_common.errors import PermissionDeniedError, UnavailableError

DEADLINE = 5.0
# Milliseconds between two attempts to connect, at first and at most.
SHORTEST_BACKOFF = 100
LONGEST_BACKOFF = 2000
# Seconds that access may be away, as it is while it starts again, without a call failing.
PATIENCE = 3.0
# For answers that come one after the other, for as long as there is something to tell.
STREAM_DEADLINE = 3600.0


# Whoever is called is not there, or not for long any more: a server that is ending
# answers a call that has just reached it with CANCELLED.
AWAY = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)


class RemoteError(msgspec.Struct, frozen=True):
    """A service's refusal: its stable code and its sentence."""

    code: str
    message: str


def remote_error(error: aio.AioRpcError) -> RemoteError:
    """Read what a service said when it refused; the gRPC status where it said nothing."""
    named = _named(error)
    if named is not None:
        return named
    if error.code() is grpc.StatusCode.CANCELLED:
        return RemoteError(UnavailableError.code, UnavailableError.sentence)
    return RemoteError(error.code().name.lower(), error.details() or "")


def unavailable(error: aio.AioRpcError) -> UnavailableError:
    """Return what to tell one's own caller where a service that was needed is AWAY.

    What it said itself, such as that its store cannot be used, is passed on in its words.
    """
    named = _named(error)
    if named is None or error.code() is not grpc.StatusCode.UNAVAILABLE:
        return UnavailableError()
    said = named  # for the checker of types, which forgets inside a class

    class PassedOnError(UnavailableError):
        code = said.code
        sentence = said.message

    return PassedOnError()


def _named(error: aio.AioRpcError) -> RemoteError | None:
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # has what from_call reads
    for detail in status.details if status is not None else ():
        info = ErrorInfo()
        if detail.Unpack(info):
            return RemoteError(info.reason, error.details() or "")
    return None


class _Details:
    """Adds the caller's token to a call, and a deadline where it has none."""

    def __init__(self, signer: Signer, deadline: float) -> None:
        self._signer = signer
        self._deadline = deadline

    def of(self, call: aio.ClientCallDetails) -> aio.ClientCallDetails:
        metadata = aio.Metadata(*(call.metadata or ()))
        metadata.add("authorization", f"Bearer {self._signer.token()}")
        return aio.ClientCallDetails(
            method=call.method,
            timeout=self._deadline if call.timeout is None else call.timeout,
            metadata=metadata,
            credentials=call.credentials,
            wait_for_ready=call.wait_for_ready,
        )


class _AskOnce(_Details, aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self,
        continuation: Callable[[aio.ClientCallDetails, Any], Any],
        client_call_details: aio.ClientCallDetails,
        request: Any,  # noqa: ANN401 - any message
    ) -> Any:  # noqa: ANN401 - any call
        return await continuation(self.of(client_call_details), request)


class _Listen(_Details, aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self,
        continuation: Callable[[aio.ClientCallDetails, Any], Any],
        client_call_details: aio.ClientCallDetails,
        request: Any,  # noqa: ANN401 - any message
    ) -> Any:  # noqa: ANN401 - any call
        return await continuation(self.of(client_call_details), request)


def channel(address: str, signer: Signer, *, deadline: float = DEADLINE) -> aio.Channel:
    """Open a channel; `deadline` in seconds holds for calls with one answer that set none."""
    return aio.insecure_channel(
        address,
        options=[
            # Services are reached directly, whatever proxy a person's shell is set to.
            ("grpc.enable_http_proxy", 0),
            # By itself the library waits a second at first and up to two minutes later:
            # half a minute more after an outage of one.
            ("grpc.initial_reconnect_backoff_ms", SHORTEST_BACKOFF),
            ("grpc.max_reconnect_backoff_ms", LONGEST_BACKOFF),
        ],
        interceptors=[_AskOnce(signer, deadline), _Listen(signer, STREAM_DEADLINE)],
    )


class RemoteCheck:
    """Asks access whether a caller may; refuses when access does not answer.

    Where access is not there it is waited for, `patience` seconds at the most and no
    longer than the caller waits.
    """

    def __init__(self, access: aio.Channel, *, patience: float = PATIENCE) -> None:
        self._channel = access
        self._access = access_pb2_grpc.AccessServiceStub(access)
        self._patience = patience

    async def __call__(self, caller: Caller, action: str, obj: str) -> None:
        """Return when allowed; raise PermissionDeniedError or UnavailableError."""
        request = access_pb2.CheckRequest(caller=caller, action=action, object=obj)
        try:
            async with asyncio.timeout(self._patience):
                await self._channel.channel_ready()
        except TimeoutError:
            raise UnavailableError from None
        try:
            answer = await self._access.Check(request)
        except aio.AioRpcError as error:
            if error.code() in AWAY:
                raise unavailable(error) from None
            raise
        if not answer.allowed:
            raise PermissionDeniedError
