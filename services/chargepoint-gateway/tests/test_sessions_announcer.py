"""Events nobody waits for: in order, through an absence of NATS, never more than fit."""

from __future__ import annotations

import asyncio

from nats.aio.client import Client

from chargekey_common import jetstream
from chargekey_common.nats_server import NatsServer
from chargekey_common.published.chargers import CATALOGUE, ChargerDisconnected
from chargekey_common.published.envelope import Attributes, attributes
from chargekey_gateway.announcer import Announcer, declare_chargers_stream


def event(number: int) -> tuple[ChargerDisconnected, Attributes]:
    about = Attributes(id=f"event-{number}", at=0, cause="", actor="charger:charger")
    return ChargerDisconnected(charger_id="charger", installation_id="site"), about


async def test_events_are_published_in_order_once_nats_is_there(
    nats_server: NatsServer, nats_client: Client
) -> None:
    await declare_chargers_stream(nats_client, replicas=1)
    nats_server.stop()
    announcer = Announcer(nats_client)
    task = asyncio.create_task(announcer.run())
    for number in range(20):
        announcer.announce(*event(number))
    await asyncio.sleep(0)
    nats_server.start()

    reader = await jetstream.connect(nats_server.url, "reader", token=nats_server.token)
    subscription = await reader.jetstream().subscribe("chargers.v1.>", ordered_consumer=True)
    seen = []
    while "event-19" not in seen:  # an event may come twice, having lost its acknowledgement
        message = await subscription.next_msg(timeout=30)
        assert CATALOGUE.decode(message.subject, message.data) == event(0)[0]
        seen.append(attributes(message.headers or {}).id)
    assert list(dict.fromkeys(seen)) == [f"event-{number}" for number in range(20)]
    await reader.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_what_does_not_fit_is_dropped_and_counted() -> None:
    announcer = Announcer(Client(), capacity=3)
    for number in range(5):
        announcer.announce(*event(number))
    assert announcer.dropped == 2
