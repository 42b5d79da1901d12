"""Bad input at a gRPC door: every method, every field, every value that cannot be.

A service's test makes one good request a method, and says for each field what is
refused in its place and how. What nobody thought about, a method or a field, fails.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import grpc
import msgspec
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from grpc import aio
from hypothesis import strategies as st

from chargekey_common.errors import PermissionDeniedError
from chargekey_common.grpc.client import remote_error

INVALID = grpc.StatusCode.INVALID_ARGUMENT
MISSING = grpc.StatusCode.NOT_FOUND

# Control characters, writing from right to left, nothing to see, a path, a statement, far too much.
STRANGE = (
    "\t",
    "\x1b[2J",
    "\u202etxet",
    "\u200b",
    "../../etc/passwd",
    "x' OR 1=1 --",
    "x" * 10_000,
)
UNKNOWN = str(uuid.UUID(int=2**128 - 1))
UNKNOWN_IDS = ("", "nonsense", UNKNOWN, UNKNOWN.upper(), UNKNOWN + "\n", "installation:x", *STRANGE)
NAMES = ("", " ", "\u3000", "a\nb", "\u3164", "\u2800\u115f", "\u0301", *STRANGE[:4], STRANGE[-1])
NO_DAYS = ("2026-02-30", "31.12.2026", "2026-1-5", "20990101", "2099-W01-1", "٢٠٩٩-01-01", *STRANGE)
COMMAND_IDS = (" ", "a b", "nine\n", "é", "x" * 129, *STRANGE[:4], STRANGE[-1])

# What a call may end in, whatever is sent by whoever may send it. A position that is not
# there yet is waited for, if only as long as the caller waits.
_EXPECTED = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
SOON = 0.5

Changes: TypeAlias = Mapping[str, Any]


class Bad(msgspec.Struct, frozen=True):
    """A value no request may have, and how it is refused."""

    value: Any
    status: grpc.StatusCode
    code: str


Fields: TypeAlias = Mapping[str, Sequence[Bad]]
"""By a field's name or, where a method is special, by `Method.field`; none where any value goes."""


def bad(status: grpc.StatusCode, code: str, *values: object) -> list[Bad]:
    """Return values that are refused alike."""
    return [Bad(value, status, code) for value in values]


LONGER_THAN_A_WORD = 4
COMMAND_ID = bad(INVALID, "command_id_malformed", *COMMAND_IDS)
NAME = bad(INVALID, "name_malformed", *NAMES)
VALID_UNTIL = [
    *bad(INVALID, "date_malformed", *NO_DAYS),
    *bad(INVALID, "date_in_past", "0001-01-01", "1969-12-31", "2001-01-01"),
    *bad(INVALID, "date_too_late", "2262-12-31", "9999-12-31"),
]


class Door:
    """One service as one caller reaches it."""

    def __init__(self, service: ServiceDescriptor, channel: aio.Channel) -> None:
        self.service = service
        self._channel = channel

    async def call(self, method: str, request: Message | bytes, *, timeout: float = 10) -> Any:  # noqa: ANN401, ASYNC109 - any message; the call's own deadline
        """Send a message, or bytes that may be none, and return the answer.

        In a stream it is the only one.
        """
        data = request if isinstance(request, bytes) else request.SerializeToString()
        answer = message_factory.GetMessageClass(
            self.service.methods_by_name[method].output_type
        ).FromString
        path = f"/{self.service.full_name}/{method}"
        if self.service.methods_by_name[method].client_streaming:
            stream: Any = self._channel.stream_stream(path, response_deserializer=answer)
            [one] = [each async for each in stream(iter([data]), timeout=timeout)]
            return one
        method_of_bytes: Any = self._channel.unary_unary(path, response_deserializer=answer)
        return await method_of_bytes(data, timeout=timeout)

    async def refusal(self, method: str, request: Message | bytes) -> aio.AioRpcError:
        """Send what must be refused."""
        with pytest.raises(aio.AioRpcError) as refused:
            await self.call(method, request)
        return refused.value


def methods(service: ServiceDescriptor) -> list[str]:
    """Return the names of a service's methods."""
    return [method.name for method in service.methods]


async def assert_every_bad_value_is_refused(door: Door, good: Message, fields: Fields) -> None:
    """Put every bad value in the place of a good one and compare what is said."""
    method = _method_of(door, good)
    for field in good.DESCRIPTOR.fields:
        special = f"{method}.{field.name}"
        if special not in fields and field.name not in fields:
            pytest.fail(f"nobody says what {special} may not be")
        wrong = [*fields.get(special, fields.get(field.name, ()))]
        if field.type == FieldDescriptor.TYPE_STRING:
            nul = "a\0b"
            wrong += bad(INVALID, "text_malformed", [nul] if field.is_repeated else nul)
        for each in wrong:
            error = await door.refusal(method, _with(good, field, each.value))
            about = f"{special} = {str(each.value)[:40]!r}"
            _compare((error.code(), remote_error(error).code), (each.status, each.code), about)
            if any(text in _everything_said(error) for text in _texts(each.value)):
                pytest.fail(f"what was sent is echoed: {about}")


