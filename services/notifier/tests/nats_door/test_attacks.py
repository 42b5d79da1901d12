"""What operator A can see, create and guess of operator B's, and of ours: nothing.

A pull names the subject it is answered on, and the server asks nobody whether its sender may
publish there: with partners in the account of the streams, a pull of an empty feed answered on
`$JS.API.STREAM.DELETE.<another's>` deleted that one.
"""

from __future__ import annotations

import json

import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerInfo, StreamInfo

from chargekey_common.testing.waiting import until
from chargekey_notifier.feeds.store import Feeds
from chargekey_notifier.nats_door.streams import Streams

from .conftest import (
    DAYS,
    VOLT,
    VOLTS,
    WATT,
    WATTS,
    Connect,
    Program,
    documents,
    has,
    tell,
)

OURS = "ACCESS"


@pytest.fixture(autouse=True)
def _open(door: object) -> None:
    """All of it at a door that is open."""


async def everything(ours: Client, streams: Client) -> dict[str, object]:
    """Return what all streams hold, and how far everybody has come."""
    found: dict[str, object] = {}
    for client in (ours, streams):
        js = client.jetstream()
        for stream in await js.streams_info():
            found[str(stream.config.name)] = _state(stream)
            for consumer in await js.consumers_info(str(stream.config.name)):
                if consumer.name != VOLTS.id:
                    found[consumer.name] = _progress(consumer)
    return found


def _state(stream: StreamInfo) -> object:
    return (stream.config, stream.state.messages, stream.state.first_seq, stream.state.last_seq)


def _progress(consumer: ConsumerInfo) -> object:
    return (consumer.config, consumer.num_pending, consumer.num_ack_pending, consumer.num_waiting)


async def prepared(feeds: Feeds, streams: Client, ours: Client) -> None:
    """Both feeds tell something, and a stream of our services' holds something."""
    tell(feeds, VOLT, WATT)
    for partner_id in (VOLT, WATT):
        await has(streams, documents(feeds, partner_id), partner_id)
    await Streams(streams, days=DAYS).consumer(WATT, WATTS.id)
    js = ours.jetstream()
    await js.add_stream(name=OURS, subjects=["access.v1.>"])
    await js.publish("access.v1.installation.home.InstallationAdded", b"{}")


ELSEWHERE = [
    f"feed.{WATT}",
    f"feed.{VOLT}",
    "access.v1.installation.home.OwnerAdded",
    "sessions.v1.installation.home.SessionStarted",
    "gateway.v1.charger.left",
    f"$JS.API.STREAM.DELETE.{WATT}",
    f"$JS.API.STREAM.DELETE.{VOLT}",
    f"$JS.API.STREAM.DELETE.{OURS}",
    f"$JS.API.STREAM.PURGE.{OURS}",
    f"$JS.API.STREAM.PURGE.{WATT}",
    f"$JS.API.CONSUMER.DELETE.{WATT}.{WATTS.id}",
    f"$JS.API.CONSUMER.PAUSE.{WATT}.{WATTS.id}",
    f"$JS.API.CONSUMER.UNPIN.{WATT}.{WATTS.id}",
    f"$JS.API.CONSUMER.RESET.{WATT}.{WATTS.id}",
    f"$JS.API.CONSUMER.MSG.NEXT.{WATT}.{WATTS.id}",
    f"$JS.API.CONSUMER.CREATE.{WATT}",
    "$JS.API.SERVER.REMOVE",
    f"$JS.API.ACCOUNT.PURGE.{'FEEDS'}",
    "$SYS.REQ.USER.AUTH",
    "$SYS.REQ.SERVER.PING.CONNZ",
]


