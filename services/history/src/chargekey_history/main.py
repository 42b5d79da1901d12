"""History as a process: settings, wiring, run."""

from __future__ import annotations

from chargekey_common import jetstream, process
from chargekey_common.accounts import Signer, Verifier
from chargekey_common.grpc.client import RemoteCheck, channel, issued_keys
from chargekey_common.grpc.server import Server
from chargekey_common.process import Lifetime
from chargekey_common.settings import load, migration
from chargekey_common.telemetry import HealthServer, Readiness, configure_logging
from chargekey_history.api.access import Access
from chargekey_history.api.service import service
from chargekey_history.projections.past import Past
from chargekey_history.projections.sessions_stream import STREAM, SessionsStream
from chargekey_history.settings import HistorySettings


async def start(lifetime: Lifetime) -> None:
    """Open the past and read on; ready once the end of the stream is reached."""
    settings = load(HistorySettings)
    configure_logging("history", settings.log_level)
    past = Past(settings.tables("history.db"))
    lifetime.closing.callback(past.close)
    sessions = SessionsStream(past)
    signer = Signer.from_file(settings.account_key_file)
    access = channel(settings.access_address, signer)
    lifetime.closing.push_async_callback(access.close)
    identity = channel(settings.identity_address, signer)
    lifetime.closing.push_async_callback(identity.close)
    served = service(past, Access(access))
    verifier = Verifier(settings.accounts, issued_keys(identity))
    server = Server(served, verifier, RemoteCheck(access))
    health = HealthServer(
        lambda: Readiness(ready=server.serving, detail={STREAM: str(sessions.applied)})
    )
    await lifetime.serve(health, settings.health_address)
    await lifetime.serve(server, settings.grpc_address)
    client = await jetstream.connect(settings.nats_url, "history", token=settings.nats_token)
    lifetime.closing.push_async_callback(jetstream.close, client)
    follower = await sessions.follower(client)
    lifetime.own(follower.run(), "follower")
    await follower.caught_up.wait()
    await server.ready()


def main() -> None:
    """Run until told to stop, or make the tables."""
    process.main(start, migrate=migration(HistorySettings, Past.migrate))
