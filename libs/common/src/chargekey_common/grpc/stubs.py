"""Every method that services have for people, by the noun that it is about."""

from __future__ import annotations

from collections.abc import Mapping

from grpc import aio

from chargekey.access.v1.access_requests_pb2_grpc import AccessRequestServiceStub
from chargekey.access.v1.chargers_pb2_grpc import ChargerServiceStub
from chargekey.access.v1.check_pb2_grpc import CheckServiceStub
from chargekey.access.v1.decision_endpoints_pb2_grpc import DecisionEndpointServiceStub
from chargekey.access.v1.installations_pb2_grpc import InstallationServiceStub
from chargekey.access.v1.owners_pb2_grpc import OwnersServiceStub
from chargekey.access.v1.partners_pb2_grpc import PartnerServiceStub
from chargekey.access.v1.permissions_pb2_grpc import PermissionServiceStub
from chargekey.audit.v1.audit_pb2_grpc import AuditServiceStub
from chargekey.audit.v1.standing_pb2_grpc import StandingServiceStub
from chargekey.gateway.v1.commands_pb2_grpc import ChargerCommandServiceStub
from chargekey.gateway.v1.convergence_pb2_grpc import ConvergenceServiceStub
from chargekey.gateway.v1.decisions_pb2_grpc import DecisionServiceStub as PreviewServiceStub
from chargekey.gateway.v1.gateway_pb2_grpc import GatewayServiceStub
from chargekey.history.v1.decisions_pb2_grpc import DecisionServiceStub
from chargekey.history.v1.history_pb2_grpc import HistoryServiceStub
from chargekey.history.v1.reports_pb2_grpc import ReportServiceStub
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

# Of those with a store, which tell who changed what.
AUDITED = ("access", "identity")
# All of them, which tell how far they are.
SERVICES = (*AUDITED, "gateway", "history", "notifier")
# Seconds. The gateway gives a charger 28 to answer, and then says that it was silent.
CHARGER_DEADLINE = 30.0


class Stubs:
    """The methods over these channels, by the names of their services.

    `chargers` is the gateway's for what a charger is told to do, with CHARGER_DEADLINE.
    """

    def __init__(self, channels: Mapping[str, aio.Channel]) -> None:
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
        self.audits = {name: AuditServiceStub(channels[name]) for name in AUDITED}
        self.standings = {name: StandingServiceStub(channels[name]) for name in SERVICES}
