"""What the command line shows a system that speaks TLS inside, and whom it believes there.

CHARGEKEY_TLS_CERTIFICATE_FILE, _KEY_FILE and _CA_FILE name PEM files, as the services' own
settings do; CHARGEKEY_NATS_CA_FILE is the CA of NATS. None of them is needed on one machine.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from chargekey_common.certificates import Certificates, TlsFiles, no_password
from chargekey_stack.errors import TlsUnusableError

CERTIFICATE = "CHARGEKEY_TLS_CERTIFICATE_FILE"
KEY = "CHARGEKEY_TLS_KEY_FILE"
CA = "CHARGEKEY_TLS_CA_FILE"
NATS_CA = "CHARGEKEY_NATS_CA_FILE"


def certificates() -> Certificates | None:
    """Return what gRPC is spoken with, None in the clear; raises TlsUnusableError."""
    files = _files()
    if files is None:
        return None
    try:
        return files.renewed()
    except OSError as error:
        trouble = f"{error.filename} ({error.strerror})"
        raise TlsUnusableError(trouble) from None
    except ValueError as error:
        raise TlsUnusableError(str(error)) from None


def of_nats() -> ssl.SSLContext | None:
    """Return what NATS is spoken with, None in the clear; raises TlsUnusableError."""
    ca = os.environ.get(NATS_CA)
    if not ca:
        return None
    try:
        context = ssl.create_default_context(cafile=ca)
        own = _files()
        if own is not None:
            context.load_cert_chain(own.certificate, own.key, password=no_password)
    except (OSError, ValueError) as error:
        # Not its words: OpenSSL's may quote a file.
        raise TlsUnusableError(ca) from error
    return context


def _files() -> TlsFiles | None:
    named = [os.environ.get(name) for name in (CERTIFICATE, KEY, CA)]
    certificate, key, ca = named
    if certificate and key and ca:
        return TlsFiles(Path(certificate), Path(key), Path(ca))
    if any(named):
        trouble = f"set {CERTIFICATE}, {KEY} and {CA}, or none of them"
        raise TlsUnusableError(trouble)
    return None
