"""What is told for chargers' own lists: each time is a record of its own, and has no more to it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chargekey_identity.domain.errors import ChargerUnknownError, TooManyCodesError
from chargekey_identity.domain.events import LocalListCodesRevealed

MOST = 1_000  # codes at once

_CHARGER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def evolve(_: None, __: LocalListCodesRevealed) -> None:
    """Return nothing: nothing is decided by what was told before."""


def require_few(identification_ids: Sequence[str]) -> None:
    """Raise TooManyCodesError where more are asked for than are told at once."""
    if len(identification_ids) > MOST:
        raise TooManyCodesError


def reveal(charger_id: str, codes: int) -> Sequence[LocalListCodesRevealed]:
    """Record that so many are about to be told (R17); raises ChargerUnknownError.

    Whether there is such a charger is not known here, only what can be none's id.
    """
    if _CHARGER_ID.fullmatch(charger_id) is None:
        raise ChargerUnknownError
    return [LocalListCodesRevealed(charger_id=charger_id, codes=codes)]
