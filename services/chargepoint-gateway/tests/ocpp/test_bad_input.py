"""What chargers send and should not: each field of each action, by the official schemas.

OCPP-J 1.6 §4.2.3: a CALLERROR by its name, over a connection that stays; nothing is
stored, and nothing of what was sent comes back.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from chargekey_gateway.ocpp16.routes import ROUTES

from .test_ocpp_messages import values_of

if TYPE_CHECKING:
    from .conftest import GatewayInMemory, Line

Path = tuple[str | int, ...]
Schema = dict[str, Any]

FORM, MISSING = "FormationViolation", "OccurenceConstraintViolation"
TYPE, VALUE = "TypeConstraintViolation", "PropertyConstraintViolation"
SECRET = "#2468-secret"
TIME = "2026-11-20T10:00:00Z"
JSON_TYPES: dict[str, list[Any]] = {
    "string": [SECRET],
    "integer": [7],
    "number": [7.5],
    "boolean": [True],
    "array": [[SECRET]],
    "object": [{SECRET: SECRET}],
    "null": [None],
}
NO_TIMES = ["", "yesterday", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2026-02-30T10:00:00Z"]
NO_TIMES += ["9999-12-31T23:59:59Z", "2026-11-20T25:00:00Z", "2026-11-20", "x" * 10_000]

# What is taken as it comes, each because a charger would send it again and again: where it
# is read, where a schema names words that vendors add to, where a stop must not fail.
LENIENT = {
    ("StopTransaction", "transactionData"),  # unread
    ("StopTransaction", "idTag", VALUE),
    ("StopTransaction", "reason", VALUE),
    ("StopTransaction", "meterStop", "number"),
    ("MeterValues", "value", "integer"),
    ("MeterValues", "value", "number"),
    *(
        ("MeterValues", word, VALUE)
        for word in ("context", "format", "measurand", "phase", "location", "unit")
    ),
}


def resolved(schema: Any, root: Schema) -> Any:
    """Return a schema with its definitions where they are referred to."""
    match schema:
        case {"$ref": str(reference)}:
            return resolved(root["definitions"][reference.rpartition("/")[2]], root)
        case dict():
            return {name: resolved(part, root) for name, part in schema.items()}
        case _:
            return schema


def full(schema: Schema) -> Any:
    """Return a good value with every field in it."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema["type"]:
        case "object":
            return {name: full(field) for name, field in schema.get("properties", {}).items()}
        case "array":
            return [full(schema["items"])]
        case "integer":
            return 1
        case "number":
            return 1.0
        case _:
            return TIME if schema.get("format") == "date-time" else "x"


def fields(schema: Schema, path: Path = ()) -> Iterator[tuple[Path, Schema, bool]]:
    """Return where each field is, what it is, and whether it has to be there."""
    for name, field in schema.get("properties", {}).items():
        yield (*path, name), field, name in schema.get("required", [])
        if field.get("type") == "object":
            yield from fields(field, (*path, name))
        if field.get("type") == "array":
            yield from fields(field["items"], (*path, name, 0))


def wrong(action: str, schema: Schema) -> Iterator[tuple[str, Path, Any, str]]:
    """Return what must be refused: why, where, the value (or LEFT_OUT), the name for it."""
    for path, field, required in fields(schema):
        names = {(action, name) for name in path}
        if names & LENIENT:
            continue
        expected = field.get("type", "string")
        for kind, values in JSON_TYPES.items():
            fits = kind == expected or (kind == "null" and not required)  # absent, as it were
            if not fits and (action, path[-1], kind) not in LENIENT:
                yield from ((kind, path, value, TYPE) for value in values)
        if required:
            yield "left out", path, LEFT_OUT, MISSING
        if (action, path[-1], VALUE) in LENIENT:
            continue
        if "enum" in field:
            yield "no such word", path, SECRET, VALUE
        elif "maxLength" in field:
            yield "too long", path, SECRET.ljust(field["maxLength"] + 1, "x"), VALUE
            yield "endless", path, SECRET * 1_000, VALUE
        elif expected == "integer":
            yield "no 64 bits", path, 10**400, VALUE


LEFT_OUT = object()


def put(payload: Any, path: Path, value: Any) -> Any:
    changed = copy.deepcopy(payload)
    place = changed
    for step in path[:-1]:
        place = place[step]
    if value is LEFT_OUT:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return changed


def assert_refused(line: Line, action: str, payload: Any, code: str, about: object) -> None:
    with capture_logs() as logs:
        answer = line.at_once(action, payload)
    assert (answer[0], answer[2], answer[4]) == (4, code, {}), about
    assert b"2468" not in line.raw[-1], about
    assert "2468" not in str(logs), about


@pytest.mark.parametrize("action", sorted(ROUTES))
async def test_a_field_that_cannot_be_is_refused_by_name_and_reaches_nobody(
    line: Line,
    gateway: GatewayInMemory,
    action: str,
    official_schema: Callable[[str], Schema],
) -> None:
    schema = resolved(official_schema(action), official_schema(action))
    good = full(schema)
    for why, path, value, code in wrong(action, schema):
        about = (".".join(map(str, path)), why)
        assert_refused(line, action, put(good, path, value), code, about)
    for payload in ([good], SECRET, 5, None, True):
        assert_refused(line, action, payload, FORM, payload)
    assert (gateway.told, gateway.starts, gateway.ends, line.closes) == ([], {}, [], [])
    assert (await line.in_time(action, good))[0] == 3  # the rest of it was right


