"""What people may call things: installations, and themselves."""

from __future__ import annotations

from chargekey_common.errors import InvalidArgumentError

LONGEST_NAME = 200


class NameMalformedError(InvalidArgumentError):
    """Empty, endless, or not made of printable characters."""

    code = "name_malformed"
    sentence = f"A name has 1 to {LONGEST_NAME} printable characters."


def name(text: str) -> str:
    """Return the name without white space around it; raises NameMalformedError."""
    stripped = text.strip()
    if not 0 < len(stripped) <= LONGEST_NAME or not stripped.isprintable():
        raise NameMalformedError
    return stripped
