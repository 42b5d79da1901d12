"""Addresses: made canonical or refused, and whose each one is.

An address's reservation has an id that follows from its keyed hash, so that two who
name it at once meet, and nothing of it stands anywhere in plain. The accounts of
OpenID Connect providers are reserved in the same way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NewType, assert_never

import msgspec
from email_validator import EmailNotValidError, validate_email

from chargekey_identity.domain import ids
from chargekey_identity.domain.errors import EmailMalformedError
from chargekey_identity.domain.events import EmailEvent, EmailReleased, EmailReserved
from chargekey_identity.domain.user import OpenIdAccount

Email = NewType("Email", str)

LONGEST = 254  # RFC 5321 §4.5.3.1.3, without its angle brackets


class Holder(msgspec.Struct, frozen=True):
    """Whose an address is as of its last event; nobody's once it was released."""

    user_id: str | None


def canonical(text: str) -> Email:
    """Return the one form of an address; raises EmailMalformedError.

    Local parts are told apart by their case in the standard, and by no provider.
    """
    stripped = text.strip()
    if len(stripped) > LONGEST:
        raise EmailMalformedError
    try:
        found = validate_email(stripped, check_deliverability=False, strict=True)
    except EmailNotValidError:
        raise EmailMalformedError from None
    return Email(found.normalized.lower())


class Reservations:
    """Tells the ids of reservations, under the secret that codes are looked up by."""

    def __init__(self, secret: bytes) -> None:
        self._keyed = hashlib.blake2b(digest_size=16, key=secret, person=b"identity-address")

    def of_email(self, email: Email) -> str:
        """One reservation per canonical address."""
        return self._of("email", email)

    def of_openid(self, account: OpenIdAccount) -> str:
        """One reservation per account of a provider."""
        return self._of("openid", account.issuer, account.subject)

    def _of(self, *parts: str) -> str:
        digest = self._keyed.copy()
        digest.update(msgspec.json.encode(parts))
        return ids.derived(digest.hexdigest())


def evolve(_: Holder | None, event: EmailEvent) -> Holder:
    """Return the reservation after `event`."""
    match event:
        case EmailReserved():
            return Holder(event.user_id)
        case EmailReleased():
            return Holder(None)
        case _:
            assert_never(event)


def holder(state: Holder | None) -> str | None:
    """Return whose it is, if anybody's."""
    return None if state is None else state.user_id


def reserve(state: Holder | None, *, user_id: str) -> Sequence[EmailEvent]:
    """Give what is nobody's to a user."""
    return [EmailReserved(user_id=user_id)] if holder(state) is None else []
