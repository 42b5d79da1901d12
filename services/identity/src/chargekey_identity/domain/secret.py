"""Secrets that are shown to be let in: random, and kept as keyed hashes alone."""

from __future__ import annotations

import base64
import hashlib
import hmac


class Secrets:
    """Hashes, compares and derives for one purpose; safe from any thread.

    `master` of 16 to 64 bytes is identity's alone, and `purpose` of up to 16 bytes keeps
    what is made of it apart.
    """

    def __init__(self, master: bytes, purpose: bytes) -> None:
        self._keyed = hashlib.blake2b(digest_size=32, key=master, person=purpose)

    def hash(self, *parts: str) -> str:
        """Return what is kept in place of a secret and whose it is, in hex."""
        return self._of("hash", *parts).hex()

    def matches(self, expected: str, *parts: str) -> bool:
        """Compare with what is kept, in a time that does not depend on where they differ."""
        return hmac.compare_digest(self.hash(*parts), expected)

    def derive(self, *parts: str) -> str:
        """Return 256 bits that nobody else can tell, the same every time, in 43 characters."""
        return base64.urlsafe_b64encode(self._of("derive", *parts)).rstrip(b"=").decode()

    def _of(self, *parts: str) -> bytes:
        digest = self._keyed.copy()
        digest.update("\0".join(parts).encode())
        return digest.digest()
