"""The view in a file: whole, the same in everything, and never more than the streams said."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chargekey_common.keyed_ids import KeyedId
from chargekey_common.positions import Position
from chargekey_common.published import identity
from chargekey_common.published.envelope import PublishedEvent
from chargekey_common.testing.waiting import until
from chargekey_gateway import snapshots
from chargekey_gateway.snapshots import Place, Snapshot, Snapshots
from chargekey_gateway.view import saved
from chargekey_gateway.view.saved import SavedView
from chargekey_gateway.view.view import View

from .test_decision_model import CODES, IDENTIFICATIONS, SITES, USERS
from .test_past import DAY, HOUR, NOW, histories, inputs_at, inputs_then
from .test_view import ACCESS, IDENTITY, KEY, REVOKE, fill, message

OTHER_KEY = "ab" * 16
PLACES = {"ACCESS": Place(7, "then"), "IDENTITY": Place(9, None)}


def places(view: View) -> dict[str, Place]:
    """Return how far a view is as a reading tells it."""
    told = map(Position.parse, view.positions)
    return {each.service.upper(): Place(each.number, each.generation) for each in told}


def again(view: View) -> View:
    """Return a view that was read from what this one was written to."""
    written = msgspec.msgpack.encode(view.saved())
    read = View(lambda: NOW)
    read.restore(msgspec.msgpack.decode(written, type=SavedView))
    return read


def tell(view: View, log: Sequence[tuple[int, PublishedEvent]]) -> None:
    for at, event in log:
        view.apply(event, at)


def has_lost_codes(view: View) -> bool:
    """Whether it remembers of something a code that is nobody's any more."""
    return any(
        was is not None and was.keyed_id is not None and view.identification(was.keyed_id) is None
        for _, _, was in view.past.cards.rows()
    )


def everything(view: View, *, then: bool) -> list[object]:
    """All that is asked of a view, as plain values; also of who presented what `then`."""
    things = (*USERS, *SITES, *IDENTIFICATIONS, "north", "south")
    chargers = [each for each in SITES if view.charger(each) is not None]
    moments = (NOW, NOW - HOUR, NOW - DAY, NOW - 3 * DAY)
    return [
        view.digest(),
        view.positions,
        view.short_cards,
        len(view.past),
        [view.changes.changed(each) for each in things],
        [view.changes.taken(each) for each in things],
        [view.changes.recoded(each) for each in things],
        [sorted(each.id for each in view.holders(place)) for place in things],
        [[each.id for each in view.departed(place)] for place in things],
        [sorted(view.concerned(each)) for each in USERS],
        [[each.id for each in view.identifications_of(user)] for user in USERS],
        [
            (
                inputs_at(view, charger, code, NOW),
                inputs_then(view, charger, code, at) if then else None,
            )
            for charger, code, at in itertools.product(chargers, CODES, moments)
        ],
        [
            view.looks_after(user, charger, NOW)
            for user in map(view.user, USERS)
            for charger in map(view.charger, SITES)
            if user is not None and charger is not None
        ],
    ]


