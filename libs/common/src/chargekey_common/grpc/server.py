"""The gRPC server: each call has a caller who was checked, a deadline, and named errors."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import time
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from functools import partial
from typing import Any, NoReturn, Protocol, cast

import grpc
import msgspec
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from chargekey_common import errors, tokens
from chargekey_common.accounts import NOBODY, Caller, Verifier
from chargekey_common.certificates import Certificates
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context
from chargekey_common.grpc import requests
from chargekey_common.grpc.in_time import in_time
from chargekey_common.grpc.mutual_tls import server_credentials
from chargekey_common.grpc.observed import Metadata, Observed, Watch
from chargekey_common.grpc.remembered import Remembered
from chargekey_common.grpc.streams import Requests, ServerEndingError

LONGEST_CALL = 30.0
# Milliseconds; clients ping half as often.
LEAST_PING_INTERVAL = 5_000
# For methods that tell how far they have come, or are asked for as long as there is something.
LONGEST_STREAM = 3600.0
# Seconds for the last answers of a stream whose token has expired.
LAST_ANSWERS = 30.0
ERROR_DOMAIN = "chargekey"
# The object of what is about no single thing, and of what only those may do who may everywhere.
SYSTEM = "system"

_OPEN_SERVICES = ("grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")

_STATUS: Mapping[type[errors.ChargekeyError], grpc.StatusCode] = {
    errors.InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.ResourceExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.UnavailableError: grpc.StatusCode.UNAVAILABLE,
}

log = structlog.get_logger()

Servicing = aio.ServicerContext[Any, Any]


class Check(Protocol):
    """Asks the one place of the rules."""

    async def __call__(self, caller: Caller, action: str, obj: str) -> None:
        """Return when allowed; raise PermissionDeniedError or ManagedByThirdPartyError when not.

        Raises UnavailableError where the rules cannot be asked.
        """


class HasCommandId(Protocol):
    """A request that changes something."""

    command_id: str


Objects = Mapping[str, Callable[[Any], "str | Awaitable[str]"]]
"""For each method, what a request is about: `installation:<id>`, `charger:<id>`, `system` ...

