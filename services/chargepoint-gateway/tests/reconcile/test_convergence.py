"""A charger becomes as it should be: whatever happened, whatever it says, whenever it is here."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chargekey_common.follower import Message
from chargekey_common.published import access, identity
from chargekey_common.published.chargers import (
    AuthorizationCacheCleared,
    LocalListConfirmed,
    RebootRequired,
)
from chargekey_common.testing.waiting import until
from chargekey_gateway.commands import (
    ChangeSetting,
    ClearCache,
    Command,
    GetLocalListVersion,
    Outcome,
    ReadSettings,
    RemoteStop,
    Result,
    SendLocalList,
)
from chargekey_gateway.reconcile import local_list
from chargekey_gateway.reconcile.convergence import Step
from chargekey_gateway.reconcile.newcomers import Newcomers

from .conftest import ADA, BOB, LONG, SOON, Replica, Site, StandardCharger

NewReplica = Callable[..., Replica]
WISHED_16 = {
    "LocalPreAuthorize": "false",
    "LocalAuthorizeOffline": "true",
    "AllowOfflineTxForUnknownId": "false",
    "AuthorizeRemoteTxRequests": "false",
    "LocalAuthListEnabled": "true",
    "AuthorizationCacheEnabled": "true",
    "StopTransactionOnInvalidId": "true",
    "MaxEnergyOnInvalidId": "0",
}


def with_error(code: str) -> Result:
    return Result(outcome=Outcome.REFUSED, status=code)


def in_a_word(answer: object) -> str:
    return str(answer.status if isinstance(answer, Result) else answer)


# What a charger says, or does not, without having done anything.
NO_ANSWERS = [
    Outcome.TIMED_OUT,
    Outcome.DISCONNECTED,
    Outcome.TOO_MANY_QUEUED,
    Outcome.MALFORMED,
    with_error("InternalError"),
    with_error("GenericError"),
    with_error("SecurityError"),
]
NO_LISTS: list[Outcome | Result | int] = [
    Outcome.NOT_SUPPORTED,
    with_error("NotImplemented"),
    -1,
]


def wanted(replica: Replica, charger: StandardCharger) -> dict[str, str]:
    """Return the statuses that the charger's list should have, by code as it reads them."""
    site = replica.site
    entries = replica.convergence.of(charger.charger).wanted.entries
    quirks = charger.charger.quirks
    sent = {local_list.as_read(quirks, site.readable[key]): entry for key, entry in entries.items()}
    # Which another card of four bytes makes ambiguous there, the code alone tells.
    return {
        code: entry.status
        for code, entry in sent.items()
        if not site.look_up(charger.charger, code).ambiguous
    }


def assert_converged(replica: Replica, charger: StandardCharger) -> None:
    state = replica.state(charger.charger.id)
    assert state.pending == []
    assert state.pending_since is None
    assert state.list_version_wanted == state.list_version_confirmed == charger.list_version
    assert charger.statuses() == wanted(replica, charger)


async def test_a_charger_that_connects_gets_its_list_and_one_that_has_it_gets_nothing(
    new_replica: NewReplica,
) -> None:
    site = Site()
    site.resident("ada", ADA)
    site.resident("bob", BOB)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    assert charger.statuses() == {ADA: "Accepted", BOB: "Accepted"}
    assert_converged(replica, charger)
    [told] = [each for each in replica.told if isinstance(each, LocalListConfirmed)]
    assert (told.charger_id, told.version, told.entries, told.entries_wanted) == ("first", 1, 2, 2)
    replica.reconciler.disconnected(charger)
    asked = len(site.codes.asked)
    charger.sent.clear()
    replica.reconciler.connected(charger)
    await replica.settled()
    # Unchanged: nothing is fetched, and nothing but the question for its version is sent.
    assert [type(each) for each in charger.sent] == [GetLocalListVersion]
    assert len(site.codes.asked) == asked


async def test_a_block_reaches_the_session_the_cache_and_the_list_in_this_order(
    new_replica: NewReplica,
) -> None:
    """R12: whoever may not charge any more, does not, with or without a connection."""
    site = Site()
    site.resident("ada", ADA)
    site.resident("bob", BOB)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    charger.cache = {ADA}
    replica.reconciler.connected(charger)
    site.start(1, ocpp_transaction_id="of-the-charger")
    await replica.settled()
    charger.sent.clear()
    site.block("ada")
    await asyncio.wait_for(charger.took_something.wait(), LONG)
    site.end(1)
    await replica.settled()
    stop, clear, send = charger.sent
    assert stop == RemoteStop(transaction_id=1, ocpp_transaction_id="of-the-charger")
    assert isinstance(clear, ClearCache)
    assert isinstance(send, SendLocalList)
    assert not send.full
    assert [entry.code for entry in send.entries] == [ADA]
    assert charger.statuses() == {ADA: "Blocked", BOB: "Accepted"}
    assert not charger.cache
    assert_converged(replica, charger)
    assert [type(each) for each in replica.told][-2:] == [
        AuthorizationCacheCleared,
        LocalListConfirmed,
    ]


