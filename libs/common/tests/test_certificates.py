"""Certificates in files: what is new and whole counts, whatever else is there does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from chargekey_common import certificates
from chargekey_common.certificates import Renewed, TlsFiles, follow
from chargekey_common.errors import CannotRunError
from chargekey_common.process import Lifetime
from chargekey_common.testing.authority import BOTH, DAY, NOW, Authority
from chargekey_common.testing.waiting import until


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def files(authority: Authority) -> TlsFiles:
    return TlsFiles(*authority.sign("own", san="localhost", usages=BOTH), authority.file)


def expiry() -> float | None:
    return REGISTRY.get_sample_value("tls_cert_expiry_seconds", {"certificate": "grpc"})


def encrypted(key: bytes) -> bytes:
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


BROKEN: dict[str, Callable[[TlsFiles, Authority], object]] = {
    "empty": lambda files, _: files.certificate.write_bytes(b""),
    "half written": lambda files, _: files.certificate.write_bytes(
        files.certificate.read_bytes()[:200]
    ),
    "nonsense": lambda files, _: files.authority.write_bytes(b"nonsense"),
    "the key of another": lambda files, ours: files.key.write_bytes(
        ours.sign("another")[1].read_bytes()
    ),
    "an encrypted key": lambda files, _: files.key.write_bytes(encrypted(files.key.read_bytes())),
    "a file that is gone": lambda files, _: files.key.unlink(),
}


@pytest.mark.parametrize("what", BROKEN)
def test_files_that_do_not_fit_together_change_nothing_and_are_told_of_once(
    authority: Authority, files: TlsFiles, what: str
) -> None:
    """A certificate and its key are two files, and one comes before the other."""
    held = files.renewed()
    before = held.current
    assert not held.read_again()
    BROKEN[what](files, authority)
    with capture_logs() as logs:
        for _ in range(3):
            assert not held.read_again()
    assert [each["event"] for each in logs] == ["certificates_unreadable"]
    assert held.current is before
    authority.sign("own", san="localhost", usages=BOTH)
    files.authority.write_bytes(before.authority)
    assert held.read_again()
    assert held.current.chain == files.certificate.read_bytes()
    assert not held.read_again()


def test_the_metric_says_when_the_newest_expires(authority: Authority, files: TlsFiles) -> None:
    held = files.renewed()
    assert expiry() == int((NOW + DAY).timestamp())
    authority.sign("own", san="localhost", usages=BOTH, until=NOW + 5 * DAY)
    held.read_again()
    assert expiry() == int((NOW + 5 * DAY).timestamp())


async def test_a_directory_that_is_swapped_by_a_link_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Kubernetes does with a mounted Secret: `..data` becomes another directory."""
    monkeypatch.setattr(certificates, "WATCH", 0.01)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "..data").symlink_to("first")
    (tmp_path / "file").symlink_to("..data/file")
    held = Renewed((tmp_path / "file",), (tmp_path / "file").read_text)
    assert held.current == "first"
    looking = asyncio.create_task(held.run())
    try:
        (tmp_path / "..data_tmp").symlink_to("second")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        await until(lambda: held.current == "second")
    finally:
        looking.cancel()


async def test_a_process_does_not_start_with_what_is_unusable(files: TlsFiles) -> None:
    lifetime = Lifetime()
    assert follow(lifetime, None) is None
    files.key.write_bytes(b"")
    with pytest.raises(CannotRunError, match=r"TLS_…_FILE is unusable"):
        follow(lifetime, files)
    files.key.unlink()
    with pytest.raises(FileNotFoundError):
        follow(lifetime, files)


def test_a_key_is_never_printed(files: TlsFiles) -> None:
    assert repr(files.renewed().current) == "Certificate()"
