"""What people type to find something in a list."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable


def containing(search: str) -> Callable[[str], bool]:
    """Return what tells whether a text contains this one; any does where it is blank.

    However either is capitalised, and whichever way its accents were typed.
    """
    wanted = _folded(search.strip())
    return lambda text: wanted in _folded(text)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
