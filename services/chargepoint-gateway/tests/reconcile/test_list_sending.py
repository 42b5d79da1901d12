"""How a list gets to a charger: portion by portion, and not again and again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from chargekey_common.testing.waiting import until
from chargekey_gateway.commands import (
    GetLocalListVersion,
    Outcome,
    RemoteStop,
    Result,
    SendLocalList,
)
from chargekey_gateway.reconcile import list_sending, turns
from chargekey_gateway.reconcile.convergence import Step

from .conftest import ADA, BOB, LONG, SOON, Replica, Site, SomeCodes, StandardCharger

NewReplica = Callable[..., Replica]
NEVER_AGAIN = 10 * LONG


async def a_while() -> None:
    """Let everything happen that waits for nothing."""
    for _ in range(200):
        await asyncio.sleep(0)


def residents(site: Site, number: int) -> list[str]:
    return [site.resident(f"user-{each}", f"04A1B2C{each}") for each in range(number)]


def asked(site: Site) -> Counter[str]:
    """Return how often each code was read."""
    return Counter(each for _, several in site.codes.asked for each in several)


class Complaining(StandardCharger):
    """Has something against every list that it gets, and says so several times."""

    replica: Replica

    def _list(self, command: SendLocalList) -> Result:
        result = super()._list(command)
        for _ in range(5):
            asyncio.get_running_loop().call_soon(self.complain)
        return result

    def complain(self) -> None:
        self.replica.reconciler.list_in_conflict(self.charger)


class Forgetful(StandardCharger):
    """Loses its list and boots, whenever it has got one."""

    replica: Replica

    def _list(self, command: SendLocalList) -> Result:
        result = super()._list(command)
        asyncio.get_running_loop().call_later(SOON, self.boot)
        return result

    def boot(self) -> None:
        self.entries, self.list_version = {}, 0
        self.replica.reconciler.booted(self.charger)


class Renumbering(Forgetful):
    """Boots with a list that nobody has sent."""

    def boot(self) -> None:
        self.list_version += 10
        self.replica.reconciler.booted(self.charger)


class Refusing(Forgetful):
    """Takes no list, and boots."""

    def _list(self, command: SendLocalList) -> Result:
        super()._list(command)
        return Result(outcome=Outcome.REJECTED)


@pytest.mark.parametrize("kind", [Complaining, Forgetful, Renumbering, Refusing])
async def test_a_charger_that_loses_its_list_again_and_again_gets_it_ever_more_rarely(
    new_replica: NewReplica, kind: type[Complaining | Forgetful]
) -> None:
    """O31, R17: each time costs identity all codes in it."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site, losses=(SOON, NEVER_AGAIN))
    charger = kind(site.charger())
    charger.replica = replica
    replica.reconciler.connected(charger)
    # The first one, once more at once, and once more after a moment.
    await until(lambda: len(charger.lists()) == 3)
    await until(lambda: not replica.confirmed.of("first").list_content)
    await asyncio.sleep(10 * SOON)
    replica.reconciler.booted(charger.charger)
    replica.reconciler.disconnected(charger)
    replica.reconciler.connected(charger)
    site.resident("bob", BOB)
    await until(lambda: isinstance(charger.sent[-1], GetLocalListVersion))
    await a_while()
    assert len(charger.lists()) == 3
    assert sum(asked(site).values()) == 3
    assert replica.state().pending == [Step.LOCAL_LIST]


async def test_that_a_list_was_lost_long_ago_is_forgotten(
    new_replica: NewReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_sending, "FORGIVEN", 0.0)
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site, losses=(NEVER_AGAIN,))
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    for number in range(5):
        await replica.settled()
        assert len(charger.lists()) == number + 1
        replica.reconciler.list_in_conflict(charger.charger)


@pytest.mark.parametrize("capacity", range(2, 9))
async def test_that_a_charger_is_full_costs_no_code_twice(
    new_replica: NewReplica, monkeypatch: pytest.MonkeyPatch, capacity: int
) -> None:
    """O30, R17: it keeps what it took, and is asked whether it does."""
    monkeypatch.setattr(list_sending, "CODES_AT_ONCE", 2)
    site = Site()
    residents(site, 9)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    charger.capacity, charger.tells_capacity = capacity, False
    replica.reconciler.connected(charger)
    await replica.settled()
    assert len(charger.entries) == capacity
    assert set(asked(site).values()) == {1}
    assert len(asked(site)) <= capacity + 2
    assert [each.full for each in charger.lists()] == [True] + [False] * (len(charger.lists()) - 1)
    assert replica.state().pending == []
    assert replica.state().list_entries_confirmed == capacity


class Untidy(StandardCharger):
    """Takes another version, and nothing else, of what does not fit."""

    def _list(self, command: SendLocalList) -> Result:
        result = super()._list(command)
        self.list_version = command.version
        return result