@pytest.mark.parametrize("secret", [r"\u0000", r"2468\ud800", r"\udfff", r"\udc00\ud800"])
@pytest.mark.parametrize("action", ["Authorize", "StartTransaction"])
async def test_nul_and_lone_surrogates_are_a_formation_violation(
    line: Line, gateway: GatewayInMemory, action: str, secret: str
) -> None:
    line.say(f'[2,"1","{action}",{{"idTag":"{secret}"}}]')
    assert [(each[0], each[1], each[2]) for each in line.sent] == [(4, "1", FORM)]
    assert b"2468" not in line.raw[-1]
    assert (gateway.told, line.closes) == ([], [])


@pytest.mark.parametrize(
    "change",
    [
        *({"connectorId": number} for number in (0, -1, -(2**31), 2**31, 2**63, 10**30)),
        *({"meterStart": number} for number in (2**63, -(2**63) - 1, 10**30)),
        {"idTag": "x" * 21},
        {"idTag": "x" * 10_000},
    ],
)
async def test_a_start_that_cannot_be_is_refused_by_name_and_not_stored(
    line: Line, gateway: GatewayInMemory, change: dict[str, Any]
) -> None:
    start = {"connectorId": 1, "idTag": "card", "meterStart": 5, "timestamp": TIME}
    answer = await line.in_time("StartTransaction", {**start, **change})
    assert (answer[0], answer[2]) == (4, VALUE)
    assert (gateway.starts, line.calls(), line.closes) == ({}, [], [])
    assert (await line.in_time("StartTransaction", start))[0] == 3


@pytest.mark.parametrize(
    "change",
    [
        {"meterStart": -5},
        {"meterStart": -(2**63)},
        {"connectorId": 10**9},
        {"reservationId": -1},
        *({"timestamp": text} for text in NO_TIMES),
        {"idTag": ""},
        {"idTag": "\n\t\x07"},
        {"idTag": "\u202etxet\u200b"},
    ],
)
async def test_a_start_that_only_is_strange_gets_its_verdict(
    line: Line, gateway: GatewayInMemory, change: dict[str, Any]
) -> None:
    """The schema allows it, energy may flow, and what is refused is sent again for a day."""
    start = {"connectorId": 1, "idTag": "card", "meterStart": 5, "timestamp": TIME}
    answer = await line.in_time("StartTransaction", {**start, **change})
    assert answer[0] == 3
    accepted = answer[2]["idTagInfo"]["status"] == "Accepted"
    assert accepted == ("idTag" not in change)
    assert len(gateway.starts) == 1


@pytest.mark.parametrize("timestamp", NO_TIMES)
async def test_a_stop_at_no_time_is_a_stop_now(
    line: Line, gateway: GatewayInMemory, timestamp: str
) -> None:
    """§4.10: it cannot be refused."""
    stop = {"transactionId": 1, "meterStop": -7, "timestamp": timestamp}
    assert (await line.in_time("StopTransaction", stop))[0] == 3
    [end] = gateway.ends
    assert (end["ended_at"], end["meter_stop"]) == (line.connection.now(), -7)


@pytest.mark.parametrize("connector", [-1, -(2**31), 2**31, 10**30])
@pytest.mark.parametrize("action", ["StatusNotification", "MeterValues"])
async def test_what_is_told_of_no_connector_is_refused_by_name(
    line: Line,
    gateway: GatewayInMemory,
    action: str,
    connector: int,
    official_schema: Callable[[str], Schema],
) -> None:
    payload = {**full(official_schema(action)), "connectorId": connector}
    assert_refused(line, action, payload, VALUE, connector)
    assert gateway.told == []


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=25),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


@pytest.mark.parametrize("action", sorted(ROUTES))
def test_whatever_stands_in_a_field_is_answered_once_and_stored_only_where_it_is_taken(
    action: str,
    official_schema: Callable[[str], Schema],
    on_a_line: Callable[[Callable[[Line], Awaitable[None]]], None],
) -> None:
    schema = resolved(official_schema(action), official_schema(action))
    places = [path for path, _, _ in fields(schema)] or [("new",)]

    @settings(max_examples=40, deadline=None)
    @given(st.data(), values_of(schema, schema))
    def answered(data: st.DataObject, good: dict[str, Any]) -> None:
        path = data.draw(st.sampled_from(places))
        try:
            payload = put(good, path, data.draw(ANYTHING))
        except (KeyError, IndexError):
            payload = {**good, path[0]: data.draw(ANYTHING)}

        async def exchange(line: Line) -> None:
            answer = await line.in_time(action, payload)
            if answer[0] == 4:
                assert answer[2] in {FORM, MISSING, TYPE, VALUE}, answer
                told = (line.gateway.told, line.gateway.starts, line.gateway.ends)
                assert told == ([], {}, [])
            assert not line.closes
            assert line.at_once("Heartbeat", {})[0] == 3

        on_a_line(exchange)

    answered()
