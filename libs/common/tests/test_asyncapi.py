"""The partners' contract: an AsyncAPI 3 document, made from what is told, that only grows.

F17: it says what every document holds. F18: what was released stays.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from chargekey_common import asyncapi
from chargekey_common.published.feed import EVENTS, FeedEvent, document

ROOT = Path(__file__).resolve().parents[3]
API = ROOT / "docs" / "api"
# AsyncAPI's own schema of its documents, as far as ours go.
SPECIFICATION = Path(__file__).with_name("asyncapi-3.0.0.json")
CONTRACT: Any = json.loads(asyncapi.encoded())
NAMES = [each.__name__ for each in EVENTS]


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


broken = script("check_compatibility").broken


def payload(event: type[FeedEvent], contract: Any = CONTRACT) -> jsonschema.Draft7Validator:
    """Return what validates whole documents of this event, strangers refused."""
    closed = copy.deepcopy(contract)
    for each in closed["components"]["schemas"].values():
        each["additionalProperties"] = False
    where = f"#/components/messages/{event.__name__}/payload"
    checker = jsonschema.Draft7Validator.FORMAT_CHECKER
    return jsonschema.Draft7Validator({**closed, "$ref": where}, format_checker=checker)


def test_the_document_is_what_asyncapi_3_says_one_is() -> None:
    """F17."""
    specification = json.loads(SPECIFICATION.read_text())
    jsonschema.Draft7Validator(specification).validate(CONTRACT)
    for schema in CONTRACT["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)


def test_every_reference_leads_somewhere() -> None:
    def walk(value: Any) -> None:
        match value:
            case {"$ref": where}:
                found = CONTRACT
                for step in where.removeprefix("#/").split("/"):
                    found = found[step]
            case dict():
                for each in value.values():
                    walk(each)
            case list():
                for each in value:
                    walk(each)

    walk(CONTRACT)


def test_every_event_is_a_message_of_each_door_in_words_and_with_an_example() -> None:
    """F17."""
    messages = CONTRACT["components"]["messages"]
    assert list(messages) == ["Page", *NAMES]
    for channel in ("stream", "nats", "webhook"):
        assert list(CONTRACT["channels"][channel]["messages"]) == NAMES
    for name in NAMES:
        assert messages[name]["summary"]
        assert "  " not in messages[name]["description"]
        assert messages[name]["payload"]["properties"]["type"] == {
            "const": f"chargekey.feed.v1.{name}"
        }


@pytest.mark.parametrize("event", EVENTS)
def test_what_is_told_has_the_form_that_the_document_says(event: type[FeedEvent]) -> None:
    """F17: with all that there can be, and with no more than there must be."""
    whole = asyncapi.sample(event)
    info = msgspec.structs.fields(event)
    required = {each.name: getattr(whole, each.name) for each in info if each.required}
    for told in (whole, event(**required)):
        sent = document(told, partner_id="volt", event_id="e", number=7, at=10**18)
        payload(event).validate(json.loads(sent))
    [example] = CONTRACT["components"]["messages"][event.__name__]["examples"]
    payload(event).validate(example["payload"])
    assert example["payload"]["data"].keys() == set(event.__struct_fields__)


def test_a_page_has_the_form_that_the_document_says() -> None:
    [example] = CONTRACT["components"]["messages"]["Page"]["examples"]
    where = {**CONTRACT, "$ref": "#/components/messages/Page/payload"}
    jsonschema.Draft7Validator(where).validate(example["payload"])


def test_nothing_is_null_and_what_may_be_absent_is_not_required() -> None:
    """A client that reads a property need not tell null from absent."""
    text = json.dumps(CONTRACT["components"]["schemas"])
    assert '"null"' not in text
    assert ": null" not in text
    granted = CONTRACT["components"]["schemas"]["PermissionGranted"]
    assert granted["properties"]["valid_until"] == {"type": "string", "format": "date-time"}
    assert "valid_until" not in granted["required"]


@pytest.mark.parametrize(
    "arguments", [("generate_asyncapi.py", "--check"), ("check_compatibility.py",)]
)
def test_what_is_checked_in_is_what_is_told_and_breaks_nothing(arguments: tuple[str, ...]) -> None:
    """F17, F18."""
    name, *more = arguments
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / name, *more],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def schema_of(contract: Any, name: str) -> Any:
    return contract["components"]["schemas"][name]


def removed_message(now: Any) -> None:
    del now["components"]["messages"]["SessionEnded"]


def renamed_type(now: Any) -> None:
    properties = now["components"]["messages"]["SessionEnded"]["payload"]["properties"]
    properties["type"] = {"const": "chargekey.feed.v2.SessionEnded"}


def removed_attribute(now: Any) -> None:
    del now["components"]["messages"]["SessionEnded"]["payload"]["properties"]["sequence"]


def removed_property(now: Any) -> None:
    del schema_of(now, "SessionEnded")["properties"]["presumed"]


def no_longer_required(now: Any) -> None:
    schema_of(now, "SessionEnded")["required"].remove("meter_stop")


def another_type(now: Any) -> None:
    schema_of(now, "SessionEnded")["properties"]["meter_stop"] = {"type": "string"}


def another_format(now: Any) -> None:
    del schema_of(now, "SessionEnded")["properties"]["ended_at"]["format"]


def another_pattern(now: Any) -> None:
    properties = now["components"]["messages"]["SessionEnded"]["payload"]["properties"]
    properties["sequence"]["pattern"] = "^[0-9]{10}$"


def another_default(now: Any) -> None:
    schema_of(now, "SessionEnded")["properties"]["presumed"]["default"] = True


def removed_word(now: Any) -> None:
    schema_of(now, "IdentificationAdded")["properties"]["status"]["enum"].remove("INACTIVE")


def removed_word_of_a_list(now: Any) -> None:
    schema_of(now, "AccessStarted")["properties"]["roles"]["items"]["enum"].remove("OWNER")


def words_that_are_any_text(now: Any) -> None:
    schema_of(now, "IdentificationAdded")["properties"]["status"] = {"type": "string"}


def list_of_anything(now: Any) -> None:
    del schema_of(now, "AccessStarted")["properties"]["roles"]["items"]


def bounded(now: Any) -> None:
    schema_of(now, "SessionEnded")["properties"]["meter_stop"]["minimum"] = 0


def removed_channel(now: Any) -> None:
    del now["channels"]["stream"]


def moved_channel(now: Any) -> None:
    now["channels"]["stream"]["address"] = "/v2/events/stream"


def message_not_sent_there(now: Any) -> None:
    del now["channels"]["webhook"]["messages"]["SessionEnded"]


def another_content_type(now: Any) -> None:
    now["components"]["messages"]["SessionEnded"]["contentType"] = "application/json"


def event_no_longer_in_pages(now: Any) -> None:
    page = now["components"]["messages"]["Page"]["payload"]
    page["properties"]["events"]["items"]["anyOf"].pop()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (removed_message, "SessionEnded is told no longer"),
        (renamed_type, "SessionEnded.type has another const"),
        (removed_attribute, "SessionEnded.sequence is gone"),
        (removed_property, "SessionEnded.presumed is gone"),
        (no_longer_required, "SessionEnded.meter_stop need not be there any more"),
        (another_type, "SessionEnded.meter_stop has another type"),
        (another_format, "SessionEnded.ended_at has another format"),
        (another_pattern, "SessionEnded.sequence has another pattern"),
        (another_default, "SessionEnded.presumed has another default"),
        (removed_word, "IdentificationAdded.status can be ['INACTIVE'] no longer"),
        (removed_word_of_a_list, "AccessStarted.roles[] can be ['OWNER'] no longer"),
        (words_that_are_any_text, "IdentificationAdded.status has another type"),
        (list_of_anything, "AccessStarted.roles[] can be"),
        (bounded, "SessionEnded.meter_stop has another minimum"),
        (removed_channel, "the channel stream is gone"),
        (moved_channel, "the channel stream has another address"),
        (message_not_sent_there, "the channel webhook has no SessionEnded any more"),
        (another_content_type, "SessionEnded has another content type"),
        (event_no_longer_in_pages, "Page.events[] can be"),
    ],
)
def test_what_breaks_who_reads_by_the_released_document_is_found(
    change: Callable[[Any], None], said: str
) -> None:
    """F18."""
    now = copy.deepcopy(CONTRACT)
    change(now)
    assert said in "\n".join(broken(CONTRACT, now))


def added_message(now: Any) -> None:
    messages = now["components"]["messages"]
    messages["SessionPaused"] = messages["SessionEnded"]
    now["channels"]["stream"]["messages"]["SessionPaused"] = {}
    now["components"]["schemas"]["SessionPaused"] = {"type": "object"}


def added_property(now: Any) -> None:
    ended = schema_of(now, "SessionEnded")
    ended["properties"]["energy"] = {"type": "integer"}
    ended["required"].append("energy")


def always_there(now: Any) -> None:
    schema_of(now, "SessionEnded")["required"].append("presumed")


def added_word(now: Any) -> None:
    schema_of(now, "IdentificationAdded")["properties"]["status"]["enum"].append("LOST")


def other_words_for_people(now: Any) -> None:
    now["info"]["version"] = "1.1.0"
    schema_of(now, "SessionEnded")["description"] = "Otherwise said."
    now["components"]["messages"]["SessionEnded"]["examples"] = []


@pytest.mark.parametrize(
    "change", [added_message, added_property, always_there, added_word, other_words_for_people]
)
def test_what_is_only_more_breaks_nobody(change: Callable[[Any], None]) -> None:
    """F18."""
    now = copy.deepcopy(CONTRACT)
    change(now)
    assert list(broken(CONTRACT, now)) == []
