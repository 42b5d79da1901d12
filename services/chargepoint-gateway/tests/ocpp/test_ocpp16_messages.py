"""The typed messages against the official schemas: what these allow is understood."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chargekey_gateway.ocpp16 import messages
from chargekey_gateway.ocpp16.routes import NOT_OFFERED, ROUTES

if TYPE_CHECKING:
    from .conftest import Line

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
TIMES = st.datetimes(
    min_value=dt.datetime(1971, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    max_value=dt.datetime(2261, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    timezones=st.just(dt.UTC),
).map(dt.datetime.isoformat)


def values_of(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Generate what a schema allows, within the bounds every OCPP integer and list has."""
    if "$ref" in schema:
        return values_of(root["definitions"][schema["$ref"].rpartition("/")[2]], root)
    if "enum" in schema or schema.get("format") == "date-time":
        return st.sampled_from(schema["enum"]) if "enum" in schema else TIMES
    match schema["type"]:
        case "object":
            return objects_of(schema, root)
        case "array":
            return st.lists(
                values_of(schema["items"], root), min_size=schema.get("minItems", 0), max_size=3
            )
        case "integer":
            return st.integers(1, 2**31 - 1)
        case _:
            limit = schema.get("maxLength", 100)
            return TEXT.map(lambda text: text[:limit]) | st.just("x" * limit)


def objects_of(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    required = set(schema.get("required", []))
    fields = {name: values_of(value, root) for name, value in schema.get("properties", {}).items()}
    return st.fixed_dictionaries(
        {name: field for name, field in fields.items() if name in required},
        optional={name: field for name, field in fields.items() if name not in required},
    )


@pytest.mark.parametrize("action", sorted(ROUTES))
def test_what_the_official_schema_allows_is_answered_with_a_result(
    action: str,
    official_schema: Callable[[str], dict[str, Any]],
    on_a_line: Callable[[Callable[[Line], Awaitable[None]]], None],
) -> None:
    schema = official_schema(action)

    @settings(max_examples=30, deadline=None)
    @given(values_of(schema, schema))
    def answered(payload: object) -> None:
        async def exchange(line: Line) -> None:
            answer = await line.in_time(action, payload)
            assert answer[0] == 3, (payload, answer)

        on_a_line(exchange)

    answered()


@pytest.mark.parametrize("action", sorted(ROUTES))
def test_the_fields_are_those_of_the_official_schema(
    action: str, official_schema: Callable[[str], dict[str, Any]]
) -> None:
    schema = official_schema(action)
    fields = {
        field.encode_name: field for field in msgspec.structs.fields(getattr(messages, action))
    }
    unread = {"transactionData"} if action == "StopTransaction" else set()
    assert set(fields) == set(schema.get("properties", {})) - unread
    assert {name for name, field in fields.items() if field.required} == set(
        schema.get("required", [])
    )


@pytest.mark.parametrize("action", sorted(ROUTES.keys() - {"StopTransaction"}))  # never refused
def test_what_is_longer_than_the_official_schema_allows_is_refused(
    action: str, official_schema: Callable[[str], dict[str, Any]]
) -> None:
    schema = official_schema(action)
    decoder = msgspec.json.Decoder(getattr(messages, action))
    for name, limit in (
        (name, value["maxLength"])
        for name, value in schema.get("properties", {}).items()
        if "maxLength" in value
    ):
        with pytest.raises(msgspec.ValidationError, match=f"<= {limit} - at `\\$.{name}`"):
            decoder.decode(json.dumps({**_least(schema), name: "x" * (limit + 1)}))


def _least(schema: dict[str, Any]) -> dict[str, Any]:
    words = {"string": "2026-11-20T10:00:00Z", "integer": 1, "array": []}
    return {
        name: value["enum"][0] if "enum" in value else words[value.get("type", "string")]
        for name, value in schema.get("properties", {}).items()
        if name in schema.get("required", [])
    }


def test_every_action_of_the_official_schemas_is_known(official_actions: set[str]) -> None:
    assert set(ROUTES) | NOT_OFFERED == official_actions
    assert not set(ROUTES) & NOT_OFFERED


@pytest.mark.parametrize("action", sorted(ROUTES))
def test_a_route_answers_with_what_its_action_asks_for(
    action: str, official_schema: Callable[[str], dict[str, Any]]
) -> None:
    route = ROUTES[action]
    assert route.decoder.type is getattr(messages, action)
    if official_schema(f"{action}Response").get("properties"):
        assert route.response is getattr(messages, f"{action}Response")
    else:
        assert route.response is messages.Acknowledged


def test_no_repr_shows_a_code() -> None:
    """R17: codes are secrets, and reprs end up in logs."""
    assert "2468" not in repr(messages.Authorize(id_tag="#2468"))