async def test_a_pull_that_is_answered_elsewhere_reaches_nothing(
    feeds: Feeds, nats_client: Client, streams: Client, program: Connect
) -> None:
    """F12: neither by an event, nor by the empty answer of an empty feed."""
    await prepared(feeds, streams, nats_client)
    pull = f"$JS.API.CONSUMER.MSG.NEXT.{VOLT}.{VOLTS.id}"
    async with program(VOLTS) as volt, program(WATTS) as watt:
        mine = volt.client.new_inbox()
        answered = await volt.client.subscribe(mine)
        for number, elsewhere in enumerate(ELSEWHERE, start=1):
            tell(feeds, VOLT, ids=range(number * 3 + 1, number * 3 + 4))
            await has(streams, documents(feeds))
            before = await everything(nats_client, streams)
            for batch, reply in ((1, elsewhere), (1, elsewhere), (9, elsewhere), (1, mine)):
                wanted = json.dumps({"batch": batch, "no_wait": True}).encode()
                await volt.client.publish(pull, wanted, reply=reply)
            # Behind the others: what they pulled has gone wherever it goes.
            await answered.next_msg(timeout=20)
            assert volt.errors == []
            assert await everything(nats_client, streams) == before, elsewhere
        assert await watt.pulled(3) == documents(feeds, WATT)


NOT_SENT = [
    "$JS.API.INFO",
    "$JS.API.>",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    f"$JS.API.STREAM.INFO.{VOLT}",
    f"$JS.API.STREAM.INFO.{WATT}",
    f"$JS.API.STREAM.CREATE.{WATT}2",
    f"$JS.API.STREAM.UPDATE.{VOLT}",
    f"$JS.API.STREAM.DELETE.{VOLT}",
    f"$JS.API.STREAM.PURGE.{WATT}",
    f"$JS.API.STREAM.MSG.GET.{WATT}",
    f"$JS.API.STREAM.MSG.GET.{VOLT}",
    f"$JS.API.DIRECT.GET.{WATT}",
    f"$JS.API.CONSUMER.LIST.{VOLT}",
    f"$JS.API.CONSUMER.NAMES.{WATT}",
    f"$JS.API.CONSUMER.CREATE.{VOLT}",
    f"$JS.API.CONSUMER.CREATE.{VOLT}.{VOLTS.id}",
    f"$JS.API.CONSUMER.CREATE.{WATT}.{VOLTS.id}",
    f"$JS.API.CONSUMER.DURABLE.CREATE.{WATT}.{VOLTS.id}",
    f"$JS.API.CONSUMER.DELETE.{VOLT}.{VOLTS.id}",
    f"$JS.API.CONSUMER.INFO.{VOLT}.{VOLTS.id}",
    f"$JS.API.CONSUMER.INFO.{WATT}.{WATTS.id}",
    f"$JS.API.CONSUMER.INFO.{VOLT}.{WATTS.id}",
    f"$JS.API.CONSUMER.MSG.NEXT.{WATT}.{WATTS.id}",
    f"$JS.API.CONSUMER.MSG.NEXT.{WATT}.{VOLTS.id}",
    f"$JS.API.CONSUMER.MSG.NEXT.{VOLT}.*",
    f"$JS.ACK.{WATT}.{WATTS.id}.1.1.1.1.0",
    f"$JS.FC.{WATT}",
    f"feed.{VOLT}",
    f"feed.{WATT}",
    "access.v1.installation.home.OwnerAdded",
    f"_INBOX.{WATTS.id}.guessed",
    f"_INBOX.{VOLTS.id}.own",
    "_R_.guessed",
    "$SYS.REQ.USER.AUTH",
    "$SYS.REQ.USER.INFO",
    "$SYS.REQ.ACCOUNT.PING.CONNZ",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.FEEDS.CONNZ",
]


async def test_nothing_is_sent_but_pulls_and_acknowledgements_of_ones_own(
    feeds: Feeds, nats_client: Client, streams: Client, program: Connect
) -> None:
    """F12: no listing, no creation, no look at a stream, one's own included."""
    await prepared(feeds, streams, nats_client)
    async with program(VOLTS) as volt:
        before = await everything(nats_client, streams)
        for subject in NOT_SENT:
            await volt.client.publish(subject, b"", reply=f"_INBOX.{VOLTS.id}.answer")
            await _refused(volt, f'permissions violation for publish to "{subject.lower()}"')
        assert await everything(nats_client, streams) == before