A stream of requests is about `system`: who may open it is asked before anything is read."""


class Service(msgspec.Struct, frozen=True):
    """A gRPC service: its generated registration, its implementation, its objects.

    Methods that are `remembered` go by a yes of the rules for a moment (`remembered.BRIEFLY`):
    such as only tell something, and are asked often.
    """

    name: str
    add: Callable[[Any, aio.Server], None]
    servicer: Any
    objects: Objects
    remembered: frozenset[str] = frozenset()


class _Call(msgspec.Struct, frozen=True):
    """Who is calling, and a question to the rules about him, by the method and its object."""

    caller: Caller
    ask: Callable[[Caller, str, str], Awaitable[None]]


_call: contextvars.ContextVar[_Call] = contextvars.ContextVar("call")


def current_caller() -> Caller:
    """Return who is calling, inside a method."""
    return _call.get().caller


def command_context(request: HasCommandId) -> Context:
    """Return who commands and under which id; without one, the command gets a new one."""
    return Context(actor=current_caller(), command_id=request.command_id or new_id())


async def require(method: str, obj: str) -> None:
    """Return when the caller may do this with `obj` by another `method` of the same service.

    Raises what `Check` does. For methods that are about many things at once.
    """
    call = _call.get()
    await call.ask(call.caller, method, obj)


class Server:
    """Serves a package's gRPC services with health and reflection.

    Refuses to be made when a method of one has no entry in its objects: what nobody
    thought about is not served. With certificates it speaks mutual TLS and nothing else.
    `serving` is what health checks are told.
    """

    def __init__(
        self,
        service: Service,
        verifier: Verifier,
        check: Check,
        *beside: Service,
        certificates: Certificates | None = None,
    ) -> None:
        self.serving = False
        self._certificates = certificates
        self._services = (service, *beside)
        self._health = HealthServicer()
        self._server = aio.server(
            # By itself the library takes our own clients' pings for an attack.
            options=[("grpc.http2.min_ping_interval_without_data_ms", LEAST_PING_INTERVAL)],
        )
        self._streams = _Streams()
        for each in self._services:
            guarded: Any = _Guarded(self._server, each, verifier, check, self._streams)
            each.add(each.servicer, guarded)
            _require_every_method(each)
        # Health and reflection tell nothing that is secret, and probes have no account.
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [each.name for each in self._services]
        reflection.enable_server_reflection((*names, *_OPEN_SERVICES), self._server)

    async def start(self, address: str) -> int:
        """Listen on `host:port` and return the port; healthy once `ready` is called."""
        # The library's own default is to be healthy from the beginning.
        await self._tell_health(serving=False)
        if self._certificates is None:
            port = self._server.add_insecure_port(address)
        else:
            shown = server_credentials(self._certificates)
            port = self._server.add_secure_port(address, shown)
        await self._server.start()
        return port

    async def ready(self) -> None:
        """Tell health checks that calls are welcome."""
        self.serving = True
        await self._tell_health(serving=True)

    async def stop(self, grace: float = 5.0) -> None:
        """Turn unhealthy, let running calls end within `grace` seconds, stop.

        Streams of requests end with what they have read.
        """
        self.serving = False
        await self._health.enter_graceful_shutdown()
        self._streams.end()
        await self._server.stop(grace)

    async def _tell_health(self, *, serving: bool) -> None:
        status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        for name in ("", *(each.name for each in self._services)):
            await self._health.set(name, status)


def _require_every_method(service: Service) -> None:
    methods = {
        name
        for name, member in inspect.getmembers(service.servicer)
        if name[0].isupper()
        and (inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member))
    }
    if methods != set(service.objects):
        message = f"{service.name}: methods and objects differ: {methods ^ set(service.objects)}"
        raise TypeError(message)


class _Streams:
    """The streams of requests that are open, until the server ends."""

    def __init__(self) -> None:
        self._open: set[Requests] = set()
        self._ended = False

    @contextlib.contextmanager
    def opened(self, stream: Requests) -> Iterator[Requests]:
        """Know of it while the block runs."""
        with stream:
            self._open.add(stream)
            if self._ended:
                stream.end(ServerEndingError())
            try:
                yield stream
            finally:
                self._open.discard(stream)

    def end(self) -> None:
        """End them, and those that are opened from now on."""
        self._ended = True
        for each in tuple(self._open):
            each.end(ServerEndingError())


class _Guarded:
    """A server as one service's registration sees it: every method that it adds gets its gate.

    Not an interceptor, which would find out anew for every call whose method that is.
    """

    def __init__(
        self,
        server: aio.Server,
        service: Service,
        verifier: Verifier,
        check: Check,
        streams: _Streams,
    ) -> None:
        self._server = server
        self._service = service
        self._verifier = verifier
        self._asks = _Asks(service, check)
        self._streams = streams

    def add_registered_method_handlers(
        self,
        name: str,
        handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]],
    ) -> None:
        """Serve them."""
        gated = {method: self._gated(method, handler) for method, handler in handlers.items()}
        served: Any = {method: handler for method, handler in gated.items() if handler is not None}
        self._server.add_registered_method_handlers(name, served)

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Do nothing: they are those that are registered, found by asking each for each call."""

    def _gated(
        self, method: str, handler: grpc.RpcMethodHandler[Any, Any]
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        if method not in self._service.objects:
            return None  # declared, and not built
        gate = _Gate(self._service, method, handler, self._verifier, self._asks, self._streams)
        return gate.handler()


class _Asks:
    """Questions to the rules about one service's methods, some of them remembered."""

    def __init__(self, service: Service, check: Check) -> None:
        remembered = Remembered(check)
        self._by_method = {
            method: (
                _action(service, method),
                remembered if method in service.remembered else check,
            )
            for method in service.objects
        }

    async def __call__(self, caller: Caller, method: str, obj: str) -> None:
        """Return when he may; raise what `Check` does when not."""
        action, check = self._by_method[method]
        await check(caller, action, obj)


class _Gate:
    """In front of a method: who, may he, within which time, and errors by name."""

    def __init__(
        self,
        service: Service,
        method: str,
        handler: grpc.RpcMethodHandler[Any, Any],
        verifier: Verifier,
        asks: _Asks,
        streams: _Streams,
    ) -> None:
        self._method = method
        # Typed as if they were not asyncio's.
        self._handler: Any = handler
        self._decode = handler.request_deserializer
        self._object = service.objects[method]
        self._verifier = verifier
        self._asks = asks
        self._streams = streams
        once = handler.unary_unary is not None
        self._answer: Any = handler.unary_unary or handler.unary_stream or handler.stream_stream
        self._watch = Watch(_action(service, method), stream=not once)

    def handler(self) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return what the server is to call."""
        encode = self._handler.response_serializer
        if self._handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(self._once, response_serializer=encode)
        if self._handler.unary_stream is not None:
            often: Any = self._often
            return grpc.unary_stream_rpc_method_handler(often, response_serializer=encode)
        if self._handler.stream_stream is not None:
            on_and_on: Any = self._on_and_on
            return grpc.stream_stream_rpc_method_handler(on_and_on, response_serializer=encode)
        return None  # many requests and one answer: nothing here guards that

    async def _once(self, data: bytes, context: Servicing) -> Any:  # noqa: ANN401 - any message
        metadata = _metadata(context)
        with Observed(self._watch, context, metadata):
            try:
                answering = self._answered(data, context, metadata)
                return await in_time(answering, partial(_time_allowed, context, LONGEST_CALL))
            except Exception as error:  # noqa: BLE001 - told by name, or logged
                await self._told(error, context)

    async def _often(self, data: bytes, context: Servicing) -> None:
        metadata = _metadata(context)
        with Observed(self._watch, context, metadata):
            try:
                async with asyncio.timeout(_time_allowed(context, LONGEST_STREAM)):
                    request = await self._admit(data, metadata)
                    await _written(self._answer(request, context), context)
            except Exception as error:  # noqa: BLE001 - told by name, or logged
                await self._told(error, context)

    async def _on_and_on(self, _: object, context: Servicing) -> None:
        metadata = _metadata(context)
        with Observed(self._watch, context, metadata):
            try:
                async with asyncio.timeout(_time_allowed(context, LONGEST_STREAM)) as ending:
                    expires_in = await self._let_in(metadata)
                    _end_sooner(ending, expires_in + LAST_ANSWERS)
                    asked = Requests(context, self._decode, expires_in=expires_in)
                    with self._streams.opened(asked):
                        await _written(self._answer(asked, context), context)
            except Exception as error:  # noqa: BLE001 - told by name, or logged
                await self._told(error, context)

    async def _answered(self, data: bytes, context: Servicing, metadata: Metadata) -> Any:  # noqa: ANN401 - any message
        request = await self._admit(data, metadata)
        return await self._answer(request, context)

    async def _admit(self, data: bytes, metadata: Metadata) -> Any:  # noqa: ANN401 - any message
        """Return the request of a caller who may make it."""
        token = _bearer(metadata)
        if token is None:
            # What nobody in particular may do is about nothing in particular: the rules are
            # asked before anything that was sent is looked at.
            await self._ask_for_nobody()
            return requests.read(data, self._decode)
        caller, _ = await self._verifier.verified(token)
        # Before it is known what the request is about: that may depend on who asks.
        _call.set(_Call(caller, self._asks))
        request = requests.read(data, self._decode)
        try:
            obj = self._object(request)
            about = obj if isinstance(obj, str) else await obj
        except errors.NotFoundError:
            # Whoever may not know of a thing is answered as if it were there.
            await self._asks(caller, self._method, SYSTEM)
            raise
        await self._asks(caller, self._method, about)
        return request

    async def _let_in(self, metadata: Metadata) -> float:
        """Return for how many seconds a caller who may open a stream of requests is known."""
        token = _bearer(metadata)
        if token is None:
            await self._ask_for_nobody()
            return LONGEST_STREAM
        caller, until = await self._verifier.verified(token)
        _call.set(_Call(caller, self._asks))
        await self._asks(caller, self._method, SYSTEM)
        # As long as it would be taken for a new call.
        return max(0.0, until + tokens.LEEWAY - time.time())

    async def _ask_for_nobody(self) -> None:
        try:
            await self._asks(NOBODY, self._method, SYSTEM)
        except errors.PermissionDeniedError:
            raise errors.UnauthenticatedError from None
        _call.set(_Call(NOBODY, self._asks))

    async def _told(self, error: Exception, context: Servicing) -> NoReturn:
        """End the call with what went wrong, by name or not at all."""
        match error:
            case aio.AbortError():
                raise error
            case errors.ChargekeyError():
                await context.abort_with_status(rpc_status.to_status(_status(error)))
            case TimeoutError():
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")
            case _:
                log.error("call_failed", method=self._method, exc_info=error)
                await context.abort(grpc.StatusCode.INTERNAL, "internal error")
        raise error  # aborting does


async def _written(answers: AsyncGenerator[Any, None], context: Servicing) -> None:
    """Give the caller each of the answers, as fast as he takes them.

    While one is on its way, the next is asked for: else a stream would wait for the network twice
    a request.
    """
    writing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    writing.set_result(None)
    async with contextlib.aclosing(answers):
        try:
            async for answer in answers:
                await writing
                writing = asyncio.ensure_future(context.write(answer))
        except asyncio.CancelledError:
            writing.cancel()
            raise
        finally:
            # Nothing is said behind an answer that is on its way.
            await asyncio.wait({writing})
    writing.result()


def _end_sooner(ending: asyncio.Timeout, seconds: float) -> None:
    when = asyncio.get_running_loop().time() + seconds
    ending.reschedule(min(when, ending.when() or when))


def _action(service: Service, method: str) -> str:
    """Return what rules and metrics call a method: `access.Check`."""
    return f"{service.name.split('.')[1]}.{method}"


def _metadata(context: Servicing) -> Metadata:
    # Made anew by every question for it.
    return cast("Metadata", context.invocation_metadata() or ())


def _time_allowed(context: Servicing, longest: float) -> float:
    remaining = cast("float | None", context.time_remaining())  # None without a deadline
    return longest if remaining is None else min(remaining, longest)


def _bearer(metadata: Metadata) -> str | None:
    """Return the call's token, None where it carries nothing of the kind."""
    for key, value in metadata:
        if key == "authorization":
            if isinstance(value, str) and value.startswith("Bearer "):
                return value.removeprefix("Bearer ")
            raise errors.UnauthenticatedError
    return None


def _status(error: errors.ChargekeyError) -> Status:
    code = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    info = AnyMessage()
    info.Pack(ErrorInfo(reason=error.code, domain=ERROR_DOMAIN))
    details = [info]
    if isinstance(error, errors.TooManyAttemptsError):
        details.append(AnyMessage())
        details[-1].Pack(RetryInfo(retry_delay=Duration(seconds=error.retry_after)))
    return Status(code=code.value[0], message=str(error), details=details)
