"""From real streams into feeds: in one order, once, whatever ends or is lost in between."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Sequence
from functools import partial

import msgspec
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Connection, select

from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.nats_server import NatsServer
from chargekey_common.published import access, chargers, identity, sessions
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.testing.waiting import until
from chargekey_notifier.feeds import projecting as module
from chargekey_notifier.feeds.memory import Memory
from chargekey_notifier.feeds.merging import STREAMS
from chargekey_notifier.feeds.projecting import TURN, Projection
from chargekey_notifier.feeds.store import STATE, Feeds, Telling

from .story import (
    BOB,
    HOME,
    NOON,
    SECOND,
    VOLT,
    WATT,
    WORK,
    Story,
    added,
    card,
    created,
    ended,
    given,
    holds,
    left,
    moved,
    names,
    online,
    started,
    status,
    taken,
)
from .streams import Streams, projecting

STORY: Sequence[PublishedEvent] = (
    created(),
    created(WORK),
    added(),
    card(),
    given(),
    online(),
    given(WATT, "SERVICE", site=WORK),
    holds(),
    started(),
    status(word="Charging"),
    card(BOB),
    given(WATT, "OWNER", charger="left"),
    taken(),
    ended(),
    left(),
    taken(WATT, charger="left"),
    moved(),
    online(site=WORK),
    given(),
)


def told(feeds: Feeds, partner: str = VOLT) -> list[str]:
    return [each.event for each in feeds.read(partner, limit=1000)]


def ids(feeds: Feeds) -> list[tuple[str, str]]:
    return [
        (partner, each.id) for partner in (VOLT, WATT) for each in feeds.read(partner, limit=1000)
    ]


def state(feeds: Feeds) -> Memory:
    """Return what is stored beside what was told."""
    memory = Memory()
    with feeds.database.reading() as connection:
        kept = connection.execute(select(STATE.c.kind, STATE.c.value).where(STATE.c.kind != TURN))
        memory.load((kind, value) for kind, value in kept)
    return memory


def rows(memory: Memory) -> list[str]:
    return sorted(
        repr(row) for kind in memory.kinds if kind is not memory.bookmarks for row in kind
    )


def read(feeds: Feeds) -> dict[str, int]:
    """Return how many messages of each stream were read."""
    return {each.id.lower(): each.sequence for each in state(feeds).bookmarks}


def read_of(feeds: Feeds, stream: str) -> int:
    """Return how many messages of the stream were read."""
    return read(feeds)[stream]


def whole(feeds: Feeds) -> bool:
    """Whether what is told is the story."""
    story = Story(*STORY)
    return all(told(feeds, each) == names(story.told, each) for each in (VOLT, WATT))


async def test_what_the_streams_tell_is_told_once_and_in_order(
    feeds: Feeds, streams: Streams, nats_server: NatsServer
) -> None:
    """F1, F3."""
    async with projecting(feeds, nats_server) as projector:
        await until(lambda: projector.caught_up)
        for event in STORY:
            await streams.tell(event)
            # Live the order is that of arrival: of two at once nobody knows it.
            await until(lambda: read(feeds) == streams.numbers)
    assert whole(feeds)
    assert rows(state(feeds)) == rows(Story(*STORY).memory)


async def test_after_an_absence_events_of_all_streams_are_told_in_the_order_of_their_times(
    feeds: Feeds, streams: Streams, nats_server: NatsServer
) -> None:
    """F4: each stream alone would tell its own first."""
    await streams.tell(*STORY)
    async with projecting(feeds, nats_server) as projector:
        await until(lambda: projector.caught_up)
    assert whole(feeds)
    assert [each.number for each in feeds.read(VOLT)] == list(range(1, len(told(feeds)) + 1))


async def test_access_that_ends_by_itself_is_told_in_time(
    file_feeds: Feeds, streams: Streams, nats_server: NatsServer
) -> None:
    """F6."""
    now = [NOON]
    await streams.tell(created(), given(until=NOON + 60 * SECOND))
    async with projecting(file_feeds, nats_server, lambda: now[0]):
        await until(lambda: len(told(file_feeds)) == 4)
        now[0] = NOON + 60 * SECOND
        await until(lambda: told(file_feeds)[-1] == "AccessEnded")


async def test_ended_at_any_step_it_goes_on_where_it_was(
    feeds: Feeds,
    streams: Streams,
    nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F5."""
    monkeypatch.setattr(module, "A_BATCH", 1)
    await streams.tell(*STORY)

    def read_on(count: int) -> bool:
        return sum(read(feeds).values()) > count

    for count in range(0, len(STORY) - 1, 3):
        async with projecting(feeds, nats_server):
            await until(partial(read_on, count))
    async with projecting(feeds, nats_server):
        await until(lambda: whole(feeds))
    assert rows(state(feeds)) == rows(Story(*STORY).memory)


