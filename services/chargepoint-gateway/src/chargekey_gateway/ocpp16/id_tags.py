"""idTags as this side writes them."""

from __future__ import annotations

LONGEST_ID_TAG = 20


def written(code: str) -> str:
    """Return the one spelling of a code that chargers are told.

    §4.1.1 has idTags compared without regard to case; real firmware does regard it, so
    that a list must always spell a card the same way.
    """
    return code.upper() if code.isascii() else code