async def test_what_happened_while_a_charger_was_away_reaches_it_when_it_is_back(
    new_replica: NewReplica,
) -> None:
    site = Site()
    site.resident("ada", ADA)
    bob = site.resident("bob", BOB)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    replica.reconciler.disconnected(charger)
    converged_at = site.at
    site.at += 100
    site.block("ada")
    since = site.at
    site.remove("bob", bob)
    site.start(1)
    state = replica.state()
    assert state.pending == [Step.STOP_SESSION, Step.CLEAR_CACHE, Step.LOCAL_LIST]
    assert (state.pending_since, state.converged_at) == (since, converged_at)
    assert (state.list_version_confirmed, state.list_version_wanted) == (1, 2)
    # Another gateway, which has heard nothing but what is in the bucket.
    other = new_replica(site)
    other.confirmed.put("first", replica.confirmed.of("first"))
    assert other.state() == state
    other.reconciler.connected(charger)
    await asyncio.wait_for(charger.took_something.wait(), LONG)
    site.end(1)
    await other.settled()
    assert charger.statuses() == {ADA: "Blocked"}
    assert_converged(other, charger)


async def test_a_removed_code_cannot_be_named_so_that_the_whole_list_is_sent(
    new_replica: NewReplica,
) -> None:
    """O28, O29."""
    site = Site()
    ada = site.resident("ada", ADA)
    site.resident("bob", BOB)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    site.types("RFID", "APP")  # nobody's, but it has to be looked at
    await replica.settled()
    site.remove("ada", ada)
    await replica.settled()
    assert [each.full for each in charger.lists()] == [True, True]
    assert charger.statuses() == {BOB: "Accepted"}
    assert_converged(replica, charger)


async def test_a_code_that_can_be_read_is_taken_out_alone(new_replica: NewReplica) -> None:
    """O28: an entry without a status deletes."""
    site = Site()
    codes = [f"04A1B2C{number}" for number in range(5)]
    for code in codes:
        site.resident(f"user-{code}", code)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    # A new charger permission elsewhere takes nobody in; a departed one past the last few goes.
    site.policies(offline_pins=True)
    pin = site.add("#2468", f"user-{codes[0]}")
    await replica.settled()
    assert "#2468" in charger.entries
    site.policies(offline_pins=False)
    await replica.settled()
    assert "#2468" not in charger.entries
    last = charger.lists()[-1]
    assert (last.full, [each.code for each in last.removed]) == (False, ["#2468"])
    assert [each.type for each in last.removed] == ["PIN"]
    assert site.codes.asked[-1] == ("first", {pin})
    assert_converged(replica, charger)


async def test_a_list_goes_in_portions_and_only_what_fits(new_replica: NewReplica) -> None:
    """O30: who must be refused comes first."""
    site = Site()
    for number in range(9):
        site.resident(f"user-{number}", f"04A1B2C{number}")
    site.block("user-8")
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    charger.capacity, charger.portion = 5, 2
    replica.reconciler.connected(charger)
    await replica.settled()
    assert [(each.full, each.version) for each in charger.lists()] == [
        (True, 1),
        (False, 2),
        (False, 3),
    ]
    assert charger.statuses()["04A1B2C8"] == "Blocked"
    assert charger.lists()[0].entries[0].code == "04A1B2C8"
    assert_converged(replica, charger)
    state = replica.state()
    assert (state.list_entries_confirmed, state.list_entries_wanted) == (5, 9)
    site.block("user-7")
    await replica.settled()
    assert charger.statuses()["04A1B2C7"] == "Blocked"
    assert_converged(replica, charger)


@pytest.mark.parametrize("says_full", [Outcome.REJECTED, Outcome.REFUSED])
@pytest.mark.parametrize("capacity", range(2, 9))
async def test_a_charger_that_does_not_say_how_much_fits_gets_what_it_takes(
    new_replica: NewReplica, capacity: int, says_full: Outcome
) -> None:
    """O30: as those of OCPP 2.x, which cannot; it is not tried for ever."""
    site = Site()
    for number in range(9):
        site.resident(f"user-{number}", f"04A1B2C{number}")
    site.block("user-8")
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    charger.capacity, charger.portion, charger.tells_capacity = capacity, 2, False
    charger.says_full = says_full
    replica.reconciler.connected(charger)
    await replica.settled()
    assert charger.statuses()["04A1B2C8"] == "Blocked"
    assert len(charger.entries) == capacity
    assert_converged(replica, charger)
    charger.capacity = 9
    replica.reconciler.booted(charger.charger)
    site.block("user-7")
    await replica.settled()
    assert len(charger.entries) == 9
    assert_converged(replica, charger)


