"""Identity as a process: settings, wiring, run."""

from __future__ import annotations

from chargekey_common import jetstream, process
from chargekey_common.accounts import Signer, Verifier
from chargekey_common.audit import service as audit
from chargekey_common.eventstore.store import EventStore
from chargekey_common.grpc.client import RemoteCheck, channel
from chargekey_common.grpc.server import Server
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.leadership import lead
from chargekey_common.process import Lifetime
from chargekey_common.relay import Relay
from chargekey_common.settings import load, migration
from chargekey_common.telemetry import HealthServer, Readiness, configure_logging
from chargekey_identity.api.access import Access
from chargekey_identity.api.service import service
from chargekey_identity.application import Identity
from chargekey_identity.domain.events import EVENTS
from chargekey_identity.keyring import KeyRing
from chargekey_identity.projections.directory import Directory
from chargekey_identity.published import publication
from chargekey_identity.settings import IdentitySettings


async def start(lifetime: Lifetime) -> None:
    """Open the store and serve at once; access and the bus may come later."""
    settings = load(IdentitySettings)
    configure_logging("identity", settings.log_level)
    keyring = KeyRing(settings.tables("identity-keys.db"), settings.master_key_file.read_bytes())
    lifetime.closing.callback(keyring.close)
    where = settings.tables("identity.db")
    store = EventStore("identity", where, EVENTS, keyring)
    lifetime.closing.callback(store.close)
    keyed_ids = KeyedIds(settings.keyed_id_secret_file.read_bytes())
    identity = Identity(store, keyed_ids)

    access = channel(settings.access_address, Signer.from_file(settings.account_key_file))
    lifetime.closing.push_async_callback(access.close)
    served = service(identity, Directory(store), Access(access))
    audited = audit.service(store, publication, settings)
    server = Server(served, Verifier(settings.accounts), RemoteCheck(access), audited)
    health = HealthServer(lambda: Readiness(ready=server.serving))
    await lifetime.serve(health, settings.health_address)
    await lifetime.serve(server, settings.grpc_address)
    client = await jetstream.connect(settings.nats_url, "identity", token=settings.nats_token)
    lifetime.closing.push_async_callback(jetstream.close, client)
    lifetime.own(lead(where, "relay", Relay(client, store, publication).run), "relay")
    await server.ready()


def main() -> None:
    """Run until told to stop, or make the tables."""
    process.main(start, migrate=migration(IdentitySettings, EventStore.migrate, KeyRing.migrate))
