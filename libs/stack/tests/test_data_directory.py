from __future__ import annotations

from pathlib import Path

import pytest

from chargekey_common.accounts import ADMINISTRATOR
from chargekey_stack.data_directory import VERSION, DataDirectory
from chargekey_stack.errors import (
    DataForeignError,
    DataInUseError,
    DataUnusableError,
    DataVersionError,
)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_directory_and_its_secrets_are_for_its_owner_alone(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "new" / "data")
    with data.locked():
        secret = data.secret("keyed_ids")
        data.account(ADMINISTRATOR)
        assert {mode(data.path), mode(data.secrets), mode(data.keys)} == {0o700}
        assert {mode(secret), mode(data.administrator_key)} == {0o600}
        assert len(secret.read_bytes()) == 32


def test_secrets_and_accounts_are_made_once(tmp_path: Path) -> None:
    def made() -> list[bytes]:
        data = DataDirectory(tmp_path)
        with data.locked():
            files = data.secret("a"), data.token("b"), data.account(ADMINISTRATOR)
            return [file.read_bytes() for file in files]

    first = made()
    assert made() == first
    assert first[0] != first[1]


def test_one_system_at_a_time_and_the_next_one_after_it(tmp_path: Path) -> None:
    with (
        DataDirectory(tmp_path).locked(),
        pytest.raises(DataInUseError),
        DataDirectory(tmp_path).locked(),
    ):
        pass
    with DataDirectory(tmp_path).locked():
        pass


def test_data_of_another_version_is_left_alone(tmp_path: Path) -> None:
    with DataDirectory(tmp_path).locked():
        pass
    (tmp_path / "version").write_text("77\n")
    with pytest.raises(DataVersionError), DataDirectory(tmp_path).locked():
        pass


@pytest.mark.parametrize(("content", "named"), [(b"77\n", "77"), (b"\xff\xfe\x00", "unknown")])
def test_both_versions_are_named_where_the_other_one_has_a_number(
    tmp_path: Path, content: bytes, named: str
) -> None:
    (tmp_path / "version").write_bytes(content)
    with pytest.raises(DataVersionError) as refused, DataDirectory(tmp_path).locked():
        pass
    assert f"its version is {named}, this Chargekey's is {VERSION}" in str(refused.value)


def test_a_secret_that_cannot_be_read_is_told_before_anything_starts(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    with data.locked():
        # What no reader can open, whoever it is.
        (data.secrets / "nats_token").mkdir()
        with pytest.raises(DataUnusableError):
            data.token("nats_token")


def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("chapter 1")
    tmp_path.chmod(0o755)
    with pytest.raises(DataForeignError), DataDirectory(tmp_path).locked():
        pass
    assert mode(tmp_path) == 0o755
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_path_that_cannot_be_a_directory_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataUnusableError) as refused, DataDirectory(tmp_path / "file").locked():
        pass
    assert "\n" not in str(refused.value)


def test_a_relative_path_means_the_directory_the_command_was_given_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert DataDirectory(Path("here")).path == tmp_path / "here"
