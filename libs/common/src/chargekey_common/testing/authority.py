"""Certificates made for a test: an authority, and what it signs, as PEM files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
# Of a process that is called and calls.
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


class Authority:
    """A certificate authority; what it signs it writes as PEM files."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = directory / f"{name}.pem"
        self.certificate = (
            self._builder(self.name, self.key, NOW + 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, until: dt.datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(until - 60 * DAY)
            .not_valid_after(until)
        )

    def sign(
        self,
        file: str,
        *names: str,
        organisation: tuple[str, ...] = (),
        san: str | None = None,
        until: dt.datetime = NOW + DAY,
        usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
    ) -> tuple[Path, Path]:
        """Return the files of a certificate with these common names and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names]
            + [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organisation]
        )
        builder = self._builder(subject, key, until)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if san is not None:
            alternative = x509.SubjectAlternativeName([x509.DNSName(san)])
            builder = builder.add_extension(alternative, critical=False)
        signed = builder.sign(self.key, hashes.SHA256())
        paths = self.directory / f"{file}.pem", self.directory / f"{file}.key"
        paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths
