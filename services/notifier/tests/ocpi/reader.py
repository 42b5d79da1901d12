"""Reads OCPI 2.2.1 with the models of the library that comes first on the path.

In a process of its own: those libraries need a pydantic that nothing else here does. Reads a
list of [module, model, document] and writes, for each, what is wrong with it, or null.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any


def trouble(module: str, model: str, document: Any) -> str | None:
    """Return what the model does not accept, or leaves out because it knows nothing of it."""
    form = getattr(importlib.import_module(f"py_ocpi.modules.{module}.schemas"), model)
    try:
        read = form(**document)
    except ValueError as error:  # pydantic's, too
        return str(error)
    lost = sorted(_lost(document, json.loads(read.json())))
    return f"not known: {', '.join(lost)}" if lost else None


def _lost(told: Any, read: Any, at: str = "") -> set[str]:
    if isinstance(told, dict) and isinstance(read, dict):
        missing = {f"{at}/{key}" for key in told.keys() - read.keys()}
        both = told.keys() & read.keys()
        return missing.union(*(_lost(told[key], read[key], f"{at}/{key}") for key in both))
    if isinstance(told, list) and isinstance(read, list):
        pairs = zip(told, read, strict=True)
        return set().union(*(_lost(one, other, at) for one, other in pairs))
    return set()


if __name__ == "__main__":
    json.dump([trouble(*each) for each in json.load(sys.stdin)], sys.stdout)
