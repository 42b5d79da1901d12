"""A nats-server that measurements have to themselves."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from chargekey_common.nats_server import NatsServer

TOKEN = "figures"  # noqa: S105 - of a server that ends with them


@contextlib.contextmanager
def nats_server(*, sync: str = "always") -> Iterator[NatsServer]:
    """Run one in a directory of its own until done with it; `sync` is JetStream's sync_interval."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        server = NatsServer(Path(directory), token=TOKEN, sync=sync)
        server.start()
        try:
            yield server
        finally:
            server.stop()
