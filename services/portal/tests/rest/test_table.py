"""The table of the REST API, and the document that is made from it."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from chargekey_portal.rest.endpoints import endpoints
from chargekey_portal.rest.openapi import document, encoded
from chargekey_portal.rest.routes import ROUTES


@pytest.fixture(scope="module")
def written() -> Any:
    return json.loads(encoded())


def test_no_address_is_there_twice() -> None:
    times = Counter((route.method, re.sub(r"\{\w+\}", "{}", route.path)) for route in ROUTES)
    assert max(times.values()) == 1


def test_addresses_are_words_with_hyphens() -> None:
    steps = {step for route in ROUTES for step in route.path.split("/")[1:]}
    odd = {step for step in steps if not re.fullmatch(r"[a-z]+(-[a-z]+)*|\{[a-z_]+\}", step)}
    assert odd == {".well-known", "jwks.json"}


def test_what_only_reads_has_no_name_for_repeating_it() -> None:
    assert [each.route.path for each in endpoints() if each.reads and each.keyed] == []


def test_what_makes_a_thing_tells_where_it_is_read_from_then_on() -> None:
    read = {route.path for route in ROUTES if route.method == "GET"}
    assert {route.created for route in ROUTES if route.created} <= read


def test_secrets_and_what_people_are_called_stand_in_no_address() -> None:
    """R17."""
    asked = {name for each in endpoints() for name in (*each.path, *each.query)}
    assert asked & {"code", "email", "first_name", "last_name", "secret", "token"} == set()
    assert not [name for name in asked if name.endswith("token") and name != "page_token"]
    # Sites and chargers are searched by what they are called, people by a POST.
    searched = {
        each.method.containing_service.name for each in endpoints() if "search" in each.query
    }
    assert searched == {"InstallationService", "ChargerService"}


def test_an_edit_is_held_against_what_it_edits_and_nothing_else() -> None:
    edits = {
        f"{each.route.method} {each.route.path}": each.edits.route.path
        for each in endpoints()
        if each.edits is not None
    }
    assert edits["PUT /chargers/{charger_id}/reader-quirks"] == "/chargers/{charger_id}"
    assert edits["DELETE /users/{user_id}"] == "/users/{user_id}"
    assert edits["PUT /users/{user_id}/mail-choices"] == "/users/{user_id}/mail-choices"
    endpoint = "/partners/{partner_id}/decision-endpoint"
    assert edits[f"PUT {endpoint}"] == endpoint
    assert "PUT /installations/{installation_id}/ownership-offer" not in edits
    assert "DELETE /partners/{partner_id}/members/{user_id}" not in edits
    assert not [name for name in edits if name.startswith("POST")]


def test_the_document_says_nothing_of_how_messages_count_time(written: Any) -> None:
    assert "anosecond" not in encoded().decode()
    session = written["components"]["schemas"]["history.Session"]["properties"]
    assert session["started_at"] == {
        "type": "string",
        "format": "date-time",
        "description": "As the charger reported them.",
    }


def test_the_document_says_nothing_of_rules_by_number() -> None:
    assert re.findall(r"\([RS]\d[^)]*\)", encoded().decode()) == []


def test_operations_have_names_of_their_own(written: Any) -> None:
    names = [each["operationId"] for path in written["paths"].values() for each in path.values()]
    assert len(names) == len(set(names)) == len(ROUTES)


def test_every_parameter_of_an_address_is_declared(written: Any) -> None:
    for path, methods in written["paths"].items():
        for operation in methods.values():
            declared = {
                each["name"] for each in operation.get("parameters", ()) if each.get("in") == "path"
            }
            assert declared == set(re.findall(r"\{(\w+)\}", path))


def test_schemas_are_schemas_and_all_that_is_referred_to_is_there(written: Any) -> None:
    for schema in written["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in set(re.findall(r'"\$ref": "([^"]+)"', encoded().decode())):
        there = written
        for step in reference.removeprefix("#/").split("/"):
            there = there[step]
        assert there


def test_no_component_is_there_for_nothing(written: Any) -> None:
    used = set(re.findall(r'"#/components/\w+/([^"]+)"', encoded().decode()))
    parts = ("schemas", "responses", "parameters", "headers")
    assert {name for part in parts for name in written["components"][part]} - used == set()


def test_a_request_has_no_field_that_stands_elsewhere() -> None:
    paths = document()["paths"]
    granting = paths["/api/v1/chargers/{charger_id}/permissions"]["post"]
    schema = granting["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {
        *("user_id", "email", "partner_id", "lookup_key"),
        *("roles", "valid_until"),
    }
    assert {"not": {"required": ["user_id", "email"]}} in schema["allOf"]
