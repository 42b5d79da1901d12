"""Identity on real files, and served beside a small access that really answers gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from grpc import aio

from chargekey.access.v1 import (
    chargers_pb2,
    chargers_pb2_grpc,
    check_pb2,
    check_pb2_grpc,
    installations_pb2,
    installations_pb2_grpc,
    partners_pb2,
    partners_pb2_grpc,
    permissions_pb2,
    permissions_pb2_grpc,
)
from chargekey.identity.v1.credentials_pb2_grpc import CredentialServiceStub
from chargekey.identity.v1.identifications_pb2_grpc import IdentificationServiceStub
from chargekey.identity.v1.invitations_pb2_grpc import InvitationServiceStub
from chargekey.identity.v1.scans_pb2_grpc import ScanServiceStub
from chargekey.identity.v1.sign_in_pb2_grpc import SignInServiceStub
from chargekey.identity.v1.users_pb2_grpc import UserServiceStub
from chargekey_common.accounts import ADMINISTRATOR, Caller, service_account
from chargekey_common.errors import NotFoundError, PermissionDeniedError
from chargekey_common.eventstore.store import EventStore
from chargekey_common.grpc.client import RemoteCheck
from chargekey_common.grpc.server import Service
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres
from chargekey_common.testing.grpc import served, stubs
from chargekey_identity.api.access import Access
from chargekey_identity.ledger import Written
from chargekey_identity.projections.directory import Directory
from chargekey_identity.storage import Storage, opened
from chargekey_identity.tables import keyring as keyring_module
from chargekey_identity.tables.keyring import KeyRing
from chargekey_identity.wiring import Application, services

SECRET = b"a secret of at least sixteen bytes"
STUBS = (
    UserServiceStub,
    IdentificationServiceStub,
    InvitationServiceStub,
    ScanServiceStub,
    SignInServiceStub,
    CredentialServiceStub,
)
# At every installation of the small access.
OPEN_CHARGERS = 3
# Those that the small access knows.
PARTNERS = (
    "4f1c2a52-6f2b-4a58-8a5e-0d6e6b8c1f01",
    "9a7b3c1e-5d4f-4e2a-b1c8-7e6d5f4a3b02",
)
MASTER = b"a master key of at least sixteen bytes"


@pytest.fixture(autouse=True)
def _destroyed_keys_are_noticed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL every destruction waits for as long as replicas remember keys."""
    monkeypatch.setattr(keyring_module, "LEASE", 0.05)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with opened(tmp_path.joinpath, MASTER) as storage:
        yield storage


@pytest.fixture
def keyring(storage: Storage) -> KeyRing:
    return storage.keyring


@pytest.fixture
def store(storage: Storage) -> EventStore:
    return storage.events


class Identity(Application):
    """The application, reachable by no provider, with the secrets of tests."""

    def __init__(self, storage: Storage, *administrators: str) -> None:
        super().__init__(
            storage,
            None,
            master=MASTER,
            keyed_id_secret=SECRET,
            administrators=frozenset(administrators),
        )


def beside(directory: Path, place: Path | Postgres) -> Callable[[str], Path | Postgres]:
    """Tell where tables are: the events at a place, all others in files of a directory."""
    return lambda file: place if file == "identity.db" else directory / file


@pytest.fixture
def identity(storage: Storage) -> Identity:
    return Identity(storage)


class InstallationMissingError(NotFoundError):
    code = "installation_unknown"
    sentence = "There is no such installation."


class SmallInstallations(installations_pb2_grpc.InstallationServiceServicer):
    """Knows two installations."""

    def __init__(self) -> None:
        self.zones = {"home": "Europe/Oslo", "away": "America/New_York"}
        self.pin_lengths = {"home": 4, "away": 4}
        self.times_asked = 0
        self.telling = asyncio.Event()
        self.telling.set()

    async def GetInstallation(
        self, request: installations_pb2.GetInstallationRequest, _: object
    ) -> installations_pb2.GetInstallationResponse:
        self.times_asked += 1
        await self.telling.wait()
        if request.installation_id not in self.zones:
            raise InstallationMissingError
        zone = self.zones[request.installation_id]
        return installations_pb2.GetInstallationResponse(
            installation=installations_pb2.Installation(
                id=request.installation_id,
                name=request.installation_id.capitalize(),
                time_zone=zone,
                open_chargers=OPEN_CHARGERS,
                policies=installations_pb2.Policies(
                    pin_length=self.pin_lengths[request.installation_id]
                ),
            )
        )


class PermissionMissingError(NotFoundError):
    code = "permission_unknown"
    sentence = "There is no such permission."


class SmallPermissions(permissions_pb2_grpc.PermissionServiceServicer):
    """Knows which permissions are held."""

    def __init__(self) -> None:
        self.held: set[str] = set()

    async def GetPermission(
        self, request: permissions_pb2.GetPermissionRequest, _: object
    ) -> permissions_pb2.GetPermissionResponse:
        if request.permission_id not in self.held:
            raise PermissionMissingError
        return permissions_pb2.GetPermissionResponse(
            permission=permissions_pb2.Permission(
                id=request.permission_id, roles=[permissions_pb2.ROLE_USER]
            )
        )


