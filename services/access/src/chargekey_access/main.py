"""Access as a process: settings, wiring, run."""

from __future__ import annotations

from contextlib import closing

from chargekey_access.api.check import LocalCheck
from chargekey_access.api.gateway import Gateway
from chargekey_access.api.identity import Identity
from chargekey_access.domain.events import EVENTS
from chargekey_access.published import publication
from chargekey_access.settings import AccessSettings
from chargekey_access.tables.endpoint_secrets import EndpointSecrets
from chargekey_access.wiring import Application, reactions, services
from chargekey_common import jetstream
from chargekey_common.accounts import Signer, Verifier
from chargekey_common.attempts import Attempts
from chargekey_common.audit import service as audit
from chargekey_common.audit.changes import Changes
from chargekey_common.audit.standings import Standings
from chargekey_common.certificates import follow
from chargekey_common.event_sourced import restoration, tell_and_hear
from chargekey_common.eventstore.store import EventStore
from chargekey_common.grpc.client import channel, issued_keys
from chargekey_common.grpc.server import Server
from chargekey_common.process import Lifetime
from chargekey_common.settings import load, migration
from chargekey_common.telemetry import HealthServer, Readiness, observe


async def start(lifetime: Lifetime) -> None:
    """Open the store and serve at once; the bus may come later."""
    settings = load(AccessSettings)
    observe(lifetime, "access", settings.log_level)
    opened = lifetime.closing
    store = opened.enter_context(
        closing(EventStore("access", settings.tables("access.db"), EVENTS))
    )
    attempts = opened.enter_context(closing(Attempts(settings.tables("access-attempts.db"))))
    certificates = follow(lifetime, settings.tls_files)
    bus = jetstream.bus(lifetime, settings)
    signer = Signer.from_file(settings.account_key_file)
    identity = await opened.enter_async_context(
        channel(settings.identity_address, signer, certificates)
    )
    gateway = await opened.enter_async_context(
        channel(settings.gateway_address, signer, certificates)
    )

    secret = settings.charger_password_secret_file.read_bytes()
    endpoint_secrets = opened.enter_context(
        closing(EndpointSecrets(settings.tables("access-secrets.db"), secret))
    )
    access = Application(store, secret)
    changes = Changes(store, publication)
    standings = Standings()
    server = Server(
        audit.service(store, publication, bus, changes),
        Verifier(settings.accounts, issued_keys(identity)),
        LocalCheck(access.check),
        standings.service(),
        *services(access, attempts, endpoint_secrets, Gateway(gateway), Identity(identity)),
        certificates=certificates,
    )

    health = HealthServer(lifetime, lambda: Readiness(ready=server.serving))
    await lifetime.serve(health, settings.health_address)
    await lifetime.serve(server, settings.grpc_address)
    lifetime.own(changes.run(), "changes")
    client = await jetstream.connect(bus, "access")
    opened.push_async_callback(jetstream.close, client)
    heard = reactions(access)
    tell_and_hear(lifetime, settings, bus, client, store, publication, standings, *heard)
    await server.ready()
    # Before the relay: what calls in flight record is told, too.
    opened.push_async_callback(server.stop)


migrate = migration(AccessSettings, EventStore.migrate, Attempts.migrate, EndpointSecrets.migrate)
restored = restoration(AccessSettings)
