"""What files are called that pages send: for programs of any age, and as people write it."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

# What decomposition leaves as it is.
_LETTERS = str.maketrans({"æ": "ae", "ø": "o", "ß": "ss", "đ": "d", "ł": "l", "þ": "th", "ð": "d"})
# Characters of a name; some file systems take no more than 255 bytes.
_LONGEST = 60


def attachment(before: str, name: str, after: str) -> str:
    """Return the header that has a browser save what is sent as `before-name-after` (RFC 6266).

    `name` is anybody's: letters and digits are taken of it, in lower case.
    """
    told = _joined(before, _plain(name), after)
    ascii_only = _joined(before, _plain(_without_marks(name)), after)
    header = f'attachment; filename="{ascii_only}"'
    return header if told == ascii_only else f"{header}; filename*=UTF-8''{quote(told)}"


def _joined(before: str, name: str, after: str) -> str:
    return "-".join(filter(None, (before, name, after)))


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "-", name.lower())[:_LONGEST].strip("-")


def _without_marks(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.lower().translate(_LETTERS))
    return decomposed.encode("ascii", "ignore").decode()
