"""The gateway as a process: settings, wiring, run."""

from __future__ import annotations

import asyncio
import gc
import time

from chargekey_common import jetstream, process
from chargekey_common.accounts import Signer, Verifier
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.follower import Follower
from chargekey_common.grpc.client import RemoteCheck, channel
from chargekey_common.grpc.server import Server
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.process import Lifetime
from chargekey_common.settings import load
from chargekey_common.telemetry import HealthServer, Readiness, configure_logging
from chargekey_gateway.api.service import service
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application import Gateway
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.settings import GatewaySettings
from chargekey_gateway.streams import keep_streams
from chargekey_gateway.view.refill import refilled
from chargekey_gateway.view.view import View


async def start(lifetime: Lifetime) -> None:
    """Read the streams to their ends, then let chargers in."""
    settings = load(GatewaySettings)
    configure_logging("chargepoint-gateway", settings.log_level)
    view, running = View(), RunningSessions()
    ready = asyncio.Event()
    health = HealthServer(
        lambda: Readiness(ready.is_set(), {"positions": " ".join(view.positions)})
    )
    await health.start(settings.health_address)
    lifetime.closing.push_async_callback(health.stop)
    client = await jetstream.connect(settings.nats_url, "gateway", token=settings.nats_token)
    lifetime.closing.push_async_callback(jetstream.close, client)
    keyed_id_secret = settings.keyed_id_secret_file.read_bytes()
    gateway = Gateway(
        client,
        view=view,
        running=running,
        keyed_ids=KeyedIds(keyed_id_secret),
        start_keys=StartKeys(keyed_id_secret),
        passwords=ChargerPasswords(settings.charger_password_secret_file.read_bytes()),
        clock=time.time_ns,
    )
    lifetime.own(
        keep_streams(client, gateway.journal, replicas=settings.stream_replicas), "streams"
    )
    lifetime.own(gateway.run(), "gateway")
    lifetime.closing.push_async_callback(gateway.tell_the_rest)
    followers = [
        Follower(client, "ACCESS", view.follow),
        Follower(client, "IDENTITY", view.follow),
        Follower(client, "SESSIONS", running.follow),
    ]
    for follower in followers:
        lifetime.own(follower.run(), f"follow {follower.stream}")
    access = channel(settings.access_address, Signer.from_file(settings.account_key_file))
    lifetime.closing.push_async_callback(access.close)
    chargers = OcppServer(gateway)
    server = Server(service(gateway, chargers), Verifier(settings.accounts), RemoteCheck(access))
    for follower in followers:
        await follower.caught_up.wait()
    await refilled(client, view)
    # Not earlier: asked by gRPC it would answer from what it has read so far.
    await server.start(settings.grpc_address)
    lifetime.closing.push_async_callback(server.stop)
    # The entries of the view live as long as the process: nothing for the collector.
    gc.collect()
    gc.freeze()
    host, _, port = settings.ocpp_address.rpartition(":")
    await chargers.start(host, int(port))
    lifetime.closing.push_async_callback(chargers.stop)
    await server.ready()
    ready.set()
    lifetime.closing.callback(ready.clear)


def main() -> None:
    """Run until told to stop."""
    process.run(start)
