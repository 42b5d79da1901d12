"""The gateway's server of WebSockets over a filled view: `python -m benchmarks.load.gateway`.

Every object of it is the product's, put together as in its `wiring`; what is left out are gRPC
and the streams of other services, from which the view is filled elsewhere.
"""

from __future__ import annotations

import sys
import time

from benchmarks.load.people import PASSWORDS, PEOPLE, password
from benchmarks.load.running import told
from benchmarks.population import KEYED_IDS
from benchmarks.views import filled
from chargekey_common import jetstream, process
from chargekey_common.jetstream import Bus
from chargekey_common.process import Lifetime
from chargekey_common.published import access
from chargekey_common.telemetry import observe
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.main import settle
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.operators.last_known import LastKnown
from chargekey_gateway.registry import Registry
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.streams import keep_streams
from chargekey_gateway.view.view import View

NO_BOUND = 1e9


async def start(lifetime: Lifetime) -> None:
    """Let chargers in as a gateway does that has just read its streams, and tell where."""
    url, token, port, *any_rate = sys.argv[1:]
    observe(lifetime, "chargepoint-gateway", "INFO")
    view = _view()
    client = await jetstream.connect(Bus(url, lambda: token), "gateway")
    lifetime.closing.push_async_callback(jetstream.close, client)
    gateway = Gateway(
        client,
        view=view,
        running=RunningSessions(),
        keyed_ids=KEYED_IDS,
        start_keys=StartKeys(b"a third secret for figures only"),
        passwords=PASSWORDS,
        unknown=lambda _code: None,
        clock=time.time_ns,
    )
    lifetime.own(
        keep_streams(
            client,
            gateway.journal,
            gateway.lockouts,
            LastKnown(client, clock=time.time_ns),
            gateway.confirmed,
            gateway.remote_starts,
            replicas=1,
        ),
        "streams",
    )
    lifetime.own(gateway.run(), "gateway")
    lifetime.own(gateway.lockouts.run(), "lockouts")
    lifetime.own(gateway.confirmed.run(), "confirmed")
    lifetime.own(gateway.remote_starts.run(), "remote starts")
    # Two hundred chargers that say as much as a hundred thousand are let say it.
    limits = Limits(messages_per_second=NO_BOUND, message_burst=NO_BOUND) if any_rate else Limits()
    registry = Registry(client, patience=limits.displacement_timeout)
    lifetime.own(registry.run(), "registry")
    chargers = OcppServer(gateway, limits=limits, registry=registry)
    settle()
    await chargers.start(f"127.0.0.1:{port}")
    lifetime.closing.push_async_callback(chargers.stop)
    told(chargers.port)


def _view() -> View:
    view = filled(PEOPLE)
    for number in range(PEOPLE.chargers):
        charger_id = PEOPLE.charger_id(number)
        view.apply(
            access.ChargerCredential(
                charger_id=charger_id, password_hash=PASSWORDS.hash(charger_id, password(number))
            )
        )
    return view


if __name__ == "__main__":
    process.run(start)
