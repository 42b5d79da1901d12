"""Messages as JSON, and back, by their descriptors.

- An enumeration's words lose its prefix: `OWNER`. One that is not known here is UNSPECIFIED.
- Moments, nanoseconds since the epoch in the messages, are RFC 3339 in UTC.
- What is optional and unset is left out, both ways; `null` is nothing that a field may hold.
  All else is always told, empty or not, and may be left out of a request.
- Documents, which messages have as text or bytes of JSON, stand in it as what they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    EnumValueDescriptor,
    FieldDescriptor,
)
from google.protobuf.message import Message

from chargekey_portal.refusals import RefusedError
from chargekey_portal.rest.refusals import field_malformed, field_unknown, fields_exclusive

UNSPECIFIED = "UNSPECIFIED"
# By their full names: nothing in a descriptor tells them from other text.
DOCUMENTS = frozenset(
    {
        "chargekey.gateway.v1.SendActionRequest.payload",
        "chargekey.gateway.v1.SendActionResponse.payload",
        "chargekey.history.v1.ExplainDecisionResponse.inputs",
        "chargekey.identity.v1.ExportUserResponse.document",
        "chargekey.notifier.v1.FeedEvent.document",
    }
)

_MOMENT_NAME = re.compile(r"(.+_)?(at|since|before|until)|bounds")
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 10**9

_INTEGERS = (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64)


def is_moment(field: FieldDescriptor) -> bool:
    """Whether it holds points in time: a number of 64 bits that is called like one."""
    named = _MOMENT_NAME.fullmatch(field.name) is not None
    return field.type == FieldDescriptor.TYPE_INT64 and named


def is_document(field: FieldDescriptor) -> bool:
    """Whether it holds JSON."""
    return field.full_name in DOCUMENTS


def is_map(field: FieldDescriptor) -> bool:
    """Whether it is a map; all there are have text as keys and as values."""
    entry = field.message_type
    # Which is what its generated message is called; its options would say so, for 90 ms.
    return entry is not None and entry.containing_type is not None and entry.name.endswith("Entry")


def may_be_absent(field: FieldDescriptor) -> bool:
    """Whether it is left out where it is unset."""
    return (field.has_presence or is_document(field)) and not field.is_repeated


def word(value: EnumValueDescriptor) -> str:
    """Return an enumeration's value without the prefix that all of them have."""
    zero = value.type.values_by_number[0].name
    return value.name.removeprefix(zero.removesuffix(UNSPECIFIED))


def words(enum: EnumDescriptor) -> dict[str, int]:
    """Return the numbers of an enumeration by their words."""
    return {word(value): value.number for value in enum.values}


def told(message: Message) -> dict[str, Any]:
    """Return what a message says, as JSON has it."""
    return {
        field.name: _told(field, getattr(message, field.name))
        for field in _fields(message).values()
        if not may_be_absent(field) or _is_set(message, field)
    }


def read(message: Message, document: object, offered: Collection[str] | None = None) -> None:
    """Let a message say what a JSON object does, of the `offered` fields if not of all.

    Raises RefusedError for what it does not hold.
    """
    _read(message, document, offered, "")


def read_texts(message: Message, parameters: Mapping[str, Sequence[str]]) -> None:
    """Let it say what parameters of an address do; each must be one of its fields."""
    for name, texts in parameters.items():
        field = _fields(message)[name]
        values = [_of_text(field, text) for text in texts]
        if not field.is_repeated and len(values) > 1:
            raise RefusedError(field_malformed(name, "there once"))
        _set(message, field, values if field.is_repeated else values[0], "")


def moment(nanoseconds: int) -> str:
    """Return a point in time as RFC 3339 has it, as exactly as it is known."""
    seconds, rest = divmod(nanoseconds, _SECOND)
    whole = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{whole}{fraction}Z"


