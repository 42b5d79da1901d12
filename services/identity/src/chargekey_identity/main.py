"""Identity as a process: settings, wiring, run."""

from __future__ import annotations

import asyncio

from chargekey_common import jetstream
from chargekey_common.accounts import Signer, Verifier
from chargekey_common.audit import service as audit
from chargekey_common.audit.changes import Changes
from chargekey_common.audit.standings import Standings
from chargekey_common.certificates import follow
from chargekey_common.event_sourced import restoration, tell_and_hear
from chargekey_common.grpc.client import RemoteCheck, channel
from chargekey_common.grpc.server import Server
from chargekey_common.process import Lifetime
from chargekey_common.settings import load, migration
from chargekey_common.telemetry import HealthServer, Readiness, observe
from chargekey_identity.api.access import Access
from chargekey_identity.ledger import Ledger, Written
from chargekey_identity.published import publication
from chargekey_identity.settings import IdentitySettings
from chargekey_identity.storage import MAKERS, opened
from chargekey_identity.wiring import Application, openid_provider, reactions, services


async def start(lifetime: Lifetime) -> None:
    """Open the store and serve once the ledger of erasures was read; access may come later."""
    settings = load(IdentitySettings)
    observe(lifetime, "identity", settings.log_level)
    master = settings.master_key_file.read_bytes()
    secret = settings.keyed_id_secret_file.read_bytes()
    storage = lifetime.closing.enter_context(opened(settings.tables, master))
    certificates = follow(lifetime, settings.tls_files)
    bus = jetstream.bus(lifetime, settings)
    signer = Signer.from_file(settings.account_key_file)
    to_access = await lifetime.closing.enter_async_context(
        channel(settings.access_address, signer, certificates)
    )
    provider = await lifetime.closing.enter_async_context(openid_provider(settings))
    identity = Application(
        storage,
        provider,
        master=master,
        keyed_id_secret=secret,
        administrators=settings.administrators,
    )
    access = Access(to_access)
    changes = Changes(storage.events, publication)
    written = Written()
    standings = Standings()
    server = Server(
        audit.service(storage.events, publication, bus, changes),
        Verifier(settings.accounts, identity.keys),
        RemoteCheck(to_access),
        standings.service(),
        *services(identity, access, written),
        certificates=certificates,
    )
    health = HealthServer(lifetime, lambda: Readiness(ready=server.serving))
    await lifetime.serve(health, settings.health_address)
    client = await jetstream.connect(bus, "identity")
    lifetime.closing.push_async_callback(jetstream.close, client)
    ledger = Ledger(client, storage.keyring, written, replicas=settings.stream_replicas)
    # Whoever was erased is so in a database that was restored, too, before anybody asks.
    await asyncio.to_thread(identity.privacy.finish, await ledger.read())
    lifetime.own(ledger.run(), "ledger")
    await lifetime.serve(server, settings.grpc_address)
    lifetime.own(identity.scans.run(), "deletion of old codes")
    lifetime.own(changes.run(), "changes")
    heard = reactions(identity, access)
    tell_and_hear(lifetime, settings, bus, client, storage.events, publication, standings, *heard)
    await server.ready()
    # Before the relay: what calls in flight record is told, too.
    lifetime.closing.push_async_callback(server.stop)


migrate = migration(IdentitySettings, *MAKERS)
restored = restoration(IdentitySettings)
