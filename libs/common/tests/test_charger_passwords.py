"""Charger passwords: derived, hashed, compared."""

from __future__ import annotations

import re

import pytest

from chargekey_common.charger_passwords import ChargerPasswords

PASSWORDS = ChargerPasswords(b"a secret of 24 bytes, so")


def test_a_password_is_20_bytes_in_hex_and_the_same_for_the_same_command() -> None:
    password = PASSWORDS.derive("charger", "command")
    assert re.fullmatch(r"[0-9a-f]{40}", password)
    assert PASSWORDS.derive("charger", "command") == password
    others = {PASSWORDS.derive("charger", "second"), PASSWORDS.derive("second", "command")}
    assert password not in others
    assert ChargerPasswords(b"another secret, also long").derive("charger", "command") != password


def test_only_the_chargers_own_password_matches() -> None:
    password = PASSWORDS.derive("charger", "command")
    stored = PASSWORDS.hash("charger", password)
    assert password not in stored
    assert PASSWORDS.matches("charger", password, stored)
    assert not PASSWORDS.matches("another", password, stored)
    assert not PASSWORDS.matches("charger", password.upper(), stored)
    assert not PASSWORDS.matches("charger", "", stored)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        ChargerPasswords(b"short")
