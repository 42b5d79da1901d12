"""Access as a process: settings, wiring, run."""

from __future__ import annotations

from chargekey_access.api.check import LocalCheck
from chargekey_access.api.service import service
from chargekey_access.application import Access
from chargekey_access.domain.events import EVENTS
from chargekey_access.projections.directory import Directory
from chargekey_access.published import publication
from chargekey_access.reactions.on_local_user_added import on_local_user_added
from chargekey_access.settings import AccessSettings
from chargekey_common import jetstream, process
from chargekey_common.accounts import Verifier
from chargekey_common.audit import service as audit
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.eventstore.store import EventStore
from chargekey_common.eventstore.waiting import HandledPositions
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
    passwords = ChargerPasswords(settings.charger_password_secret_file.read_bytes())
    access = Access(store, Directory(store), passwords)

    served = service(access, HandledPositions(store))
    audited = audit.service(store, publication, settings)
    server = Server(served, Verifier(settings.accounts), LocalCheck(access), audited)
    health = HealthServer(lambda: Readiness(ready=server.serving))
    await lifetime.serve(health, settings.health_address)
    await lifetime.serve(server, settings.grpc_address)
    client = await jetstream.connect(settings.nats_url, "access", token=settings.nats_token)
    lifetime.closing.push_async_callback(jetstream.close, client)
    lifetime.own(lead(where, "relay", Relay(client, store, publication).run), "relay")
    reactions = Reactions(
        "access", settings.nats_url, settings.nats_token, store, on_local_user_added(access)
    )
    lifetime.own(reactions.run(), "reactions")
    await server.ready()


def main() -> None:
    """Run until told to stop, or make the tables."""
    process.main(start, migrate=migration(AccessSettings, EventStore.migrate))