class Moody(StandardCharger):
    """Refuses some of the lists it is sent, by their number, for no reason."""

    refuses_lists = frozenset[int]()

    def _list(self, command: SendLocalList) -> Result:
        if len(self.lists()) in self.refuses_lists:
            return Result(outcome=Outcome.REJECTED)
        return super()._list(command)


@pytest.mark.parametrize("refused", [{2}, {1, 2}, {1, 2, 3}])
async def test_a_charger_that_fails_for_another_reason_is_not_taken_for_full(
    new_replica: NewReplica, refused: set[int]
) -> None:
    """O30: once proves nothing, nor does one that takes nothing at all."""
    site = Site()
    for number in range(9):
        site.resident(f"user-{number}", f"04A1B2C{number}")
    replica = new_replica(site)
    charger = Moody(site.charger())
    charger.portion, charger.refuses_lists = 2, frozenset(refused)
    replica.reconciler.connected(charger)
    await replica.settled()
    assert len(charger.entries) == 9
    assert_converged(replica, charger)


async def test_a_change_that_is_refused_after_something_else_failed_does_not_make_it_full(
    new_replica: NewReplica,
) -> None:
    """O30."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    charger.answers[SendLocalList] = [Outcome.TOO_MANY_QUEUED, Outcome.REJECTED]
    site.resident("bob", BOB)
    await replica.settled()
    assert len(charger.entries) == 2
    assert_converged(replica, charger)


@pytest.mark.parametrize(
    "outcome", [Outcome.REJECTED, Outcome.VERSION_MISMATCH, Outcome.REFUSED, Outcome.TIMED_OUT]
)
async def test_after_a_failure_the_whole_list_is_sent(
    new_replica: NewReplica, outcome: Outcome
) -> None:
    """O29."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    charger.answers[SendLocalList] = [outcome]
    site.resident("bob", BOB)
    await replica.settled()
    assert [each.full for each in charger.lists()] == [True, False, True]
    versions = [each.version for each in charger.lists()]
    assert versions == sorted(set(versions))
    assert_converged(replica, charger)


async def test_a_charger_that_has_another_list_is_not_kept_waiting_for_the_whole_one(
    new_replica: NewReplica,
) -> None:
    """O29: only what fails again waits."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site, delays=(10 * LONG,))
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    charger.answers[SendLocalList] = [Outcome.VERSION_MISMATCH]
    site.block("ada")
    await replica.settled()
    assert_converged(replica, charger)


async def test_a_charger_with_another_list_than_it_confirmed_gets_the_whole_one(
    new_replica: NewReplica,
) -> None:
    """O27, O29: it was replaced, or lost its memory."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    for version, entries in ((0, {}), (41, {})):
        charger.list_version, charger.entries = version, dict(entries)
        replica.reconciler.booted(charger.charger)
        await replica.settled()
        assert charger.lists()[-1].full or version == 0
        assert charger.list_version > version
        assert_converged(replica, charger)


async def test_a_charger_that_complains_of_its_list_gets_it_again(new_replica: NewReplica) -> None:
    """O31."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    replica.reconciler.list_in_conflict(charger.charger)
    assert replica.state().pending == [Step.LOCAL_LIST]
    await replica.settled()
    assert [(each.full, each.version) for each in charger.lists()] == [(True, 1), (True, 2)]
    assert_converged(replica, charger)


async def test_who_has_just_connected_is_asked_for_nothing_before_it_has_booted_but_to_stop(
    new_replica: NewReplica,
) -> None:
    """Until its BootNotification is answered a charger may take no calls."""
    site = Site()
    site.resident("ada", ADA)
    site.start(1)
    site.block("ada")
    replica = new_replica(site, greeting=LONG)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await asyncio.wait_for(charger.took_something.wait(), LONG)
    site.end(1)
    for _ in range(20):
        await asyncio.sleep(0)
    assert {type(each) for each in charger.sent} == {RemoteStop}
    replica.reconciler.booted(charger.charger)
    await replica.settled()
    assert_converged(replica, charger)


async def test_who_must_stop_waits_for_no_others_that_come(
    new_replica: NewReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As everybody else does who comes together with many (O10)."""
    monkeypatch.setattr(Newcomers, "came", lambda *_: None)
    site = Site("first", "second")
    site.resident("ada", ADA)
    site.start(1)
    site.block("ada")
    replica = new_replica(site)
    first, second = (StandardCharger(site.charger(each)) for each in ("first", "second"))
    for each in (second, first):
        replica.reconciler.connected(each)
    await asyncio.wait_for(first.took_something.wait(), LONG)
    assert first.of(RemoteStop)
    assert not second.sent


