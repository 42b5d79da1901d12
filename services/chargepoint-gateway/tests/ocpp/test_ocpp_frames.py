"""OCPP-J frames: whatever arrives has one of the declared outcomes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chargekey_gateway.ocpp import frames
from chargekey_gateway.ocpp.frames import (
    Call,
    CallError,
    CallResult,
    CallResultError,
    CloseCode,
    Fatal,
    Fault,
    Ignored,
    Refused,
    Send,
    decode,
)

OUTCOMES = (Call, CallResult, CallError, CallResultError, Send, Refused, Ignored, Fatal)
CALL = b'[2,"1","Authorize",{"idTag":"#2468"}]'

plain_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
frame_like = st.tuples(st.integers(0, 7), st.text(max_size=40), st.text(), plain_json).map(list)


def nested(depth: int) -> bytes:
    return b'[2,"1","A",' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"]"


def every_string(value: object) -> list[str]:
    match value:
        case str():
            return [value]
        case list():
            return [text for item in value for text in every_string(item)]
        case dict():
            return [text for pair in value.items() for text in every_string(list(pair))]
        case _:
            return []


def depth_of(value: object) -> int:
    match value:
        case list():
            return 1 + max(map(depth_of, value), default=0)
        case dict():
            return 1 + max(map(depth_of, value.values()), default=0)
        case _:
            return 0


@given(st.binary() | st.text().map(str.encode) | st.binary().map(CALL.__add__))
@example(b"")
@example(b"[")
@example(b"[2")
@example(b'[2,"')
@example(b"[[[[")
@example(b'[2,"\\')
@example(b"\xef\xbb\xbf" + CALL)
def test_any_bytes_have_a_declared_outcome(data: bytes) -> None:
    assert isinstance(decode(data), OUTCOMES)


@given(st.data(), frame_like)
def test_any_damage_to_a_frame_has_a_declared_outcome(
    data: st.DataObject, frame: list[Any]
) -> None:
    encoded = bytearray(json.dumps(frame).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(encoded) - 1))
        encoded[position : position + 1] = data.draw(st.binary(max_size=3))
        if not encoded:
            break
    assert isinstance(decode(bytes(encoded)), OUTCOMES)


@given(frame_like)
def test_what_is_taken_for_a_call_is_what_an_independent_decoder_reads(frame: list[Any]) -> None:
    outcome = decode(json.dumps(frame).encode())
    bad = any("\0" in text or _has_surrogate(text) for text in every_string(frame))
    if isinstance(outcome, Call):
        assert frame[:3] == [2, outcome.id, outcome.action]
        assert json.loads(bytes(outcome.payload)) == frame[3]
        assert not bad
        assert depth_of(frame) <= frames.NESTING
        assert 1 <= len(outcome.id) <= 36
    elif frame[0] == 2 and 1 <= len(frame[1]) <= 36 and not bad and depth_of(frame) <= 32:
        assert outcome == Refused(frame[1], Fault.FORMAT)  # numbers beyond every bound


def _has_surrogate(text: str) -> bool:
    return any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def test_a_call_a_result_and_an_error_are_told_apart() -> None:
    """O5."""
    call = decode(CALL)
    assert isinstance(call, Call)
    assert (call.id, call.action, bytes(call.payload)) == ("1", "Authorize", b'{"idTag":"#2468"}')
    assert isinstance(decode(b'[3,"1",{}]'), CallResult)
    assert decode(b'[4,"1","GenericError","",{}]') == CallError("1", "GenericError")
    assert decode(b'[4,"1"]') == CallError("1")
    assert decode(b'[5,"1","FormatViolation","",{}]') == CallResultError("1", "FormatViolation")
    sent = decode(b'[6,"1","NotifyPeriodicEventStream",{}]')
    assert isinstance(sent, Send)
    assert (sent.id, sent.action) == ("1", "NotifyPeriodicEventStream")


@pytest.mark.parametrize(
    "frame",
    [
        b'[2,"1","A",{]',
        b'[2,"1","A",{}',
        b'[2,"1","A",{}]x',
        b'[2,"1","A",{"a":NaN}]',
        b'[2,"1","A",{"a":"\\u0000"}]',
        b'[2,"1","A",{"a":"\x00"}]',
        b'[2,"1","A",{"a":"\\ud800"}]',
        b'[2,"1","A",{"a":"\\udc00\\ud800"}]',
        b'[2,"1","A",{"a":"\\\\\\u0000"}]',
        b'[2,"1","\\u0000",{}]',
    ],
)
def test_a_broken_call_with_a_readable_id_is_a_formation_violation(frame: bytes) -> None:
    assert decode(frame) == Refused("1", Fault.FORMAT)


@pytest.mark.parametrize(
    "frame", [b'[2,"1"]', b'[2,"1","A"]', b'[2,"1","A",{},5]', b'[2,"1",5,{}]']
)
def test_json_that_is_no_call_but_has_an_id_is_refused_as_no_message(frame: bytes) -> None:
    assert decode(frame) == Refused("1", Fault.FRAME)


@pytest.mark.parametrize(
    "frame",
    [
        b"[2]",
        b" [ 2 , 1,5,{}]",
        b'[2,1,"5",{}]',
        b'[2,"","A",{}]',
        b'[2,"' + b"x" * 37 + b'","A",{}]',
        b'[2,"\\u0000","A",{}]',
        b'[2,"\\ud800","A",{}]',
        b"[2,nonsense",
    ],
)
def test_a_call_without_a_readable_id_is_refused_without_one(frame: bytes) -> None:
    """O6."""
    assert decode(frame) == Refused(None, Fault.FRAME)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"[2",
        b'["2","1","A",{}]',
        b'[3,"1"]',
        b'[4,"1","x","y",{]',
        b'[5,"1"',
        b'[6,"1","A"]',
        b'[6,1,"A",{}]',
    ],
)
def test_what_is_no_call_and_unreadable_is_ignored(frame: bytes) -> None:
    assert decode(frame) == Ignored("unreadable")


@pytest.mark.parametrize("kind", [0, 1, 7, 99])
def test_an_unknown_message_type_is_ignored(kind: int) -> None:
    """O5."""
    assert decode(f'[{kind},"1","A",{{}}]'.encode()) == Ignored("unknown_message_type")


def test_an_id_of_36_characters_is_the_longest() -> None:
    """O4."""
    outcome = decode(f'[2,"{"ä" * 36}","A",{{}}]'.encode())
    assert isinstance(outcome, Call)
    assert outcome.id == "ä" * 36


@pytest.mark.parametrize("text", ["\\\\u0000", "\\ud83d\\ude00", "ä\\u00e4", "\\\\ud800"])
def test_harmless_escapes_pass(text: str) -> None:
    assert isinstance(decode(f'[2,"1","A",{{"a":"{text}"}}]'.encode()), Call)


def test_64_kib_is_the_biggest_message() -> None:
    """O10."""
    head, tail = b'[2,"1","A",{"a":"', b'"}]'
    fill = b"x" * (64 * 1024 - len(head) - len(tail))
    assert isinstance(decode(head + fill + tail), Call)
    assert decode(head + fill + b"x" + tail) == Fatal(CloseCode.MESSAGE_TOO_BIG, "message too big")


@pytest.mark.parametrize(
    "data", [b"\xff", b'[2,"1","A",{"a":"\xc3"}]', b'[2,"1","A","\xed\xa0\x80"]']
)
def test_what_is_not_utf8_is_fatal(data: bytes) -> None:
    """O10."""
    assert decode(data) == Fatal(CloseCode.INVALID_TEXT, "not UTF-8")


def test_32_levels_are_the_deepest() -> None:
    """O10."""
    assert isinstance(decode(nested(32)), Call)
    assert decode(nested(33)) == Fatal(CloseCode.POLICY_VIOLATION, "nested too deep")
    assert decode(b"[" * 60_000) == Fatal(CloseCode.POLICY_VIOLATION, "nested too deep")


def test_many_brackets_side_by_side_or_in_strings_are_not_deep() -> None:
    side_by_side = b'[2,"1","A",[' + b"[]," * 1000 + b"[]]]"
    in_a_string = b'[2,"1","A","' + b'\\"[{' * 1000 + b'"]'
    assert isinstance(decode(side_by_side), Call)
    assert isinstance(decode(in_a_string), Call)


def test_what_is_sent_decodes_to_what_was_meant() -> None:
    class Empty(msgspec.Struct):
        pass

    assert json.loads(frames.encode_call("1", "Heartbeat", Empty())) == [2, "1", "Heartbeat", {}]
    assert json.loads(frames.encode_result("1", Empty())) == [3, "1", {}]
    assert json.loads(frames.encode_error("1", "GenericError", "so")) == [
        4,
        "1",
        "GenericError",
        "so",
        {},
    ]


def test_no_repr_shows_a_code() -> None:
    """R17: codes are secrets, and reprs end up in logs."""
    assert "2468" not in repr(decode(CALL))
