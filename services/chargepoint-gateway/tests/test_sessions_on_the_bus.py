"""What SESSIONS has told, kept on the bus: for starts without a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client
from nats.js.api import StreamInfo
from structlog.testing import capture_logs

from chargekey_common.keyed_ids import KeyedIds
from chargekey_common.nats_server import NatsServer
from chargekey_common.testing.streams import make_again
from chargekey_common.testing.waiting import until
from chargekey_gateway import kept_sessions, snapshots, streams
from chargekey_gateway.kept_sessions import KeptSessions, declare_kept_sessions
from chargekey_gateway.reconcile.seen import SavedSeen
from chargekey_gateway.sessions import stream
from chargekey_gateway.sessions.running import (
    Beginning,
    Metered,
    SavedSessions,
    running_session,
)
from chargekey_gateway.snapshots import Place, Snapshot, Snapshots, Told
from chargekey_gateway.view.view import View
from chargekey_gateway.wiring import remembered

from .replicas import CARD, NOW, PIN, SECRET, Replica, Replicas
from .test_kept_sessions import Memory, started

MANY = 10
SEEN_AT = 7
OF_VERSION_1: Sequence[object] = [
    [
        12,
        13,
        [8, "key"],
        [11],
        [
            {
                "transaction_id": 9,
                "session_id": "session-9",
                "charger_id": "first",
                "installation_id": "site",
                "connector": 1,
                "user_id": "user of card",
                "identification_id": "card",
                "group_id": None,
                "started_at": 9,
                "by_permission": True,
                "holds_lock": True,
                "sequence": 9,
                "ocpp_transaction_id": "tx-9",
                "meter_start": 0,
                "meter_unknown": False,
            }
        ],
        {9: {"at": 2, "meter": 3}},
        {9: 4},
        {
            9: {
                "start_key": "key",
                "event": {
                    "installation_id": "site",
                    "charger_id": "first",
                    "session_id": "session-9",
                    "connector": 1,
                    "started_at": 9,
                    "meter_start": 0,
                    "status": "Accepted",
                    "reason": "charger_permission",
                    "inputs": {"at": 9, "identification_id": "card"},
                    "user_id": "user of card",
                    "identification_id": "card",
                    "ocpp_transaction_id": "tx-9",
                },
            }
        },
        {"card": 7},
        {"fob": 5},
    ],
    [{"site": {"card": 9}}, {"site": {"fob": 1}}],
]


@pytest.fixture(autouse=True)
def _soon_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_sessions, "MANY", MANY)
    monkeypatch.setattr(snapshots, "_READ_SOON", 1)
    monkeypatch.setattr(streams, "WATCH", 0.01)


@pytest.fixture
async def bus(nats_client: Client) -> Client:
    js = nats_client.jetstream()
    await stream.declare(js, now=NOW, replicas=1)
    await declare_kept_sessions(js, replicas=1)
    return nats_client


def of(number: int, *, cards: int = 0) -> Told:
    """What one has been told to whom this session was the last; larger with more cards."""
    memory = Memory()
    memory.running.started(number, started(number, "first", "card", shortened=False), "key")
    seen = SavedSeen({"site": {f"card-{card}": card for card in range(cards)}}, {})
    return Told(memory.kept().sessions, seen)


def written(tmp_path: Path, told: Told) -> Path:
    file = tmp_path / f"told-{told.sessions.last_known}"
    file.write_bytes(msgspec.msgpack.encode(told))
    return file


def files(tmp_path: Path) -> list[str]:
    """What there is of a view's file, and beside it."""
    return [each.name for each in tmp_path.glob("view*")]


async def tell(client: Client, messages: int) -> Place:
    """Have so many messages in SESSIONS, and return where that is."""
    for _ in range(messages):
        await client.jetstream().publish("sessions.v1.lock.anybodys", b"free")
    return await here(client)