async def test_some_subjects_are_nothing_to_be_answered_on(program: Connect) -> None:
    async with program(VOLTS) as volt:
        pull = f"$JS.API.CONSUMER.MSG.NEXT.{VOLT}.{VOLTS.id}"
        for reply in (f"$JS.ACK.{WATT}.{WATTS.id}.1.1.1.1.0", "_R_.guessed"):
            await volt.client.publish(pull, b"", reply=reply)
            await _refused(volt, "permissions violation for publish with reply")


NOT_HEARD = [
    ">",
    "*",
    "*.*.*",
    "feed.>",
    f"feed.{VOLT}",
    "_INBOX.>",
    "_INBOX.*.>",
    f"_INBOX.{WATTS.id}.>",
    f"_INBOX.{VOLTS.id}",
    "_R_.>",
    "$JS.>",
    "$JS.API.>",
    f"$JS.API.CONSUMER.MSG.NEXT.{WATT}.{WATTS.id}",
    f"$JS.API.CONSUMER.MSG.NEXT.{VOLT}.{VOLTS.id}",
    "$JS.ACK.>",
    f"$JS.ACK.{VOLT}.{VOLTS.id}.>",
    "$JS.EVENT.ADVISORY.>",
    "$SYS.>",
    "$SYS.REQ.USER.AUTH",
    "access.v1.>",
    "gateway.v1.>",
]


async def test_nothing_is_heard_but_ones_own_inbox(program: Connect) -> None:
    """F12: neither another's answers, nor what he sends, nor ours; nor in a group."""
    async with program(VOLTS) as volt:
        for subject in NOT_HEARD:
            for queue in ("", "notifier"):
                await volt.client.subscribe(subject, queue=queue)
                await _refused(volt, "permissions violation for subscription to")


async def test_a_wildcard_inbox_hears_only_ones_own(
    feeds: Feeds, streams: Client, nats_client: Client, program: Connect
) -> None:
    await prepared(feeds, streams, nats_client)
    async with program(VOLTS) as volt, program(WATTS) as watt:
        mine = await volt.client.subscribe(f"_INBOX.{VOLTS.id}.>")
        await _taken(volt)
        assert await watt.pulled(3) == documents(feeds, WATT)
        assert mine.pending_msgs == 0


async def test_what_a_partner_may_send_is_small(program: Connect) -> None:
    """A pull is; whatever is larger ends the connection."""
    async with program(VOLTS) as volt:
        pull = f"$JS.API.CONSUMER.MSG.NEXT.{VOLT}.{VOLTS.id}"
        await volt.client.publish(pull, bytes(5000))
        await until(lambda: not volt.client.is_connected)


async def test_what_a_connection_listens_to_is_limited(program: Connect) -> None:
    """F32: each subject costs the server memory, which it needs for all."""
    async with program(VOLTS) as volt, program(VOLTS) as another:
        for number in range(256):
            await another.client.subscribe(f"_INBOX.{VOLTS.id}.{number}")
            await volt.client.subscribe(f"_INBOX.{VOLTS.id}.{number}")
        await _taken(another)
        await _taken(volt)
        assert volt.errors == another.errors == []
        await volt.client.subscribe(f"_INBOX.{VOLTS.id}.more")
        await until(lambda: "maximum subscriptions exceeded" in str(volt.client.last_error))


async def _taken(program: Program) -> None:
    """Return once the server has what was sent: the first flush may pass what is yet to be."""
    await program.client.flush()
    await program.client.flush()


async def _refused(program: Program, how: str) -> None:
    await _taken(program)
    await until(lambda: program.errors)
    assert how in program.errors.pop()
    assert program.errors == []
