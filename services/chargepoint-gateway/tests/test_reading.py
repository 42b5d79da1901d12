"""The streams that the gateway's memory is made from, read from a real nats-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

from chargekey_common.positions import Position
from chargekey_common.process import Lifetime
from chargekey_common.published import access
from chargekey_common.published.envelope import Attributes, PublishedEvent, headers
from chargekey_common.relay import END, GENERATION
from chargekey_common.testing.streams import make_stream
from chargekey_common.testing.waiting import SOON, until
from chargekey_gateway import reading, snapshots
from chargekey_gateway.guessing import MOST_AT_CHARGER
from chargekey_gateway.lockouts import Lockouts, declare_lockouts
from chargekey_gateway.operators.last_known import LastKnown
from chargekey_gateway.reading import Reading
from chargekey_gateway.reconcile.confirmed import Confirmed
from chargekey_gateway.remote_starts import RemoteStarts, declare_remote_starts
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.snapshots import Place, Snapshot
from chargekey_gateway.view.entries import Charger, Installation
from chargekey_gateway.view.view import View
from chargekey_gateway.wiring import reads_on

from .test_kept_sessions import Memory, ended, started

BEFORE, RESTORED = "0000000000000001", "0000000000000002"
SITE = access.InstallationCreated(
    installation_id="site", name="", time_zone="UTC", authorisation_required=False
)
GRANT = access.PermissionGranted(
    installation_id="site", permission_id="permission", user_id="ada", roles=("USER",)
)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WATCH", 0.01)


@pytest.fixture
async def lifetime() -> AsyncIterator[Lifetime]:
    lifetime = Lifetime()
    yield lifetime
    await lifetime.close()


async def declare(client: Client, stream: str, generation: str, end: int) -> None:
    """Declare a service's stream as its relay does, with the end of its store at the start."""
    config = StreamConfig(
        name=stream.upper(),
        subjects=[f"{stream}.v1.>"],
        metadata={GENERATION: generation, END: str(end)},
    )
    await make_stream(client.jetstream(), config)


async def publish(client: Client, event: PublishedEvent, generation: str, number: int) -> None:
    position = Position("access", generation, number)
    about = Attributes(id=f"{number}", at=0, cause="", actor="", position=position)
    told = headers(event, about, source="access")
    await client.jetstream().publish(event.subject, msgspec.json.encode(event), headers=told)


async def test_every_bucket_is_read_that_a_decision_may_need(
    nats_client: Client, lifetime: Lifetime
) -> None:
    """R14, R17: else a PIN that is locked elsewhere works here, and no remote start from there."""
    js = nats_client.jetstream()
    await declare_lockouts(js, replicas=1)
    await declare_remote_starts(js, replicas=1)
    at_work: list[tuple[Lockouts, RemoteStarts]] = []
    for _ in range(2):
        lockouts = Lockouts(nats_client, tell=lambda *_: None, clock=lambda: 1)
        starts = RemoteStarts(nats_client, clock=lambda: 1)
        at_work.append((lockouts, starts))
        answers, confirmed = LastKnown(nats_client, clock=lambda: 1), Confirmed(nats_client)
        Reading(nats_client, View(), RunningSessions(), lockouts, answers, confirmed, starts).begin(
            lifetime
        )
        lifetime.own(lockouts.run(), "lockouts")
        lifetime.own(starts.run(), "remote starts")
    (here, starts_here), (there, starts_there) = at_work
    await starts_here.ask("charger", "app")
    charger = Charger("charger", Installation("site"))
    for at in range(MOST_AT_CHARGER):
        here.failed(charger, at + 1)
    await until(lambda: starts_there.covers("charger", "app", 1))
    await until(lambda: there.locked(charger, MOST_AT_CHARGER))


