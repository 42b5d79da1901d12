"""Requests as they arrive: bytes made a message, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError, Message

from chargekey_common.errors import InvalidArgumentError


class RequestMalformedError(InvalidArgumentError):
    """Not the message of this method; text that is no UTF-8 makes it so, too."""

    code = "request_malformed"
    sentence = "This request cannot be read; send the message that the method's .proto describes."


class TextMalformedError(InvalidArgumentError):
    """NUL, which no name, code or id has and PostgreSQL cannot keep."""

    code = "text_malformed"
    sentence = "A text in this request contains the character NUL; leave it out."


def read(data: Any, decode: Callable[[bytes], Any] | None) -> Any:  # noqa: ANN401 - any message
    """Return the request; raises RequestMalformedError or TextMalformedError.

    Left to itself grpc decodes before the gate is asked, and calls what it cannot
    decode an internal error of this side.
    """
    if decode is None:
        return data
    try:
        request = decode(data)
    except DecodeError:
        raise RequestMalformedError from None
    # Where no byte is zero, no character is: nearly always, and known at once.
    if 0 in data and _has_nul(request):
        raise TextMalformedError
    return request


def _has_nul(value: object) -> bool:
    match value:
        case str():
            return "\0" in value
        case Message():
            return any(_has_nul(each) for _, each in value.ListFields())
        case bytes() | int() | float():
            return False
        case _:
            return any(map(_has_nul, value))  # type: ignore[call-overload] # a repeated field
