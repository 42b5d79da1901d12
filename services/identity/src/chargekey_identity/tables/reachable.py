"""Tables beside the events that cannot be used at the moment: said as the event store says it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.eventstore.store import StoreUnavailableError


@contextlib.contextmanager
def reachable() -> Iterator[None]:
    """Raise StoreUnavailableError in place of DatabaseUnavailableError."""
    try:
        yield
    except DatabaseUnavailableError as error:
        raise StoreUnavailableError from error
