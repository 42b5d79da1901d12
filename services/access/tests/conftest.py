"""Access on real files, and served as its process serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from grpc import aio

from chargekey_access import wiring
from chargekey_access.api.check import LocalCheck
from chargekey_access.domain.events import EVENTS
from chargekey_access.tables.endpoint_secrets import EndpointSecrets
from chargekey_access.wiring import Application
from chargekey_common.accounts import Caller
from chargekey_common.attempts import Attempts
from chargekey_common.eventstore.store import EventStore
from chargekey_common.grpc.server import Service
from chargekey_common.testing.grpc import served

from .neighbours import small_gateway, small_identity

SECRET = b"a secret of at least sixteen bytes"


class Access(Application):
    """The application, and what its small neighbours know."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store, SECRET)
        # The chargers where somebody is charging, as the gateway tells.
        self.charging: set[str] = set()
        # The users whose addresses identity has been told, by address.
        self.people: dict[str, str] = {}


@asynccontextmanager
async def services(access: Access, directory: Path) -> AsyncIterator[Sequence[Service]]:
    """Build every service, beside a small gateway and a small identity."""
    with (
        closing(Attempts(directory / "access-attempts.db")) as attempts,
        closing(EndpointSecrets(directory / "access-secrets.db", SECRET)) as secrets,
    ):
        async with (
            small_gateway(directory, access.charging) as gateway,
            small_identity(directory, access.people) as identity,
        ):
            yield wiring.services(access, attempts, secrets, gateway, identity)


@asynccontextmanager
async def serving(
    access: Access, directory: Path
) -> AsyncIterator[Callable[[Caller], aio.Channel]]:
    """Serve all of it; callers are checked by its own rules."""
    async with services(access, directory) as (first, *rest):
        rules = LocalCheck(access.check)
        async with served(first, directory, rules, *rest) as as_caller:
            yield as_caller


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Access]:
    store = EventStore("access", tmp_path / "access.db", EVENTS)
    yield Access(store)
    store.close()
