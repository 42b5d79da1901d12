"""Access as a process: settings, wiring, run."""

from __future__ import annotations

from chargekey_access.api import (
    access_requests,
    chargers,
    check,
    installations,
    owners,
    partners,
    permissions,
)
from chargekey_access.api.gateway import Gateway
from chargekey_access.api.identity import Identity
from chargekey_access.application.access_requests import AccessRequests
from chargekey_access.application.chargers import Chargers
from chargekey_access.application.check import Check
from chargekey_access.application.forgetting import Forgetting
from chargekey_access.application.installations import Installations
from chargekey_access.application.owners import Owners
from chargekey_access.application.partners import LookupKeys, Partners
from chargekey_access.application.permissions import Permissions
from chargekey_access.application.proposals import Proposals
from chargekey_access.domain.events import EVENTS
from chargekey_access.domain.links import Links
from chargekey_access.projections.directory import Directory
from chargekey_access.published import publication
from chargekey_access.reactions.on_access_proposed import on_access_proposed
from chargekey_access.reactions.on_local_user_added import on_local_user_added
from chargekey_access.reactions.on_user_erased import on_user_erased
from chargekey_access.settings import AccessSettings
from chargekey_common import jetstream, process
from chargekey_common.accounts import Signer, Verifier
from chargekey_common.attempts import Attempts
from chargekey_common.audit import service as audit
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.eventstore.store import EventStore
from chargekey_common.grpc.client import channel, issued_keys
from chargekey_common.grpc.server import Server
from chargekey_common.leadership import lead
from chargekey_common.process import Lifetime
from chargekey_common.reactions import Reactions
from chargekey_common.relay import Relay
from chargekey_common.settings import load, migration
from chargekey_common.telemetry import HealthServer, Readiness, configure_logging


async def start(lifetime: Lifetime) -> None:
    """Open the store and serve at once; the bus may come later."""
    settings = load(AccessSettings)
    configure_logging("access", settings.log_level)
    where = settings.tables("access.db")
    store = EventStore("access", where, EVENTS)
    lifetime.closing.callback(store.close)
    attempts = Attempts(settings.tables("access-attempts.db"))
    lifetime.closing.callback(attempts.close)
    secret = settings.charger_password_secret_file.read_bytes()
    passwords, links = ChargerPasswords(secret), Links(secret)
    signer = Signer.from_file(settings.account_key_file)
    identity = channel(settings.identity_address, signer)
    lifetime.closing.push_async_callback(identity.close)
    gateway = channel(settings.gateway_address, signer)
    lifetime.closing.push_async_callback(gateway.close)
    directory = Directory(store)
    rules, granting = Check(directory), Permissions(store, directory)
    forgetting = Forgetting(store, directory)
    keys = LookupKeys(directory, attempts)

    server = Server(
        check.service(rules, directory, store),
        Verifier(settings.accounts, issued_keys(identity)),
        check.LocalCheck(rules),
        installations.service(Installations(store), directory, keys),
        chargers.service(Chargers(store, passwords, directory), directory, rules, Gateway(gateway)),
        permissions.service(granting, forgetting, directory, Identity(identity), keys),
        owners.service(Owners(store, directory, granting), directory, Identity(identity)),
        partners.service(Partners(store, directory), keys, directory, Identity(identity)),
        access_requests.service(
            AccessRequests(store, directory, granting), directory, links, attempts
        ),
        audit.service(store, publication, settings),
    )
    health = HealthServer(lambda: Readiness(ready=server.serving))
    await lifetime.serve(health, settings.health_address)
    await lifetime.serve(server, settings.grpc_address)
    client = await jetstream.connect(settings.nats_url, "access", token=settings.nats_token)
    lifetime.closing.push_async_callback(jetstream.close, client)
    lifetime.own(lead(where, "relay", Relay(client, store, publication).run), "relay")
    reactions = Reactions(
        "access",
        settings.nats_url,
        settings.nats_token,
        store,
        on_local_user_added(granting),
        on_access_proposed(Proposals(store, directory, granting)),
        on_user_erased(forgetting),
    )
    lifetime.own(reactions.run(), "reactions")
    await server.ready()


def main() -> None:
    """Run until told to stop, or make the tables."""
    process.main(start, migrate=migration(AccessSettings, EventStore.migrate, Attempts.migrate))
