"""Data keys: what is sealed opens for its owner and place alone, until the key is destroyed."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag

from chargekey_common.eventstore.mapper import Seal
from chargekey_identity import keyring as module
from chargekey_identity.domain.errors import UserUnknownError
from chargekey_identity.keyring import DataKeyMissingError, KeyRing, MasterKeyMismatchError

MASTER = b"a master key of at least sixteen bytes"


def wrapped(path: Path, user_id: str) -> bytes:
    with sqlite3.connect(path) as db:
        [found] = db.execute("SELECT wrapped FROM data_keys WHERE user_id=?", (user_id,)).fetchone()
    db.close()
    return bytes(found)


def files(directory: Path) -> Sequence[bytes]:
    return [path.read_bytes() for path in directory.iterdir() if path.is_file()]


def test_what_is_sealed_opens_again_after_a_restart(tmp_path: Path) -> None:
    first = KeyRing(tmp_path / "keys.db", MASTER)
    sealed = first.seal("kari", b"#1234", b"here")
    first.close()
    second: Seal = KeyRing(tmp_path / "keys.db", MASTER)
    assert second.unseal("kari", sealed, b"here") == b"#1234"
    second.close()  # type: ignore[attr-defined] # a KeyRing


def test_what_is_sealed_opens_at_its_own_place_and_for_its_own_user_only(keyring: KeyRing) -> None:
    sealed = keyring.seal("kari", b"#1234", b"here")
    keyring.seal("ola", b"#5678", b"here")
    for owner, context in (("kari", b"there"), ("ola", b"here")):
        with pytest.raises(InvalidTag):
            keyring.unseal(owner, sealed, context)


def test_the_same_thing_is_never_sealed_the_same_way_twice(keyring: KeyRing) -> None:
    sealed = {keyring.seal("kari", b"#1234", b"here") for _ in range(100)}
    assert len({each[: module.NONCE] for each in sealed}) == 100


def test_a_destroyed_key_opens_nothing_and_none_is_made_in_its_place(keyring: KeyRing) -> None:
    """R20."""
    sealed = keyring.seal("kari", b"#1234", b"here")
    keyring.destroy("kari")
    assert keyring.unseal("kari", sealed, b"here") is None
    with pytest.raises(UserUnknownError):
        keyring.seal("kari", b"#1234", b"here")


def test_a_destroyed_key_stays_destroyed_after_a_restart_and_its_bytes_are_in_no_file(
    tmp_path: Path,
) -> None:
    """R20."""
    path = tmp_path / "keys.db"
    ring = KeyRing(path, MASTER)
    sealed = ring.seal("kari", b"#1234", b"here")
    key = wrapped(path, "kari")
    assert any(key in content for content in files(tmp_path))
    ring.destroy("kari")
    assert not any(key in content for content in files(tmp_path))
    ring.close()
    ring = KeyRing(path, MASTER)
    assert ring.unseal("kari", sealed, b"here") is None
    ring.close()


def test_a_lost_key_is_not_mistaken_for_a_destroyed_one(keyring: KeyRing) -> None:
    with pytest.raises(DataKeyMissingError):
        keyring.unseal("nobody", b"x" * 40, b"here")


def test_another_master_key_is_refused_at_once(tmp_path: Path) -> None:
    KeyRing(tmp_path / "keys.db", MASTER).close()
    with pytest.raises(MasterKeyMismatchError):
        KeyRing(tmp_path / "keys.db", b"not the master key it was")
    with pytest.raises(ValueError, match="16 bytes"):
        KeyRing(tmp_path / "other.db", b"short")


def test_no_key_stands_in_the_file_in_plain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []
    generate = module.AESGCM.generate_key
    monkeypatch.setattr(
        module.AESGCM,
        "generate_key",
        lambda bits: made.append(generate(bits)) or made[-1],  # type: ignore[func-returns-value] # None is what `or` goes by
    )
    ring = KeyRing(tmp_path / "keys.db", MASTER)
    ring.seal("kari", b"#1234", b"here")
    assert len(made[0]) == 32
    assert not any(made[0] in content or MASTER in content for content in files(tmp_path))
    ring.close()


def test_more_users_than_keys_in_memory_open_as_well(
    keyring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CACHED", 3)
    sealed = {str(n): keyring.seal(str(n), str(n).encode(), b"") for n in range(10)}
    for owner, each in sealed.items():
        assert keyring.unseal(owner, each, b"") == owner.encode()


def test_threads_that_meet_a_new_user_together_seal_under_one_key(keyring: KeyRing) -> None:
    barrier = threading.Barrier(8)
    sealed: list[bytes] = []

    def seal() -> None:
        barrier.wait()
        sealed.append(keyring.seal("kari", b"#1234", b"here"))

    threads = [threading.Thread(target=seal) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [keyring.unseal("kari", each, b"here") for each in sealed] == [b"#1234"] * 8
