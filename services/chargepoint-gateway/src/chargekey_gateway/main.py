"""The gateway as a process: settings, wiring, run."""

from __future__ import annotations

import asyncio
import gc
import time

from chargekey_common import jetstream, process
from chargekey_common.accounts import Signer, Verifier
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.grpc.client import RemoteCheck, channel, issued_keys
from chargekey_common.grpc.server import Server
from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.process import Lifetime
from chargekey_common.settings import load
from chargekey_common.telemetry import HealthServer, Readiness, configure_logging
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.reading import Reading
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.settings import GatewaySettings
from chargekey_gateway.streams import keep_streams
from chargekey_gateway.unknown_codes import UnknownCodes
from chargekey_gateway.view.view import View
from chargekey_gateway.wiring import services


async def start(lifetime: Lifetime) -> None:
    """Read the streams to their ends, then let chargers in."""
    settings = load(GatewaySettings)
    configure_logging("chargepoint-gateway", settings.log_level)
    view, running = View(), RunningSessions()
    ready = asyncio.Event()
    health = HealthServer(
        lambda: Readiness(ready.is_set(), {"positions": " ".join(view.positions)})
    )
    await lifetime.serve(health, settings.health_address)
    client = await jetstream.connect(settings.nats_url, "gateway", token=settings.nats_token)
    lifetime.closing.push_async_callback(jetstream.close, client)
    signer = Signer.from_file(settings.account_key_file)
    access = channel(settings.access_address, signer)
    lifetime.closing.push_async_callback(access.close)
    identity = channel(settings.identity_address, signer)
    lifetime.closing.push_async_callback(identity.close)
    unknown_codes = UnknownCodes(identity)
    lifetime.own(unknown_codes.run(), "unknown codes")
    keyed_id_secret = settings.keyed_id_secret_file.read_bytes()
    gateway = Gateway(
        client,
        view=view,
        running=running,
        keyed_ids=KeyedIds(keyed_id_secret),
        start_keys=StartKeys(keyed_id_secret),
        passwords=ChargerPasswords(settings.charger_password_secret_file.read_bytes()),
        unknown=unknown_codes.report,
        clock=time.time_ns,
    )
    lifetime.own(
        keep_streams(client, gateway.journal, gateway.lockouts, replicas=settings.stream_replicas),
        "streams",
    )
    lifetime.own(gateway.run(), "gateway")
    lifetime.own(gateway.lockouts.run(), "lockouts")
    lifetime.closing.push_async_callback(gateway.tell_the_rest)
    reading = Reading(client, view, running, gateway.lockouts)
    reading.begin(lifetime)
    chargers = OcppServer(gateway)
    verifier = Verifier(settings.accounts, issued_keys(identity))
    first, *beside = services(gateway, chargers)
    server = Server(first, verifier, RemoteCheck(access), *beside)
    await reading.caught_up()
    # Not earlier: asked by gRPC it would answer from what it has read so far.
    await lifetime.serve(server, settings.grpc_address)
    # The entries of the view live as long as the process: nothing for the collector.
    gc.collect()
    gc.freeze()
    await lifetime.serve(chargers, settings.ocpp_address)
    await server.ready()
    ready.set()
    lifetime.closing.callback(ready.clear)


def main() -> None:
    """Run until told to stop."""
    process.run(start)
