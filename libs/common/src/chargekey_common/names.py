"""What people may call things: installations, and themselves; and one line of text."""

from __future__ import annotations

import unicodedata

from chargekey_common.errors import InvalidArgumentError

LONGEST_NAME = 200
# Letters and symbols by their category, and yet nothing to see: Hangul and Braille blanks.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_SEEN = frozenset("LNPS")  # letters, numbers, punctuation, symbols


class NameMalformedError(InvalidArgumentError):
    """Empty, endless, invisible, a link, or writing over what is beside it."""

    code = "name_malformed"
    sentence = (
        f"A name has 1 to {LONGEST_NAME} printable characters, one of them to be seen,"
        " and no web address in it (://)."
    )


def name(text: str) -> str:
    """Return the name without white space around it; raises NameMalformedError.

    It stands in mails to strangers, where a web address would be a link to follow.
    """
    found = line(text)
    if "://" in found:
        raise NameMalformedError
    return found


def line(text: str) -> str:
    """Return what has a name's length and characters; raises NameMalformedError."""
    stripped = text.strip()
    if len(stripped) > LONGEST_NAME or not stripped.isprintable() or not _is_seen(stripped):
        raise NameMalformedError
    return stripped


def _is_seen(text: str) -> bool:
    return any(unicodedata.category(each)[0] in _SEEN and each not in _BLANK for each in text)
