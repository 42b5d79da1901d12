"""Data keys: what is sealed opens for its owner and place alone, until the key is destroyed."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag

from chargekey_common.errors import CannotRunError
from chargekey_common.eventstore.mapper import Seal
from chargekey_common.eventstore.store import StoreUnavailableError
from chargekey_common.postgres import NotMigratedError, Postgres
from chargekey_common.testing.tables import execute, nobody_else_looking, session
from chargekey_identity.domain.errors import UserUnknownError
from chargekey_identity.tables import keyring as module
from chargekey_identity.tables.keyring import DataKeyMissingError, KeyRing, MasterKeyMismatchError

MASTER = b"a master key of at least sixteen bytes"


@pytest.fixture
def made(place: Path | Postgres, monkeypatch: pytest.MonkeyPatch) -> Path | Postgres:
    """Return a place with its tables, where what another has destroyed is noticed soon."""
    monkeypatch.setattr(module, "LEASE", 0.05)
    if isinstance(place, Postgres):
        KeyRing.migrate(place)
    return place


@pytest.fixture
def open_ring(made: Path | Postgres) -> Iterator[Callable[[], KeyRing]]:
    """Return what opens the keys again, as a restart does, or another replica."""
    opened: list[KeyRing] = []

    def open_one() -> KeyRing:
        opened.append(KeyRing(made, MASTER))
        return opened[-1]

    yield open_one
    for ring in opened:
        ring.close()


@pytest.fixture
def keyring(open_ring: Callable[[], KeyRing]) -> KeyRing:
    return open_ring()


@pytest.fixture
def replicas(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[KeyRing, KeyRing]]:
    monkeypatch.setattr(module, "LEASE", 0.5)
    KeyRing.migrate(postgres)
    with closing(KeyRing(postgres, MASTER)) as one, closing(KeyRing(postgres, MASTER)) as other:
        yield one, other


def wrapped(place: Path | Postgres, user_id: str) -> bytes:
    [(found,)] = execute(place, f"SELECT wrapped FROM data_keys WHERE user_id = '{user_id}'")  # noqa: S608 - a name of the test's own
    return bytes(found)


def files(directory: Path) -> Sequence[bytes]:
    return [path.read_bytes() for path in directory.iterdir() if path.is_file()]


def test_what_is_sealed_opens_again_after_a_restart(open_ring: Callable[[], KeyRing]) -> None:
    first = open_ring()
    sealed = first.seal("kari", b"#1234", b"here")
    first.close()
    second: Seal = open_ring()
    assert second.unseal("kari", sealed, b"here") == b"#1234"


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


def test_a_destroyed_key_stays_destroyed_after_a_restart(
    open_ring: Callable[[], KeyRing],
) -> None:
    """R20."""
    ring = open_ring()
    sealed = ring.seal("kari", b"#1234", b"here")
    ring.destroy("kari")
    ring.close()
    again = open_ring()
    assert again.unseal("kari", sealed, b"here") is None
    with pytest.raises(UserUnknownError):
        again.seal("kari", b"#1234", b"here")


def test_a_user_who_never_had_a_key_gets_none_once_it_is_destroyed(keyring: KeyRing) -> None:
    keyring.destroy("kari")
    keyring.destroy("kari")
    with pytest.raises(UserUnknownError):
        keyring.seal("kari", b"#1234", b"here")


def test_the_bytes_of_a_destroyed_key_are_in_no_file(tmp_path: Path) -> None:
    """R20."""
    path = tmp_path / "keys.db"
    with closing(KeyRing(path, MASTER)) as ring:
        ring.seal("kari", b"#1234", b"here")
        key = wrapped(path, "kari")
        assert any(key in content for content in files(tmp_path))
        ring.destroy("kari")
        assert not any(key in content for content in files(tmp_path))


def test_a_key_that_cannot_be_overwritten_yet_is_not_called_destroyed(tmp_path: Path) -> None:
    """R20."""
    path = tmp_path / "keys.db"
    with closing(KeyRing(path, MASTER)) as ring:
        ring.seal("kari", b"#1234", b"here")
        key = wrapped(path, "kari")
        with session(path) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM data_keys")
            with pytest.raises(StoreUnavailableError):
                ring.destroy("kari")
            reader.execute("COMMIT")
        assert any(key in content for content in files(tmp_path))
        ring.destroy("kari")
        assert not any(key in content for content in files(tmp_path))


def test_the_bytes_of_a_destroyed_key_are_not_in_the_table(postgres: Postgres) -> None:
    """R20; the write-ahead log and backups are another matter."""
    KeyRing.migrate(postgres)
    with nobody_else_looking(postgres), closing(KeyRing(postgres, MASTER)) as ring:
        for name in ("kari", "ola"):
            ring.seal(name, b"#1234", b"here")
        key = wrapped(postgres, "kari").hex()

        def stored() -> str:
            execute(postgres, "CHECKPOINT")
            [(content,)] = execute(
                postgres, "SELECT pg_read_binary_file(pg_relation_filepath('data_keys'))"
            )
            return bytes(content).hex()

        assert key in stored()
        ring.destroy("kari")
        assert not [part for part in range(0, len(key), 8) if key[part : part + 8] in stored()]


def test_a_lost_key_is_not_mistaken_for_a_destroyed_one(keyring: KeyRing) -> None:
    with pytest.raises(DataKeyMissingError):
        keyring.unseal("nobody", b"x" * 40, b"here")


def test_another_master_key_is_refused_at_once(made: Path | Postgres) -> None:
    KeyRing(made, MASTER).close()
    # A CannotRunError ends the process with its sentence alone.
    with pytest.raises(CannotRunError, match="another master key"):
        KeyRing(made, b"not the master key it was")
    with pytest.raises(ValueError, match="16 bytes"):
        KeyRing(made, b"short")


def test_no_key_stands_there_in_plain(
    made: Path | Postgres, keyring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[bytes] = []
    generate = module.AESGCM.generate_key
    monkeypatch.setattr(
        module.AESGCM,
        "generate_key",
        lambda bits: keys.append(generate(bits)) or keys[-1],  # type: ignore[func-returns-value] # None is what `or` goes by
    )
    keyring.seal("kari", b"#1234", b"here")
    assert len(keys[0]) == 32
    rows = execute(made, "SELECT wrapped FROM data_keys") + execute(
        made, "SELECT proof FROM key_ring"
    )
    kept = [bytes(value) for row in rows for value in row]
    if isinstance(made, Path):
        kept += files(made.parent)
    assert len(kept) > 1
    assert not any(keys[0] in content or MASTER in content for content in kept)


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


def test_replicas_that_meet_new_users_together_agree_on_their_keys(
    replicas: tuple[KeyRing, KeyRing],
) -> None:
    users = [secrets.token_hex(8) for _ in range(40)]
    together = threading.Barrier(4)

    def seal(ring: KeyRing) -> list[bytes]:
        together.wait()
        return [ring.seal(user, user.encode(), b"here") for user in users]

    with ThreadPoolExecutor(4) as threads:
        sealed = list(threads.map(seal, replicas * 2))
    for ring in replicas:
        for each in sealed:
            opened = [ring.unseal(*one, b"here") for one in zip(users, each, strict=True)]
            assert opened == [user.encode() for user in users]


def test_what_one_replica_destroys_no_other_uses_once_that_is_answered(
    replicas: tuple[KeyRing, KeyRing],
) -> None:
    """R20."""
    one, other = replicas
    sealed = one.seal("kari", b"#1234", b"here")
    kept = one.seal("ola", b"#5678", b"here")
    assert other.unseal("kari", sealed, b"here") == b"#1234"
    one.destroy("kari")
    assert other.unseal("kari", sealed, b"here") is None
    with pytest.raises(UserUnknownError):
        other.seal("kari", b"#1234", b"here")
    assert other.unseal("ola", kept, b"here") == b"#5678"


def test_a_key_made_while_it_is_destroyed_is_destroyed(
    replicas: tuple[KeyRing, KeyRing], postgres: Postgres
) -> None:
    """R20."""
    one, other = replicas
    with session(postgres) as destroying, ThreadPoolExecutor() as threads:
        destroying.execute("BEGIN")
        destroying.execute("INSERT INTO data_keys VALUES ('kari', NULL)")
        sealing = [threads.submit(ring.seal, "kari", b"#1234", b"here") for ring in (one, other)]
        destroying.execute("COMMIT")
        for each in sealing:
            with pytest.raises(UserUnknownError):
                each.result()


def test_keys_are_asked_for_once_and_not_at_every_use(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEASE", 3600.0)
    KeyRing.migrate(postgres)
    with closing(KeyRing(postgres, MASTER)) as ring:
        sealed = ring.seal("kari", b"#1234", b"here")
        execute(postgres, "DROP TABLE data_keys, key_ring")
        assert ring.unseal("kari", sealed, b"here") == b"#1234"


def test_remembered_keys_are_not_used_while_nobody_can_say_whether_they_are_destroyed(
    replicas: tuple[KeyRing, KeyRing], postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R20."""
    ring, _ = replicas
    sealed = ring.seal("kari", b"#1234", b"here")
    monkeypatch.setattr(module, "LEASE", 0.0)
    execute(postgres, "ALTER TABLE key_ring RENAME TO elsewhere")
    with pytest.raises(StoreUnavailableError):
        ring.unseal("kari", sealed, b"here")
    execute(postgres, "ALTER TABLE elsewhere RENAME TO key_ring")
    assert ring.unseal("kari", sealed, b"here") == b"#1234"


