"""Lists worked out bit by bit: the same lists, and the loop is others' meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_common.published import identity
from chargekey_gateway.reconcile import lists, local_list, turns
from chargekey_gateway.reconcile.lists import Lists, Wanted
from chargekey_gateway.reconcile.local_list import Wish
from chargekey_gateway.reconcile.turns import Turns
from chargekey_gateway.view.entries import Identification, Installation

from .conftest import KEYED_IDS, Replica, Site


class Looking:
    """Sees everything, and counts how often it was looked at."""

    def __init__(self) -> None:
        self.looks = 0

    def has(self, _: Installation, __: Identification) -> bool:
        self.looks += 1
        return True


def lists_of(site: Site) -> tuple[Lists, Looking]:
    looking = Looking()
    return Lists(site.view, looking, KEYED_IDS.group_token), looking  # type: ignore[arg-type]


@pytest.fixture
def _in_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at somebody is a turn, and every three are sorted apart."""
    monkeypatch.setattr(turns, "SLICE", -1.0)
    monkeypatch.setattr(lists, "BIT", 1)
    monkeypatch.setattr(lists, "RUN", 3)
    monkeypatch.setattr(local_list, "BIT", 1)


def crowd(number: int = 20) -> Site:
    site = Site("first", "second", "third")
    for each in range(number):
        site.resident(f"user-{each:02}", f"04A1B2{each:02X}")
    site.block("user-19")
    site.grant("user-07", charger="second")
    site.quirks("third", truncated=True)
    return site


def fresh(site: Site, charger: str) -> Wanted:
    return lists_of(site)[0].wanted(site.charger(charger), None, site.at)


@pytest.mark.usefixtures("_in_bits")
@pytest.mark.parametrize("charger", ["first", "second", "third"])
async def test_a_list_worked_out_in_turns_is_the_one_worked_out_at_once(charger: str) -> None:
    site = crowd()
    prepared, looking = lists_of(site)
    here, iterations = site.charger(charger), 0
    task = asyncio.create_task(prepared.prepare(here, None, site.at, Turns()))
    while not task.done():
        await asyncio.sleep(0)
        iterations += 1
    assert iterations > 60  # of each of twenty at the least: who he is, his rank, his share
    looks = looking.looks
    assert prepared.wanted(here, None, site.at) == fresh(site, charger)
    assert next(iter(prepared.wanted(here, None, site.at).entries.values())).refused
    assert looking.looks == looks
    # And it does not wait where nothing is to be done.
    coroutine = prepared.prepare(here, None, site.at, Turns())
    with pytest.raises(StopIteration):
        coroutine.send(None)


@pytest.mark.usefixtures("_in_bits")
@pytest.mark.parametrize("charger", ["first", "second", "third"])
@pytest.mark.parametrize("after", [0, 5, 15, 25, 40, 55, 70, 90])
async def test_what_changes_meanwhile_is_in_the_list(charger: str, after: int) -> None:
    site = crowd()
    prepared, looking = lists_of(site)
    here = site.charger(charger)
    task = asyncio.create_task(prepared.prepare(here, None, site.at, Turns()))
    for _ in range(after):
        await asyncio.sleep(0)
    site.block("user-03")
    prepared.forget_user("user-03", site.view.concerned("user-03"))
    await task
    looks = looking.looks
    coroutine = prepared.prepare(here, None, site.at, Turns())
    with pytest.raises(StopIteration):
        coroutine.send(None)
    assert prepared.wanted(here, None, site.at) == fresh(site, charger)
    assert looking.looks == looks


@pytest.mark.usefixtures("_in_bits")
async def test_chargers_of_one_site_work_out_once_what_they_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sorted_ = []

    def ranked(wishes: Sequence[Wish]) -> Sequence[Wish]:
        sorted_.extend(wishes)
        return rank_them(wishes)

    rank_them = local_list.ranked
    monkeypatch.setattr(local_list, "ranked", ranked)
    site = crowd()
    prepared, looking = lists_of(site)
    site.add_charger("fourth")
    several = [site.charger(each) for each in ("first", "fourth")]
    shared = Turns()
    await asyncio.gather(*(prepared.prepare(each, None, site.at, shared) for each in several))
    assert looking.looks == len(sorted_) == 20


@pytest.mark.usefixtures("_in_bits")
async def test_what_changes_at_its_charger_alone_is_worked_out_in_turns_too() -> None:
    site = crowd()
    prepared, _ = lists_of(site)
    here = site.charger("second")
    task = asyncio.create_task(prepared.prepare(here, None, site.at, Turns()))
    for _ in range(40):
        await asyncio.sleep(0)
    prepared.forget_charger()
    await task
    coroutine = prepared.prepare(here, None, site.at, Turns())
    with pytest.raises(StopIteration):
        coroutine.send(None)


@pytest.mark.usefixtures("_in_bits")
async def test_where_something_changes_all_the_time_it_is_worked_out_all_the_same() -> None:
    site = crowd()
    prepared, _ = lists_of(site)
    task = asyncio.create_task(prepared.prepare(site.charger(), None, site.at, Turns()))
    async with asyncio.timeout(10):
        while not task.done():
            prepared.forget("site")
            await asyncio.sleep(0)
    assert prepared.wanted(site.charger(), None, site.at) == fresh(site, "first")


def test_a_list_that_no_other_charger_has_is_made_anew_when_its_charger_changes() -> None:
    site = crowd()
    replica = Replica(site)
    assert replica.convergence.of(site.charger("second")).wanted.entries
    site.types("PIN", charger="second")
    assert not replica.convergence.of(site.charger("second")).wanted.entries


@given(st.data())
def test_the_first_change_after_a_moment_is_of_whom_the_charger_knows(data: st.DataObject) -> None:
    site = Site("first", "second")
    for number in range(data.draw(st.integers(0, 6))):
        site.resident(f"user-{number}", f"04A1B2C{number}")
        for charger in data.draw(st.sets(st.sampled_from(["first", "second"]))):
            site.grant(f"user-{number}", charger=charger)
        if data.draw(st.booleans()):
            site.revoke(f"user-{number}")
    changed = site.view.changes.changed
    several, _ = lists_of(site)
    for _ in range(3):
        after = data.draw(st.integers(1_000, site.at + 1))
        known = ["first", "site"]
        for target in ("first", "site"):
            known += [each.id for each in site.view.holders(target)]
            known += [each.id for each in site.view.departed(target)]
        later = [changed(each) for each in known if changed(each) > after]
        assert several.first_change(site.charger(), after) == min(later, default=None)
        site.tell(identity.UserBlocked(user_id="user-0"))
        several.forget_user("user-0", site.view.concerned("user-0"))