async def assert_no_message_is_refused(door: Door, method: str) -> None:
    """Send bytes that are no message of the method, or hold text that is no UTF-8."""
    input_type = door.service.methods_by_name[method].input_type
    texts = [field for field in input_type.fields if field.type == FieldDescriptor.TYPE_STRING]
    no_utf8 = [bytes([field.number << 3 | 2, 2, 0xFF, 0xFE]) for field in texts]
    surrogate = [bytes([field.number << 3 | 2, 3, 0xED, 0xA0, 0x80]) for field in texts]
    for data in (b"\xff", b"\x0a\xff", b"\x0b", b"{}", *no_utf8, *surrogate):
        error = await door.refusal(method, data)
        _compare((error.code(), remote_error(error).code), (INVALID, "request_malformed"), method)


async def assert_each_is_served(doors: Mapping[str, Door], good: Mapping[str, Message]) -> None:
    """Send good requests to their methods, one after the other."""
    for method, request in good.items():
        try:
            await doors[method].call(method, request)
        except aio.AioRpcError as error:
            pytest.fail(f"{method}: {remote_error(error).code}")


async def assert_a_stranger_learns_nothing(door: Door, good: Message) -> None:
    """Ask as a caller who may nothing, about what is there and about what is not."""
    method = _method_of(door, good)
    asked = [good, *(_with(good, field, UNKNOWN) for field in _given_ids(good))]
    denied = grpc.StatusCode.PERMISSION_DENIED, PermissionDeniedError.code
    for request in asked:
        error = await door.refusal(method, request)
        _compare((error.code(), remote_error(error).code), denied, method)
        _compare(error.details(), PermissionDeniedError.sentence, method)


def any_changes(
    service: ServiceDescriptor, only: Sequence[str] | None = None
) -> st.SearchStrategy[tuple[str, Changes]]:
    """Generate a method, one of `only`, and what to put in the places of some of its fields."""
    return st.sampled_from(only or methods(service)).flatmap(
        lambda method: st.tuples(
            st.just(method), _any_values(service.methods_by_name[method].input_type)
        )
    )


async def assert_nothing_is_an_internal_error(
    door: Door, good: Mapping[str, Message], sent: Sequence[tuple[str, Changes]]
) -> None:
    """Send good requests with those changes; what is refused is refused for what it is."""
    for method, changes in sent:
        request = good[method]
        for field in request.DESCRIPTOR.fields:
            if field.name in changes:
                request = _with(request, field, changes[field.name])
        try:
            await door.call(method, request, timeout=SOON)
        except aio.AioRpcError as error:
            if error.code() not in _EXPECTED:
                pytest.fail(f"{method}: {error.code()}")


_TEXTS = (
    st.text(st.characters(codec="utf-8"), max_size=40)
    | st.sampled_from(("", "#1234", "04A1B2C3", "Europe/Oslo", "2199-01-01", UNKNOWN, *STRANGE))
    | st.from_regex(r"(access|identity|system|charger):[0-9a-f]{16}:[0-9]{1,18}", fullmatch=True)
)
_VALUES: Mapping[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: _TEXTS,
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_ENUM: st.integers(-1, 6) | st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
}


def _any_values(descriptor: Any) -> st.SearchStrategy[Changes]:  # noqa: ANN401 - untyped in its library
    values = {}
    for field in descriptor.fields:
        value = _any_value(field)
        values[field.name] = st.lists(value, max_size=20) if field.is_repeated else value
    return st.fixed_dictionaries({}, optional=values)


def _any_value(field: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - untyped in its library
    if field.type != FieldDescriptor.TYPE_MESSAGE:
        return _VALUES[field.type]
    message = message_factory.GetMessageClass(field.message_type)
    return _any_values(field.message_type).map(lambda changes: message(**changes))


def _method_of(door: Door, request: Message) -> str:
    taking = [each.name for each in door.service.methods if each.input_type == request.DESCRIPTOR]
    [method] = taking
    return str(method)


def _with(request: Message, field: Any, value: Any) -> Message:  # noqa: ANN401 - untyped in their library
    changed = type(request)()
    changed.CopyFrom(request)
    changed.ClearField(field.name)
    if field.is_repeated:
        getattr(changed, field.name).extend(value)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(changed, field.name).CopyFrom(value)
    else:
        setattr(changed, field.name, value)
    return changed


def _given_ids(request: Message) -> list[Any]:
    """Return the fields in which a request names a thing."""
    named = [field for field, _ in request.ListFields()]
    return [field for field in named if field.name.endswith("_id") and field.name != "command_id"]


def _compare(said: object, expected: object, about: str) -> None:
    if said != expected:
        pytest.fail(f"{about}: {said} instead of {expected}")


def _everything_said(error: aio.AioRpcError) -> str:
    return f"{error.details()}{error.trailing_metadata()}"


def _texts(value: object) -> Iterator[str]:
    """Return the texts in a value that are long enough not to stand in any sentence."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str) and len(each) >= LONGER_THAN_A_WORD:
            yield each
