"""Links in mails: tokens that follow from what they are for, so that none is ever kept."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import uuid
from typing import Literal

import msgspec

from chargekey_identity.domain.errors import LinkInvalidError

Purpose = Literal["invitation", "sign-in"]

_ID = 16
_PROOF = 16


class IssuedLink(msgspec.Struct, frozen=True):
    """What a mail needs; `expires_at` in nanoseconds since the epoch."""

    email: str
    token: str
    expires_at: int
    language: str

    def __repr__(self) -> str:
        return f"IssuedLink(expires_at={self.expires_at})"


class Links:
    """Makes and checks tokens under a secret that identity alone has; safe from any thread.

    A token shows its ids, which are random, and proves by 128 bits that it was made here
    for them, for its purpose and for the number of times the link was sent.
    """

    def __init__(self, secret: bytes) -> None:
        self._keyed = hashlib.blake2b(digest_size=_PROOF, key=secret, person=b"identity-links")

    def token(self, purpose: Purpose, *ids: str, number: int = 1) -> str:
        """Return the token of a link; for ever the same."""
        raw = b"".join(uuid.UUID(each).bytes for each in ids)
        return base64.urlsafe_b64encode(raw + self._proof(purpose, raw, number)).decode()

    def require(self, token: str, purpose: Purpose, *ids: str, number: int = 1) -> None:
        """Raise LinkInvalidError unless the token is this link's."""
        if not hmac.compare_digest(
            token.encode(), self.token(purpose, *ids, number=number).encode()
        ):
            raise LinkInvalidError

    def _proof(self, purpose: Purpose, raw: bytes, number: int) -> bytes:
        digest = self._keyed.copy()
        digest.update(f"{purpose}\0{number}\0".encode() + raw)
        return digest.digest()


def ids_of(token: str, count: int) -> list[str]:
    """Return the ids that a token claims to be for; raises LinkInvalidError."""
    try:
        raw = base64.b64decode(token.encode(), b"-_", validate=True)
    except (binascii.Error, UnicodeError):
        raise LinkInvalidError from None
    if len(raw) != count * _ID + _PROOF:
        raise LinkInvalidError
    return [str(uuid.UUID(bytes=raw[at : at + _ID])) for at in range(0, count * _ID, _ID)]