async def test_a_full_charger_that_has_something_else_then_gets_the_whole_list_that_fits(
    new_replica: NewReplica,
) -> None:
    """O29, O30."""
    site = Site()
    residents(site, 9)
    replica = new_replica(site)
    charger = Untidy(site.charger())
    charger.capacity, charger.portion, charger.tells_capacity = 5, 2, False
    replica.reconciler.connected(charger)
    await replica.settled()
    assert [each.full for each in charger.lists()].count(True) == 2
    assert len(charger.entries) == 5
    assert replica.state().pending == []


class Distracted(StandardCharger):
    """Refuses its second and its fourth list, for no reason."""

    def _list(self, command: SendLocalList) -> Result:
        if len(self.lists()) in {2, 4}:
            return Result(outcome=Outcome.REJECTED)
        return super()._list(command)


async def test_a_charger_that_does_not_take_one_entry_once_is_not_full(
    new_replica: NewReplica,
) -> None:
    """O30."""
    site = Site()
    residents(site, 5)
    replica = new_replica(site)
    charger = Distracted(site.charger())
    charger.portion = 1
    replica.reconciler.connected(charger)
    await replica.settled()
    assert len(charger.entries) == 5
    assert [each.full for each in charger.lists()].count(True) == 1


async def test_codes_are_read_as_they_are_sent(
    new_replica: NewReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R17: who does not take the beginning costs no more than that."""
    monkeypatch.setattr(list_sending, "CODES_AT_ONCE", 5)
    site = Site()
    residents(site, 9)
    replica = new_replica(site, delays=(NEVER_AGAIN,))
    charger = StandardCharger(site.charger())
    charger.portion = 2
    charger.answers[SendLocalList] = [Outcome.TIMED_OUT]
    replica.reconciler.connected(charger)
    await until(lambda: bool(charger.lists()))
    await a_while()
    # Of what is asked at once, whole portions.
    assert [len(several) for _, several in site.codes.asked] == [4]


class Ending(StandardCharger):
    """Identity is away from when on it has got the first portion."""

    codes: SomeCodes

    def _list(self, command: SendLocalList) -> Result:
        self.codes.away = command.full
        return super()._list(command)


async def test_a_list_goes_on_where_it_was_interrupted(
    new_replica: NewReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_sending, "CODES_AT_ONCE", 2)
    site = Site()
    residents(site, 5)
    replica = new_replica(site)
    charger = Ending(site.charger())
    charger.portion, charger.codes = 2, site.codes
    replica.reconciler.connected(charger)
    await until(lambda: len(site.codes.asked) > 2)
    assert len(charger.entries) == 2
    assert replica.state().pending == [Step.LOCAL_LIST]
    site.codes.away = False
    await replica.settled()
    assert [each.full for each in charger.lists()] == [True, False, False]
    assert len(charger.entries) == 5
    assert replica.state().pending == []


class Leaving(StandardCharger):
    """Loses its connection with the first change of its list."""

    replica: Replica

    def _list(self, command: SendLocalList) -> Result:
        if not command.full:
            asyncio.get_running_loop().call_soon(self.replica.reconciler.disconnected, self)
        return super()._list(command)


async def test_half_of_a_list_is_not_the_one_before(new_replica: NewReplica) -> None:
    """Though that is wanted again, and was confirmed."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = Leaving(site.charger())
    charger.portion, charger.replica = 1, replica
    replica.reconciler.connected(charger)
    await replica.settled()
    digest = replica.confirmed.of("first").list_digest
    keys = residents(site, 3)
    await until(lambda: not replica.reconciler.is_connected("first"))
    assert len(charger.entries) == 2
    for number, key in enumerate(keys):
        site.remove(f"user-{number}", key)
    assert replica.convergence.of(site.charger()).wanted.digest == digest
    assert Step.LOCAL_LIST in replica.state().pending
    replica.reconciler.connected(charger)
    await replica.settled()
    assert charger.statuses() == {ADA: "Accepted"}


async def test_a_code_that_cannot_be_read_any_more_makes_the_whole_list_be_sent_without_it(
    new_replica: NewReplica,
) -> None:
    """O29: identity knows already what is still to be told here."""
    site = Site()
    site.resident("ada", ADA)
    bob = site.resident("bob", BOB)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    del site.readable[bob]
    site.block("bob")
    await replica.settled()
    assert [each.full for each in charger.lists()] == [True, True]
    assert charger.statuses() == {ADA: "Accepted"}


async def test_who_must_stop_waits_for_no_list(
    new_replica: NewReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R12: however many people are at the site."""
    monkeypatch.setattr(turns, "SLICE", -1.0)  # every bit is a turn
    monkeypatch.setattr("chargekey_gateway.reconcile.lists.BIT", 1)
    site = Site()
    for number in range(200):
        site.resident(f"user-{number}", f"04A1{number:04X}")
    site.start(1, "user-7")
    site.block("user-7")
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    iterations = 0
    while not charger.sent:
        await asyncio.sleep(0)
        iterations += 1
    assert isinstance(charger.sent[0], RemoteStop)
    assert iterations < 20
    site.end(1)
    await replica.settled()
    assert len(charger.entries) == 200
