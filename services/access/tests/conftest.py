"""Access on real files, and served as its process serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from grpc import aio

from chargekey_access.api import (
    access_requests,
    chargers,
    check,
    installations,
    owners,
    partners,
    permissions,
)
from chargekey_access.application.access_requests import AccessRequests
from chargekey_access.application.chargers import Chargers
from chargekey_access.application.check import Check
from chargekey_access.application.forgetting import Forgetting
from chargekey_access.application.installations import Installations
from chargekey_access.application.owners import Owners
from chargekey_access.application.partners import LookupKeys, Partners
from chargekey_access.application.permissions import Permissions
from chargekey_access.domain.events import EVENTS
from chargekey_access.domain.links import Links
from chargekey_access.projections.directory import Directory
from chargekey_common.accounts import Caller
from chargekey_common.attempts import Attempts
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.eventstore.store import EventStore
from chargekey_common.grpc.server import Service
from chargekey_common.testing.grpc import served

from .neighbours import small_gateway, small_identity

SECRET = b"a secret of at least sixteen bytes"


class Access:
    """The application: everything that can be done, and asked."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.directory = Directory(store)
        self.installations = Installations(store)
        self.chargers = Chargers(store, ChargerPasswords(SECRET), self.directory)
        self.permissions = Permissions(store, self.directory)
        self.owners = Owners(store, self.directory, self.permissions)
        self.forgetting = Forgetting(store, self.directory)
        self.partners = Partners(store, self.directory)
        self.access_requests = AccessRequests(store, self.directory, self.permissions)
        self.links = Links(SECRET)
        self.check = Check(self.directory)
        # The chargers where somebody is charging, as the gateway tells.
        self.charging: set[str] = set()
        # The users whose addresses identity has been told, by address.
        self.people: dict[str, str] = {}


@asynccontextmanager
async def services(access: Access, directory: Path) -> AsyncIterator[Sequence[Service]]:
    """Build every service, beside a small gateway and a small identity."""
    with closing(Attempts(directory / "access-attempts.db")) as attempts:
        keys = LookupKeys(access.directory, attempts)
        async with (
            small_gateway(directory, access.charging) as gateway,
            small_identity(directory, access.people) as identity,
        ):
            yield (
                check.service(access.check, access.directory, access.store),
                installations.service(access.installations, access.directory, keys),
                chargers.service(access.chargers, access.directory, access.check, gateway),
                permissions.service(
                    access.permissions, access.forgetting, access.directory, identity, keys
                ),
                owners.service(access.owners, access.directory, identity),
                partners.service(access.partners, keys, access.directory, identity),
                access_requests.service(
                    access.access_requests, access.directory, access.links, attempts
                ),
            )


@asynccontextmanager
async def serving(
    access: Access, directory: Path
) -> AsyncIterator[Callable[[Caller], aio.Channel]]:
    """Serve all of it; callers are checked by its own rules."""
    async with services(access, directory) as (first, *rest):
        rules = check.LocalCheck(access.check)
        async with served(first, directory, rules, *rest) as as_caller:
            yield as_caller


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Access]:
    store = EventStore("access", tmp_path / "access.db", EVENTS)
    yield Access(store)
    store.close()
