"""The running system, called as whoever is signed in, or as its local administrator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from grpc import aio

from chargekey.access.v1 import chargers_pb2
from chargekey.access.v1.access_requests_pb2_grpc import AccessRequestServiceStub
from chargekey.access.v1.chargers_pb2_grpc import ChargerServiceStub
from chargekey.access.v1.check_pb2_grpc import CheckServiceStub
from chargekey.access.v1.decision_endpoints_pb2_grpc import DecisionEndpointServiceStub
from chargekey.access.v1.installations_pb2_grpc import InstallationServiceStub
from chargekey.access.v1.owners_pb2_grpc import OwnersServiceStub
from chargekey.access.v1.partners_pb2_grpc import PartnerServiceStub
from chargekey.access.v1.permissions_pb2_grpc import PermissionServiceStub
from chargekey.audit.v1.audit_pb2_grpc import AuditServiceStub
from chargekey.gateway.v1.commands_pb2_grpc import ChargerCommandServiceStub
from chargekey.gateway.v1.convergence_pb2_grpc import ConvergenceServiceStub
from chargekey.gateway.v1.decisions_pb2_grpc import DecisionServiceStub as PreviewServiceStub
from chargekey.gateway.v1.gateway_pb2_grpc import GatewayServiceStub
from chargekey.history.v1.decisions_pb2_grpc import DecisionServiceStub
from chargekey.history.v1.history_pb2_grpc import HistoryServiceStub
from chargekey.history.v1.reports_pb2_grpc import ReportServiceStub
from chargekey.identity.v1 import sign_in_pb2, users_pb2
from chargekey.identity.v1.credentials_pb2_grpc import CredentialServiceStub
from chargekey.identity.v1.identifications_pb2_grpc import IdentificationServiceStub
from chargekey.identity.v1.invitations_pb2_grpc import InvitationServiceStub
from chargekey.identity.v1.people_pb2_grpc import PeopleServiceStub
from chargekey.identity.v1.privacy_pb2_grpc import PrivacyServiceStub
from chargekey.identity.v1.scans_pb2_grpc import ScanServiceStub
from chargekey.identity.v1.sign_in_pb2_grpc import SignInServiceStub
from chargekey.identity.v1.users_pb2_grpc import UserServiceStub
from chargekey.notifier.v1.feeds_pb2_grpc import FeedServiceStub
from chargekey.notifier.v1.mails_pb2_grpc import MailServiceStub
from chargekey.notifier.v1.ocpi_pb2_grpc import OcpiServiceStub
from chargekey.notifier.v1.webhooks_pb2_grpc import WebhookServiceStub
from chargekey_common.accounts import Signer
from chargekey_common.errors import UnavailableError
from chargekey_common.grpc.client import Credential, channel
from chargekey_stack import login
from chargekey_stack.answers import Answer, show, tell, unheard
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.errors import (
    DataUnusableError,
    DataVersionError,
    NotRunningError,
    UserElsewhereError,
)
from chargekey_stack.login import Token
from chargekey_stack.system import System

ADMINISTRATOR_WORD = "administrator"
# Seconds. The gateway gives a charger 28 to answer, and then says that it was silent.
CHARGER_DEADLINE = 30.0


class Client:
    """Every service's methods, and what the command line asks on its way to them."""

    def __init__(
        self,
        system: System,
        channels: dict[str, aio.Channel],
        *,
        for_people: bool,
        user_id: str | None = None,
    ) -> None:
        self.system = system
        # As whom, unless it is the administrator.
        self.user_id = user_id
        self.data = DataDirectory(Path(system.data))
        self.for_people = for_people
        # Says what goes on while a command takes its time.
        self.tell = tell if for_people else unheard
        self.installations = InstallationServiceStub(channels["access"])
        self.chargers = ChargerServiceStub(channels["access"])
        self.permissions = PermissionServiceStub(channels["access"])
        self.owners = OwnersServiceStub(channels["access"])
        self.partners = PartnerServiceStub(channels["access"])
        self.decision_endpoints = DecisionEndpointServiceStub(channels["access"])
        self.access_requests = AccessRequestServiceStub(channels["access"])
        self.check = CheckServiceStub(channels["access"])
        self.users = UserServiceStub(channels["identity"])
        self.identifications = IdentificationServiceStub(channels["identity"])
        self.invitations = InvitationServiceStub(channels["identity"])
        self.sign_in = SignInServiceStub(channels["identity"])
        self.credentials = CredentialServiceStub(channels["identity"])
        self.scans = ScanServiceStub(channels["identity"])
        self.privacy = PrivacyServiceStub(channels["identity"])
        self.people = PeopleServiceStub(channels["identity"])
        self.gateway = GatewayServiceStub(channels["gateway"])
        self.convergence = ConvergenceServiceStub(channels["gateway"])
        self.charger_commands = ChargerCommandServiceStub(channels["chargers"])
        self.previews = PreviewServiceStub(channels["gateway"])
        self.history = HistoryServiceStub(channels["history"])
        self.decisions = DecisionServiceStub(channels["history"])
        self.reports = ReportServiceStub(channels["history"])
        self.feeds = FeedServiceStub(channels["notifier"])
        self.mails = MailServiceStub(channels["notifier"])
        self.ocpi = OcpiServiceStub(channels["notifier"])
        self.webhooks = WebhookServiceStub(channels["notifier"])
        # Of every service that has a store.
        self.audits = {name: AuditServiceStub(channels[name]) for name in ("access", "identity")}

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

    Raises NotRunningError, also in place of what nobody answers there, DataVersionError,
    DataUnusableError or LoginDamagedError.
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
    channels: dict[str, aio.Channel] = {}
    try:
        credential: Credential = administrator
        user_id = None
        if as_ is None and signed_in is not None:
            signed_in = await login.fresh(data.login, signed_in, system.grpc["identity"])
            credential, user_id = Token(signed_in.access_token), signed_in.user_id
        elif as_ not in (None, ADMINISTRATOR_WORD):
            credential, user_id = await _token_of(as_, system, administrator), as_
        channels |= {name: channel(address, credential) for name, address in system.grpc.items()}
        channels["chargers"] = channel(
            system.grpc["gateway"], credential, deadline=CHARGER_DEADLINE
        )
        yield Client(system, channels, for_people=for_people, user_id=user_id)
    except (aio.AioRpcError, UnavailableError):
        # What a killed system left behind says where it was, and there may be others by now.
        if data.in_use():
            raise
        raise NotRunningError(str(data.path)) from None
    finally:
        for each in channels.values():
            await each.close()


async def _token_of(user_id: str, system: System, administrator: Signer) -> Token:
    """Return an access token of somebody, for the administrator to try a call as him."""
    asked = channel(system.grpc["identity"], administrator)
    try:
        request = sign_in_pb2.SignInAsRequest(user_id=user_id)
        return Token((await SignInServiceStub(asked).SignInAs(request)).access_token)
    finally:
        await asked.close()