async def test_a_view_of_a_restored_store_is_whole_again_once_all_of_it_is_read(
    nats_client: Client, lifetime: Lifetime
) -> None:
    """Not before: what is missing meanwhile would look as if it were revoked."""
    for stream in ("access", "identity", "sessions"):
        await declare(nats_client, stream, BEFORE, 0)
    await publish(nats_client, SITE, BEFORE, 1)
    view = View()
    told: list[object] = []
    lockouts = Lockouts(nats_client, tell=lambda *event: told.append(event), clock=lambda: 0)
    answers = LastKnown(nats_client, clock=lambda: 0)
    confirmed = Confirmed(nats_client)
    starts = RemoteStarts(nats_client, clock=lambda: 0)
    reading = Reading(nats_client, view, RunningSessions(), lockouts, answers, confirmed, starts)
    reading.begin(lifetime)
    await until(lambda: view.positions == (f"access:{BEFORE}:1",))
    assert view.whole

    await nats_client.jetstream().delete_stream("ACCESS")
    await declare(nats_client, "access", RESTORED, 2)
    mended: list[bool] = []
    view.on_mended(lambda: mended.append(view.user("ada") is not None))
    await publish(nats_client, SITE, RESTORED, 1)
    await until(lambda: view.positions == (f"access:{RESTORED}:1",))
    assert not view.whole
    await publish(nats_client, GRANT, RESTORED, 2)
    await until(lambda: view.whole)
    assert mended == [True]


async def test_the_gateway_tells_how_far_its_view_is_and_what_it_remembers(
    nats_client: Client, lifetime: Lifetime
) -> None:
    for stream in ("access", "identity", "sessions"):
        await declare(nats_client, stream, BEFORE, 0)
    await declare_lockouts(nats_client.jetstream(), replicas=1)
    view = View()
    reading = Reading(
        nats_client,
        view,
        RunningSessions(),
        Lockouts(nats_client, tell=lambda *_: None, clock=lambda: 0),
        LastKnown(nats_client, clock=lambda: 0),
        Confirmed(nats_client),
        RemoteStarts(nats_client, clock=lambda: 0),
    )
    assert {each.behind for each in await reading.standings()} == {None}
    reading.begin(lifetime)
    await publish(nats_client, SITE, BEFORE, 1)
    await until(lambda: view.positions == (f"access:{BEFORE}:1",))
    async with asyncio.timeout(30):
        while any(each.behind != 0 for each in (await reading.standings())[:4]):
            await asyncio.sleep(SOON)
    told = await reading.standings()
    assert [(each.part, each.stream, each.applied) for each in told[:3]] == [
        ("view", "ACCESS", 1),
        ("view", "IDENTITY", 0),
        ("memory", "SESSIONS", 0),
    ]
    # Buckets that nobody has made hold nothing that could be read.
    assert {each.part for each in told[3:]} == {"memory"}
    assert told[-1].behind is None


def reading_of(
    client: Client,
    view: View,
    places: Mapping[str, Place] | None = None,
    running: RunningSessions | None = None,
) -> Reading:
    return Reading(
        client,
        view,
        RunningSessions() if running is None else running,
        Lockouts(client, tell=lambda *_: None, clock=lambda: 0),
        LastKnown(client, clock=lambda: 0),
        Confirmed(client),
        RemoteStarts(client, clock=lambda: 0),
        places,
    )


def kept_and_read(view: View, reading: Reading, file: Path) -> tuple[View, Mapping[str, Place]]:
    """Write a view to a file, and return the one that it says and how far that is."""
    snapshots.write(file, Snapshot(dict(reading.places), view.saved()))
    snapshot = snapshots.read(file)
    assert snapshot is not None
    again = View()
    again.restore(snapshot.view)
    return again, snapshot.places


