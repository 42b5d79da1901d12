"""The certificate that chargers are shown, and the CA of theirs: files, read again as they change.

New files count for new connections; those that are open stay. Files that do not fit together
change nothing: a key is often written a moment after its certificate.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec
import structlog
from cryptography import x509

from chargekey_gateway.metrics import CERTIFICATE_EXPIRY

log = structlog.get_logger()


class CertificateFiles(msgspec.Struct, frozen=True, kw_only=True):
    """PEM files. Without `client_ca` nobody is asked for a certificate.

    `required` leaves nobody in who has none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    required: bool = False

    def state(self) -> tuple[tuple[int, int, int], ...]:
        """Return what changes when a file does; raises OSError."""
        paths = filter(None, (self.certificate, self.key, self.client_ca))
        return tuple((of.st_ino, of.st_size, of.st_mtime_ns) for of in (p.stat() for p in paths))

    def context(self) -> ssl.SSLContext:
        """Return what TLS is spoken with; raises OSError, ssl.SSLError and ValueError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key, password=_no_password)
        if self.client_ca is not None:
            context.load_verify_locations(self.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED if self.required else ssl.CERT_OPTIONAL
        shown = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        CERTIFICATE_EXPIRY.set(shown.not_valid_after_utc.timestamp())
        return context


class Certificates:
    """The files as they were last read; `context` is what new connections get."""

    def __init__(self, files: CertificateFiles) -> None:
        """Read them; raises OSError, ssl.SSLError and ValueError."""
        self._files = files
        self._state = files.state()
        self.context = files.context()

    def read_again(self) -> bool:
        """Whether there is a new `context`, since files have changed and fit together. Blocks."""
        try:
            state = self._files.state()
            if state == self._state:
                return False
            context = self._files.context()
        except (OSError, ssl.SSLError, ValueError) as error:
            # Not its words: OpenSSL's may quote a file.
            log.error("certificates_unreadable", error=type(error).__name__)  # noqa: TRY400
            return False
        self._state, self.context = state, context
        log.info("certificates_renewed")
        return True


def _no_password() -> str:
    """Keep OpenSSL from asking at a terminal; raises ValueError where a key is encrypted."""
    message = "the key is encrypted"
    raise ValueError(message)
