"""What identity is told about a provider: whole and safe, or the process does not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from chargekey_common.settings import load
from chargekey_identity.settings import IdentitySettings

PROVIDER = {
    "ISSUER": "https://provider.example",
    "CLIENT_ID": "chargekey",
    "REDIRECT_URIS": "https://portal.example/signed-in http://localhost:8000/signed-in",
}


@pytest.fixture(autouse=True)
def _told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = ("DATA", "ACCOUNTS", "ACCOUNT_KEY_FILE", "KEYED_ID_SECRET_FILE", "MASTER_KEY_FILE")
    for name in names:
        monkeypatch.setenv(f"CHARGEKEY_IDENTITY_{name}", str(tmp_path))
    for name in ("NATS_URL", "ACCESS_ADDRESS"):
        monkeypatch.setenv(f"CHARGEKEY_IDENTITY_{name}", "localhost:1")


def test_administrators_are_told_by_their_addresses_however_they_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load(IdentitySettings).administrators == frozenset()
    told = " Ada@Example.org  grace@example.org"
    monkeypatch.setenv("CHARGEKEY_IDENTITY_ADMINISTRATORS", told)
    assert load(IdentitySettings).administrators == {"ada@example.org", "grace@example.org"}


@pytest.mark.parametrize("told", ["ada", "ada@example.org,grace@example.org", "ada@example.org *"])
def test_what_is_no_address_is_refused_by_the_settings_name_and_not_echoed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], told: str
) -> None:
    """R17: nobody is left out unseen, as who could sign in by no such address."""
    monkeypatch.setenv("CHARGEKEY_IDENTITY_ADMINISTRATORS", told)
    with pytest.raises(SystemExit):
        load(IdentitySettings)
    said = capsys.readouterr().err
    assert "CHARGEKEY_IDENTITY_ADMINISTRATORS" in said
    assert "ada" not in said


def tell(monkeypatch: pytest.MonkeyPatch, **provider: str) -> None:
    for name, value in provider.items():
        monkeypatch.setenv(f"CHARGEKEY_IDENTITY_OPENID_{name}", value)


def test_a_provider_is_optional() -> None:
    settings = load(IdentitySettings)
    assert settings.openid_issuer is None
    assert settings.openid_redirect_uris == frozenset()


def test_a_provider_is_told_with_client_and_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, **PROVIDER)
    settings = load(IdentitySettings)
    assert settings.openid_issuer == "https://provider.example"
    assert settings.openid_redirect_uris == {
        "https://portal.example/signed-in",
        "http://localhost:8000/signed-in",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"ISSUER": "http://provider.example"},
        {"ISSUER": "ftp://localhost"},
        {"ISSUER": ""},
        {"REDIRECT_URIS": "http://portal.example/signed-in"},
        {"REDIRECT_URIS": "https://portal.example/ javascript:alert(1)"},
        {"REDIRECT_URIS": ""},
        {"CLIENT_ID": ""},
    ],
)
def test_half_a_provider_or_an_unsafe_one_is_refused_by_the_settings_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: dict[str, str]
) -> None:
    tell(monkeypatch, **{**PROVIDER, **wrong})
    with pytest.raises(SystemExit):
        load(IdentitySettings)
    assert "OPENID" in capsys.readouterr().err
