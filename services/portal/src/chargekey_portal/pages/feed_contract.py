"""What partners' feeds tell, for people: the contract's events as a page shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec


class Property(msgspec.Struct, frozen=True):
    """A property of an event: what it holds, and when it is there."""

    name: str
    holds: str
    there: str


class Event(msgspec.Struct, frozen=True):
    """An event as a page shows it."""

    description: str
    properties: tuple[Property, ...]
    example: str


def events(contract: Mapping[str, Any]) -> Mapping[str, Event]:
    """Return the contract's events by their names."""
    components = contract["components"]
    return {
        name: Event(
            description=schema["description"],
            properties=_properties(schema),
            example=_written(components["messages"][name]["examples"][0]["payload"]),
        )
        for name, schema in components["schemas"].items()
    }


def _properties(schema: Mapping[str, Any]) -> tuple[Property, ...]:
    return tuple(
        Property(name, _held(each), _there(each, required=name in schema["required"]))
        for name, each in schema["properties"].items()
    )


def _held(schema: Mapping[str, Any]) -> str:
    match schema:
        case {"enum": words}:
            return " | ".join(words)
        case {"type": "array", "items": items}:
            return f"list of {_held(items)}"
        case {"format": "date-time"}:
            return "time (RFC 3339, UTC)"
        case _:
            return str(schema["type"])


def _there(schema: Mapping[str, Any], *, required: bool) -> str:
    if required:
        return "always"
    if "default" in schema:
        return f"unless {json.dumps(schema['default'])}"
    return "where known"


def _written(example: Mapping[str, Any]) -> str:
    return json.dumps(example, indent=2, ensure_ascii=False)
