"""A gateway that reads its streams from a real server: `python -m benchmarks.revocation_gateway`.

Every object of it is the product's, put together as in its `wiring`; what is left out is gRPC,
and with it identity, in whose place codes are told at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping

from chargekey_common import jetstream, process
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.jetstream import Bus
from chargekey_common.keyed_ids import CodeClass, KeyedIds
from chargekey_common.process import Lifetime
from chargekey_common.published import identity
from chargekey_common.telemetry import observe
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.main import settle
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.operators.last_known import LastKnown
from chargekey_gateway.reading import Reading
from chargekey_gateway.registry import Registry
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.streams import keep_streams
from chargekey_gateway.view.view import View

SECRET = b"a secret for figures only, of some length"
KEYED_IDS = KeyedIds(SECRET)


def card(user: int) -> str:
    """Return the number of the card that the user of this number has."""
    return f"04{user:012X}"


class _Codes:
    """Told at once, as many as are asked."""

    async def read(self, _: str, identification_ids: Iterable[str]) -> Mapping[str, str]:
        """Return each identification's code, which stands in its id."""
        return {each: each.rpartition("-")[2].lower() for each in identification_ids}


async def start(lifetime: Lifetime) -> None:
    """Let chargers in once the streams are read, and tell where."""
    url, token, *users = sys.argv[1:]
    observe(lifetime, "chargepoint-gateway", "WARNING")
    view, running = View(), RunningSessions()
    client = await jetstream.connect(Bus(url, lambda: token), "gateway")
    lifetime.closing.push_async_callback(jetstream.close, client)
    gateway = Gateway(
        client,
        view=view,
        running=running,
        keyed_ids=KEYED_IDS,
        start_keys=StartKeys(SECRET),
        passwords=ChargerPasswords(SECRET),
        unknown=lambda _code: None,
        clock=time.time_ns,
        codes=_Codes(),
    )
    answers = LastKnown(client, clock=time.time_ns)
    lifetime.own(
        keep_streams(
            client,
            gateway.journal,
            gateway.lockouts,
            answers,
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
    reading = Reading(
        client, view, running, gateway.lockouts, answers, gateway.confirmed, gateway.remote_starts
    )
    reading.begin(lifetime)
    await reading.caught_up()
    for number, user_id in enumerate(users):
        keyed_id = KEYED_IDS.of(CodeClass.UID, card(number), "")
        key = f"card-{card(number)}"
        view.apply(identity.IdentificationKey(identification_id=key, keyed_id=keyed_id.hex()))
        view.apply(
            identity.IdentificationAdded(
                identification_id=key, user_id=user_id, type="RFID", status="ACTIVE"
            )
        )
    registry = Registry(client, patience=Limits().displacement_timeout)
    lifetime.own(registry.run(), "registry")
    chargers = OcppServer(gateway, registry=registry)
    settle()
    await chargers.start("127.0.0.1:0")
    lifetime.closing.push_async_callback(chargers.stop)
    print("listening", chargers.port, flush=True)  # noqa: T201 - who has started it waits for this


if __name__ == "__main__":
    process.run(start)
