"""Calling other services: as an account, with a deadline, getting errors back by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import grpc
import msgspec
import structlog
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc import aio
from grpc_status import rpc_status
from opentelemetry.trace import INVALID_SPAN, Span

from chargekey.access.v1 import check_pb2 as pb
from chargekey.access.v1 import check_pb2_grpc
from chargekey.identity.v1 import sign_in_pb2, sign_in_pb2_grpc
from chargekey_common import tracing
from chargekey_common.accounts import Caller
from chargekey_common.certificates import Certificates
from chargekey_common.errors import (
    ChargekeyError,
    ManagedByThirdPartyError,
    PermissionDeniedError,
    UnavailableError,
)
from chargekey_common.grpc.mutual_tls import RenewingChannel
from chargekey_common.tokens import KeySet

DEADLINE = 5.0
# Milliseconds between two attempts to connect, at first and at most.
SHORTEST_BACKOFF = 100
LONGEST_BACKOFF = 2000
# Milliseconds between two pings while a call is open, and that an answer may take.
PING_EVERY = 10_000
PING_ANSWER = 5_000
# Seconds that access may be away, as it is while it starts again, without a call failing.
PATIENCE = 3.0
# Seconds until it is asked again where the connection ended under the question.
ASKED_AGAIN = 0.05
# Seconds that identity has to tell its keys: whoever is calling waits for them.
KEYS_DEADLINE = 2.0
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


Refusal = TypeVar("Refusal", bound=ChargekeyError)

log = structlog.get_logger()


class Credential(Protocol):
    """What makes a caller known."""

    def token(self) -> str:
        """Return a token that is good for a call made now."""


class RemoteError(msgspec.Struct, frozen=True):
    """A service's refusal: its stable code and its sentence."""

    code: str
    message: str
    # Seconds until it may work, where the service knows.
    retry_after: int | None = None


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
    return passed_on(UnavailableError, named)


def passed_on(kind: type[Refusal], said: RemoteError) -> Refusal:
    """Return an error of this kind that says what another service said."""
    told = {"code": said.code, "sentence": said.message}
    error: Refusal = type(kind.__name__, (kind,), told)()
    return error


def _named(error: aio.AioRpcError) -> RemoteError | None:
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # has what from_call reads
    info, retry = ErrorInfo(), RetryInfo()
    unpacked = [
        (detail.Unpack(info), detail.Unpack(retry))
        for detail in (status.details if status is not None else ())
    ]
    if not any(is_info for is_info, _ in unpacked):
        return None
    known = any(is_retry for _, is_retry in unpacked)
    after = retry.retry_delay.seconds if known else None
    return RemoteError(info.reason, error.details() or "", after)


class _Details:
    """Adds the caller's token and trace to a call, and a deadline where it has none."""

    def __init__(self, credential: Credential | None, deadline: float) -> None:
        self._credential = credential
        self._deadline = deadline

    def of(self, call: aio.ClientCallDetails, span: Span) -> aio.ClientCallDetails:
        metadata = aio.Metadata(*(call.metadata or ()), *tracing.injected(span).items())
        if self._credential is not None:
            metadata.add("authorization", f"Bearer {self._credential.token()}")
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
        span = tracing.calling(_name(client_call_details))
        call = await continuation(self.of(client_call_details, span), request)
        call.add_done_callback(lambda _: span.end())
        return call


class _Listen(_Details, aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self,
        continuation: Callable[[aio.ClientCallDetails, Any], Any],
        client_call_details: aio.ClientCallDetails,
        request: Any,  # noqa: ANN401 - any message
    ) -> Any:  # noqa: ANN401 - any call
        return await continuation(self.of(client_call_details, INVALID_SPAN), request)


class _Converse(_Details, aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self,
        continuation: Callable[[aio.ClientCallDetails, Any], Any],
        client_call_details: aio.ClientCallDetails,
        request_iterator: Any,  # noqa: ANN401 - any messages
    ) -> Any:  # noqa: ANN401 - any call
        return await continuation(self.of(client_call_details, INVALID_SPAN), request_iterator)


def _name(call: aio.ClientCallDetails) -> str:
    # Typed as if it were always text.
    method = cast("str | bytes", call.method)
    return method.decode() if isinstance(method, bytes) else method


