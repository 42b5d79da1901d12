"""What the HTTP request before a charger's WebSocket says: who, with what, which version."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterable, Sequence
from urllib.parse import unquote_to_bytes

import msgspec

PATH = b"/ocpp/"

# OCPP 1.6 security white paper, AuthorizationKey: this many bytes, configured as hex.
_RAW_KEY_LENGTHS = range(16, 21)


class Credentials(msgspec.Struct, frozen=True):
    """HTTP basic credentials; `passwords` are the readings of the one that was sent."""

    user: str
    passwords: tuple[str, ...]

    def __repr__(self) -> str:
        """Show nothing: both parts are credentials."""
        return "Credentials"


def identity(path: bytes) -> str | None:
    """Return the percent-decoded charger identity of `/ocpp/<identity>`, or None."""
    if not path.startswith(PATH):
        return None
    encoded = path[len(PATH) :].partition(b"?")[0]
    try:
        decoded = unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        return None
    return decoded if decoded and b"/" not in encoded and decoded.isprintable() else None


def credentials(headers: Sequence[str]) -> Credentials | None:
    """Read the `Authorization` headers; None where there is not exactly one basic one.

    Chargers write a 1.6 AuthorizationKey as the hex digits it is configured with, or
    as the bytes these stand for: the latter are read as lower-case hex as well.
    """
    if len(headers) != 1:
        return None
    scheme, _, encoded = headers[0].partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    passwords = []
    if len(password) in _RAW_KEY_LENGTHS:
        passwords.append(password.hex())
    with contextlib.suppress(UnicodeDecodeError):  # then it can only be the bytes of a key
        passwords.append(password.decode())
    try:
        return Credentials(user.decode(), tuple(passwords)) if colon else None
    except UnicodeDecodeError:
        return None


def subprotocol(headers: Iterable[str], known: Iterable[str]) -> str | None:
    """Return the first of `known` (the best first) that `Sec-WebSocket-Protocol` offers."""
    offered = {name.strip() for header in headers for name in header.split(",")}
    return next((name for name in known if name in offered), None)
