"""The gateway as a process: settings, wiring, run."""

from __future__ import annotations

import asyncio
import gc

from chargekey_common import jetstream
from chargekey_common.accounts import Verifier
from chargekey_common.audit.standings import Standings
from chargekey_common.certificates import follow
from chargekey_common.grpc.client import RemoteCheck, issued_keys
from chargekey_common.grpc.server import Server
from chargekey_common.process import Lifetime
from chargekey_common.settings import load
from chargekey_common.telemetry import HealthServer, Readiness, observe
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.reading import Reading
from chargekey_gateway.settings import GatewaySettings
from chargekey_gateway.view.view import View
from chargekey_gateway.wiring import (
    begin,
    let_chargers_in,
    ocpp_server,
    others,
    restored,
    services,
    snapshots,
)

# Of objects that are new, of collections of these, and of collections of what is left by those.
COLLECTED_AT = 20_000, 20, 100


def settle() -> None:
    """Have the collector pass over what is there by now, which lives as long as the process.

    Of what comes and goes it looks at the youngest once there are many: at all that is new, again
    and again, would take as long as chargers that come back take themselves.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTED_AT)
    gc.enable()


async def start(lifetime: Lifetime) -> None:
    """Read the streams to their ends, then let chargers in."""
    settings = load(GatewaySettings)
    observe(lifetime, "chargepoint-gateway", settings.log_level)
    gc.disable()  # until everything is read: none of it is garbage
    view = View()
    ready = asyncio.Event()
    gateway: Gateway | None = None
    reading: Reading | None = None
    health = HealthServer(
        lifetime,
        lambda: Readiness(
            ready.is_set(),
            {
                "positions": " ".join(view.positions),
                "view_staleness_seconds": f"{view.staleness:.0f}",
            },
            {} if reading is None else reading.reach,
        ),
    )
    await lifetime.serve(health, settings.health_address)
    certificates = follow(lifetime, settings.tls_files)
    client = await jetstream.connect(jetstream.bus(lifetime, settings), "gateway")
    lifetime.closing.push_async_callback(jetstream.close, client)
    access, identity = others(lifetime, settings, certificates)
    snapshot = await restored(settings, view)
    kept = snapshots(
        settings,
        view,
        lambda: {} if reading is None else reading.places,
        lambda: None if gateway is None else gateway.told,
        client,
    )
    gateway, reading = await begin(lifetime, settings, client, access, identity, view, snapshot)
    chargers = ocpp_server(lifetime, settings, gateway, client)
    verifier = Verifier(settings.accounts, issued_keys(identity))
    first, *beside = services(gateway, chargers, identity)
    standings = Standings(reading.standings).service()
    server = Server(
        first, verifier, RemoteCheck(access), *beside, standings, certificates=certificates
    )
    await reading.caught_up()
    # Not earlier: asked by gRPC it would answer from what it has read so far.
    await lifetime.serve(server, settings.grpc_address)
    settle()
    if kept is not None:
        lifetime.closing.callback(kept.write_at_the_end)
        lifetime.own(kept.run(), "snapshots")
    await let_chargers_in(lifetime, settings, chargers)
    await server.ready()
    ready.set()