async def here(client: Client) -> Place:
    info = await client.jetstream().stream_info("SESSIONS")
    return Place(info.state.last_seq, str(info.created))


async def chunks(client: Client) -> int:
    """How many there are of what is kept."""
    return await _held(client) - 1


async def _held(client: Client) -> int:
    return (await client.jetstream().stream_info(kept_sessions.STREAM)).state.messages


# The file beside.


async def test_a_child_writes_what_is_kept_and_its_parent_only_hands_it_on(
    bus: Client, tmp_path: Path
) -> None:
    """Encoding all of it would have taps wait."""
    place, view, asked = await tell(bus, MANY), View(), []

    def told() -> Told:
        asked.append(os.getpid())  # which the parent hears of where it is itself
        return of(place.sequence, cards=20_000)

    kept = Snapshots(
        tmp_path / "view", view, lambda: {"SESSIONS": place}, 0.01, told, KeptSessions(bus)
    )
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await kept.write()
    ticking.cancel()
    assert asked == []
    assert await chunks(bus) > 1
    assert ticks > await chunks(bus)
    assert await KeptSessions(bus).get(None) == (place, of(place.sequence, cards=20_000))
    assert files(tmp_path) == ["view"]


async def test_what_is_left_of_one_that_was_killed_as_it_handed_on_is_removed(
    tmp_path: Path,
) -> None:
    for name in ("view.told", "view.told.new"):
        (tmp_path / name).write_bytes(b"")
    Snapshots(tmp_path / "view", View(), dict, interval=0.01)
    assert not files(tmp_path)


async def test_what_a_child_could_not_write_is_not_kept(bus: Client, tmp_path: Path) -> None:
    place, view = await tell(bus, MANY), View()
    (tmp_path / "view.told.new").mkdir()
    kept = Snapshots(
        tmp_path / "view", view, lambda: {"SESSIONS": place}, 0.01, lambda: of(1), KeptSessions(bus)
    )
    await kept.write()
    assert await _held(bus) == 0


# When it is put there.


async def test_it_is_kept_when_much_has_come_since_it_was(bus: Client, tmp_path: Path) -> None:
    kept = KeptSessions(bus)
    little = await tell(bus, MANY - 1)
    assert not await kept.wants(little)
    await kept.put(written(tmp_path, of(1)), little)
    assert await _held(bus) == 0
    much = await tell(bus, 1)
    assert await kept.wants(much)
    await kept.put(written(tmp_path, of(2)), much)
    assert await kept.get(None) == (much, of(2))
    assert not await kept.wants(await tell(bus, MANY - 1))
    more = await tell(bus, 1)
    assert await kept.wants(more)
    await kept.put(written(tmp_path, of(3)), more)
    assert await kept.get(None) == (more, of(3))
    assert await chunks(bus) == 1  # nothing is left of what was there


async def test_what_is_newer_is_not_replaced_by_what_is_older(bus: Client, tmp_path: Path) -> None:
    kept, older = KeptSessions(bus), await tell(bus, MANY)
    os.mkfifo(tmp_path / "slow")
    slow = asyncio.create_task(kept.put(tmp_path / "slow", older))
    writing = await asyncio.to_thread((tmp_path / "slow").open, "wb")  # it has looked by now
    newer = await tell(bus, MANY)
    await kept.put(written(tmp_path, of(2)), newer)
    with capture_logs() as log, writing:
        writing.write(msgspec.msgpack.encode(of(1)))
        writing.close()
        await slow
    assert [each["event"] for each in log] == ["kept_sessions_by_another"]
    assert await kept.get(None) == (newer, of(2))
    assert await chunks(bus) == 2
    await kept.put(written(tmp_path, of(3)), await tell(bus, MANY))
    assert await chunks(bus) == 1


