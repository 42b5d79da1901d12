"""The typed messages of every version against the official schemas: what these allow is understood.

The cases come from the folders of the schemas, so that no action is forgotten.
"""

from __future__ import annotations

import copy
import datetime as dt
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import ocpp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chargekey_gateway.ocpp16 import messages as m16
from chargekey_gateway.ocpp16.routes import OCPP16
from chargekey_gateway.ocpp20 import messages as m20
from chargekey_gateway.ocpp20.routes import OCPP20
from chargekey_gateway.ocpp21 import messages as m21
from chargekey_gateway.ocpp21.routes import OCPP21, SENT

if TYPE_CHECKING:
    from .conftest import GatewayInMemory, Line

Schema = dict[str, Any]

DIALECTS = {dialect.version: dialect for dialect in (OCPP16, OCPP20, OCPP21)}
PLACES = {"1.6": ("v16", ""), "2.0.1": ("v201", "Request"), "2.1": ("v21", "Request")}
MESSAGES = {"1.6": (m16,), "2.0.1": (m20,), "2.1": (m21, m20)}
ROUTED = [(version, action) for version, each in DIALECTS.items() for action in each.routes]

# Never refused over what it can do without, and unread where nobody reads it.
LENIENT = {
    "StopTransaction": {"transactionData"},
    "TransactionEvent": {
        "cableMaxCurrent",
        "costDetails",
        "evseSleep",
        "numberOfPhasesUsed",
        "preconditioningStatus",
        "reservationId",
    },
}

