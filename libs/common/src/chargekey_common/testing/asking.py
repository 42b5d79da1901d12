"""Whether every method asks: of callers whom the rules let do nothing, none gets in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from grpc import aio
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from chargekey_common.accounts import NOBODY, Caller
from chargekey_common.errors import PermissionDeniedError, UnauthenticatedError
from chargekey_common.grpc.client import remote_error

STRANGER = Caller("user:stranger")
# An id of nothing there is.
_ID = "5f0c3a5e-3a42-4b57-9f1d-0a4d6d7f7a11"
_EXPECTED: Mapping[Caller, tuple[grpc.StatusCode, str]] = {
    STRANGER: (grpc.StatusCode.PERMISSION_DENIED, PermissionDeniedError.code),
    NOBODY: (grpc.StatusCode.UNAUTHENTICATED, UnauthenticatedError.code),
}


Asked = tuple[str, str, str]
"""Caller, action and object of a question."""


class NobodyMay:
    """Rules that refuse everything, and remember what they were asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    async def __call__(self, caller: Caller, action: str, obj: str) -> None:
        """Raise PermissionDeniedError."""
        self.asked.append((caller, action, obj))
        raise PermissionDeniedError


async def assert_every_method_asks(
    as_caller: Callable[[Caller], aio.Channel], asked: Sequence[Asked], *requests: Message
) -> None:
    """Call every method of all services that are served, where the rules let nobody in.

    Each must ask, for its caller and about its own action, and then refuse; `asked` grows
    by what the rules are asked. A method is sent a request with an id of nothing in every
    text, unless one of `requests` is its own; a stream of requests is sent none.
    """
    own = {each.DESCRIPTOR.full_name: each for each in requests}
    methods = await _methods(as_caller(NOBODY))
    for caller, expected in _EXPECTED.items():
        channel = as_caller(caller)
        for method in methods:
            before = len(asked)
            request = own.get(method.input_type.full_name) or _filled(method.input_type)
            error = await _refused(channel, method, request)
            said = error.code(), remote_error(error).code
            if said != expected:
                pytest.fail(f"{caller} {method.full_name}: {said}")
            action = f"{method.full_name.split('.')[1]}.{method.name}"
            questions = [each[:2] for each in asked[before:]]
            if questions[:1] != [(caller, action)]:
                pytest.fail(f"{caller} {method.full_name}: asked {questions}")


async def _methods(channel: aio.Channel) -> Sequence[MethodDescriptor]:
    """Return every method of ours that the server tells of."""
    # Typed as if there were no asyncio.
    untyped: Any = channel
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(untyped)
    call = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    answer = await call.read()
    await call.done_writing()
    pool = descriptor_pool.Default()
    names = [each.name for each in answer.list_services_response.service]
    ours = [pool.FindServiceByName(name) for name in names if name.startswith("chargekey.")]
    assert ours  # noqa: S101 - as it says
    return [method for service in ours for method in service.methods]


def _filled(descriptor: Descriptor) -> Message:
    """Return a request with an id in every text, in the first one of those that exclude others."""
    request = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        chosen = field.containing_oneof
        left_out = chosen is not None and chosen.fields[0] is not field
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated and not left_out:
            setattr(request, field.name, _ID)
    return request


async def _refused(
    channel: aio.Channel, method: MethodDescriptor, request: Message
) -> aio.AioRpcError:
    path = f"/{method.containing_service.full_name}/{method.name}"
    data = request.SerializeToString()
    with pytest.raises(aio.AioRpcError) as refused:
        await _called(channel, path, data, method)
    return refused.value


async def _called(channel: Any, path: str, data: bytes, method: MethodDescriptor) -> None:  # noqa: ANN401 - calls are of bytes
    if not method.server_streaming:
        await channel.unary_unary(path)(data, timeout=10)
        return
    if method.client_streaming:
        # What is sent while the refusal comes may hide it: grpc issue 36066.
        call = channel.stream_stream(path)(timeout=10)
    else:
        call = channel.unary_stream(path)(data, timeout=10)
    async for _ in call:
        pass
