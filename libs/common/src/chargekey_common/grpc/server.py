"""The gRPC server: each call has a caller who was checked, a deadline, and named errors."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, cast

import grpc
import msgspec
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from chargekey_common import errors
from chargekey_common.accounts import Caller, Verifier
from chargekey_common.eventstore.records import new_id
from chargekey_common.eventstore.store import Context

LONGEST_CALL = 30.0
ERROR_DOMAIN = "chargekey"

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
        """Return when allowed; raise PermissionDeniedError when not."""


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


def command_context(request: HasCommandId) -> Context:
    """Return who commands and under which id; without one, the command gets a new one."""
    return Context(actor=_caller.get(), command_id=request.command_id or new_id())


class Server:
    """Serves a package's gRPC service with health and reflection.

    Refuses to be made when a method of the service has no entry in its objects:
    what nobody thought about is not served. `serving` is what health checks are told.
    """

    def __init__(self, service: Service, verifier: Verifier, check: Check) -> None:
        self.serving = False
        self._service = service
        self._health = HealthServicer()
        self._server = aio.server(interceptors=[_Gate(service, verifier, check)])
        service.add(service.servicer, self._server)
        _require_every_method(service)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((service.name, *_OPEN_SERVICES), self._server)

    async def start(self, address: str) -> int:
        """Listen on `host:port` and return the port; healthy once `ready` is called."""
        # The library's own default is to be healthy from the beginning.
        await self._tell_health(serving=False)
        port = self._server.add_insecure_port(address)
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
        for name in ("", self._service.name):
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

    def __init__(self, service: Service, verifier: Verifier, check: Check) -> None:
        self._objects = service.objects
        self._prefix = service.name.split(".")[1]
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
        _, service, method = handler_call_details.method.split("/")
        if handler is None or service in _OPEN_SERVICES:
            return handler
        if handler.unary_unary is None:
            return None  # a stream, which nothing below would guard: not served
        implementation: Any = handler.unary_unary  # typed as if it were not asyncio's

        async def guarded(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:  # noqa: ANN401 - any message
            try:
                async with asyncio.timeout(_time_allowed(context)):
                    caller = self._verifier.verify(_bearer(context))
                    obj = self._objects[method](request)
                    about = await obj if inspect.isawaitable(obj) else obj
                    await self._check(caller, f"{self._prefix}.{method}", about)
                    _caller.set(caller)
                    return await implementation(request, context)
            except errors.ChargekeyError as error:
                await context.abort_with_status(rpc_status.to_status(_status(error)))
            except TimeoutError:
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")
            except aio.AbortError:
                raise
            except Exception:
                log.exception("call_failed", method=method)
                await context.abort(grpc.StatusCode.INTERNAL, "internal error")

        return grpc.unary_unary_rpc_method_handler(
            guarded,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _time_allowed(context: aio.ServicerContext[Any, Any]) -> float:
    remaining = cast("float | None", context.time_remaining())  # None without a deadline
    return LONGEST_CALL if remaining is None else min(remaining, LONGEST_CALL)


def _bearer(context: aio.ServicerContext[Any, Any]) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str) and value.startswith("Bearer "):
            return value.removeprefix("Bearer ")
    raise errors.UnauthenticatedError


def _status(error: errors.ChargekeyError) -> Status:
    code = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    info = AnyMessage()
    info.Pack(ErrorInfo(reason=error.code, domain=ERROR_DOMAIN))
    return Status(code=code.value[0], message=str(error), details=[info])
