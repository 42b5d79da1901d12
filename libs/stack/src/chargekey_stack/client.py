"""The running system, called as its local administrator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from grpc import aio

from chargekey.access.v1 import access_pb2
from chargekey.access.v1.access_pb2_grpc import AccessServiceStub
from chargekey.audit.v1.audit_pb2_grpc import AuditServiceStub
from chargekey.gateway.v1.gateway_pb2_grpc import GatewayServiceStub
from chargekey.history.v1.history_pb2_grpc import HistoryServiceStub
from chargekey.identity.v1 import identity_pb2
from chargekey.identity.v1.identity_pb2_grpc import IdentityServiceStub
from chargekey_common.accounts import Signer
from chargekey_common.errors import UnavailableError
from chargekey_common.grpc.client import channel
from chargekey_stack.answers import Answer, show, tell, unheard
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.errors import (
    DataUnusableError,
    DataVersionError,
    NotRunningError,
    UserElsewhereError,
)
from chargekey_stack.system import System


class Client:
    """Every service's methods, and what the command line asks on its way to them."""

    def __init__(
        self, system: System, channels: dict[str, aio.Channel], *, for_people: bool
    ) -> None:
        self.system = system
        self.for_people = for_people
        # Says what goes on while a command takes its time.
        self.tell = tell if for_people else unheard
        self.access = AccessServiceStub(channels["access"])
        self.identity = IdentityServiceStub(channels["identity"])
        self.gateway = GatewayServiceStub(channels["gateway"])
        self.history = HistoryServiceStub(channels["history"])
        # Of every service that has a store.
        self.audits = {name: AuditServiceStub(channels[name]) for name in ("access", "identity")}

    @property
    def nats_token(self) -> str:
        """What the broker lets us in with."""
        return DataDirectory(Path(self.system.data)).token("nats_token").read_text()

    def show(self, answer: Answer) -> None:
        """Show one answer of several, at once."""
        show(answer, as_json=not self.for_people)

    async def charger(self, ocpp_identity: str) -> access_pb2.Charger:
        """Return the charger of this OCPP identity."""
        request = access_pb2.GetChargerRequest(ocpp_identity=ocpp_identity)
        return (await self.access.GetCharger(request)).charger

    async def check_home(self, user_id: str, installation_id: str | None) -> None:
        """Raise UserElsewhereError where the local user belongs to another installation."""
        if installation_id is None:
            return
        answer = await self.identity.GetUser(identity_pb2.GetUserRequest(user_id=user_id))
        if answer.user.installation_id != installation_id:
            raise UserElsewhereError


@asynccontextmanager
async def connected(data: DataDirectory, *, for_people: bool = False) -> AsyncIterator[Client]:
    """Open the system that runs on `data`.

    Raises NotRunningError, also in place of what nobody answers there, DataVersionError
    or DataUnusableError.
    """
    try:
        system = msgspec.json.decode(data.system_file.read_bytes(), type=System)
        signer = Signer.from_file(data.administrator_key)
    except (FileNotFoundError, NotADirectoryError):
        raise NotRunningError(str(data.path)) from None
    except OSError as error:
        trouble = f"{data.path} ({error.strerror})"
        raise DataUnusableError(trouble) from None
    except msgspec.DecodeError:
        raise DataVersionError(str(data.path)) from None
    channels = {name: channel(address, signer) for name, address in system.grpc.items()}
    try:
        yield Client(system, channels, for_people=for_people)
    except (aio.AioRpcError, UnavailableError):
        # What a killed system left behind says where it was, and there may be others by now.
        if data.in_use():
            raise
        raise NotRunningError(str(data.path)) from None
    finally:
        for each in channels.values():
            await each.close()
