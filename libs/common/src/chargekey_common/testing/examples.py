"""Events with every field filled, to see what becomes of each."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import inspect

Event = TypeVar("Event", bound=msgspec.Struct)


def example(event: type[Event], **fields: Any) -> Event:  # noqa: ANN401 - whatever a field takes
    """Return an event of this type; texts say which field they are in: `<field>-example`.

    Nothing is left out that may be, and no field has its default.
    """
    info = inspect.type_info(event)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - as it says
    filled = {field.name: _value(field.name, field.type) for field in info.fields}
    return event(**(filled | fields))


def _value(name: str, kind: inspect.Type) -> Any:  # noqa: ANN401 - whatever a field takes
    value: Any
    match kind:
        case inspect.StrType():
            value = f"{name}-example"
        case inspect.IntType():
            value = 7
        case inspect.BoolType():
            value = True
        case inspect.LiteralType(values=values):
            value = values[-1]
        case inspect.VarTupleType(item_type=item):
            value = (_value(name, item),)
        case inspect.StructType(cls=part):
            value = example(part)
        case inspect.UnionType(types=types):
            value = _value(name, next(each for each in types if not _is_none(each)))
        case _:
            raise TypeError(name, kind)
    return value


def _is_none(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.NoneType)
