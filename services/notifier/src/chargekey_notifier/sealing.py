"""What others are called with, sealed: a copy of the database without the secret tells nothing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chargekey_common.errors import CannotRunError

NONCE = 12
SHORTEST_SECRET = 32  # bytes


class SecretTooShortError(CannotRunError):
    """What could be guessed seals nothing."""

    def __init__(self) -> None:
        super().__init__(
            "The file that CHARGEKEY_NOTIFIER_SECRET_FILE names has fewer than"
            f" {SHORTEST_SECRET} bytes; make one with `openssl rand -out FILE {SHORTEST_SECRET}`."
        )


class UnsealableError(Exception):
    """Sealed under another secret, about something else, or not at all."""


def read_secret(file: Path) -> bytes:
    """Return a deployment's secret; raises SecretTooShortError and OSError."""
    secret = file.read_bytes()
    if len(secret) < SHORTEST_SECRET:
        raise SecretTooShortError
    return secret


class Seal:
    """Seals under one deployment's secret; `purpose` (up to 16 bytes) keeps its uses apart."""

    def __init__(self, secret: bytes, purpose: bytes) -> None:
        key = hashlib.blake2b(secret, digest_size=32, person=purpose)
        self._aead = AESGCM(key.digest())

    def seal(self, text: str, about: str) -> bytes:
        """Return the text, readable again only together with what it is about."""
        nonce = os.urandom(NONCE)
        return nonce + self._aead.encrypt(nonce, text.encode(), about.encode())

    def open(self, sealed: bytes, about: str) -> str:
        """Return the text; raises UnsealableError."""
        try:
            return self._aead.decrypt(sealed[:NONCE], sealed[NONCE:], about.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise UnsealableError from error