@pytest.mark.parametrize("kept", [True, False])
async def test_a_store_that_fails_loses_and_doubles_nothing(
    feeds: Feeds,
    streams: Streams,
    nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
    kept: bool,
) -> None:
    """F5: nobody knows then whether it was written."""
    monkeypatch.setattr(module, "A_BATCH", 2)
    monkeypatch.setattr(module, "FIRST_DELAY", 0.01)
    telling, times = feeds.telling, itertools.count()

    @contextlib.contextmanager
    def failing() -> Iterator[tuple[Connection, list[Telling]]]:
        fails = next(times) % 2
        with telling() as opened:
            yield opened
            if fails and not kept:
                raise DatabaseUnavailableError
        if fails and kept:
            raise DatabaseUnavailableError

    monkeypatch.setattr(feeds, "telling", failing)
    await streams.tell(*STORY)
    async with projecting(feeds, nats_server):
        await until(lambda: whole(feeds))
    assert rows(state(feeds)) == rows(Story(*STORY).memory)


async def test_a_second_projector_does_no_harm(
    postgres_feeds: Feeds,
    streams: Streams,
    nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F5: a lost leader goes on for some seconds."""
    monkeypatch.setattr(module, "A_BATCH", 1)
    monkeypatch.setattr(module, "FIRST_DELAY", 0.01)
    await streams.tell(*STORY)
    async with projecting(postgres_feeds, nats_server), projecting(postgres_feeds, nats_server):
        await until(lambda: whole(postgres_feeds))
    assert rows(state(postgres_feeds)) == rows(Story(*STORY).memory)


async def test_of_two_that_begin_at_once_one_writes(postgres_feeds: Feeds) -> None:
    """F5: also where nobody has written before."""
    both = [asyncio.to_thread(Projection, postgres_feeds) for _ in range(2)]
    ends = await asyncio.gather(
        *(asyncio.to_thread(each.project, []) for each in await asyncio.gather(*both)),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in ends) == ["SupersededError", "tuple"]


async def test_streams_that_are_lost_and_filled_again_tell_nothing_twice(
    file_feeds: Feeds, streams: Streams, nats_server: NatsServer
) -> None:
    """F5."""
    await streams.tell(*STORY)
    async with projecting(file_feeds, nats_server):
        await until(lambda: whole(file_feeds))
        before = ids(file_feeds)
        for stream in STREAMS:
            await streams.lose(stream)
            await streams.make(stream)
            await streams.tell_again(stream)
        # Behind which all the others are read again, too.
        new = [online(site=WORK), holds("eve"), card("eve"), started("t")] * 4
        await streams.tell(*new)
        await until(lambda: read(file_feeds) == streams.numbers)
    old = set(before)
    assert [each for each in ids(file_feeds) if each in old] == before
    assert len(ids(file_feeds)) == len(before) + len(new)
    assert rows(state(file_feeds)) == rows(Story(*STORY, *new).memory)


async def test_what_was_told_before_takes_nothing_back_while_it_comes_again(
    file_feeds: Feeds, streams: Streams, nats_server: NatsServer
) -> None:
    """F5: who comes halfway through is told of what is so, and not of what was so once."""
    restricted = access.AuthorisationRequiredSet(installation_id=HOME, authorisation_required=True)
    opened = msgspec.structs.replace(restricted, authorisation_required=False)
    await streams.tell(created(), given(), opened, restricted)
    async with projecting(file_feeds, nats_server):
        await until(lambda: read(file_feeds).get("access") == 4)
        before = told(file_feeds)
        await streams.tell_again("ACCESS", most=3)
        await streams.tell(given(WATT))
        await until(lambda: told(file_feeds, WATT))
    documents = [msgspec.json.decode(each.document) for each in file_feeds.read(WATT, limit=1000)]
    (setting,) = [
        each["data"] for each in documents if each["type"].endswith("AuthorisationRequiredSet")
    ]
    assert setting["authorisation_required"] is True
    assert told(file_feeds) == before


async def test_a_stream_that_is_read_again_tells_nobody_of_before_his_time(
    file_feeds: Feeds, streams: Streams, nats_server: NatsServer
) -> None:
    """F5."""
    await streams.tell(created(), added(), online(), started(), ended(), given())
    async with projecting(file_feeds, nats_server):
        await until(lambda: len(told(file_feeds)) == 6)
        await streams.lose("SESSIONS")
        await streams.make("SESSIONS")
        await streams.tell_again("SESSIONS")
        await streams.tell(started("t"))
        await until(lambda: told(file_feeds)[-1] == "SessionStarted")
        await streams.tell_again("SESSIONS")
        await streams.tell(ended("t"))
        await until(lambda: told(file_feeds)[-1] == "SessionEnded")
    assert told(file_feeds)[6:] == ["SessionStarted", "SessionEnded"]


async def test_a_restored_service_is_told_of_by_what_is_otherwise(
    feeds: Feeds,
    streams: Streams,
    nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F5: a backup from before the last events."""
    tick = module.TICK
    # A look while the stream is away would find that not all of it is read.
    monkeypatch.setattr(module, "TICK", 30.0)
    await streams.tell(
        created(), added(), given(), holds(), card(), holds(BOB), given(WATT, "SERVICE"), started()
    )
    backup = [created(), added(), given(VOLT, "OWNER"), holds(BOB)]
    async with projecting(feeds, nats_server) as projector:
        # That a stream is empty nobody tells: it is looked at now and then, and here seldom.
        await until(lambda: told(feeds)[-1:] == ["SessionStarted"], within=80)
        before = told(feeds), told(feeds, WATT)
        await until(lambda: projector.caught_up)
        await streams.lose("ACCESS")
        streams.generations["access"] = "00000000000000b2"
        await streams.make("ACCESS", end=len(backup) + 2)
        await streams.tell(*backup, at=NOON)
        await streams.tell(ended())
        assert projector.caught_up
        monkeypatch.setattr(module, "TICK", tick)
        await streams.tell(added("right"), given("third", "USER"))
        await until(lambda: told(feeds)[-1] == "SessionEnded")
        await streams.tell(status("right"))
        await until(lambda: told(feeds)[-1] == "ConnectorStatusChanged")
    assert told(feeds)[len(before[0]) :] == [
        "AccessChanged",
        "PermissionRevoked",
        "ChargerAdded",
        "SessionEnded",
        "ConnectorStatusChanged",
    ]
    assert told(feeds, WATT)[len(before[1]) :] == ["AccessEnded"]
    assert told(feeds, "third")[0] == "AccessStarted"
    assert told(feeds, "third")[-1] == "ConnectorStatusChanged"
    assert [each.id for each in state(feeds).permissions] == ["bob-home"]


async def test_what_cannot_be_read_stops_nothing(
    file_feeds: Feeds, streams: Streams, nats_server: NatsServer
) -> None:
    """F9."""
    skipped = samples()
    await streams.tell(created(), given())
    subject = "sessions.v1.installation.home."
    good = {"ce-id": "a", "ce-time": "2027-01-15T08:00:10Z"}
    await streams.publish(subject + "SessionStarted", b"{", **good)
    await streams.publish(subject + "SessionEnded", b"{}", **good)
    await streams.publish(subject + "SessionPaused", b"{}", **good)
    await streams.publish("access.v1.installation.home.InstallationCreated", b"{}")
    far = msgspec.structs.replace(given(WATT), valid_until=10**30)
    nul = msgspec.structs.replace(status(), status="\0")
    await streams.tell(far, nul, online())
    async with projecting(file_feeds, nats_server):
        await until(lambda: told(file_feeds)[-1:] == ["ChargerConnected"])
    assert file_feeds.partners() == [VOLT]
    after = samples()
    assert [after[why] - skipped[why] for why in ("unknown", "unreadable")] == [1, 5]


def samples() -> dict[str, float]:
    return {
        why: REGISTRY.get_sample_value("feed_events_skipped_total", {"why": why}) or 0.0
        for why in ("unknown", "unreadable")
    }


def test_every_published_event_is_on_a_subject_that_is_read() -> None:
    """F9: but for what only gateways may read."""
    for event in (*access.EVENTS, *identity.EVENTS, *sessions.EVENTS, *chargers.EVENTS):
        subjects = STREAMS[event.stream.upper()]
        assert any(event.subject_filter().startswith(each[:-1]) for each in subjects)
    for secret in (access.ChargerCredential, identity.IdentificationKey):
        of = f"{secret.stream}.v1.{secret.about[0]}.x"
        assert not any(of.startswith(each[:-1]) for each in STREAMS[secret.stream.upper()])