async def test_of_many_that_come_together_each_becomes_as_it_should_be(
    new_replica: NewReplica,
) -> None:
    """Also who has gone and come again meanwhile."""
    names = [f"charger-{number}" for number in range(20)]
    site = Site(*names)
    site.resident("ada", ADA)
    replica = new_replica(site)
    chargers = [StandardCharger(site.charger(each)) for each in names]
    for each in chargers:
        replica.reconciler.connected(each)
        replica.reconciler.booted(each.charger)
    replica.reconciler.disconnected(chargers[-1])
    replica.reconciler.disconnected(chargers[-2])
    replica.reconciler.connected(chargers[-2])
    await until(lambda: all(each.lists() for each in chargers[:-1]))
    await replica.settled()
    assert all(each.statuses() == {ADA: "Accepted"} for each in chargers[:-1])
    assert not chargers[-1].sent


async def test_a_charger_that_speaks_another_version_now_is_set_in_its_words(
    new_replica: NewReplica,
) -> None:
    """O33."""
    site = Site()
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    replica.reconciler.disconnected(charger)
    charger.version = "2.0.1"
    charger.settings = {"AuthCtrlr.Enabled": "false"}
    replica.reconciler.connected(charger)
    await replica.settled()
    assert charger.settings == {"AuthCtrlr.Enabled": "true"}


async def test_a_list_that_was_never_taken_for_want_of_a_connection_is_no_other(
    new_replica: NewReplica,
) -> None:
    """What it says to have is what it was known to have: it gets the difference."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    charger.answers[SendLocalList] = [Outcome.DISCONNECTED]
    site.resident("bob", BOB)
    await replica.settled()
    assert [each.full for each in charger.lists()] == [True, False, False]
    assert_converged(replica, charger)


async def test_what_another_replica_wrote_makes_the_charger_be_asked_again(
    new_replica: NewReplica,
) -> None:
    """Of two that hold its connection, as for a moment they may."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    told = msgspec.structs.replace(replica.confirmed.of("first"), list_version=7)
    data = msgspec.json.encode(told)
    # As if this replica had written what it knows, and the other then.
    replica.confirmed._bucket._unwritten.clear()  # noqa: SLF001 - its writer does not run here
    await replica.confirmed.follow([Message("$KV.CHARGERS_CONFIRMED.first", 1, data, {})])
    await replica.settled()
    assert len(charger.of(GetLocalListVersion)) > 1
    assert charger.lists()[-1].version > 7
    assert_converged(replica, charger)


async def test_a_complaint_while_a_list_is_on_its_way_counts(new_replica: NewReplica) -> None:
    """O31."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    while not charger.lists():
        await asyncio.sleep(0)
    replica.reconciler.list_in_conflict(charger.charger)
    await replica.settled()
    assert [each.full for each in charger.lists()] == [True, True]
    assert_converged(replica, charger)


async def test_a_boot_while_settings_are_read_has_them_read_again(new_replica: NewReplica) -> None:
    """O33: what it was told before may be gone."""
    site = Site()
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    while not charger.of(ReadSettings):
        await asyncio.sleep(0)
    replica.reconciler.booted(charger.charger)
    await replica.settled()
    assert len(charger.of(ReadSettings)) == 2
    assert_converged(replica, charger)


@pytest.mark.parametrize("answer", NO_LISTS, ids=in_a_word)
async def test_a_charger_without_lists_is_converged_without(
    new_replica: NewReplica, answer: Outcome | Result | int
) -> None:
    """O27: -1 is no version, and none is sent."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    if answer == -1:
        charger.list_version = -1
    else:
        charger.answers[GetLocalListVersion] = [answer]
    replica.reconciler.connected(charger)
    await replica.settled()
    state = replica.state()
    assert (state.list_supported, state.pending, charger.lists()) == (False, [], [])
    assert state.converged_at is not None


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=in_a_word)
async def test_a_charger_that_does_not_tell_which_list_it_has_is_asked_again(
    new_replica: NewReplica, answer: Outcome | Result
) -> None:
    """O32: as with its cache, trouble is no answer."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    charger.answers[GetLocalListVersion] = [answer]
    replica.reconciler.connected(charger)
    await replica.settled()
    assert len(charger.of(GetLocalListVersion)) == 2
    assert charger.statuses() == {ADA: "Accepted"}
    assert_converged(replica, charger)


async def test_where_lists_are_switched_off_for_good_none_is_sent(new_replica: NewReplica) -> None:
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    charger.settings = {"LocalAuthListEnabled": "false"}
    charger.refuses = {"LocalAuthListEnabled"}
    replica.reconciler.connected(charger)
    await replica.settled()
    assert (replica.state().list_supported, charger.lists()) == (False, [])
    # Switched on by hand, it has one after its next boot.
    charger.settings = {"LocalAuthListEnabled": "true"}
    replica.reconciler.booted(charger.charger)
    await replica.settled()
    assert replica.state().list_supported
    assert_converged(replica, charger)


async def test_an_open_charger_loses_its_list_and_has_its_cache_for_itself(
    new_replica: NewReplica,
) -> None:
    """O28."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    site.restricted(required=False)
    site.block("ada")
    await replica.settled()
    assert charger.of(ClearCache) == []
    assert charger.entries == {}
    assert charger.lists()[-1].full
    assert_converged(replica, charger)
    site.restricted(required=True)
    await replica.settled()
    assert len(charger.of(ClearCache)) == 1
    assert charger.statuses() == {ADA: "Blocked"}
    assert_converged(replica, charger)


