"""Links that decline mails of one kind for one user, and can do nothing else (RFC 8058).

A link's token is its user and kind, sealed: it says nothing to others, nobody else can make
one, and it is good for as long as the secret, as a mail is.
"""

from __future__ import annotations

import base64
import binascii

from chargekey_notifier.errors import UnsubscribeLinkInvalidError
from chargekey_notifier.mails.kinds import CHOICES, Choice
from chargekey_notifier.sealing import Seal, UnsealableError

PURPOSE = b"unsubscribe"
PATH = "/unsubscribe"
_ABOUT = "unsubscribe"


class Unsubscribing:
    """Makes and reads such links for one deployment, as it is called outside."""

    def __init__(self, secret: bytes, public_url: str) -> None:
        self._seal = Seal(secret, PURPOSE)
        self._public_url = public_url

    def url(self, user_id: str, choice: Choice) -> str:
        """Return the link."""
        sealed = self._seal.seal(f"{choice} {user_id}", _ABOUT)
        token = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
        return f"{self._public_url}{PATH}/{token}"

    def read(self, token: str) -> tuple[str, Choice]:
        """Return the user's id and what he declines; raises UnsubscribeLinkInvalidError."""
        try:
            sealed = base64.b64decode(
                token.encode() + b"=" * (-len(token) % 4), b"-_", validate=True
            )
            choice, _, user_id = self._seal.open(sealed, _ABOUT).partition(" ")
        except (UnsealableError, binascii.Error, UnicodeEncodeError):
            raise UnsubscribeLinkInvalidError from None
        if choice not in CHOICES:  # of a version that had others
            raise UnsubscribeLinkInvalidError
        return user_id, choice
