"""What is replaced as a whole, by who may not know how it is by now."""

from __future__ import annotations

from typing import TypeVar

from chargekey_access.domain.errors import ChangedMeanwhileError

Whole = TypeVar("Whole")


def replaces(now: Whole, wanted: Whole, instead_of: Whole | None) -> bool:
    """Return whether `wanted` is another than what is there now.

    Raises ChangedMeanwhileError where it was to come instead of something else; with None it
    comes instead of whatever is there.
    """
    if now == wanted:
        return False
    if instead_of is not None and instead_of != now:
        raise ChangedMeanwhileError
    return True
