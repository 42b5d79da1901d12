"""Links to requests for access: tokens that follow from the request, so that none is kept."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import uuid

from chargekey_access.domain.errors import AccessRequestUnknownError

_ID = 16
_PROOF = 20


class Links:
    """Makes and reads tokens under a secret; safe from any thread.

    The secret is that of the chargers' passwords: `person` keeps its uses apart. A token
    shows the request's random id and proves that it was made here; it grants nothing.
    """

    def __init__(self, secret: bytes) -> None:
        self._keyed = hashlib.blake2b(digest_size=_PROOF, key=secret, person=b"access-requests")

    def token(self, access_request_id: str) -> str:
        """Return the token of a request's link; for ever the same."""
        raw = uuid.UUID(access_request_id).bytes
        return base64.urlsafe_b64encode(raw + self._proof(raw)).decode()

    def access_request_id(self, token: str) -> str:
        """Return the request that a token was made for; raises AccessRequestUnknownError."""
        try:
            raw = base64.b64decode(token.encode(), b"-_", validate=True)
        except (binascii.Error, UnicodeError):
            raise AccessRequestUnknownError from None
        key, proof = raw[:_ID], raw[_ID:]
        if not hmac.compare_digest(proof, self._proof(key)):
            raise AccessRequestUnknownError
        return str(uuid.UUID(bytes=key))

    def _proof(self, raw: bytes) -> bytes:
        digest = self._keyed.copy()
        digest.update(raw)
        return digest.digest()
