"""What gets what: the application on its store, and what is served and heard of it."""

from __future__ import annotations

from collections.abc import Sequence

from chargekey_access.api import (
    access_requests,
    chargers,
    check,
    decision_endpoints,
    installations,
    owners,
    partners,
    permissions,
)
from chargekey_access.api.addresses import Addresses
from chargekey_access.api.gateway import Gateway
from chargekey_access.api.identity import Identity
from chargekey_access.application.access_requests import AccessRequests
from chargekey_access.application.chargers import Chargers
from chargekey_access.application.check import Check
from chargekey_access.application.decision_endpoints import DecisionEndpoints
from chargekey_access.application.forgetting import Forgetting
from chargekey_access.application.installations import Installations
from chargekey_access.application.owners import Owners
from chargekey_access.application.partners import LookupKeys, Partners
from chargekey_access.application.permissions import Permissions
from chargekey_access.application.proposals import Proposals
from chargekey_access.application.retractions import Retractions
from chargekey_access.domain.links import Links
from chargekey_access.projections.directory import Directory
from chargekey_access.reactions.on_access_proposed import on_access_proposed
from chargekey_access.reactions.on_invitation_accepted import on_invitation_accepted
from chargekey_access.reactions.on_invitation_revoked import on_invitation_revoked
from chargekey_access.reactions.on_local_user_added import on_local_user_added
from chargekey_access.reactions.on_user_erased import on_user_erased
from chargekey_access.tables.endpoint_secrets import EndpointSecrets
from chargekey_common.attempts import Attempts
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.eventstore.store import EventStore
from chargekey_common.grpc.server import Service
from chargekey_common.reactions import On


class Application:
    """Everything that can be done, and asked."""

    def __init__(self, store: EventStore, secret: bytes) -> None:
        self.store = store
        self.directory = Directory(store)
        self.links = Links(secret)
        self.installations = Installations(store)
        self.chargers = Chargers(store, ChargerPasswords(secret), self.directory)
        self.partners = Partners(store, self.directory)
        self.permissions = Permissions(store, self.directory)
        self.check = Check(self.directory, self.permissions)
        self.owners = Owners(store, self.directory, self.permissions)
        self.access_requests = AccessRequests(store, self.directory, self.permissions)
        self.proposals = Proposals(store, self.directory, self.permissions)
        self.retractions = Retractions(store, self.permissions)
        self.forgetting = Forgetting(store, self.directory)


def services(
    access: Application,
    attempts: Attempts,
    endpoint_secrets: EndpointSecrets,
    gateway: Gateway,
    identity: Identity,
) -> Sequence[Service]:
    """Return what is served."""
    directory, keys = access.directory, LookupKeys(access.directory, attempts)
    addresses = Addresses(identity, attempts)
    endpoints = DecisionEndpoints(access.store, directory, endpoint_secrets)
    return (
        check.service(access.check, directory, access.store),
        installations.service(access.installations, directory, keys),
        chargers.service(access.chargers, directory, access.check, gateway),
        permissions.service(access.permissions, access.forgetting, directory, addresses, keys),
        owners.service(access.owners, directory, addresses),
        decision_endpoints.service(endpoints),
        partners.service(access.partners, keys, directory, addresses),
        access_requests.service(access.access_requests, directory, access.links, attempts),
    )


def reactions(access: Application) -> Sequence[On]:
    """Return what is heard of what identity publishes."""
    return (
        on_local_user_added(access.permissions),
        on_access_proposed(access.proposals),
        on_invitation_accepted(access.owners),
        on_invitation_revoked(access.retractions),
        on_user_erased(access.forgetting),
    )