@settings(max_examples=200, deadline=None)
@given(
    events=histories(),
    more=histories(),
    gaps=st.lists(st.sampled_from((0, 1, HOUR, DAY)), min_size=200, max_size=200),
)
def test_a_view_that_was_written_and_read_again_is_the_same_ever_after(
    events: list[PublishedEvent], more: list[PublishedEvent], gaps: list[int]
) -> None:
    """R23, too: also what it remembers of the last week, but for codes that are gone."""
    times = (NOW - 6 * DAY + sum(gaps[:number]) // 8 for number in itertools.count())
    view = View(lambda: NOW)
    tell(view, list(zip(times, events, strict=False)))
    read = again(view)
    then = not has_lost_codes(view)
    assert everything(read, then=then) == everything(view, then=then)
    rest = list(zip(times, more, strict=False))
    tell(view, rest)
    tell(read, rest)
    assert everything(read, then=then) == everything(view, then=then)
    view.reset("access")
    read.reset("access")
    assert everything(read, then=then) == everything(view, then=then)


def test_what_is_read_again_goes_on_where_it_was(tmp_path: Path) -> None:
    view = View()
    fill(view, [*ACCESS, *IDENTITY[:-1]])  # a key is there, and not what it is of
    snapshots.write(tmp_path / "view", Snapshot(PLACES, view.saved()))
    read = snapshots.read(tmp_path / "view")
    assert read is not None
    assert read.places == PLACES
    assert (tmp_path / "view").stat().st_mode & 0o777 == 0o600
    restored = View()
    restored.restore(read.view)
    rest = [*ACCESS, *IDENTITY, message(REVOKE, 6)]  # the streams from their beginnings
    fill(view, rest)
    fill(restored, rest)
    assert restored.digest() == view.digest()
    assert restored.positions == view.positions


def test_a_file_that_is_not_whole_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "view"
    view = View()
    fill(view, [*ACCESS, *IDENTITY])
    snapshots.write(file, Snapshot(PLACES, view.saved()))
    content = file.read_bytes()
    for place in range(0, len(content), 7):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert snapshots.read(file) is None
        file.write_bytes(content[:place])
        assert snapshots.read(file) is None
    file.write_bytes(content)
    assert snapshots.read(file) is not None


def test_a_file_of_another_version_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots.write(tmp_path / "view", Snapshot(PLACES, View().saved()))
    monkeypatch.setattr(snapshots, "VERSION", saved.VERSION + 1)
    assert snapshots.read(tmp_path / "view") is None
    assert snapshots.read(tmp_path / "none") is None
    assert snapshots.read(tmp_path) is None  # no file at all


async def test_it_is_written_by_a_child_that_holds_nothing_open(tmp_path: Path) -> None:
    view = View()
    fill(view, [*ACCESS, *IDENTITY])
    kept = Snapshots(tmp_path / "view", view, lambda: places(view), interval=0.01)
    os.mkfifo(tmp_path / "view.new")  # where the child waits for a reader
    here, there = os.pipe()
    writing = asyncio.create_task(kept.write())
    await asyncio.sleep(0)  # forked by now
    os.close(there)
    async with asyncio.timeout(20):
        assert await asyncio.to_thread(os.read, here, 1) == b""  # nobody else has it
    os.close(here)
    assert await asyncio.to_thread((tmp_path / "view.new").read_bytes)
    await writing  # which failed: what goes through there stays nowhere
    assert not (tmp_path / "view").exists()


async def test_a_child_writes_what_was_known_when_it_began(tmp_path: Path) -> None:
    view = View()
    fill(view, [*ACCESS, *IDENTITY])
    kept = Snapshots(tmp_path / "view", view, lambda: places(view), interval=0.01)
    writing = asyncio.create_task(kept.write())
    await asyncio.sleep(0)  # forked by now
    then = view.digest()
    fill(view, [message(REVOKE, 6)])
    await writing
    read = snapshots.read(tmp_path / "view")
    assert read is not None
    restored = View()
    restored.restore(read.view)
    assert restored.digest() == then != view.digest()
    await kept.write()
    assert snapshots.read(tmp_path / "view") != read


async def test_a_child_ends_with_whoever_waits_for_it(tmp_path: Path) -> None:
    view = View()
    fill(view, ACCESS)
    kept = Snapshots(tmp_path / "view", view, lambda: places(view), interval=0.01)
    os.mkfifo(tmp_path / "view.new")
    before = {*psutil.Process().children()}
    writing = asyncio.create_task(kept.write())
    await asyncio.sleep(0)  # forked by now, and there for ever
    [child] = {*psutil.Process().children()} - before
    writing.cancel()
    await asyncio.wait({writing})
    assert writing.cancelled()
    await until(lambda: not child.is_running())


async def test_what_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    view = View()
    kept = Snapshots(tmp_path / "view", view, lambda: places(view), interval=0.01)
    await kept.write()  # nothing is known
    assert not (tmp_path / "view").exists()
    fill(view, ACCESS)
    await kept.write()
    first = (tmp_path / "view").stat().st_ino
    await kept.write()
    assert (tmp_path / "view").stat().st_ino == first
    view.reset("access")  # and told again from its beginning, of which this is not all
    fill(view, [message(REVOKE, 6)])
    await kept.write()
    assert (tmp_path / "view").stat().st_ino == first
    view.mended()
    await kept.write()
    assert (tmp_path / "view").stat().st_ino != first


def test_at_the_end_it_is_written_without_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is told to end has not the time of a child that lets everybody else go first."""
    monkeypatch.setattr(os, "fork", None)
    view = View()
    kept = Snapshots(tmp_path / "view", view, lambda: places(view), interval=0.01)
    kept.write_at_the_end()  # nothing is known
    assert not (tmp_path / "view").exists()
    fill(view, [*ACCESS, *IDENTITY])
    kept.write_at_the_end()
    read = snapshots.read(tmp_path / "view")
    assert read is not None
    restored = View()
    restored.restore(read.view)
    assert restored.digest() == view.digest()
    written = (tmp_path / "view").read_bytes()
    (tmp_path / "view.new").mkdir()  # nothing can be written
    fill(view, [message(REVOKE, 6)])
    kept.write_at_the_end()
    assert (tmp_path / "view").read_bytes() == written


@pytest.mark.parametrize(
    "forgets",
    [
        identity.UserErased(user_id="user"),
        identity.IdentificationRemoved(identification_id="pin", user_id="user"),
        identity.IdentificationCodeChanged(identification_id="pin", user_id="user"),
    ],
)
async def test_what_is_to_be_forgotten_is_kept_in_no_file(
    forgets: PublishedEvent, tmp_path: Path
) -> None:
    """R20: not until the next one is written, and not by a child that does so meanwhile."""
    file = tmp_path / "view"
    view = View()
    fill(view, [*ACCESS, *IDENTITY])
    kept = Snapshots(file, view, lambda: places(view), interval=0.01)
    await kept.write()
    assert file.exists()
    writing = asyncio.create_task(kept.write())  # nothing new
    await writing
    view.handle(message(forgets, 7))
    assert not file.exists()
    fill(view, [message(REVOKE, 6)])
    writing = asyncio.create_task(kept.write())
    await asyncio.sleep(0)  # forked by now
    view.handle(message(forgets, 8))
    await writing
    assert not file.exists()
    await kept.write()
    assert file.exists()


@pytest.mark.parametrize(
    "gone",
    [
        (identity.IdentificationRemoved(identification_id="pin", user_id="user"),),
        (
            identity.IdentificationKey(identification_id="pin", keyed_id=OTHER_KEY),
            identity.IdentificationCodeChanged(identification_id="pin", user_id="user"),
        ),
    ],
    ids=["removed", "changed"],
)
def test_a_code_that_is_gone_is_remembered_in_memory_alone(
    gone: Sequence[PublishedEvent], tmp_path: Path
) -> None:
    """R20, R23: also that of somebody who is not erased, whom nobody may know by it."""
    view = View(lambda: NOW)
    fill(view, [*ACCESS, *IDENTITY])
    tell(view, [(NOW - HOUR, event) for event in gone])
    assert view.past.cards.by(KeyedId(bytes.fromhex(KEY))) == ["pin"]
    snapshots.write(tmp_path / "view", Snapshot(PLACES, view.saved()))
    assert bytes.fromhex(KEY) not in (tmp_path / "view").read_bytes()
    read = again(view)
    assert read.past.cards.by(KeyedId(bytes.fromhex(KEY))) == []
    assert len(read.past) == len(view.past)


async def test_what_only_counts_on_is_written_when_it_is_much_and_at_the_end(
    tmp_path: Path,
) -> None:
    """Every meter's reading moves the sessions' stream, and the view stays what it is."""
    view = View()
    fill(view, ACCESS)
    place = Place(1, "then")
    kept = Snapshots(tmp_path / "view", view, lambda: {**places(view), "SESSIONS": place}, 0.01)
    await kept.write()
    first = (tmp_path / "view").stat().st_ino
    place = Place(snapshots._READ_SOON, "then")  # noqa: SLF001
    await kept.write()
    assert (tmp_path / "view").stat().st_ino == first
    kept.write_at_the_end()
    read = snapshots.read(tmp_path / "view")
    assert read is not None
    assert read.places["SESSIONS"] == place
    place = Place(snapshots._READ_SOON + 1, "then")  # noqa: SLF001
    await kept.write()
    read = snapshots.read(tmp_path / "view")
    assert read is not None
    assert read.places["SESSIONS"] == place


def test_what_is_left_of_one_that_was_killed_as_it_wrote_is_removed(tmp_path: Path) -> None:
    """R20: nobody would have it forget anybody."""
    (tmp_path / "view.new").write_bytes(b"half of it")
    Snapshots(tmp_path / "view", View(), dict, interval=0.01)
    assert not (tmp_path / "view.new").exists()


async def test_a_full_disk_leaves_the_file_there_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = View()
    fill(view, ACCESS)
    kept = Snapshots(tmp_path / "view", view, lambda: places(view), interval=0.01)
    await kept.write()
    before = (tmp_path / "view").read_bytes()
    fill(view, IDENTITY)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("chargekey_common.whole_files.write", full)
    await kept.write()
    assert (tmp_path / "view").read_bytes() == before
    monkeypatch.undo()
    await kept.write()
    assert (tmp_path / "view").read_bytes() != before
