from __future__ import annotations

from pathlib import Path

import pytest
from pydantic_settings import SettingsConfigDict

from chargekey_common.certificates import TlsFiles
from chargekey_common.postgres import Postgres
from chargekey_common.settings import ServiceSettings, load


class ShelfSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SHELF_")

    size: int = 3


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("the token\n")
    for name, value in {
        "DATA": tmp_path,
        "NATS_URL": "nats://127.0.0.1:4222",
        "NATS_TOKEN_FILE": tmp_path / "token",
        "ACCOUNTS": tmp_path,
        "ACCOUNT_KEY_FILE": tmp_path / "key",
    }.items():
        monkeypatch.setenv(f"SHELF_{name}", str(value))


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELF_SIZE", "7")
    assert load(ShelfSettings).size == 7


def test_a_secret_is_read_from_its_file_and_never_printed_with_the_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text("postgresql://me:hunter2@host/shelves\n")
    monkeypatch.setenv("SHELF_POSTGRES_FILE", str(tmp_path / "url"))
    settings = load(ShelfSettings)
    assert settings.postgres == Postgres("postgresql://me:hunter2@host/shelves", "shelf")
    assert "hunter2" not in repr(settings)


def test_a_variable_that_no_setting_reads_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHELF_SZIE", "7")
    with pytest.raises(SystemExit) as exit_:
        load(ShelfSettings)
    assert exit_.value.code == 2
    assert capsys.readouterr().err == "SHELF_SZIE: no such setting\n"


def test_a_wrong_value_is_named_but_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHELF_SIZE", "s3cret")
    monkeypatch.delenv("SHELF_DATA")
    with pytest.raises(SystemExit):
        load(ShelfSettings)
    error = capsys.readouterr().err
    assert "SHELF_SIZE" in error
    assert "SHELF_DATA" in error
    assert "s3cret" not in error


def test_a_variable_that_no_setting_reads_is_refused_in_any_case(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("shelf_size", "7")
    assert load(ShelfSettings).size == 7
    monkeypatch.setenv("shelf_szie", "8")
    with pytest.raises(SystemExit):
        load(ShelfSettings)
    assert capsys.readouterr().err == "shelf_szie: no such setting\n"


@pytest.mark.parametrize(
    "name", ["POSTGRES_ENABLE_DB_FUNCTIONS", "ACCESS_POSTGRES_ENABLE_DB_FUNCTIONS"]
)
def test_the_setting_with_which_readers_miss_events_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "n")
    load(ShelfSettings)
    monkeypatch.setenv(name, "y")
    with pytest.raises(SystemExit) as exit_:
        load(ShelfSettings)
    assert exit_.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{name}: never switch this on")
    assert said.count("\n") == 1


def test_tables_are_in_a_file_or_in_a_schema_called_like_the_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert load(ShelfSettings).tables("shelf.db") == tmp_path / "shelf.db"
    (tmp_path / "url").write_text("postgresql://user:hunter2@host/database\n")
    monkeypatch.setenv("SHELF_POSTGRES_FILE", str(tmp_path / "url"))
    expected = Postgres("postgresql://user:hunter2@host/database", "shelf")
    assert load(ShelfSettings).tables("shelf.db") == expected


TLS = ("TLS_CERTIFICATE_FILE", "TLS_KEY_FILE", "TLS_CA_FILE")


@pytest.mark.parametrize("missing", TLS)
def test_half_of_tls_is_refused_and_none_of_it_is_in_the_clear(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    assert load(ShelfSettings).tls_files is None
    for name in TLS:
        monkeypatch.setenv(f"SHELF_{name}", f"/run/{name}")
    assert load(ShelfSettings).tls_files == TlsFiles(*(Path(f"/run/{name}") for name in TLS))
    monkeypatch.delenv(f"SHELF_{missing}")
    with pytest.raises(SystemExit):
        load(ShelfSettings)
    assert "set TLS_CERTIFICATE_FILE, TLS_KEY_FILE and TLS_CA_FILE" in capsys.readouterr().err
