"""Hold docs/api/asyncapi.json against the last released one: it may have more, and nothing else.

Prints what would break who reads feeds by the released document, and exits with 1 then.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

API = Path(__file__).resolve().parent.parent / "docs" / "api"

# What may have more in it than was released, and nothing less.
_ALTERNATIVES = ("enum", "anyOf")
_GROWING = {"required", "properties", "items", *_ALTERNATIVES}
# What tells people, and not programs.
_WORDS = {"title", "description", "summary", "examples"}

Schema = Mapping[str, Any]


def broken(released: Schema, now: Schema) -> Iterator[str]:
    """Yield what was promised and is so no longer, a sentence each."""
    for name, channel in released["channels"].items():
        yield from _channel(name, channel, now["channels"].get(name))
    messages = now["components"]["messages"]
    for name, message in released["components"]["messages"].items():
        if name not in messages:
            yield f"{name} is told no longer"
            continue
        if message["contentType"] != messages[name]["contentType"]:
            yield f"{name} has another content type"
        yield from _schema(name, message["payload"], messages[name]["payload"])
    schemas = now["components"]["schemas"]
    for name, schema in released["components"]["schemas"].items():
        if name not in schemas:
            yield f"{name} has no schema any more"
            continue
        yield from _schema(name, schema, schemas[name])


def _channel(name: str, released: Schema, now: Schema | None) -> Iterator[str]:
    if now is None:
        yield f"the channel {name} is gone"
        return
    if released["address"] != now["address"]:
        yield f"the channel {name} has another address"
    for message in released["messages"].keys() - now["messages"].keys():
        yield f"the channel {name} has no {message} any more"


def _schema(where: str, released: Schema, now: Schema) -> Iterator[str]:
    """Compare what is said of a value; of what is only new, nothing is said."""
    for name in released.get("required", ()):
        if name not in now.get("required", ()):
            yield f"{where}.{name} need not be there any more"
    properties = now.get("properties", {})
    for name, schema in released.get("properties", {}).items():
        if name not in properties:
            yield f"{where}.{name} is gone"
            continue
        yield from _schema(f"{where}.{name}", schema, properties[name])
    if "items" in released:
        yield from _schema(f"{where}[]", released["items"], now.get("items", {}))
    for word in _ALTERNATIVES:
        gone = [each for each in released.get(word, ()) if each not in now.get(word, ())]
        if gone:
            yield f"{where} can be {gone} no longer"
    for word in sorted((released.keys() | now.keys()) - _GROWING - _WORDS):
        if released.get(word) != now.get(word):
            yield f"{where} has another {word}"


def main() -> None:
    """Compare the two files."""
    released, now = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in (API / "released" / "asyncapi.json", API / "asyncapi.json")
    )
    found = list(broken(released, now))
    if found:
        print("docs/api/asyncapi.json breaks what was released:")
        print("\n".join(f"  {each}" for each in found))
        sys.exit(1)


if __name__ == "__main__":
    main()