LONGEST = 11_000  # so that lists of the longest still fit into a message
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
TIMES = st.datetimes(
    min_value=dt.datetime(1971, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    max_value=dt.datetime(2261, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    timezones=st.just(dt.UTC),
).map(dt.datetime.isoformat)
VENDOR = {"vendorId": "x", "more": [1]}  # of customData anything is allowed


def of_chargers() -> Iterator[tuple[str, str]]:
    """Tell every action that the schemas of a version know and this side does not begin."""
    for version, (folder, suffix) in PLACES.items():
        for path in (pathlib.Path(ocpp.__file__).parent / folder / "schemas").glob("*.json"):
            action = path.stem.removesuffix(suffix)
            ours = action in DIALECTS[version].not_offered
            if not path.stem.endswith("Response") and not ours:
                yield version, action


CHARGERS = sorted(of_chargers())


def values_of(  # noqa: PLR0911 - one return a type
    schema: Schema, root: Schema
) -> st.SearchStrategy[Any]:
    """Generate what a schema allows, within the bounds every OCPP integer and list has."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name == "CustomDataType":
            return st.builds(copy.deepcopy, st.just(VENDOR))  # some tests write into it
        return values_of(root["definitions"][name], root)
    if "enum" in schema or schema.get("format") == "date-time":
        return st.sampled_from(schema["enum"]) if "enum" in schema else TIMES
    match schema.get("type"):
        case "object":
            return objects_of(schema, root)
        case "array":
            least = schema.get("minItems", 0)
            return st.lists(values_of(schema["items"], root), min_size=least, max_size=least + 1)
        case "integer":
            least, most = schema.get("minimum", 1), schema.get("maximum", 2**31 - 1)
            return st.integers(int(least), int(most))
        case "number":
            return st.floats(schema.get("minimum", -1e9), schema.get("maximum", 1e9))
        case "boolean":
            return st.booleans()
        case "string":
            limit = min(schema.get("maxLength", 100), LONGEST)
            return TEXT.map(lambda text: text[:limit]) | st.just("x" * limit)
        case _:
            return st.none() | st.integers(0, 9) | st.dictionaries(TEXT, st.booleans(), max_size=2)


def objects_of(schema: Schema, root: Schema) -> st.SearchStrategy[Any]:
    required = set(schema.get("required", []))
    fields = {name: values_of(value, root) for name, value in schema.get("properties", {}).items()}
    return st.fixed_dictionaries(
        {name: field for name, field in fields.items() if name in required},
        optional={name: field for name, field in fields.items() if name not in required},
    )


@pytest.mark.parametrize(("version", "action"), CHARGERS)
def test_what_the_official_schema_allows_is_answered_with_a_result(
    version: str,
    action: str,
    official_schema: Callable[..., Schema],
    on_a_line: Callable[..., None],
) -> None:
    """O39, O44: and the answer has the form of its own schema."""
    schema = official_schema(action, version)

    @settings(max_examples=20, deadline=None, suppress_health_check=[*HealthCheck], database=None)
    @given(values_of(schema, schema))
    def answered(payload: object) -> None:
        async def exchange(line: Line) -> None:
            answer = await line.in_time(action, payload)
            assert answer[0] == 3, (payload, answer)

        on_a_line(exchange, version)

    answered()


def message(version: str, name: str) -> Any:
    return next(getattr(each, name) for each in MESSAGES[version] if hasattr(each, name))


@pytest.mark.parametrize(("version", "action"), ROUTED)
def test_the_fields_are_those_of_the_official_schema(
    version: str, action: str, official_schema: Callable[..., Schema]
) -> None:
    schema = official_schema(action, version)
    fields = {
        field.encode_name: field for field in msgspec.structs.fields(message(version, action))
    }
    unread = LENIENT.get(action, set()) | {"customData"}
    assert set(fields) == set(schema.get("properties", {})) - unread
    assert {name for name, field in fields.items() if field.required} == set(
        schema.get("required", [])
    )


def compared(  # noqa: C901, PLR0912 - one case a type
    ours: Schema, theirs: Schema, components: Schema, root: Schema, path: str
) -> Iterator[str]:
    """Tell where a type here and the official one part: in names, lengths, words, what must be."""
    if "anyOf" in ours:
        ours = next(each for each in ours["anyOf"] if each.get("type") != "null")
    if "$ref" in ours:
        ours = components[ours["$ref"].rpartition("/")[2]]
    if "$ref" in theirs:
        theirs = root["definitions"][theirs["$ref"].rpartition("/")[2]]
    match ours.get("type"):
        case "object":
            known = theirs["properties"]
            for name, field in ours["properties"].items():
                if name not in known:
                    yield f"{path}.{name} is not there"
                    continue
                if name in ours.get("required", []) and name not in theirs.get("required", []):
                    yield f"{path}.{name} may be left out"
                yield from compared(field, known[name], components, root, f"{path}.{name}")
        case "array":
            for bound in ("minItems", "maxItems"):
                if ours.get(bound) and ours.get(bound) != theirs.get(bound):
                    yield f"{path} has another {bound}"
            yield from compared(ours["items"], theirs["items"], components, root, f"{path}[]")
        case "string":
            if ours.get("maxLength") != theirs.get("maxLength") and "enum" not in theirs:
                yield f"{path} has another length"
        case _ if "enum" in ours:
            if set(ours["enum"]) != set(theirs.get("enum", [])):
                yield f"{path} has other words"


# A length is not looked at where a charger's transactions would be held up.
MORE_LENIENT = {
    "TransactionEvent.meterValue[].sampledValue[].unitOfMeasure.unit has another length",
    "StopTransaction.idTag has another length",
}


@pytest.mark.parametrize(("version", "action"), ROUTED)
def test_lengths_words_and_what_must_be_are_those_of_the_official_schema(
    version: str, action: str, official_schema: Callable[..., Schema]
) -> None:
    theirs = official_schema(action, version)
    (ours,), components = msgspec.json.schema_components(
        [message(version, action)], ref_template="#/$defs/{name}"
    )
    assert set(compared(ours, theirs, components, theirs, action)) <= MORE_LENIENT


def _least(schema: Schema, root: Schema) -> Any:
    """Return the least that a schema allows."""
    if "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {
                name: _least(schema["properties"][name], root)
                for name in schema.get("required", [])
            }
        case "array":
            return [_least(schema["items"], root)] * schema.get("minItems", 0)
        case "integer" | "number":
            return int(schema.get("minimum", 1))
        case "boolean":
            return True
        case _:
            return "2026-11-20T10:00:00Z"[: schema.get("maxLength", 99)]


# Of these nothing is refused that can do without.
NEVER_REFUSED = {"StopTransaction"}


@pytest.mark.parametrize(("version", "action"), ROUTED)
def test_what_is_longer_than_the_official_schema_allows_is_refused(
    version: str, action: str, official_schema: Callable[..., Schema]
) -> None:
    if action in NEVER_REFUSED:
        return
    schema = official_schema(action, version)
    decoder = msgspec.json.Decoder(message(version, action))
    for name, limit in (
        (name, value["maxLength"])
        for name, value in schema.get("properties", {}).items()
        if "maxLength" in value
    ):
        with pytest.raises(msgspec.ValidationError, match=f"<= {limit} - at `\\$.{name}`"):
            decoder.decode(json.dumps({**_least(schema, schema), name: "x" * (limit + 1)}))


@pytest.mark.parametrize(("version", "action"), CHARGERS)
async def test_what_must_be_there_is_missed_by_name(
    version: str,
    action: str,
    official_schema: Callable[..., Schema],
    new_line: Callable[..., Line],
) -> None:
    """O8."""
    schema = official_schema(action, version)
    line = new_line(version)
    code = "OccurenceConstraintViolation" if version == "1.6" else "OccurrenceConstraintViolation"
    whole = _least(schema, schema)
    for name in schema.get("required", []):
        payload = {field: value for field, value in whole.items() if field != name}
        answer = await line.in_time(action, payload)
        assert (answer[0], answer[2], answer[4]) == (4, code, {}), name


@pytest.mark.parametrize(("version", "action"), CHARGERS)
@pytest.mark.parametrize("payload", [[], None, "x", 5, [[]]])
async def test_a_payload_that_is_no_object_is_refused_by_name(
    version: str, action: str, payload: object, new_line: Callable[..., Line]
) -> None:
    """O8."""
    answer = await new_line(version).in_time(action, payload)
    code = "FormationViolation" if version == "1.6" else "FormatViolation"
    assert (answer[0], answer[2], answer[4]) == (4, code, {})


JSON_TYPES = {
    "string": "#2468-secret",
    "integer": 7,
    "number": 7.5,
    "boolean": True,
    "array": ["#2468-secret"],
    "object": {"#2468-secret": "#2468-secret"},
    "null": None,
}


@pytest.mark.parametrize(("version", "action"), [each for each in CHARGERS if each[0] != "1.6"])
async def test_a_field_of_the_wrong_type_is_refused_by_name_and_reaches_nobody(
    version: str,
    action: str,
    official_schema: Callable[..., Schema],
    new_line: Callable[..., Line],
    gateway: GatewayInMemory,
) -> None:
    """O8."""
    schema = official_schema(action, version)
    line = new_line(version)
    whole = _least(schema, schema)
    for name, field in schema.get("properties", {}).items():
        if name in LENIENT.get(action, set()) | {"customData", "data"}:
            continue
        expected = _type(field, schema)
        for kind, value in JSON_TYPES.items():
            fits = kind == expected or (kind, expected) == ("integer", "number")
            if fits or (kind == "null" and name not in schema.get("required", [])):
                continue
            answer = await line.in_time(action, {**whole, name: value})
            assert answer[0] == 4, (name, kind)
            assert answer[2] == "TypeConstraintViolation", (name, kind)
            assert b"2468" not in line.raw[-1]
    assert (gateway.told, gateway.events, gateway.messages, line.closes) == ([], [], [], [])
    assert (await line.in_time(action, whole))[0] == 3


def _type(field: Schema, root: Schema) -> str:
    if "$ref" in field:
        field = root["definitions"][field["$ref"].rpartition("/")[2]]
    return str(field["type"])


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=25),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
@pytest.mark.parametrize("action", ["Authorize", "NotifyEvent", "TransactionEvent"])
def test_whatever_stands_somewhere_is_answered_once_and_taken_only_where_it_is_right(
    version: str,
    action: str,
    official_schema: Callable[..., Schema],
    on_a_line: Callable[..., None],
) -> None:
    schema = official_schema(action, version)

    @settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
    @given(st.data(), values_of(schema, schema), ANYTHING)
    def answered(data: st.DataObject, payload: dict[str, Any], strange: object) -> None:
        place: Any = payload
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys))
            if not (place[key] and isinstance(place[key], dict | list)) or data.draw(st.booleans()):
                break
            place = place[key]
        place[key] = strange

        async def exchange(line: Line) -> None:
            answer = await line.in_time(action, payload)
            if answer[0] == 4:
                assert answer[2].endswith("Violation"), answer
                assert (line.gateway.told, line.gateway.messages) == ([], [])
            assert not line.closes
            assert line.at_once("Heartbeat", {})[0] == 3

        on_a_line(exchange, version)

    answered()


@pytest.mark.parametrize("version", DIALECTS)
def test_every_action_of_the_official_schemas_is_known(
    version: str, official_actions: Callable[[str], set[str]]
) -> None:
    dialect = DIALECTS[version]
    assert set(dialect.routes) | dialect.not_offered == official_actions(version)
    assert not set(dialect.routes) & dialect.not_offered
    assert OCPP21.not_offered >= SENT


@pytest.mark.parametrize("version", DIALECTS)
async def test_what_only_this_side_may_call_is_not_supported_and_the_rest_is_not_implemented(
    version: str, new_line: Callable[..., Line]
) -> None:
    """O7: in 2.1 what nobody knows gets an answer, too."""
    line = new_line(version)
    for action in sorted(DIALECTS[version].not_offered):
        assert line.at_once(action, {})[2] == "NotSupported"
    for action in ("", "Nonsense", "authorize", "AuthorizeRequest", "x" * 1000):
        assert line.at_once(action, {})[2] == "NotImplemented"


@pytest.mark.parametrize(("version", "action"), ROUTED)
def test_a_route_answers_with_what_its_action_asks_for(
    version: str, action: str, official_schema: Callable[..., Schema]
) -> None:
    route = DIALECTS[version].routes[action]
    assert route.decoder.type is message(version, action)
    properties = set(official_schema(f"{action}Response", version).get("properties", {}))
    if action == "NotifySettlement":
        return  # a receipt may be in the answer, and is not
    if properties - {"customData"}:
        assert route.response is message(version, f"{action}Response")
    else:
        assert route.response is message(version, "Acknowledged")


def test_no_repr_shows_a_code() -> None:
    """O36, R17: codes are secrets, and reprs end up in logs."""
    presented = m20.IdToken(id_token="2468", type="KeyCode")
    of_2_1 = m21.IdToken(id_token="2468", type="KeyCode")
    for each in (
        m16.Authorize(id_tag="#2468"),
        presented,
        m20.Authorize(id_token=presented),
        m21.Authorize(id_token=of_2_1),
    ):
        assert "2468" not in repr(each)