@pytest.mark.parametrize("version", ["1.6", "2.0.1", "2.1"])
@pytest.mark.parametrize(
    "answer",
    [
        Outcome.ACCEPTED,
        Outcome.REJECTED,
        Outcome.NOT_SUPPORTED,
        with_error("NotImplemented"),
        with_error("NotSupported"),
    ],
    ids=in_a_word,
)
async def test_a_cache_that_is_not_there_is_as_good_as_empty(
    new_replica: NewReplica, version: str, answer: Outcome | Result
) -> None:
    """O32."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger(), version)
    charger.answers[ClearCache] = [answer]
    site.revoke("ada")
    replica.reconciler.connected(charger)
    await replica.settled()
    assert len(charger.of(ClearCache)) == 1
    told = [each for each in replica.told if isinstance(each, AuthorizationCacheCleared)]
    assert len(told) == (answer is Outcome.ACCEPTED)
    assert_converged(replica, charger)


@pytest.mark.parametrize("version", ["1.6", "2.0.1", "2.1"])
@pytest.mark.parametrize("answer", NO_ANSWERS, ids=in_a_word)
async def test_a_cache_that_may_still_have_somebody_is_cleared_again(
    new_replica: NewReplica, version: str, answer: Outcome | Result
) -> None:
    """O32: trouble is no answer; who was taken off may be in it."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger(), version)
    replica.reconciler.connected(charger)
    await replica.settled()
    charger.cache = {ADA}
    charger.answers[ClearCache] = [answer]
    site.block("ada")
    await replica.settled()
    assert len(charger.of(ClearCache)) == 2
    assert not charger.cache
    assert len([each for each in replica.told if isinstance(each, AuthorizationCacheCleared)]) == 1
    assert_converged(replica, charger)


async def test_a_cache_that_never_gets_cleared_stays_pending_and_is_tried_ever_more_rarely(
    new_replica: NewReplica,
) -> None:
    """O32, and that its list is another matter."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site, delays=(SOON, LONG))
    charger = StandardCharger(site.charger())
    charger.answers[ClearCache] = [with_error("InternalError")] * 9
    site.block("ada")
    replica.reconciler.connected(charger)
    async with asyncio.timeout(LONG):
        while len(charger.of(ClearCache)) < 2 or charger.statuses() != {ADA: "Blocked"}:
            await asyncio.sleep(0)
    # The second pause is the longer one, whatever else happens at the site.
    site.resident("bob", BOB)
    async with asyncio.timeout(LONG / 2):
        while BOB not in charger.entries or replica.state().pending != [Step.CLEAR_CACHE]:
            await asyncio.sleep(0)
    assert len(charger.of(ClearCache)) == 2
    assert replica.state().pending_since is not None


TAKEN = [
    access.UserBlockedAtInstallation(installation_id="site", user_id="ada"),
    access.PermissionRevoked(installation_id="site", permission_id="ada-None", user_id="ada"),
    access.PermissionChanged(
        installation_id="site", permission_id="ada-None", user_id="ada", roles=("OWNER",)
    ),
    access.IdentificationTypesSet(
        charger_id="first", installation_id="site", identification_types=("PIN",)
    ),
    access.AuthorisationOverrideSet(
        charger_id="first", installation_id="site", authorisation_override="REQUIRED"
    ),
    access.AuthenticationTypeSet(installation_id="site", authentication_type="EXTERNAL"),
    identity.UserBlocked(user_id="ada"),
    identity.UserErased(user_id="ada"),
    identity.IdentificationRemoved(identification_id="ada-04A1B2C3", user_id="ada"),
    identity.IdentificationCodeChanged(identification_id="ada-04A1B2C3", user_id="ada"),
    identity.IdentificationExpiryChanged(
        identification_id="ada-04A1B2C3", user_id="ada", valid_until=5
    ),
    identity.IdentificationStatusChanged(
        identification_id="ada-04A1B2C3", user_id="ada", status="INACTIVE"
    ),
]
NOTHING_TAKEN = [
    access.UserUnblockedAtInstallation(installation_id="site", user_id="ada"),
    access.UserBlockedAtInstallation(installation_id="another", user_id="ada"),
    access.InstallationRenamed(installation_id="site", name="x"),
    identity.UserBlocked(user_id="stranger"),
    identity.IdentificationExpiryChanged(identification_id="ada-04A1B2C3", user_id="ada"),
    identity.IdentificationGroupChanged(
        identification_id="ada-04A1B2C3", user_id="ada", group_id="family"
    ),
]


@pytest.mark.parametrize(
    ("event", "takes"),
    [*((event, True) for event in TAKEN), *((event, False) for event in NOTHING_TAKEN)],
    ids=lambda each: type(each).__name__ if not isinstance(each, bool) else str(each),
)
async def test_a_cache_is_cleared_when_something_was_taken_from_somebody_there(
    new_replica: NewReplica, event: access.PermissionRevoked, *, takes: bool
) -> None:
    """Whatever was accepted before may be remembered."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    site.tell(event)
    await replica.settled()
    assert len(charger.of(ClearCache)) == takes
    # Once.
    site.resident("bob", BOB)
    await replica.settled()
    assert len(charger.of(ClearCache)) == takes


