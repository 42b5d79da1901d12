"""The running system, called as whoever is signed in, or as its local administrator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import msgspec
from grpc import aio

from chargekey.access.v1 import chargers_pb2
from chargekey.identity.v1 import sign_in_pb2, users_pb2
from chargekey.identity.v1.sign_in_pb2_grpc import SignInServiceStub
from chargekey_common.accounts import Signer
from chargekey_common.certificates import Certificates
from chargekey_common.errors import UnavailableError
from chargekey_common.grpc.client import AWAY, Credential, channel
from chargekey_common.grpc.stubs import CHARGER_DEADLINE, Stubs
from chargekey_stack import login, tls
from chargekey_stack.answers import Answer, show, tell, unheard
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.errors import (
    DataUnusableError,
    DataVersionError,
    NotRunningError,
    NotSignedInError,
    UserElsewhereError,
)
from chargekey_stack.login import Login, Token
from chargekey_stack.system import System

ADMINISTRATOR_WORD = "administrator"
# Who signed in, where he is one.
HIMSELF_AS_ADMINISTRATOR = "administrator:me"
# Seconds for the permission to charge of whoever was just added, and until it is asked for again.
PERMISSION_FOLLOWS = 30.0
ASK_AGAIN = 0.1


class Client(Stubs):
    """Every service's methods, and what the command line asks on its way to them."""

    def __init__(
        self,
        system: System,
        channels: dict[str, aio.Channel],
        *,
        for_people: bool,
        user_id: str | None = None,
    ) -> None:
        super().__init__(channels)
        self.system = system
        # As whom, unless it is the administrator.
        self.user_id = user_id
        self.data = DataDirectory(Path(system.data))
        self.for_people = for_people
        # Says what goes on while a command takes its time.
        self.tell = tell if for_people else unheard

    @property
    def nats_token(self) -> str:
        """What the broker lets us in with."""
        return self.data.token("nats_token").read_text()

    def show(self, answer: Answer) -> None:
        """Show one answer of several, at once."""
        show(answer, as_json=not self.for_people)

    async def charger(self, ocpp_identity: str) -> chargers_pb2.Charger:
        """Return the charger of this OCPP identity."""
        request = chargers_pb2.GetChargerRequest(ocpp_identity=ocpp_identity)
        return (await self.chargers.GetCharger(request)).charger

    async def user(self, user_id: str) -> users_pb2.User:
        """Return the user of this id."""
        return (await self.users.GetUser(users_pb2.GetUserRequest(user_id=user_id))).user

    async def add_local_user(
        self, request: users_pb2.AddLocalUserRequest
    ) -> users_pb2.AddLocalUserResponse:
        """Add a local user; return once he may charge, or `pending` after some time.

        The same command asked again waits again for the permission that follows.
        """
        asked = users_pb2.AddLocalUserRequest()
        asked.CopyFrom(request)
        asked.command_id = request.command_id or str(uuid4())
        deadline = time.monotonic() + PERMISSION_FOLLOWS
        added = await self.users.AddLocalUser(asked)
        while added.pending and time.monotonic() < deadline:
            await asyncio.sleep(ASK_AGAIN)  # it may know at once that nobody answers it
            try:
                added = await self.users.AddLocalUser(asked)
            except aio.AioRpcError as error:
                if error.code() not in AWAY:
                    raise
        return added

    def mine(self, *named: object) -> str:
        """Return who calls, for what is about himself where nothing else is named."""
        return (self.user_id or "") if all(each is None for each in named) else ""

    async def check_home(self, user_id: str, installation_id: str | None) -> None:
        """Raise UserElsewhereError where the local user belongs to another installation."""
        if installation_id is None:
            return
        home = (await self.user(user_id)).installation_id
        if home not in ("", installation_id):
            raise UserElsewhereError


@asynccontextmanager
async def connected(
    data: DataDirectory, *, for_people: bool = False, as_: str | None = None
) -> AsyncIterator[Client]:
    """Open the system that runs on `data`, as the user `as_`, `administrator`, or who signed in.

    As `administrator:me` it is who signed in, as an administrator. Raises NotRunningError, also in
    place of what nobody answers there, DataVersionError, DataUnusableError, LoginDamagedError,
    NotSignedInError or TlsUnusableError.
    """
    try:
        system = msgspec.json.decode(data.system_file.read_bytes(), type=System)
        administrator = Signer.from_file(data.administrator_key)
        signed_in = login.read(data.login)
    except (FileNotFoundError, NotADirectoryError):
        raise NotRunningError(str(data.path)) from None
    except OSError as error:
        trouble = f"{data.path} ({error.strerror})"
        raise DataUnusableError(trouble) from None
    except msgspec.DecodeError:
        raise DataVersionError(str(data.path)) from None
    certificates = tls.certificates()
    channels: dict[str, aio.Channel] = {}
    try:
        credential, user_id = await _caller(
            as_, data, system, administrator, signed_in, certificates
        )
        channels |= {
            name: channel(address, credential, certificates)
            for name, address in system.grpc.items()
        }
        channels["chargers"] = channel(
            system.grpc["gateway"], credential, certificates, deadline=CHARGER_DEADLINE
        )
        yield Client(system, channels, for_people=for_people, user_id=user_id)
    except (aio.AioRpcError, UnavailableError) as error:
        answered = isinstance(error, aio.AioRpcError) and error.code() not in AWAY
        # What a killed system left behind says where it was, and there may be others by now.
        if not answered and data.is_left():
            raise NotRunningError(str(data.path)) from None
        raise
    finally:
        for each in channels.values():
            await each.close()


async def _caller(
    as_: str | None,
    data: DataDirectory,
    system: System,
    administrator: Signer,
    signed_in: Login | None,
    certificates: Certificates | None,
) -> tuple[Credential, str | None]:
    """Return what to call with, and as which user, if as one; raises NotSignedInError."""
    if as_ == ADMINISTRATOR_WORD or (as_ is None and signed_in is None):
        return administrator, None
    if as_ not in (None, HIMSELF_AS_ADMINISTRATOR):
        return await _token_of(as_, system, administrator, certificates), as_
    if signed_in is None:
        raise NotSignedInError
    signed_in = await login.fresh(data.login, signed_in, system.grpc["identity"], certificates)
    own = Token(signed_in.access_token)
    if as_ is None:
        return own, signed_in.user_id
    return await _token_as_administrator(own, system, certificates), None


async def _token_of(
    user_id: str, system: System, administrator: Signer, certificates: Certificates | None
) -> Token:
    """Return an access token of somebody, for the administrator to try a call as him."""
    asked = channel(system.grpc["identity"], administrator, certificates)
    try:
        request = sign_in_pb2.SignInAsRequest(user_id=user_id)
        return Token((await SignInServiceStub(asked).SignInAs(request)).access_token)
    finally:
        await asked.close()


async def _token_as_administrator(
    own: Token, system: System, certificates: Certificates | None
) -> Token:
    """Return an access token of who signed in, as the administrator that he may be."""
    asked = channel(system.grpc["identity"], own, certificates)
    try:
        request = sign_in_pb2.ActAsAdministratorRequest()
        return Token((await SignInServiceStub(asked).ActAsAdministrator(request)).access_token)
    finally:
        await asked.close()
