"""Who a charger says it is, before the WebSocket."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_gateway.ocpp import handshake
from chargekey_gateway.ocpp.handshake import Credentials


def basic(plain: bytes) -> str:
    return "Basic " + base64.b64encode(plain).decode()


@pytest.mark.parametrize(
    ("path", "identity"),
    [
        (b"/ocpp/CP1", "CP1"),
        (b"/ocpp/CP%2F1%20%C3%A4", "CP/1 ä"),
        (b"/ocpp/CP1?token=x", "CP1"),
        (b"/ocpp/", None),
        (b"/ocpp", None),
        (b"/", None),
        (b"/ocpp/a/b", None),
        (b"/ocpp/%FF", None),
        (b"/ocpp/%00", None),
        (b"/ocpp/%0a", None),
        (b"/OCPP/CP1", None),
    ],
)
def test_the_identity_is_the_last_part_of_the_path(path: bytes, identity: str | None) -> None:
    assert handshake.identity(path) == identity


def test_user_and_password_are_read() -> None:
    assert handshake.credentials([basic(b"CP1:se:cret")]) == Credentials("CP1", ("se:cret",))
    assert handshake.credentials(["bAsIc  " + basic(b"CP1:s")[6:]]) == Credentials("CP1", ("s",))


def test_a_key_sent_as_bytes_is_read_as_the_hex_it_is_configured_with() -> None:
    """O12."""
    key = bytes(range(0xF0, 0x100)) + b"\x01"
    assert handshake.credentials([basic(b"CP1:" + key)]) == Credentials("CP1", (key.hex(),))
    text = b"sixteen letters!"
    assert handshake.credentials([basic(b"CP1:" + text)]) == Credentials(
        "CP1", (text.hex(), text.decode())
    )


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [""],
        ["Basic"],
        ["Basic !!!"],
        ["Basic ÄÖ"],
        ["Bearer eA=="],
        [basic(b"no colon")],
        [basic(b"\xff:x")],
        [basic(b"CP1:a"), basic(b"CP1:b")],
    ],
)
def test_anything_but_one_basic_header_is_nothing(headers: list[str]) -> None:
    assert handshake.credentials(headers) is None


@given(st.lists(st.text(), max_size=2), st.binary())
def test_no_request_breaks_the_reading(headers: list[str], path: bytes) -> None:
    handshake.credentials([*headers, "Basic " + path.decode("latin-1")][:1])
    handshake.credentials([basic(path)])
    handshake.identity(b"/ocpp/" + path)


def test_credentials_do_not_show() -> None:
    assert "secret" not in repr(handshake.credentials([basic(b"CP1:secret")]))


def test_the_best_common_version_is_chosen() -> None:
    """O1."""
    known = ("ocpp2.1", "ocpp1.6")
    assert handshake.subprotocol(["ocpp1.6, ocpp2.1"], known) == "ocpp2.1"
    assert handshake.subprotocol(["ocpp1.5", " ocpp1.6 "], known) == "ocpp1.6"
    assert handshake.subprotocol(["ocpp1.5", "OCPP1.6"], known) is None
    assert handshake.subprotocol([], known) is None