async def test_settings_are_read_and_those_that_differ_changed(new_replica: NewReplica) -> None:
    """O33: what a charger does not have is not set, and what is right is left."""
    site = Site()
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    charger.settings = {**WISHED_16, "LocalPreAuthorize": "TRUE", "MaxEnergyOnInvalidId": "500"}
    charger.settings["AuthorizationCacheEnabled"] = "True"
    del charger.settings["LocalAuthorizeOffline"]
    charger.refuses = {"MaxEnergyOnInvalidId"}
    replica.reconciler.connected(charger)
    await replica.settled()
    assert charger.of(ChangeSetting) == [
        ChangeSetting(name="LocalPreAuthorize", value="false", ours=True),
        ChangeSetting(name="MaxEnergyOnInvalidId", value="0", ours=True),
    ]
    assert replica.state().pending == []
    # Who refuses keeps his own ways: until the wish changes, or he boots.
    site.resident("ada", ADA)
    await replica.settled()
    assert len(charger.of(ReadSettings)) == 1
    site.policies(offline_unknown_ids=True)
    await replica.settled()
    assert charger.settings["AllowOfflineTxForUnknownId"] == "true"
    assert len(charger.of(ReadSettings)) == 2
    replica.reconciler.booted(charger.charger)
    await replica.settled()
    assert len(charger.of(ReadSettings)) == 3
    assert charger.settings["LocalPreAuthorize"] == "false"


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
async def test_an_open_charger_of_2_x_is_told_to_ask_for_nothing(
    new_replica: NewReplica, version: str
) -> None:
    """O41, and again for something when it is restricted."""
    site = Site()
    site.restricted(required=False)
    replica = new_replica(site)
    charger = StandardCharger(site.charger(), version)
    charger.settings = {"AuthCtrlr.Enabled": "true", "AuthCtrlr.LocalPreAuthorize": "true"}
    replica.reconciler.connected(charger)
    await replica.settled()
    assert charger.settings == {
        "AuthCtrlr.Enabled": "false",
        "AuthCtrlr.LocalPreAuthorize": "false",
    }
    site.restricted(required=True)
    await replica.settled()
    assert charger.settings["AuthCtrlr.Enabled"] == "true"


@pytest.mark.parametrize(
    ("version", "setting"),
    [
        ("1.6", "LocalPreAuthorize"),
        ("2.0.1", "AuthCtrlr.LocalPreAuthorize"),
        ("2.1", "AuthCtrlr.LocalPreAuthorize"),
    ],
)
async def test_a_setting_that_counts_after_the_next_boot_is_shown_until_then(
    new_replica: NewReplica, version: str, setting: str
) -> None:
    """O34."""
    site = Site()
    replica = new_replica(site)
    charger = StandardCharger(site.charger(), version)
    charger.settings = {setting: "true"}
    charger.needs_reboot = {setting}
    replica.reconciler.connected(charger)
    await replica.settled()
    assert replica.state().reboot_required
    [told] = [each for each in replica.told if isinstance(each, RebootRequired)]
    assert told.setting == setting
    replica.reconciler.disconnected(charger)
    replica.reconciler.connected(charger)
    await replica.settled()
    assert replica.state().reboot_required
    replica.reconciler.booted(charger.charger)
    await replica.settled()
    assert not replica.state().reboot_required


async def test_without_identity_a_list_waits_and_is_shown_as_pending(
    new_replica: NewReplica,
) -> None:
    site = Site()
    site.resident("ada", ADA)
    site.codes.away = True
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    while len(site.codes.asked) < 5:  # more often than anything is tried that may be given up
        await asyncio.sleep(0)
    state = replica.state()
    assert state.pending == [Step.LOCAL_LIST]
    assert state.pending_since is not None
    assert state.converged_at is None
    site.codes.away = False
    await replica.settled()
    assert_converged(replica, charger)


