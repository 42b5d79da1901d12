"""`chargekey secrets`: what a cluster is given."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import nkeys
import pytest

from chargekey_common.accounts import ADMINISTRATOR, Signer, service_account
from chargekey_stack import cluster_secrets
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.errors import DataInUseError, SecretsUnwritableError

from .running_system import CHARGEKEY


def written(data: Path, directory: Path) -> Mapping[str, bytes]:
    cluster_secrets.write(DataDirectory(data), directory)
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }


def test_a_secret_is_a_directory_and_the_same_comes_of_the_same_system(tmp_path: Path) -> None:
    first = written(tmp_path / "data", tmp_path / "one")
    assert written(tmp_path / "data", tmp_path / "two") == first
    assert {file.rpartition("/")[0] for file in first} == {
        "accounts",
        *(f"account-{service}" for service in cluster_secrets.SERVICES),
        *("nats", "nats-issuer", "postgres"),
        *(f"postgres-{service}" for service in ("access", "identity", "history", "notifier")),
        *("keyed-ids", "charger-passwords", "identity-master-key", "notifier", "portal"),
    }
    assert first["keyed-ids/secret"] != first["charger-passwords/secret"]


def test_every_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    written(tmp_path / "data", tmp_path / "secrets")
    files = [file for file in (tmp_path / "secrets").rglob("*") if file.is_file()]
    assert {file.stat().st_mode & 0o077 for file in files} == {0}


def test_services_sign_with_keys_whose_other_halves_are_among_the_accounts(tmp_path: Path) -> None:
    secrets = written(tmp_path / "data", tmp_path / "secrets")
    for service in cluster_secrets.SERVICES:
        name = service_account(service).replace(":", "_")
        assert f"accounts/{name}.pem" in secrets
        assert Signer.from_file(tmp_path / f"secrets/account-{service}/{name}.key").token()


def test_the_administrators_key_stays_where_it_is(tmp_path: Path) -> None:
    secrets = written(tmp_path / "data", tmp_path / "secrets")
    name = ADMINISTRATOR.replace(":", "_")
    assert f"accounts/{name}.pem" in secrets
    key = DataDirectory(tmp_path / "data").administrator_key.read_bytes()
    assert key not in secrets.values()


def test_nats_is_told_who_signs_and_only_the_notifier_how(tmp_path: Path) -> None:
    secrets = written(tmp_path / "data", tmp_path / "secrets")
    signs = nkeys.from_seed(secrets["nats-issuer/seed"])
    assert secrets["nats/issuer"] == signs.public_key


def test_the_url_of_ones_own_database_stays(tmp_path: Path) -> None:
    secrets = written(tmp_path / "data", tmp_path / "secrets")
    assert secrets["postgres/password"] in secrets["postgres-history/url"]
    (tmp_path / "secrets/postgres-history/url").write_text("postgresql://elsewhere/chargekey")
    again = written(tmp_path / "data", tmp_path / "secrets")
    assert again["postgres-history/url"] == b"postgresql://elsewhere/chargekey"


def test_the_keys_of_a_running_system_are_not_taken(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "data")
    with data.locked(), pytest.raises(DataInUseError):
        cluster_secrets.write(DataDirectory(data.path), tmp_path / "secrets")


def test_a_directory_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SecretsUnwritableError, match="file"):
        cluster_secrets.write(DataDirectory(tmp_path / "data"), tmp_path / "file")


def test_the_command_says_where_they_are_and_none_of_them(tmp_path: Path) -> None:
    said = subprocess.run(
        [*CHARGEKEY, "secrets", tmp_path / "secrets", "--json", "--data", tmp_path / "data"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(said.stdout) == {"directory": str(tmp_path / "secrets")}
    assert said.stderr == ""
