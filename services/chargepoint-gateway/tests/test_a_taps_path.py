"""How long the way of a tap is: in calls, which no machine makes more or fewer of."""

from __future__ import annotations

import gc
import sys
import time
from types import FrameType

from nats.aio.client import Client

from chargekey_gateway.ocpp.connection import ChargerConnection
from chargekey_gateway.ocpp.frames import CloseCode
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.ocpp16.routes import OCPP16

from .replicas import CARD, Replica

# Of Python's functions and of C's, from a message that is read to its answer. Whoever needs
# more of them measures what that costs every tap (`make bench B=ocpp_authorize`), and says so.
MOST_CALLS = 48


class Wire:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, message: bytes) -> None:
        self.sent.append(message)

    def close(self, code: CloseCode, reason: str) -> None:
        raise AssertionError(code, reason)


async def test_a_tap_of_every_day_takes_few_calls() -> None:
    replica = Replica(Client())
    wire = Wire()
    connection = ChargerConnection(
        replica.charger(),
        gateway=replica.gateway,
        dialect=OCPP16,
        wire=wire,
        limits=Limits(),
        clock=time.time_ns,
    )
    tap = f'[2,"id","Authorize",{{"idTag":"{CARD}"}}]'.encode()
    connection.receive(tap)  # what is worked out once, is
    calls = []

    def count(_frame: FrameType, event: str, called: object) -> None:
        if event in {"call", "c_call"}:
            calls.append((event, called))

    gc.disable()  # whoever listens to the collector would be counted, too
    sys.setprofile(count)
    connection.receive(tap)
    sys.setprofile(None)
    gc.enable()
    assert b'"status":"Accepted"' in wire.sent[-1]
    assert len(calls) <= MOST_CALLS