def channel(
    address: str,
    credential: Credential | None,
    certificates: Certificates | None = None,
    *,
    deadline: float = DEADLINE,
) -> aio.Channel:
    """Open a channel, without a credential as nobody, without certificates in the clear.

    By TLS whoever answers has to show a certificate for the host of `address`. `deadline` in
    seconds holds for calls with one answer that set none.
    """
    options = [
        # Services are reached directly, whatever proxy a person's shell is set to.
        ("grpc.enable_http_proxy", 0),
        # By itself the library waits a second at first and up to two minutes later:
        # half a minute more after an outage of one.
        ("grpc.initial_reconnect_backoff_ms", SHORTEST_BACKOFF),
        ("grpc.max_reconnect_backoff_ms", LONGEST_BACKOFF),
        # Else a host that is lost without a word keeps its callers for a quarter of an hour.
        ("grpc.keepalive_time_ms", PING_EVERY),
        ("grpc.keepalive_timeout_ms", PING_ANSWER),
        # Without this one that one has no effect: a minute is waited (gRPC 1.85).
        ("grpc.http2.ping_timeout_ms", PING_ANSWER),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    interceptors = (
        _AskOnce(credential, deadline),
        _Listen(credential, STREAM_DEADLINE),
        _Converse(credential, STREAM_DEADLINE),
    )
    if certificates is None:
        return aio.insecure_channel(address, options=options, interceptors=interceptors)

    def secure(shown: grpc.ChannelCredentials) -> aio.Channel:
        return aio.secure_channel(address, shown, options=options, interceptors=interceptors)

    return RenewingChannel(certificates, secure, stays=STREAM_DEADLINE)


class Calling:
    """A channel as whoever a token is of: its methods are called with that token.

    One channel can so be shared by many people; it closes with the channel.
    """

    def __init__(self, channel: aio.Channel, token: str) -> None:
        self._channel = channel
        self._metadata = (("authorization", f"Bearer {token}"),)

    def unary_unary(self, *method: Any, **how: Any) -> Callable[..., Any]:  # noqa: ANN401 - as generated stubs say
        """Return a method with one answer."""
        return partial(self._channel.unary_unary(*method, **how), metadata=self._metadata)

    def unary_stream(self, *method: Any, **how: Any) -> Callable[..., Any]:  # noqa: ANN401 - as generated stubs say
        """Return a method with several answers."""
        return partial(self._channel.unary_stream(*method, **how), metadata=self._metadata)

    def stream_stream(self, *method: Any, **how: Any) -> Callable[..., Any]:  # noqa: ANN401 - as generated stubs say
        """Return a method with several requests and answers."""
        return partial(self._channel.stream_stream(*method, **how), metadata=self._metadata)


class RemoteCheck:
    """Asks access whether a caller may; refuses when access does not answer.

    Where access is not there it is waited for, `patience` seconds at the most and no
    longer than the caller waits.
    """

    def __init__(self, access: aio.Channel, *, patience: float = PATIENCE) -> None:
        self._channel = access
        self._access = check_pb2_grpc.CheckServiceStub(access)
        self._patience = patience

    async def __call__(self, caller: Caller, action: str, obj: str) -> None:
        """Return when allowed, and raise what `Check` says when not."""
        request = pb.CheckRequest(caller=caller, action=action, object=obj)
        try:
            answer = await self._ask(request)
        except TimeoutError:
            raise UnavailableError from None
        except aio.AioRpcError as error:
            if error.code() in AWAY:
                raise unavailable(error) from None
            raise
        if answer.allowed:
            return
        if answer.refusal_code == ManagedByThirdPartyError.code:
            told = RemoteError(answer.refusal_code, answer.refusal_sentence)
            raise passed_on(ManagedByThirdPartyError, told)
        raise PermissionDeniedError

    async def _ask(self, request: pb.CheckRequest) -> pb.CheckResponse:
        """Ask, and again where the connection ended under the question.

        A channel may take one for ready that has ended already.
        """
        clock = asyncio.get_running_loop().time
        patient_until = clock() + self._patience
        while True:
            async with asyncio.timeout_at(patient_until):
                await self._channel.channel_ready()
            try:
                return await self._access.Check(request)
            except aio.AioRpcError as error:
                lost = error.code() is grpc.StatusCode.UNAVAILABLE and _named(error) is None
                if not lost or clock() >= patient_until:
                    raise
            await asyncio.sleep(ASKED_AGAIN)


def issued_keys(identity: aio.Channel) -> KeySet:
    """Return the keys that identity's tokens are verified with, asked of it as need be."""
    sign_in = sign_in_pb2_grpc.SignInServiceStub(identity)

    async def fetch() -> str:
        try:
            answer = await sign_in.GetKeys(sign_in_pb2.GetKeysRequest(), timeout=KEYS_DEADLINE)
        except aio.AioRpcError as error:
            # Whatever it is: who is known goes on being known.
            log.warning("keys_not_told", error=error.code().name)
            raise unavailable(error) from None
        return answer.jwks

    return KeySet(fetch)
