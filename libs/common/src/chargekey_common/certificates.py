"""Certificates and keys: files, read again as they change, and only where they fit together.

What is new counts for new connections; those that are open stay. A file that is half written, or
a key that is not its certificate's yet, changes nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import msgspec
import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from prometheus_client import Gauge

from chargekey_common.errors import CannotRunError
from chargekey_common.process import Lifetime

# Seconds between two looks at the files.
WATCH = 1.0

_EXPIRY = Gauge(
    "tls_cert_expiry_seconds",
    "When the certificate that is shown expires, in seconds since the epoch.",
    ["certificate"],
)

What = TypeVar("What")

log = structlog.get_logger()


class Renewed(Generic[What]):
    """What files hold: `current` is as they were last read with success."""

    def __init__(self, paths: tuple[Path, ...], read: Callable[[], What]) -> None:
        """Read them; raises what `read` raises, OSError and ValueError."""
        self._paths = paths
        self._read = read
        self._state: object = self._look()
        self._refused: object = None
        self.current = read()

    def read_again(self) -> bool:
        """Whether there is a new `current`, since files have changed and fit together. Blocks."""
        state: object = None
        try:
            state = self._look()
            if state == self._state:
                return False
            self.current = self._read()
        except (OSError, ValueError) as error:
            refused = (state, type(error))
            if refused != self._refused:  # one line a trouble, not one a look
                # Not its words: OpenSSL's may quote a file.
                log.error("certificates_unreadable", error=type(error).__name__)  # noqa: TRY400
            self._refused = refused
            return False
        self._state = state
        log.info("certificates_renewed")
        return True

    async def renewals(self) -> AsyncIterator[What]:
        """Look at the files for as long as this is read, and tell of each new `current`."""
        while True:
            await asyncio.sleep(WATCH)
            if await asyncio.to_thread(self.read_again):
                yield self.current

    async def run(self) -> None:
        """Look at the files until cancelled."""
        async for _ in self.renewals():
            pass

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        """Return what changes when a file does, or a link on the way to it; raises OSError."""
        seen = (path.stat() for path in self._paths)
        return tuple((of.st_ino, of.st_size, of.st_mtime_ns) for of in seen)


class Certificate(msgspec.Struct, frozen=True):
    """What a process shows other processes, and whom it believes: PEM.

    `chain` begins with its own certificate; `authority` signs everybody's.
    """

    chain: bytes
    key: bytes
    authority: bytes

    def __repr__(self) -> str:
        return "Certificate()"


Certificates = Renewed[Certificate]


class TlsFiles(msgspec.Struct, frozen=True):
    """Where a process finds these."""

    certificate: Path
    key: Path
    authority: Path

    def renewed(self) -> Certificates:
        """Return what is there, once it is whole; raises OSError and ValueError."""
        return Renewed((self.certificate, self.key, self.authority), self._read)

    def _read(self) -> Certificate:
        found = Certificate(
            self.certificate.read_bytes(), self.key.read_bytes(), self.authority.read_bytes()
        )
        own = x509.load_pem_x509_certificates(found.chain)[0]
        x509.load_pem_x509_certificates(found.authority)
        try:
            key = serialization.load_pem_private_key(found.key, None)
        except (TypeError, UnsupportedAlgorithm):
            message = "the key is encrypted, or of a kind that is not known"
            raise ValueError(message) from None
        if key.public_key() != own.public_key():
            message = "the key is not the certificate's"
            raise ValueError(message)
        tell_expiry("grpc", own)
        return found


def follow(lifetime: Lifetime, files: TlsFiles | None) -> Certificates | None:
    """Return what is in the files all life long, if there are any; raises CannotRunError."""
    if files is None:
        return None
    try:
        certificates = files.renewed()
    except ValueError as error:
        message = f"The certificate, key or CA of TLS_…_FILE is unusable: {error}."
        raise CannotRunError(message) from None
    lifetime.own(certificates.run(), "certificates")
    return certificates


class Newest(ssl.SSLContext):
    """The context of a client that keeps the one it was given: connections are the newest's."""

    _renewed: Renewed[ssl.SSLContext]

    def __new__(cls, _: Renewed[ssl.SSLContext]) -> Self:
        """Be made, of a kind that nothing is spoken with."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, renewed: Renewed[ssl.SSLContext]) -> None:
        self._renewed = renewed

    def wrap_bio(self, *connection: Any, **how: Any) -> ssl.SSLObject:  # noqa: ANN401 - as it is
        """Begin a connection."""
        return self._renewed.current.wrap_bio(*connection, **how)


def no_password() -> str:
    """Keep OpenSSL from asking at a terminal; raises ValueError where a key is encrypted."""
    message = "the key is encrypted"
    raise ValueError(message)


def tell_expiry(name: str, certificate: x509.Certificate) -> None:
    """Let the metric say when the certificate of this name expires: `ocpp` or `grpc`."""
    _EXPIRY.labels(name).set(certificate.not_valid_after_utc.timestamp())