class ChargerMissingError(NotFoundError):
    code = "charger_unknown"
    sentence = "There is no such charger."


class SmallChargers(chargers_pb2_grpc.ChargerServiceServicer):
    """Knows a charger at each of two installations."""

    async def GetCharger(
        self, request: chargers_pb2.GetChargerRequest, _: object
    ) -> chargers_pb2.GetChargerResponse:
        stands_at = {"garage": "home", "street": "away"}.get(request.charger_id)
        if stands_at is None:
            raise ChargerMissingError
        return chargers_pb2.GetChargerResponse(
            charger=chargers_pb2.Charger(
                id=request.charger_id,
                installation_id=stands_at,
                ocpp_identity=f"CP-{request.charger_id.upper()}",
            )
        )


class PartnerMissingError(NotFoundError):
    code = "partner_unknown"
    sentence = "There is no such partner."


class SmallPartners(partners_pb2_grpc.PartnerServiceServicer):
    """Knows two partners."""

    async def GetPartner(
        self, request: partners_pb2.GetPartnerRequest, _: object
    ) -> partners_pb2.GetPartnerResponse:
        if request.partner_id not in PARTNERS:
            raise PartnerMissingError
        return partners_pb2.GetPartnerResponse(partner=partners_pb2.Partner(name="Volt AS"))


class SmallAccess(check_pb2_grpc.CheckServiceServicer):
    """Knows whom it lets do what, and when a reaction is done."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}  # caller to installation
        self.allowed: set[tuple[str, str]] = set()  # caller and object
        self.denied: set[tuple[str, str]] = set()  # caller and action, whatever the object
        self.installations = SmallInstallations()
        self.permissions = SmallPermissions()
        self.asked: list[tuple[str, str, str]] = []
        self.awaited: list[tuple[str, str]] = []
        self.reacting = asyncio.Event()
        self.reacting.set()

    async def Check(self, request: check_pb2.CheckRequest, _: object) -> check_pb2.CheckResponse:
        self.asked.append((request.caller, request.action, request.object))
        owned = self.owners.get(request.caller)
        return check_pb2.CheckResponse(
            allowed=(request.caller, request.action) not in self.denied
            and (
                request.caller == ADMINISTRATOR
                or request.object == f"installation:{owned}"
                or (request.caller, request.object) in self.allowed
            )
        )

    async def AwaitReaction(
        self, request: check_pb2.AwaitReactionRequest, _: object
    ) -> check_pb2.AwaitReactionResponse:
        self.awaited.append((request.reaction, request.position))
        await self.reacting.wait()
        return check_pb2.AwaitReactionResponse(position=str(Position("access", "0" * 16, 7)))


class Served(msgspec.Struct, frozen=True):
    """The service as an administrator and as a driver, the access behind it, and its insides."""

    administrator: Any
    driver: Any
    access: SmallAccess
    directory: Directory


@asynccontextmanager
async def serving(
    identity: Identity, place: Path
) -> AsyncIterator[tuple[Callable[[Caller], aio.Channel], SmallAccess]]:
    """Serve identity beside a small access; yield a maker of channels, and that access."""
    access = SmallAccess()

    async def only_identity(caller: Caller, _: str, __: str) -> None:
        if caller != service_account("identity"):
            raise PermissionDeniedError

    checks = Service(
        "chargekey.access.v1.CheckService",
        check_pb2_grpc.add_CheckServiceServicer_to_server,
        access,
        dict.fromkeys(("Check", "AwaitReaction"), lambda _: "system"),
    )
    installations = Service(
        "chargekey.access.v1.InstallationService",
        installations_pb2_grpc.add_InstallationServiceServicer_to_server,
        access.installations,
        {"GetInstallation": lambda _: "system"},
    )
    permissions = Service(
        "chargekey.access.v1.PermissionService",
        permissions_pb2_grpc.add_PermissionServiceServicer_to_server,
        access.permissions,
        {"GetPermission": lambda _: "system"},
    )
    chargers = Service(
        "chargekey.access.v1.ChargerService",
        chargers_pb2_grpc.add_ChargerServiceServicer_to_server,
        SmallChargers(),  # type: ignore[abstract] # nothing else is asked
        {"GetCharger": lambda _: "system"},
    )
    partners = Service(
        "chargekey.access.v1.PartnerService",
        partners_pb2_grpc.add_PartnerServiceServicer_to_server,
        SmallPartners(),
        {"GetPartner": lambda _: "system"},
    )
    beside = (installations, permissions, chargers, partners)
    async with served(checks, place, only_identity, *beside) as to_access:
        channel = to_access(service_account("identity"))
        first, *others = services(identity, Access(channel), Written())
        async with served(first, place, RemoteCheck(channel), *others) as as_caller:
            yield as_caller, access


@pytest_asyncio.fixture
async def running(identity: Identity, tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(identity, tmp_path) as (as_caller, access):
        yield Served(
            stubs(as_caller(ADMINISTRATOR), *STUBS),
            stubs(as_caller(Caller("user:somebody")), *STUBS),
            access,
            identity.directory,
        )
