"""The deployment's secret, and what became of what another one has sealed."""

from __future__ import annotations

from pathlib import Path

import pytest

from chargekey_notifier.sealing import Seal, SecretTooShortError, UnsealableError, read_secret


@pytest.mark.parametrize("secret", [b"", b"secret", b"x" * 31])
def test_a_secret_that_could_be_guessed_is_none(secret: bytes, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(secret)
    with pytest.raises(SecretTooShortError, match="CHARGEKEY_NOTIFIER_SECRET_FILE"):
        read_secret(file)


def test_a_secret_is_whatever_is_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"\n" * 32)
    assert read_secret(file) == b"\n" * 32


def test_what_is_sealed_is_open_under_its_secret_about_what_it_is_and_for_its_purpose() -> None:
    sealed = Seal(b"x" * 32, b"webhooks").seal("told", "volt")
    assert Seal(b"x" * 32, b"webhooks").open(sealed, "volt") == "told"
    for seal, about in (
        (Seal(b"y" * 32, b"webhooks"), "volt"),
        (Seal(b"x" * 32, b"ocpi"), "volt"),
        (Seal(b"x" * 32, b"webhooks"), "watt"),
    ):
        with pytest.raises(UnsealableError):
            seal.open(sealed, about)