def test_replicas_that_start_together_with_two_master_keys_are_not_both_let_in(
    postgres: Postgres,
) -> None:
    KeyRing.migrate(postgres)
    together = threading.Barrier(2)

    def start(secret: bytes) -> bool:
        together.wait()
        try:
            KeyRing(postgres, secret).close()
        except MasterKeyMismatchError:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        let_in = list(threads.map(start, (MASTER, MASTER[::-1])))
    assert sorted(let_in) == [False, True]


def test_what_is_destroyed_is_told_by_a_number_and_found_by_an_index(
    made: Path | Postgres, open_ring: Callable[[], KeyRing]
) -> None:
    one, other = open_ring(), open_ring()
    before = other.destructions()
    for name in ("kari", "ola"):
        one.seal(name, b"#1234", b"here")
    assert other.destructions() == before
    one.destroy("kari")
    assert other.destructions() != before
    assert other.destroyed() == {"kari"}
    found = [other.is_destroyed(name) for name in ("kari", "ola", "nobody")]
    assert found == [True, False, False]
    with session(made) as asking:
        explain = "EXPLAIN QUERY PLAN" if isinstance(made, Path) else "EXPLAIN"
        if isinstance(made, Postgres):
            asking.execute("SET enable_seqscan = off")
        plan = asking.execute(f"{explain} SELECT user_id FROM data_keys WHERE wrapped IS NULL")  # noqa: S608 - nobody's text
        assert any("data_keys_destroyed" in str(row) for row in plan.fetchall())


def test_reading_what_is_destroyed_waits_for_nobody_who_seals(keyring: KeyRing) -> None:
    keyring.destroy("kari")
    with ThreadPoolExecutor() as threads, keyring._lock:  # noqa: SLF001 - as a slow seal has it
        assert threads.submit(keyring.destroyed).result(timeout=10) == {"kari"}
        assert threads.submit(keyring.is_destroyed, "kari").result(timeout=10)
        assert threads.submit(keyring.destructions).result(timeout=10) > 0


def test_a_schema_without_tables_is_refused(postgres: Postgres) -> None:
    with pytest.raises(NotMigratedError):
        KeyRing(postgres, MASTER)