async def test_many_additions_at_once_are_few_lists(new_replica: NewReplica) -> None:
    """An import of hundreds of people."""
    site = Site()
    replica = new_replica(site, quiet=0.2)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    for number in range(300):
        site.resident(f"user-{number}", f"04A1{number:04X}")
        await asyncio.sleep(0)
    await replica.settled()
    assert len(charger.entries) == 300
    # Of fifty entries each at least, unless a slow machine let some go before.
    assert len(charger.lists()) < 30
    assert_converged(replica, charger)


async def test_a_charger_that_never_answers_starves_no_other(new_replica: NewReplica) -> None:
    site = Site("first", "second")
    site.resident("ada", ADA)
    replica = new_replica(site)
    silent, charger = StandardCharger(site.charger()), StandardCharger(site.charger("second"))
    silent.silent = True
    replica.reconciler.connected(silent)
    replica.reconciler.connected(charger)
    while replica.state("second").pending:
        await asyncio.sleep(0)
    site.block("ada")
    while replica.state("second").pending:
        await asyncio.sleep(0)
    assert charger.statuses() == {ADA: "Blocked"}
    assert len(silent.sent) == 1
    assert replica.state().pending


async def test_a_permission_that_ends_is_taken_out_when_it_does(new_replica: NewReplica) -> None:
    """R10: its entry has said so, and says so after."""
    site = Site()
    site.add(ADA, "ada")
    site.grant("ada", valid_until=site.at + 20_000_000)
    end = site.at + 20_000_000 - 1
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    assert charger.entries[ADA].expires == end
    charger.took_something.clear()
    site.at = end  # twenty milliseconds, which the reconciler waits for
    await asyncio.wait_for(charger.took_something.wait(), LONG)
    await replica.settled()
    assert charger.statuses() == {ADA: "Invalid"}


