"""Events nobody waits for: in order, through an absence of NATS, never more than fit."""

from __future__ import annotations

import asyncio

from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from chargekey_common import jetstream
from chargekey_common.nats_server import NatsServer
from chargekey_common.published.chargers import EVENTS, ChargerConnected, ChargerDisconnected
from chargekey_common.published.envelope import Attributes, Catalogue, attributes
from chargekey_gateway.announcer import SHARE, WINDOW, Announcer, declare_chargers_stream


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

    reader = await jetstream.connect(nats_server.bus, "reader")
    subscription = await reader.jetstream().subscribe("chargers.v1.>", ordered_consumer=True)
    seen = []
    while "event-19" not in seen:  # an event may come twice, having lost its acknowledgement
        message = await subscription.next_msg(timeout=30)
        assert Catalogue(*EVENTS).decode(message.subject, message.data) == event(0)[0]
        seen.append(attributes(message.headers or {}).id)
    assert list(dict.fromkeys(seen)) == [f"event-{number}" for number in range(20)]
    await reader.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_cancellation_that_meets_an_acknowledgement_is_heard(
    nats_client: Client,
) -> None:
    """Python 3.11's wait_for swallows it."""
    await declare_chargers_stream(nats_client, replicas=1)
    announcer = Announcer(nats_client)
    for number in range(100):
        announcer.announce(*event(number))
    task = asyncio.create_task(announcer.run())
    cancelled = False

    async def acknowledged(_: Msg) -> None:
        nonlocal cancelled
        cancelled = cancelled or task.cancel()

    await nats_client.subscribe("_INBOX.>", cb=acknowledged)
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()


async def test_it_is_idle_once_everything_is_acknowledged(nats_client: Client) -> None:
    """So a gateway that ends can tell of the chargers it let go."""
    await declare_chargers_stream(nats_client, replicas=1)
    announcer = Announcer(nats_client)
    await announcer.idle()
    for number in range(20):
        announcer.announce(*event(number))
    task = asyncio.create_task(announcer.run())
    async with asyncio.timeout(10):
        await announcer.idle()
    assert (await nats_client.jetstream().stream_info("CHARGERS")).state.messages == 20
    task.cancel()
    await asyncio.wait({task})


def dropped(why: str) -> float:
    return REGISTRY.get_sample_value("announcements_dropped_total", {"why": why}) or 0.0


def test_what_does_not_fit_is_dropped_and_counted() -> None:
    announcer = Announcer(Client(), capacity=3)
    before = dropped("full")
    assert [announcer.announce(*event(number)) for number in range(5)] == [True] * 3 + [False] * 2
    assert dropped("full") == before + 2


def of(charger: str, *, actor: str = "") -> tuple[ChargerDisconnected, Attributes]:
    about = Attributes(id="id", at=0, cause="", actor=actor or f"charger:{charger}")
    return ChargerDisconnected(charger_id=charger, installation_id="site"), about


def test_whoever_tells_too_much_drops_his_own_and_of_that_kind() -> None:
    """O48."""
    announcer = Announcer(Client(), capacity=SHARE + 3)
    before = dropped("share")
    with capture_logs() as logs:
        told = [announcer.announce(*of("loud")) for _ in range(2 * SHARE)]
    assert told == [True] * SHARE + [False] * SHARE
    assert dropped("share") == before + SHARE
    assert [line["event"] for line in logs] == ["announcements_beyond_share"]
    assert announcer.announce(*of("quiet"))
    assert announcer.announce(*of("loud", actor="service:chargepoint-gateway"))
    connected = ChargerConnected(charger_id="loud", installation_id="site", ocpp_version="1.6")
    assert announcer.announce(connected, of("loud")[1])


async def test_there_is_a_new_share_after_a_while_and_none_while_something_waits(
    nats_client: Client,
) -> None:
    """Else a jam that lasts would have room for nobody but whoever tells most."""
    await declare_chargers_stream(nats_client, replicas=1)
    now = 1000.0
    announcer = Announcer(nats_client, clock=lambda: now)
    for _ in range(SHARE):
        assert announcer.announce(*of("loud"))
    now += WINDOW
    assert not announcer.announce(*of("loud"))
    task = asyncio.create_task(announcer.run())
    async with asyncio.timeout(30):
        await announcer.idle()
    assert announcer.announce(*of("loud"))
    now += WINDOW - 1
    for _ in range(SHARE - 1):
        assert announcer.announce(*of("loud"))
    async with asyncio.timeout(30):
        await announcer.idle()
    assert not announcer.announce(*of("loud"))
    task.cancel()
    await asyncio.wait({task})
