"""The gRPC server: each call has a caller who was checked, a deadline, and named errors."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, cast

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

from chargekey_common import errors
from chargekey_common.accounts import NOBODY, Caller, Verifier
from chargekey_common.certificates import Certificates
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context
from chargekey_common.grpc import requests
from chargekey_common.grpc.mutual_tls import server_credentials
from chargekey_common.grpc.observed import observed

LONGEST_CALL = 30.0
# Milliseconds; clients ping half as often.
LEAST_PING_INTERVAL = 5_000
# For methods that tell how far they have come.
LONGEST_STREAM = 3600.0
ERROR_DOMAIN = "chargekey"
# The object of what is about no single thing, and of what only those may do who may everywhere.
SYSTEM = "system"

# Health and reflection tell nothing that is secret, and probes have no account.
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

_caller: contextvars.ContextVar[Caller] = contextvars.ContextVar("caller")

log = structlog.get_logger()


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
"""For each method, what a request is about: `installation:<id>`, `charger:<id>`, `system` ..."""


class Service(msgspec.Struct, frozen=True):
    """A gRPC service: its generated registration, its implementation, its objects."""

    name: str
    add: Callable[[Any, aio.Server], None]
    servicer: Any
    objects: Objects


def current_caller() -> Caller:
    """Return who is calling, inside a method."""
    return _caller.get()


def command_context(request: HasCommandId) -> Context:
    """Return who commands and under which id; without one, the command gets a new one."""
    return Context(actor=_caller.get(), command_id=request.command_id or new_id())


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
            interceptors=[_Gate(self._services, verifier, check)],
            # By itself the library takes our own clients' pings for an attack.
            options=[("grpc.http2.min_ping_interval_without_data_ms", LEAST_PING_INTERVAL)],
        )
        for each in self._services:
            each.add(each.servicer, self._server)
            _require_every_method(each)
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
        """Turn unhealthy, let running calls end within `grace` seconds, stop."""
        self.serving = False
        await self._health.enter_graceful_shutdown()
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


class _Gate(aio.ServerInterceptor):
    """In front of every method: who, may he, within which time, and errors by name."""

    def __init__(self, services: Sequence[Service], verifier: Verifier, check: Check) -> None:
        self._services = {each.name: each for each in services}
        self._verifier = verifier
        self._check = check

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        _, name, method = handler_call_details.method.split("/")
        if name in _OPEN_SERVICES:
            return handler
        service = self._services[name]
        if method not in service.objects:
            return None  # declared, and not built
        action = _action(service, method)
        # Typed as if they were not asyncio's.
        answers_once: Any = handler.unary_unary
        answers_often: Any = handler.unary_stream
        decode = handler.request_deserializer

        async def once(data: bytes, context: aio.ServicerContext[Any, Any]) -> Any:  # noqa: ANN401 - any message
            async with observed(action, context), _guarded(method, context, LONGEST_CALL):
                request = await self._admit(service, method, data, decode, context)
                return await answers_once(request, context)

        async def often(data: bytes, context: aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            watched = observed(action, context, stream=True)
            async with watched, _guarded(method, context, LONGEST_STREAM):
                request = await self._admit(service, method, data, decode, context)
                async with contextlib.aclosing(answers_often(request, context)) as answers:
                    async for answer in answers:
                        yield answer

        encode = handler.response_serializer
        if answers_once is not None:
            return grpc.unary_unary_rpc_method_handler(once, response_serializer=encode)
        if answers_often is not None:
            return grpc.unary_stream_rpc_method_handler(often, response_serializer=encode)
        return None  # a stream of requests, which nothing here would guard: not served

    async def _admit(
        self,
        service: Service,
        method: str,
        data: bytes,
        decode: Callable[[bytes], Any] | None,
        context: aio.ServicerContext[Any, Any],
    ) -> Any:  # noqa: ANN401 - any message
        """Return the request of a caller who may make it."""
        token = _bearer(context)
        action = _action(service, method)
        if token is None:
            # What nobody in particular may do is about nothing in particular: the rules are
            # asked before anything that was sent is looked at.
            await self._ask_for_nobody(action)
            _caller.set(NOBODY)
            return requests.read(data, decode)
        caller = await self._verifier.verify(token)
        # Before it is known what the request is about: that may depend on who asks.
        _caller.set(caller)
        request = requests.read(data, decode)
        try:
            obj = service.objects[method](request)
            about = await obj if inspect.isawaitable(obj) else obj
        except errors.NotFoundError:
            # Whoever may not know of a thing is answered as if it were there.
            await self._check(caller, action, SYSTEM)
            raise
        await self._check(caller, action, about)
        return request

    async def _ask_for_nobody(self, action: str) -> None:
        try:
            await self._check(NOBODY, action, SYSTEM)
        except errors.PermissionDeniedError:
            raise errors.UnauthenticatedError from None


@contextlib.asynccontextmanager
async def _guarded(
    method: str, context: aio.ServicerContext[Any, Any], longest: float
) -> AsyncIterator[None]:
    """End the block in time, and tell whatever it raises by name or not at all."""
    try:
        async with asyncio.timeout(_time_allowed(context, longest)):
            yield
    except errors.ChargekeyError as error:
        await context.abort_with_status(rpc_status.to_status(_status(error)))
    except TimeoutError:
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")
    except aio.AbortError:
        raise
    except Exception:
        log.exception("call_failed", method=method)
        await context.abort(grpc.StatusCode.INTERNAL, "internal error")


def _action(service: Service, method: str) -> str:
    """Return what rules and metrics call a method: `access.Check`."""
    return f"{service.name.split('.')[1]}.{method}"


def _time_allowed(context: aio.ServicerContext[Any, Any], longest: float) -> float:
    remaining = cast("float | None", context.time_remaining())  # None without a deadline
    return longest if remaining is None else min(remaining, longest)


def _bearer(context: aio.ServicerContext[Any, Any]) -> str | None:
    """Return the call's token, None where it carries nothing of the kind."""
    for key, value in context.invocation_metadata() or ():
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