async def test_a_charger_that_moved_has_the_list_of_its_new_site(new_replica: NewReplica) -> None:
    """R11."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    site.tell(
        access.ChargerMoved(
            charger_id="first", installation_id="other", from_installation_id="site"
        )
    )
    await replica.settled()
    assert charger.entries == {}
    assert len(charger.of(ClearCache)) == 1
    assert_converged(replica, charger)


async def test_another_reader_is_another_list(new_replica: NewReplica) -> None:
    """R15."""
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    site.quirks(reversed=True)
    await replica.settled()
    assert charger.statuses() == {"C3B2A104": "Accepted"}
    assert charger.lists()[-1].full


async def test_another_card_of_four_bytes_makes_a_long_one_ambiguous_at_a_truncating_reader(
    new_replica: NewReplica,
) -> None:
    """R15: and whose it is matters not."""
    site = Site()
    site.resident("ada", "04A1B2C3D4E5F6")
    site.resident("bob", BOB)
    site.quirks(truncated=True)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    assert charger.statuses() == {ADA: "Accepted", BOB: "Accepted"}
    short = site.add(ADA, "stranger")
    await replica.settled()
    assert charger.statuses() == {BOB: "Accepted"}
    assert_converged(replica, charger)
    site.remove("stranger", short)
    await replica.settled()
    assert charger.statuses() == {ADA: "Accepted", BOB: "Accepted"}
    assert_converged(replica, charger)


async def test_while_a_restored_store_is_read_again_nobody_is_taken_off_a_list(
    new_replica: NewReplica,
) -> None:
    site = Site()
    site.resident("ada", ADA)
    replica = new_replica(site)
    charger = StandardCharger(site.charger())
    replica.reconciler.connected(charger)
    await replica.settled()
    site.view.reset("access")
    site.add_charger("first")
    site.restricted(required=True)
    await replica.settled()
    assert len(charger.lists()) == 1
    site.grant("ada")
    site.view.mended()
    await replica.settled()
    assert len(charger.lists()) == 1
    assert_converged(replica, charger)


USERS = ("ada", "bob", "cleo", "dan")
GUESTS = ("cleo", "dan")
CARDS = {user: [f"04A1B{number}{n:02X}" for n in range(2)] for number, user in enumerate(USERS)}


class History:
    """Whatever may happen to a site with two chargers and two gateways, in any order."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.site = Site("first", "second", guests=GUESTS)
        self.removed = Counter[str]()
        self.erased: set[str] = set()
        self.presented: list[str] = []
        self.replicas = [Replica(self.site), Replica(self.site)]
        self.chargers = [StandardCharger(self.site.charger(each)) for each in ("first", "second")]
        self.chargers[1].capacity, self.chargers[1].portion = 3, 2
        self.at: list[Replica | None] = [None, None]

    def connect(self, number: int) -> None:
        charger, replica = self.chargers[number], self.data.draw(st.sampled_from(self.replicas))
        self.disconnect(number)
        self.at[number] = replica
        replica.reconciler.connected(charger)

    def disconnect(self, number: int) -> None:
        charger, replica = self.chargers[number], self.at[number]
        if replica is not None:
            replica.reconciler.disconnected(charger)
            record = replica.confirmed.of(charger.charger.id)
            for other in self.replicas:  # as the bucket does
                other.confirmed.put(charger.charger.id, record)
            self.at[number] = None

    def happen(self) -> None:  # noqa: C901, PLR0912, PLR0915 - one thing of many
        draw, site = self.data.draw, self.site
        user = draw(st.sampled_from(USERS))
        number = draw(st.integers(0, 1))
        charger = draw(st.sampled_from([None, "first", "second"]))
        card = draw(st.sampled_from(CARDS[user]))
        key = f"{card} {self.removed[card]}"  # no id is ever given again
        known = site.view.identification_by_id(key)
        if user in self.erased:  # nor is a user's
            return
        match draw(st.integers(0, 19)):
            case 0 | 1 | 2:
                if known is None:
                    site.add(card, user, key)
            case 3 | 4 | 5:
                ends = draw(st.sampled_from([None, site.at + 3]))
                site.grant(user, charger=charger, valid_until=ends)
            case 6:
                site.revoke(user, charger=charger)
            case 7:
                site.block(user) if draw(st.booleans()) else site.unblock(user)
            case 8:
                if known is not None:
                    site.remove(user, key)
                    self.removed[card] += 1
            case 9:
                types = draw(st.sampled_from([("RFID",), ("PIN",), ("RFID", "PIN")]))
                site.types(*types, charger=draw(st.sampled_from(["first", "second"])))
            case 10:
                site.restricted(required=draw(st.booleans()))
            case 11:
                self.connect(number)
            case 12:
                self.disconnect(number)
            case 13:
                outcomes = [*NO_ANSWERS, Outcome.REJECTED, Outcome.VERSION_MISMATCH]
                kinds: list[type[Command]] = [SendLocalList, GetLocalListVersion, ClearCache]
                kind = draw(st.sampled_from(kinds))
                if kind is GetLocalListVersion:
                    outcomes = NO_ANSWERS
                self.chargers[number].answers[kind] = [draw(st.sampled_from(outcomes))]
            case 14:  # it loses its memory, and says that it has booted
                self.chargers[number].entries, self.chargers[number].list_version = {}, 0
                self.connect(number)
                replica = self.at[number]
                assert replica is not None
                replica.reconciler.booted(self.chargers[number].charger)
            case 15:
                site.quirks("first", reversed=draw(st.booleans()), truncated=draw(st.booleans()))
            case 16:
                if known is not None:
                    self.presented.append(key)
                    site.start(len(self.presented), user, identification_id=key)
                    site.end(len(self.presented))
            case 17:
                self.override(draw(st.sampled_from(["INHERIT", "REQUIRED", "NOT_REQUIRED"])))
            case 18:
                self.erase(user)
            case 19:
                self.move()

    def override(self, override: access.Override) -> None:
        stands = self.site.charger().installation.id
        self.site.tell(
            access.AuthorisationOverrideSet(
                charger_id="first", installation_id=stands, authorisation_override=override
            )
        )

    def erase(self, user: str) -> None:
        self.erased.add(user)
        for known in tuple(self.site.view.identifications_of(user)):
            self.site.remove(user, known.id)
        self.site.tell(identity.UserErased(user_id=user))

    def move(self) -> None:
        stands = self.site.charger().installation.id
        to = "other" if stands == "site" else "site"
        self.site.tell(
            access.ChargerMoved(charger_id="first", installation_id=to, from_installation_id=stands)
        )


async def live(data: st.DataObject) -> None:
    history = History(data)
    try:
        for _ in range(data.draw(st.integers(5, 40))):
            history.happen()
            for _ in range(data.draw(st.integers(0, 6))):
                await asyncio.sleep(0)
        for number in (0, 1):
            history.connect(number)
        for replica in history.replicas:
            await replica.settled()
        history.site.at += 10  # what may end, has
        for number, charger in enumerate(history.chargers):
            replica = history.at[number]
            assert replica is not None
            replica.reconciler.reconcile(charger.charger.id)
            await replica.settled()
            assert_converged(replica, charger)
            listed = replica.convergence.of(charger.charger).wanted.entries.values()
            of_guests = {each.identification_id for each in listed if each.user_id in GUESTS}
            assert of_guests <= {*history.presented}
    finally:
        for replica in history.replicas:
            await replica.reconciler.close()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_happened_in_the_end_every_list_is_as_wanted_and_nothing_is_pending(
    data: st.DataObject,
) -> None:
    """O27, O28, O29, O30: two replicas, offline times, failures, lost memories."""
    asyncio.run(live(data))
