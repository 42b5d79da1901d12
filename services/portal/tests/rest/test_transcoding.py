"""Messages as JSON, and back: nothing is lost, and what a field cannot hold is refused."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from chargekey.access.v1 import chargers_pb2, permissions_pb2
from chargekey.audit.v1 import audit_pb2
from chargekey.gateway.v1 import commands_pb2
from chargekey.history.v1 import reports_pb2
from chargekey.identity.v1 import identifications_pb2
from chargekey.notifier.v1 import webhooks_pb2
from chargekey_portal.refusals import RefusedError
from chargekey_portal.rest.endpoints import endpoints
from chargekey_portal.rest.transcoding import (
    is_document,
    is_map,
    is_moment,
    moment,
    nanoseconds,
    read,
    read_texts,
    told,
)

_WHOLE = {
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
}
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_OBJECT = st.dictionaries(_TEXT, _TEXT, max_size=2).map(msgspec.json.encode)


@cache
def _messages() -> dict[str, Descriptor]:
    """Every message of the table, but those that are a file by themselves."""
    found: dict[str, Descriptor] = {}

    def collect(message: Descriptor) -> None:
        if message.full_name not in found:
            found[message.full_name] = message
            for field in message.fields:
                if field.message_type is not None and not is_map(field):
                    collect(field.message_type)

    for each in endpoints():
        collect(each.method.input_type)
        collect(each.method.output_type)
    return {name: each for name, each in found.items() if not any(map(_is_file, each.fields))}


def _is_file(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_BYTES and not is_document(field)


@cache
def _of(message: Descriptor) -> st.SearchStrategy[Message]:
    """Any message of this type."""

    @st.composite
    def made(draw: st.DrawFn) -> Message:
        found = message_factory.GetMessageClass(message)()
        for field in message.fields:
            choice = field.containing_oneof
            taken = choice is not None and found.WhichOneof(choice.name) is not None
            if taken or (not is_map(field) and draw(st.booleans())):
                continue
            if is_map(field):
                getattr(found, field.name).update(draw(st.dictionaries(_TEXT, _TEXT, max_size=2)))
            elif field.is_repeated:
                getattr(found, field.name).extend(draw(st.lists(_value(field), max_size=2)))
            elif field.message_type is not None:
                getattr(found, field.name).CopyFrom(draw(_of(field.message_type)))
                getattr(found, field.name).SetInParent()
            else:
                setattr(found, field.name, draw(_value(field)))
        return found

    return made()


def _value(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return _of(field.message_type)
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if is_document(field):
        return _OBJECT if field.type == FieldDescriptor.TYPE_BYTES else _OBJECT.map(bytes.decode)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    return _WHOLE.get(field.type, _TEXT)


@pytest.mark.parametrize("name", _messages())
def test_what_is_told_reads_as_the_same_message(name: str) -> None:
    message = _messages()[name]

    @given(_of(message))
    @settings(max_examples=10, deadline=None, derandomize=True, database=None)
    def holds(before: Message) -> None:
        after = message_factory.GetMessageClass(message)()
        read(after, msgspec.json.decode(msgspec.json.encode(told(before))))
        assert after == before

    holds()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (1_772_539_200_000_000_000, "2026-03-03T12:00:00Z"),
    ],
)
def test_a_moment_is_told_as_exactly_as_it_is_known(number: int, text: str) -> None:
    assert moment(number) == text
    assert nanoseconds(text) == number


def test_a_moment_outside_of_64_bits_is_refused() -> None:
    with pytest.raises(RefusedError, match="field_malformed"):
        read_texts(reports_pb2.GetReportRequest(), {"ended_since": ["9999-01-01T00:00:00Z"]})


def test_a_moment_may_be_sent_in_any_zone() -> None:
    assert nanoseconds("1970-01-01T01:00:00+01:00") == 0
    assert nanoseconds("1970-01-01t00:00:00z") == 0


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "1970-01-01", "1970-01-01T00:00:00", "1970-02-30T00:00:00Z"),
        *("1970-01-01T24:01:00Z", "1970-01-01T00:00:00.1234567890Z"),
        *("\u0661970-01-01T00:00:00Z", "1970-01-01T00:00:00+25:00"),
    ],
)
def test_what_is_no_moment_is_none(text: str) -> None:
    assert nanoseconds(text) is None


def test_every_field_that_counts_from_the_epoch_is_told_as_a_moment() -> None:
    comments = json.loads((files("chargekey") / "comments.json").read_text())
    fields = {field.full_name: field for each in _messages().values() for field in each.fields}
    counted = [name for name in fields if "anoseconds" in comments.get(name, "")]
    assert counted
    assert [name for name in counted if not is_moment(fields[name])] == []
    other = {
        field.name for field in fields.values() if field.type in _WHOLE and not is_moment(field)
    }
    assert other == {
        *("connector", "count", "duration_seconds", "energy_wh", "limit", "line"),
        *("list_entries_confirmed", "list_entries_wanted", "list_version_confirmed"),
        *("list_version_wanted", "losses_in_all", "gains_in_all", "messages_missing"),
        *("offline_sessions", "open_chargers", "page_size", "pin_length", "power_w", "sessions"),
        *("times", "times_sent", "tokens", "took_ms", "transaction_id", "view_bound_minutes"),
    }


def test_what_is_unset_is_left_out_and_what_is_empty_is_told() -> None:
    """R18: no end is no field."""
    permission = permissions_pb2.Permission(id="p", roles=[permissions_pb2.ROLE_OWNER])
    assert told(permission) == {
        "id": "p",
        "installation_id": "",
        "charger_id": "",
        "user_id": "",
        "partner_id": "",
        "partner_name": "",
        "ocpp_identity": "",
        "roles": ["OWNER"],
    }


def test_a_word_that_is_not_known_here_is_unspecified() -> None:
    permission = permissions_pb2.Permission(roles=[99])  # type: ignore[list-item] # of a newer one
    assert told(permission)["roles"] == ["UNSPECIFIED"]


def test_documents_stand_in_it_as_what_they_are() -> None:
    asked = commands_pb2.SendActionRequest()
    read(asked, {"charger_id": "c", "payload": {"a": [1]}})
    assert json.loads(asked.payload) == {"a": [1]}
    assert json.loads(msgspec.json.encode(told(asked)))["payload"] == {"a": [1]}


def test_what_is_present_and_empty_is_not_what_is_absent() -> None:
    """R18: an end is taken away by saying so."""
    kept, ended = (permissions_pb2.ChangePermissionRequest() for _ in range(2))
    read(kept, {"roles": ["USER"]})
    read(ended, {"roles": ["USER"], "valid_until": ""})
    assert (kept.HasField("valid_until"), ended.HasField("valid_until")) == (False, True)
    listed = webhooks_pb2.ChangeWebhookRequest()
    read(listed, {"events": {}})
    assert listed.HasField("events")


def test_a_map_is_told_in_one_order() -> None:
    change = audit_pb2.Change(fields={"b": "2", "a": "1"})
    assert list(told(change)["fields"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("document", "code", "named"),
    [
        ({"role": []}, "field_unknown", "`role`"),
        ({"#2468": 1}, "field_unknown", "a field"),
        ({"roles": "USER"}, "field_malformed", "`roles` must be a list."),
        (
            {"roles": ["ROLE_USER"]},
            "field_malformed",
            "one of UNSPECIFIED, OWNER, USER, ",
        ),
        ({"roles": [2]}, "field_malformed", "`roles`"),
        ({"user_id": None}, "field_malformed", "`user_id` must be text"),
        ({"user_id": "\udc00"}, "field_malformed", "`user_id` must be text"),
        ({"user_id": "a", "email": "b"}, "fields_exclusive", "`user_id`, `email`"),
        ([], "field_malformed", "`body` must be an object"),
    ],
)
def test_what_a_message_cannot_hold_is_refused_by_the_fields_name(
    document: object, code: str, named: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        read(permissions_pb2.GrantPermissionRequest(), document)
    assert refused.value.refusal.code == code
    assert named in refused.value.refusal.message


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 1.0, True, "1"])
def test_a_number_outside_of_its_field_is_refused(value: object) -> None:
    with pytest.raises(RefusedError, match="field_malformed"):
        read(identifications_pb2.GeneratePinsRequest(), {"count": value})


def test_what_is_inside_is_named_by_its_path() -> None:
    with pytest.raises(RefusedError) as refused:
        read(chargers_pb2.SetReaderQuirksRequest(), {"reader_quirks": {"prefix": 1}})
    assert "`reader_quirks.prefix`" in refused.value.refusal.message


def test_parameters_of_an_address_are_read_by_what_their_field_holds() -> None:
    asked = permissions_pb2.ListPermissionsRequest()
    read_texts(asked, {"page_size": ["2"], "user_ids": ["a", "b"]})
    assert (asked.page_size, list(asked.user_ids)) == (2, ["a", "b"])


@pytest.mark.parametrize("texts", [["x"], ["1", "2"], ["1e3"], ["\u0661"], [" 1"], ["99999999999"]])
def test_a_parameter_that_its_field_cannot_hold_is_refused(texts: list[str]) -> None:
    with pytest.raises(RefusedError, match="field_malformed"):
        read_texts(permissions_pb2.ListPermissionsRequest(), {"page_size": texts})
