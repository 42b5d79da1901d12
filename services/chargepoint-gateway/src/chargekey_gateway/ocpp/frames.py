"""OCPP-J frames: bytes in, one of eight outcomes; values in, bytes out.

`decode` first guards (size, UTF-8, nesting, NUL, lone surrogates), then decodes.
It never raises, whatever arrives. Payloads stay raw: what they mean is the matter
of an OCPP version, as is whether it has the two types of messages that 2.1 brought.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec

MESSAGE_SIZE = 64 * 1024
NESTING = 32
CALL, CALL_RESULT, CALL_ERROR, CALL_RESULT_ERROR, SEND = 2, 3, 4, 5, 6

MessageId = Annotated[str, msgspec.Meta(min_length=1, max_length=36)]

_KINDS = frozenset({CALL, CALL_RESULT, CALL_ERROR, CALL_RESULT_ERROR, SEND})
_KIND = re.compile(rb"\s*\[\s*([0-9]{1,9})\s*[,\]]")
_HEADER = re.compile(rb'\s*\[\s*[0-9]{1,9}\s*,\s*("(?:[^"\\]|\\.)*")', re.DOTALL)
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)
_HIGH_SURROGATE = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW_SURROGATE = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# Escapes are consumed from left to right, so that an escaped backslash before "u0000" is none.
_ESCAPES = re.compile(
    rf"(?P<good>{_HIGH_SURROGATE}{_LOW_SURROGATE})"
    rf"|(?P<bad>\\u0000|{_HIGH_SURROGATE}|{_LOW_SURROGATE})|\\.".encode(),
    re.DOTALL,
)


class CloseCode(enum.IntEnum):
    """Why this side closes a WebSocket (RFC 6455 §7.4.1 and its registry)."""

    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_TEXT = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    SERVICE_RESTART = 1012


class Fault(enum.Enum):
    """Why a call gets no result; each OCPP version spells these its own way."""

    FRAME = enum.auto()
    MESSAGE_TYPE = enum.auto()
    FORMAT = enum.auto()
    OCCURRENCE = enum.auto()
    TYPE = enum.auto()
    PROPERTY = enum.auto()
    ACTION_UNKNOWN = enum.auto()
    ACTION_NOT_OFFERED = enum.auto()
    INTERNAL = enum.auto()
    PROTOCOL = enum.auto()
    SECURITY = enum.auto()
    GENERIC = enum.auto()


class _Frame(msgspec.Struct, frozen=True):
    def __repr__(self) -> str:
        """Show the class only: payloads hold codes, and reprs end up in logs."""
        return type(self).__name__


class Call(_Frame, frozen=True, array_like=True, tag=CALL, forbid_unknown_fields=True):
    """The charger asks."""

    id: MessageId
    action: str
    payload: msgspec.Raw


class CallResult(_Frame, frozen=True, array_like=True, tag=CALL_RESULT):
    """The charger answers a call of ours."""

    id: MessageId
    payload: msgspec.Raw


class CallError(_Frame, frozen=True, array_like=True, tag=CALL_ERROR):
    """The charger refuses a call of ours; descriptions and details are never looked at."""

    id: MessageId
    code: str = ""


class CallResultError(_Frame, frozen=True, array_like=True, tag=CALL_RESULT_ERROR):
    """The charger could not read our answer (2.1); never answered."""

    id: MessageId
    code: str = ""


class Send(_Frame, frozen=True, array_like=True, tag=SEND, forbid_unknown_fields=True):
    """The charger tells something that is never answered (2.1)."""

    id: MessageId
    action: str
    payload: msgspec.Raw


class Refused(_Frame, frozen=True):
    """A broken call: to be answered with a CALLERROR, where its `id` could be read."""

    id: str | None
    fault: Fault


class Ignored(_Frame, frozen=True):
    """Nothing to answer and nothing to do; `why` is one of a few constant words."""

    why: str


class Fatal(_Frame, frozen=True):
    """The connection has to be closed."""

    code: CloseCode
    reason: str


Message = Call | CallResult | CallError | CallResultError | Send
NotACall = CallResult | CallError | CallResultError | Send | Refused | Ignored | Fatal
Incoming = Call | NotACall

_read: Callable[[bytes], Message] = msgspec.json.Decoder(Message).decode
_write = msgspec.json.Encoder().encode
_BACKSLASH = ord("\\")  # as a number a byte is found in a tenth of the time


def decode(data: bytes) -> Incoming:
    """Tell what one whole text message is."""
    if len(data) > MESSAGE_SIZE:
        return Fatal(CloseCode.MESSAGE_TOO_BIG, "message too big")
    if not data.isascii() and not _is_utf8(data):
        return Fatal(CloseCode.INVALID_TEXT, "not UTF-8")
    # Every level needs an opening bracket, so few brackets need no closer look.
    if data.count(b"[") + data.count(b"{") > NESTING and _depth(data) > NESTING:
        return Fatal(CloseCode.POLICY_VIOLATION, "nested too deep")
    if _BACKSLASH in data and _has_refused_escapes(data):
        return _broken(data, Fault.FORMAT)
    try:
        frame = _read(data)
    except msgspec.DecodeError as error:
        is_json = isinstance(error, msgspec.ValidationError)
        return _broken(data, Fault.FRAME if is_json else Fault.FORMAT)
    return frame


def encode_call(message_id: str, action: str, request: msgspec.Struct | Mapping[str, Any]) -> bytes:
    """Return a CALL."""
    return _write((CALL, message_id, action, request))


def encode_result(message_id: str, response: msgspec.Struct) -> bytes:
    """Return a CALLRESULT."""
    return _write((CALL_RESULT, message_id, response))


def encode_error(message_id: str, code: str, description: str) -> bytes:
    """Return a CALLERROR, without details: they would be tempted to echo what was sent."""
    return _write((CALL_ERROR, message_id, code, description, {}))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _depth(data: bytes) -> int:
    """Return how deep brackets outside strings nest; stops counting past the bound."""
    depth = deepest = 0
    for token in _BRACKETS.finditer(data):
        match data[token.start()]:
            case 0x5B | 0x7B:  # [ {
                depth += 1
                deepest = max(deepest, depth)
                if deepest > NESTING:
                    break
            case 0x5D | 0x7D:  # ] }
                depth -= 1
            case _:
                pass
    return deepest


def _has_refused_escapes(data: bytes) -> bool:
    """Tell whether a string hides NUL or half a surrogate pair; plain NUL is no JSON anyway."""
    return any(escape["bad"] for escape in _ESCAPES.finditer(data))


def _broken(data: bytes, fault: Fault) -> Refused | Ignored:
    """Tell what can still be said to a frame that does not decode.

    Only calls are answered: whoever answered broken answers and errors would never end.
    """
    kind = _KIND.match(data)
    if kind is None:
        return Ignored("unreadable")
    if int(kind[1]) not in _KINDS:
        return Ignored("unknown_message_type")
    if int(kind[1]) != CALL:
        return Ignored("unreadable")
    message_id = _id(data)
    return Refused(message_id, Fault.FRAME if message_id is None else fault)


def _id(data: bytes) -> str | None:
    """Return the id of a broken call, if that much can be read."""
    header = _HEADER.match(data)
    if header is None or _has_refused_escapes(header[1]):
        return None
    try:
        return msgspec.json.decode(header[1], type=MessageId)
    except msgspec.DecodeError:
        return None
