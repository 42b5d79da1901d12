"""The certificate that chargers are shown, and the CA of theirs."""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec
from cryptography import x509

from chargekey_common.certificates import Renewed, no_password, tell_expiry


class CertificateFiles(msgspec.Struct, frozen=True, kw_only=True):
    """PEM files. Without `client_ca` nobody is asked for a certificate.

    `required` leaves nobody in who has none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    required: bool = False

    def renewed(self) -> Renewed[ssl.SSLContext]:
        """Return what TLS is spoken with by now; raises OSError, ssl.SSLError and ValueError."""
        paths = filter(None, (self.certificate, self.key, self.client_ca))
        return Renewed(tuple(paths), self._context)

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key, password=no_password)
        if self.client_ca is not None:
            context.load_verify_locations(self.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED if self.required else ssl.CERT_OPTIONAL
        shown = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        tell_expiry("ocpp", shown)
        return context