async def test_of_two_who_put_the_same_one_does(bus: Client, tmp_path: Path) -> None:
    place, file = await tell(bus, MANY), written(tmp_path, of(1, cards=20_000))
    with capture_logs() as log:
        await asyncio.gather(*(KeptSessions(bus).put(file, place) for _ in range(5)))
    events = [each["event"] for each in log]
    assert sorted(events) == [*4 * ["kept_sessions_by_another"], "kept_sessions_put"]
    assert await KeptSessions(bus).get(None) == (place, of(1, cards=20_000))
    content = msgspec.msgpack.encode(of(1, cards=20_000))
    assert await chunks(bus) == -(-len(content) // kept_sessions.CHUNK)


async def test_one_that_was_cut_off_is_in_nobodys_way_for_long(bus: Client, tmp_path: Path) -> None:
    kept, place = KeptSessions(bus), await tell(bus, MANY)
    os.mkfifo(tmp_path / "slow")
    slow = asyncio.create_task(kept.put(tmp_path / "slow", place))
    writing = await asyncio.to_thread((tmp_path / "slow").open, "wb", 0)
    await asyncio.to_thread(writing.write, bytes(kept_sessions.CHUNK))
    async with asyncio.timeout(20):
        while not await _held(bus):
            await asyncio.sleep(0)
    slow.cancel()
    writing.close()
    await asyncio.wait({slow})
    await kept.put(written(tmp_path, of(1)), place)
    assert await kept.get(None) is None
    further = await tell(bus, MANY // 10)
    await kept.put(written(tmp_path, of(2)), further)
    assert await kept.get(None) == (further, of(2))
    assert await chunks(bus) == 1


async def test_natss_own_tools_read_what_is_kept(bus: Client, tmp_path: Path) -> None:
    told = of(1, cards=20_000)
    await KeptSessions(bus).put(written(tmp_path, told), await tell(bus, MANY))
    there = await (await bus.jetstream().object_store(kept_sessions.BUCKET)).get("told")
    assert there.data == msgspec.msgpack.encode(told)


@pytest.mark.parametrize("token", [PIN, CARD])
async def test_nothing_that_somebody_is_known_by_is_in_what_is_kept(
    replicas: Replicas, token: str
) -> None:
    """R20: no code, nor what it is looked up by; only what SESSIONS keeps for good."""
    replica, _ = replicas
    await replica.start(token=token)
    content = msgspec.msgpack.encode(replica.gateway.told)
    assert b"ada" in content
    keyed_id = KeyedIds(SECRET).of_token(token, "site")[1]
    for known_by in (token.encode(), token.strip("#").encode(), keyed_id, keyed_id.hex().encode()):
        assert known_by not in content


# When it counts.


async def test_of_a_file_and_what_is_kept_the_newer_one_counts(bus: Client, tmp_path: Path) -> None:
    kept, before = KeptSessions(bus), await tell(bus, 1)
    place = await tell(bus, 2 * MANY)
    await kept.put(written(tmp_path, of(1)), place)
    old = Snapshot({"SESSIONS": before}, View().saved(), of(2))
    assert await remembered(bus, Replica(bus).gateway, old) == {"SESSIONS": place}
    new = Snapshot({"SESSIONS": await tell(bus, 1)}, View().saved(), of(3))
    await tell(bus, 2 * MANY)
    replica = Replica(bus)
    assert await remembered(bus, replica.gateway, new) == new.places
    assert replica.gateway.told == of(3)


async def test_numbers_of_a_file_of_a_lost_stream_count_beside_what_is_kept(
    bus: Client, tmp_path: Path
) -> None:
    place, replica = await tell(bus, MANY), Replica(bus)
    await KeptSessions(bus).put(written(tmp_path, of(1)), place)
    lost = Snapshot({"SESSIONS": Place(1, "before")}, View().saved(), of(2**31))
    assert await remembered(bus, replica.gateway, lost) == {"SESSIONS": place}
    assert replica.running.of_charger("first")[0].session_id == "session-1"
    assert replica.running.last_known == 2**31


async def test_what_is_soon_read_is_not_asked_for(bus: Client, tmp_path: Path) -> None:
    kept, known = KeptSessions(bus), await tell(bus, 2)
    soon = await tell(bus, MANY - 1)
    await kept.put(written(tmp_path, of(1)), soon)
    assert await kept.get(known) is None
    await tell(bus, MANY)  # of which it says nothing
    assert await kept.get(known) is None
    assert await kept.get(None) == (soon, of(1))


async def test_a_start_does_without_what_nobody_answers_for(
    bus: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before it would have to give up one that moves."""
    place = await tell(bus, MANY)
    await KeptSessions(bus).put(written(tmp_path, of(1)), place)
    monkeypatch.setattr(kept_sessions, "ATTEMPT", 1e-9)
    with capture_logs() as log:
        assert await KeptSessions(bus).get(None) is None
    assert [each["event"] for each in log] == ["kept_sessions_unread", "kept_sessions_unusable"]


async def made_again(client: Client) -> None:
    js = client.jetstream()
    await js.delete_stream("SESSIONS")
    await make_again(lambda: stream.declare(js, now=NOW, replicas=1))
    await tell(client, 3 * MANY)


async def without_a_chunk(client: Client) -> None:
    js = client.jetstream()
    state = (await js.stream_info(kept_sessions.STREAM)).state
    await js.delete_msg(kept_sessions.STREAM, state.first_seq)


async def with_other_chunks(client: Client) -> None:
    js = client.jetstream()
    state = (await js.stream_info(kept_sessions.STREAM)).state
    chunk = await js.get_msg(kept_sessions.STREAM, seq=state.first_seq)
    await js.purge_stream(kept_sessions.STREAM, subject=chunk.subject)
    await js.publish(chunk.subject or "", (chunk.data or b"").replace(b"session-1", b"session-2"))


async def removed_by_hand(client: Client) -> None:
    js = client.jetstream()
    said = msgspec.json.encode({"name": "told", "deleted": True})
    meta = await js.get_last_msg(kept_sessions.STREAM, f"$O.{kept_sessions.BUCKET}.M.>")
    await js.publish(meta.subject or "", said)


async def gone(client: Client) -> None:
    await client.jetstream().delete_stream(kept_sessions.STREAM)


async def without_sessions(client: Client) -> None:
    await client.jetstream().delete_stream("SESSIONS")


@pytest.mark.parametrize(
    "spoil",
    [made_again, without_a_chunk, with_other_chunks, removed_by_hand, gone, without_sessions],
)
async def test_what_does_not_count_is_not_believed(
    spoil: Callable[[Client], Awaitable[None]], bus: Client, tmp_path: Path
) -> None:
    """Else sessions would run, and hold their locks, whose end nobody tells any more."""
    kept = KeptSessions(bus)
    await kept.put(written(tmp_path, of(1)), await tell(bus, MANY))
    assert await kept.get(None) is not None
    await spoil(bus)
    assert await kept.get(None) is None


async def test_what_is_of_another_form_is_not_believed(bus: Client, tmp_path: Path) -> None:
    (tmp_path / "told").write_bytes(msgspec.msgpack.encode("sessions"))
    kept = KeptSessions(bus)
    await kept.put(tmp_path / "told", await tell(bus, MANY))
    assert await chunks(bus) == 1
    assert await kept.get(None) is None


async def test_what_is_of_a_lost_stream_is_not_put(bus: Client, tmp_path: Path) -> None:
    kept, place = KeptSessions(bus), await tell(bus, MANY)
    await made_again(bus)
    assert not await kept.wants(place)
    await kept.put(written(tmp_path, of(1)), place)
    assert await _held(bus) == 0


async def test_what_did_not_count_is_replaced(bus: Client, tmp_path: Path) -> None:
    kept = KeptSessions(bus)
    await kept.put(written(tmp_path, of(1)), await tell(bus, 2 * MANY))
    await made_again(bus)
    place = await here(bus)
    await kept.put(written(tmp_path, of(2)), place)
    assert await kept.get(None) == (place, of(2))


async def test_another_version_is_not_read_and_is_replaced(
    bus: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, place = KeptSessions(bus), await tell(bus, MANY)
    await kept.put(written(tmp_path, of(1)), place)
    monkeypatch.setattr(kept_sessions, "VERSION", kept_sessions.VERSION + 1)
    assert await kept.get(None) is None
    await kept.put(written(tmp_path, of(2)), place)
    assert await kept.get(None) == (place, of(2))
    # The two side by side do not replace each other's by turns.
    monkeypatch.setattr(kept_sessions, "VERSION", kept_sessions.VERSION - 1)
    assert not await kept.wants(place)
    assert await kept.wants(await tell(bus, MANY))


async def test_what_weighs_more_than_what_came_is_left_there(
    bus: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptSessions(bus)
    await kept.put(written(tmp_path, of(1)), await tell(bus, MANY))
    monkeypatch.setattr(kept_sessions, "BYTES_A_MESSAGE", 10)
    size = len(msgspec.msgpack.encode(of(1)))
    assert not await kept.wants(await tell(bus, size // 10 - 1))
    assert await kept.wants(await tell(bus, 1))


def test_what_this_version_has_kept_is_read_by_those_to_come() -> None:
    """Where that cannot be, whoever changes the form counts the version up."""
    session = started(9, "first", "card", shortened=False)
    told = Told(
        SavedSessions(
            followed=12,
            last_known=13,
            mark=(8, "key"),
            ended_ahead=[11],
            running=[running_session(9, session)],
            metered={9: Metered(at=2, meter=3)},
            first_registers={9: 4},
            beginnings={9: Beginning("key", session)},
            held={"card": 7},
            free={"fob": 5},
        ),
        SavedSeen({"site": {"card": 9}}, {"site": {"fob": 1}}),
    )
    assert kept_sessions.VERSION == 1
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(OF_VERSION_1), type=Told) == told


async def test_what_is_replaced_while_it_is_read_is_read_anew(bus: Client, tmp_path: Path) -> None:
    kept = KeptSessions(bus)
    await kept.put(written(tmp_path, of(1)), await tell(bus, MANY))
    newer = await tell(bus, MANY)

    class Slow(KeptSessions):
        looked = 0

        async def _look(self) -> tuple[StreamInfo, int, kept_sessions._Object | None]:
            seen = await super()._look()
            self.looked += 1
            await kept.put(written(tmp_path, of(2)), newer)
            return seen

    slow = Slow(bus)
    assert await slow.get(None) == (newer, of(2))
    assert slow.looked == 2


async def test_nobody_waits_for_good_for_a_bus_that_is_away(
    bus: Client, nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = await tell(bus, MANY)
    await KeptSessions(bus).put(written(tmp_path, of(1)), place)
    nats_server.stop()
    with monkeypatch.context() as hurried, capture_logs() as log:
        hurried.setattr(kept_sessions, "PATIENCE", 2.0)
        hurried.setattr(kept_sessions, "ATTEMPT", 0.05)
        kept = KeptSessions(bus)
        assert await kept.get(None) is None
        assert not await kept.wants(place)
        await kept.put(written(tmp_path, of(2)), place)
    told = [each for each in log if each["event"].startswith("kept")]
    assert [each["event"] for each in told] == [
        "kept_sessions_unread",
        "kept_sessions_unusable",
        "kept_sessions_unknown",
        "kept_sessions_not_put",
    ]
    nats_server.start()
    monkeypatch.setattr(kept_sessions, "PATIENCE", 20.0)
    await until(lambda: bus.is_connected)
    assert await KeptSessions(bus).get(None) == (place, of(1))