def nanoseconds(text: str) -> int | None:
    """Return the same of such a text, in any offset; None where it is none."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    day, clock, fraction, offset = found.groups()
    try:
        since = datetime.fromisoformat(f"{day}T{clock}{offset.upper()}") - _EPOCH
    except (ValueError, OverflowError):
        return None
    seconds = since.days * 86400 + since.seconds
    return seconds * _SECOND + int((fraction or "").ljust(9, "0"))


def _fields(message: Message) -> Mapping[str, FieldDescriptor]:
    # Typed as if another implementation's were not the same.
    return cast("Descriptor", message.DESCRIPTOR).fields_by_name


def _is_set(message: Message, field: FieldDescriptor) -> bool:
    if field.has_presence:
        return message.HasField(field.name)
    return bool(getattr(message, field.name))


def _told(field: FieldDescriptor, value: Any) -> Any:  # noqa: ANN401 - any field's
    if is_map(field):
        return dict(sorted(value.items()))  # which has no order of its own
    if field.is_repeated:
        return [_told_one(field, each) for each in value]
    return _told_one(field, value)


def _told_one(field: FieldDescriptor, value: Any) -> Any:  # noqa: ANN401 - any field's
    if field.message_type is not None:
        return told(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return UNSPECIFIED if known is None else word(known)
    if is_document(field):
        return msgspec.Raw(value if isinstance(value, bytes) else value.encode())
    return moment(value) if is_moment(field) else value


def _read(message: Message, document: object, offered: Collection[str] | None, above: str) -> None:
    if not isinstance(document, dict):
        raise RefusedError(field_malformed(above.removesuffix(".") or "body", "an object"))
    fields = _fields(message)
    for name, value in document.items():
        if name not in (fields if offered is None else offered):
            raise RefusedError(field_unknown(above + name))
        _set(message, fields[name], value, above)


def _set(message: Message, field: FieldDescriptor, value: object, above: str) -> None:
    name = above + field.name
    choice = field.containing_oneof
    if choice is not None and message.WhichOneof(choice.name) is not None:
        raise RefusedError(fields_exclusive([above + each.name for each in choice.fields]))
    try:
        if field.is_repeated:
            _set_all(message, field, value, name)
        elif field.message_type is not None:
            inner = getattr(message, field.name)
            inner.SetInParent()
            _read(inner, value, None, f"{name}.")
        else:
            setattr(message, field.name, _scalar(field, value, name))
    except ValueError:  # of the right type, and outside of what it can hold
        raise RefusedError(field_malformed(name, wanted(field))) from None


def _set_all(message: Message, field: FieldDescriptor, value: object, name: str) -> None:
    if is_map(field):
        _set_map(getattr(message, field.name), value, name)
        return
    if not isinstance(value, list):
        raise RefusedError(field_malformed(name, "a list"))
    entries = getattr(message, field.name)
    for each in value:
        if field.message_type is not None:
            _read(entries.add(), each, None, f"{name}.")
        else:
            entries.append(_scalar(field, each, name))


def _set_map(entries: Any, value: object, name: str) -> None:  # noqa: ANN401 - a map of text
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise RefusedError(field_malformed(name, "an object of texts"))
    entries.update(value)


def _scalar(field: FieldDescriptor, value: object, name: str) -> str | bytes | int:
    if is_document(field):
        if not isinstance(value, dict):
            raise RefusedError(field_malformed(name, "an object"))
        written = msgspec.json.encode(value)
        return written if field.type == FieldDescriptor.TYPE_BYTES else written.decode()
    found: str | bytes | int | None = None
    match value:
        case str() if is_moment(field):
            found = nanoseconds(value)
        case str() if field.enum_type is not None:
            found = words(field.enum_type).get(value)
        case str() if field.type == FieldDescriptor.TYPE_STRING:
            found = value
        case bool() if field.type == FieldDescriptor.TYPE_BOOL:
            found = value
        case int() if field.type in _INTEGERS and type(value) is int and not is_moment(field):
            found = value
    if found is None:
        raise RefusedError(field_malformed(name, wanted(field)))
    return found


def _of_text(field: FieldDescriptor, text: str) -> object:
    """Return the JSON value that a parameter of an address stands for; itself where none."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.get(text, text)
    if field.type in _INTEGERS and not is_moment(field) and _WHOLE.fullmatch(text):
        return int(text)
    return text


def wanted(field: FieldDescriptor) -> str:
    """Say what a field holds."""
    if is_moment(field):
        return "a moment of RFC 3339, as in 2026-01-31T12:00:00Z"
    if field.enum_type is not None:
        return _listed(words(field.enum_type))
    return {
        FieldDescriptor.TYPE_BOOL: "true or false",
        FieldDescriptor.TYPE_STRING: "text in UTF-8",
        FieldDescriptor.TYPE_INT32: "a whole number of 32 bits",
        FieldDescriptor.TYPE_INT64: "a whole number of 64 bits",
        FieldDescriptor.TYPE_UINT64: "a whole number of 64 bits, not below 0",
    }[field.type]


def _listed(names: Iterable[str]) -> str:
    return "one of " + ", ".join(names)
