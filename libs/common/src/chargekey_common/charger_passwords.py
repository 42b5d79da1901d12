"""Charger passwords: at least 128 random bits each, so a fast keyed hash keeps them.

A slow password hash would cost 0.1 s a charger and fail most of a reconnect storm.
Access derives and hashes, the gateway compares; only they hold the secret.
"""

from __future__ import annotations

import hashlib
import hmac


class ChargerPasswords:
    """Derives, hashes and compares under one secret of 16 to 64 bytes; safe from any thread."""

    def __init__(self, secret: bytes) -> None:
        """Key everything by `secret`; raises ValueError where it is too short to be one."""
        if len(secret) < 16:  # noqa: PLR2004 - 128 bits, the least a key has
            message = "the charger secret must have at least 16 bytes"
            raise ValueError(message)
        # `person` keeps the two uses of the one secret apart.
        self._hash = hashlib.blake2b(digest_size=32, key=secret, person=b"charger-hash")
        self._derive = hashlib.blake2b(digest_size=20, key=secret, person=b"charger-derive")

    def derive(self, charger_id: str, command_id: str) -> str:
        """Return the password that this command gives the charger, the same every time.

        40 lower-case hex digits: OCPP 1.6's AuthorizationKey is up to 20 bytes in hex.
        """
        derived = self._derive.copy()
        derived.update(f"{charger_id}\x00{command_id}".encode())
        return derived.hexdigest()

    def hash(self, charger_id: str, password: str) -> str:
        """Return what is stored and published in place of the password, in hex."""
        hashed = self._hash.copy()
        hashed.update(f"{charger_id}\x00{password}".encode())
        return hashed.hexdigest()

    def matches(self, charger_id: str, password: str, expected: str) -> bool:
        """Compare with a stored hash, in a time that does not depend on where they differ."""
        return hmac.compare_digest(self.hash(charger_id, password), expected)
