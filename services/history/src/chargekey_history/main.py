"""History as a process: settings, wiring, run."""

from __future__ import annotations

import time

from chargekey_common import jetstream
from chargekey_common.accounts import Signer, Verifier
from chargekey_common.audit.standings import Standings
from chargekey_common.certificates import follow
from chargekey_common.grpc.client import RemoteCheck, channel, issued_keys
from chargekey_common.grpc.server import Server
from chargekey_common.process import Lifetime
from chargekey_common.settings import load, migration
from chargekey_common.telemetry import HealthServer, Readiness, observe
from chargekey_history.api import decisions, reports
from chargekey_history.api.access import Access
from chargekey_history.api.gateway import Gateway
from chargekey_history.api.service import service
from chargekey_history.projections.past import Past
from chargekey_history.projections.sessions_stream import SessionsStream
from chargekey_history.retention import Retention
from chargekey_history.settings import HistorySettings


async def start(lifetime: Lifetime) -> None:
    """Open the past and read on; ready once the end of the stream is reached."""
    settings = load(HistorySettings)
    observe(lifetime, "history", settings.log_level)
    past = Past(settings.tables("history.db"))
    lifetime.closing.callback(past.close)
    retention = Retention(past, days=settings.retention_days, clock=time.time_ns)
    sessions = SessionsStream(past, retention.forgotten_before)
    certificates = follow(lifetime, settings.tls_files)
    bus = jetstream.bus(lifetime, settings)
    signer = Signer.from_file(settings.account_key_file)
    access = channel(settings.access_address, signer, certificates)
    lifetime.closing.push_async_callback(access.close)
    identity = channel(settings.identity_address, signer, certificates)
    lifetime.closing.push_async_callback(identity.close)
    gateway = channel(settings.gateway_address, signer, certificates)
    lifetime.closing.push_async_callback(gateway.close)
    known = Access(access)
    verifier = Verifier(settings.accounts, issued_keys(identity))
    server = Server(
        service(past, known),
        verifier,
        RemoteCheck(access),
        decisions.service(past, Gateway(gateway)),
        reports.service(past, known),
        Standings(sessions.standings).service(),
        certificates=certificates,
    )
    health = HealthServer(
        lifetime,
        lambda: Readiness(ready=server.serving, streams=sessions.reach),
    )
    await lifetime.serve(health, settings.health_address)
    await lifetime.serve(server, settings.grpc_address)
    client = await jetstream.connect(bus, "history")
    lifetime.closing.push_async_callback(jetstream.close, client)
    follower = await sessions.follower(client)
    lifetime.own(follower.run(), "follower")
    await follower.caught_up.wait()
    if settings.retention_days:
        lifetime.own(retention.run(), "retention")
    await server.ready()


migrate = migration(HistorySettings, Past.migrate)
