"""The official JSON schemas of the OCPP versions, for what no class here describes.

Reading and compiling one takes milliseconds, and checking by it a good part of one: too
long for the event loop that taps are answered in. Only threads come here.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jsonschema import ValidationError
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

# The folder of each version, and what a request's name ends in there.
_PLACES = {"1.6": ("v16", ""), "2.0.1": ("v201", "Request"), "2.1": ("v21", "Request")}


def wrong_request(version: str, action: str, payload: Mapping[str, Any]) -> str:
    """Return what is wrong in which place; empty where all is as the standard has it.

    Never a value, and no name but the standard's: both may be secrets.
    """
    return _wrong(f"{action}{_PLACES[version][1]}", version, payload)


def wrong_response(version: str, action: str, payload: Mapping[str, Any]) -> str:
    """Return the same of a response."""
    return _wrong(f"{action}Response", version, payload)


def _wrong(name: str, version: str, payload: Mapping[str, Any]) -> str:
    error = best_match(_validator(version, name).iter_errors(payload))
    return "" if error is None else f"{error.json_path}: {_rule(error)}"


def _rule(error: ValidationError) -> str:
    """Return the rule that is broken, as the schema has it."""
    rule: Any = error.validator_value
    instance: Any = error.instance
    match error.validator:
        case "required":
            missing = [name for name in rule if name not in instance]
            return f"required {', '.join(missing)}"
        case "additionalProperties":
            return "a name that is not known here"
        case _:
            return f"{error.validator} {json.dumps(rule)}"


@functools.lru_cache(maxsize=256)
def _validator(version: str, name: str) -> Validator:
    place = resources.files("ocpp") / _PLACES[version][0] / "schemas" / f"{name}.json"
    schema = json.loads(place.read_text("utf-8-sig"))  # some begin with a byte order mark
    return validator_for(schema)(schema)
