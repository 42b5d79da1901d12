"""Tables that cannot be used at the moment: said by the notifier's own name for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from chargekey_common.database import DatabaseUnavailableError
from chargekey_notifier.errors import NotifierUnavailableError


@contextlib.contextmanager
def reachable() -> Iterator[None]:
    """Raise NotifierUnavailableError in place of DatabaseUnavailableError."""
    try:
        yield
    except DatabaseUnavailableError as error:
        raise NotifierUnavailableError from error