async def test_a_view_that_was_kept_is_read_on_from_where_it_was(
    nats_client: Client, lifetime: Lifetime, tmp_path: Path
) -> None:
    for stream in ("access", "identity", "sessions"):
        await declare(nats_client, stream, BEFORE, 0)
    await publish(nats_client, SITE, BEFORE, 1)
    before = View()
    first = reading_of(nats_client, before)
    first.begin(lifetime)
    await until(lambda: before.positions == (f"access:{BEFORE}:1",))
    await until(lambda: first.places["IDENTITY"].made is not None)
    view, places = kept_and_read(before, first, tmp_path / "view")
    # Whoever reads from the beginning finds it no more.
    await nats_client.jetstream().delete_msg("ACCESS", 1)

    reading_of(nats_client, view, places).begin(lifetime)
    await publish(nats_client, GRANT, BEFORE, 2)
    await until(lambda: view.positions == (f"access:{BEFORE}:2",))
    assert view.user("ada") is not None
    assert view.digest() == before.digest()


async def test_sessions_that_were_kept_are_read_on_from_where_they_were(
    nats_client: Client, lifetime: Lifetime, tmp_path: Path
) -> None:
    for stream in ("access", "identity", "sessions"):
        await declare(nats_client, stream, BEFORE, 0)
    js = nats_client.jetstream()
    began = started(1, "first", "card", shortened=False)
    await js.publish(began.subject, msgspec.json.encode(began))
    memory = Memory()
    first = reading_of(nats_client, View(), running=memory.running)
    first.begin(lifetime)
    await until(lambda: memory.running.followed == 1 and first.places["SESSIONS"].sequence == 1)
    kept = Snapshot(dict(first.places), View().saved(), memory.kept())
    snapshots.write(tmp_path / "view", kept)
    await js.delete_msg("SESSIONS", 1)

    snapshot, again = snapshots.read(tmp_path / "view"), Memory()
    assert snapshot is not None
    assert snapshot.told is not None
    again.running.restore(snapshot.told.sessions)
    reading_of(nats_client, View(), snapshot.places, again.running).begin(lifetime)
    assert [each.session_id for each in again.running.of_charger("first")] == ["session-1"]
    over = ended(1)
    await js.publish(over.subject, msgspec.json.encode(over))
    await until(lambda: not again.running.of_charger("first"))


async def test_what_was_kept_of_sessions_counts_where_their_stream_still_has_all_of_it(
    nats_client: Client,
) -> None:
    """Else they may have ended where nobody says so any more, and would hold their locks."""
    js = nats_client.jetstream()
    assert not await reads_on(nats_client, "SESSIONS", Place(0, None))
    await declare(nats_client, "sessions", BEFORE, 0)
    told = started(1, "first", "card", shortened=False)
    await js.publish(told.subject, msgspec.json.encode(told))
    made = str((await js.stream_info("SESSIONS")).created)
    assert await reads_on(nats_client, "SESSIONS", Place(1, made))
    assert not await reads_on(nats_client, "SESSIONS", Place(2, made))  # it lost its tail
    assert not await reads_on(nats_client, "SESSIONS", None)
    await js.delete_stream("SESSIONS")
    await declare(nats_client, "sessions", BEFORE, 0)
    await js.publish(told.subject, msgspec.json.encode(told))
    assert not await reads_on(nats_client, "SESSIONS", Place(1, made))


async def test_what_was_kept_of_a_store_that_was_restored_since_counts_no_more(
    nats_client: Client, lifetime: Lifetime, tmp_path: Path
) -> None:
    for stream in ("access", "identity", "sessions"):
        await declare(nats_client, stream, BEFORE, 0)
    await publish(nats_client, SITE, BEFORE, 1)
    await publish(nats_client, GRANT, BEFORE, 2)
    before = View()
    first = reading_of(nats_client, before)
    first.begin(lifetime)
    await until(lambda: before.positions == (f"access:{BEFORE}:2",))
    view, places = kept_and_read(before, first, tmp_path / "view")
    await nats_client.jetstream().delete_stream("ACCESS")
    await declare(nats_client, "access", RESTORED, 1)
    await publish(nats_client, SITE, RESTORED, 1)

    reading_of(nats_client, view, places).begin(lifetime)
    await until(lambda: view.positions == (f"access:{RESTORED}:1",))
    ada = view.user("ada")
    assert ada is not None
    assert not ada.rights
