"""Identity on real files, and served beside a small access that really answers gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from grpc import aio

from chargekey.access.v1 import access_pb2 as pb
from chargekey.access.v1 import access_pb2_grpc
from chargekey.identity.v1.identity_pb2_grpc import IdentityServiceStub
from chargekey_common.accounts import ADMINISTRATOR, Caller, service_account
from chargekey_common.errors import NotFoundError, PermissionDeniedError
from chargekey_common.eventstore.store import EventStore
from chargekey_common.grpc.client import RemoteCheck
from chargekey_common.grpc.server import Service
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.positions import Position
from chargekey_common.testing.grpc import served
from chargekey_identity.api.access import Access
from chargekey_identity.api.service import service
from chargekey_identity.application import Identity
from chargekey_identity.domain.events import EVENTS
from chargekey_identity.keyring import KeyRing
from chargekey_identity.projections.directory import Directory

SECRET = b"a secret of at least sixteen bytes"
MASTER = b"a master key of at least sixteen bytes"


@pytest.fixture
def keyring(tmp_path: Path) -> Iterator[KeyRing]:
    opened = KeyRing(tmp_path / "identity-keys.db", MASTER)
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path: Path, keyring: KeyRing) -> Iterator[EventStore]:
    opened = EventStore("identity", tmp_path / "identity.db", EVENTS, keyring)
    yield opened
    opened.close()


@pytest.fixture
def identity(store: EventStore) -> Identity:
    return Identity(store, KeyedIds(SECRET))


class InstallationMissingError(NotFoundError):
    code = "installation_unknown"
    sentence = "There is no such installation."


class SmallAccess(access_pb2_grpc.AccessServiceServicer):
    """Knows the installations it is given, whom it lets do what, and when a reaction is done."""

    def __init__(self) -> None:
        self.zones = {"home": "Europe/Oslo", "away": "America/New_York"}
        self.owners: dict[str, str] = {}  # caller to installation
        self.asked: list[tuple[str, str, str]] = []
        self.awaited: list[tuple[str, str]] = []
        self.reacting = asyncio.Event()
        self.reacting.set()

    async def Check(self, request: pb.CheckRequest, _: object) -> pb.CheckResponse:
        self.asked.append((request.caller, request.action, request.object))
        owned = self.owners.get(request.caller)
        return pb.CheckResponse(
            allowed=request.caller == ADMINISTRATOR or request.object == f"installation:{owned}"
        )

    async def GetInstallation(
        self, request: pb.GetInstallationRequest, _: object
    ) -> pb.GetInstallationResponse:
        if request.installation_id not in self.zones:
            raise InstallationMissingError
        zone = self.zones[request.installation_id]
        return pb.GetInstallationResponse(
            installation=pb.Installation(id=request.installation_id, time_zone=zone)
        )

    async def AwaitReaction(
        self, request: pb.AwaitReactionRequest, _: object
    ) -> pb.AwaitReactionResponse:
        self.awaited.append((request.reaction, request.position))
        await self.reacting.wait()
        return pb.AwaitReactionResponse(position=str(Position("access", "0" * 16, 7)))


class Served(msgspec.Struct, frozen=True):
    """The service as an administrator and as a driver, the access behind it, and its insides."""

    administrator: IdentityServiceStub
    driver: IdentityServiceStub
    access: SmallAccess
    directory: Directory


@asynccontextmanager
async def serving(
    identity: Identity, directory: Directory, place: Path
) -> AsyncIterator[tuple[Callable[[Caller], aio.Channel], SmallAccess]]:
    """Serve identity beside a small access; yield a maker of channels, and that access."""
    access = SmallAccess()

    async def only_identity(caller: Caller, _: str, __: str) -> None:
        if caller != service_account("identity"):
            raise PermissionDeniedError

    small = Service(
        "chargekey.access.v1.AccessService",
        access_pb2_grpc.add_AccessServiceServicer_to_server,
        access,
        dict.fromkeys(("Check", "GetInstallation", "AwaitReaction"), lambda _: "system"),
    )
    async with served(small, place, only_identity) as to_access:
        channel = to_access(service_account("identity"))
        ours = service(identity, directory, Access(channel))
        async with served(ours, place, RemoteCheck(channel)) as as_caller:
            yield as_caller, access


@pytest_asyncio.fixture
async def running(identity: Identity, tmp_path: Path) -> AsyncIterator[Served]:
    directory = Directory(identity.store)
    async with serving(identity, directory, tmp_path) as (as_caller, access):
        yield Served(
            IdentityServiceStub(as_caller(ADMINISTRATOR)),
            IdentityServiceStub(as_caller(Caller("user:somebody"))),
            access,
            directory,
        )
