"""The gateway as a process: settings, wiring, run."""

from __future__ import annotations

import asyncio
import gc

from chargekey_common import jetstream
from chargekey_common.accounts import Verifier
from chargekey_common.audit.standings import Standings
from chargekey_common.grpc.client import RemoteCheck, issued_keys
from chargekey_common.grpc.server import Server
from chargekey_common.process import Lifetime
from chargekey_common.settings import load
from chargekey_common.telemetry import HealthServer, Readiness, configure_logging
from chargekey_gateway.settings import GatewaySettings
from chargekey_gateway.view.view import View
from chargekey_gateway.wiring import begin, let_chargers_in, ocpp_server, others, services


async def start(lifetime: Lifetime) -> None:
    """Read the streams to their ends, then let chargers in."""
    settings = load(GatewaySettings)
    configure_logging("chargepoint-gateway", settings.log_level)
    view = View()
    ready = asyncio.Event()
    health = HealthServer(
        lambda: Readiness(
            ready.is_set(),
            {
                "positions": " ".join(view.positions),
                "view_staleness_seconds": f"{view.staleness:.0f}",
            },
        )
    )
    await lifetime.serve(health, settings.health_address)
    client = await jetstream.connect(settings.nats_url, "gateway", token=settings.nats_token)
    lifetime.closing.push_async_callback(jetstream.close, client)
    access, identity = others(lifetime, settings)
    gateway, reading = await begin(lifetime, settings, client, access, identity, view)
    chargers = ocpp_server(lifetime, settings, gateway, client)
    verifier = Verifier(settings.accounts, issued_keys(identity))
    first, *beside = services(gateway, chargers, identity)
    standings = Standings(reading.standings).service()
    server = Server(first, verifier, RemoteCheck(access), *beside, standings)
    await reading.caught_up()
    # Not earlier: asked by gRPC it would answer from what it has read so far.
    await lifetime.serve(server, settings.grpc_address)
    # The entries of the view live as long as the process: nothing for the collector.
    gc.collect()
    gc.freeze()
    await let_chargers_in(lifetime, settings, chargers)
    await server.ready()
    ready.set()
    lifetime.closing.callback(ready.clear)
