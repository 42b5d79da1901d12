"""What a simulated charger knows and a fleet plays, as values."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_stack.simulator import judging, ocpp2, ocpp16, tally
from chargekey_stack.simulator.authorization_cache import AuthorizationCache
from chargekey_stack.simulator.local_list import ListEntry, LocalList, Taken, Update
from chargekey_stack.simulator.population import Kind, Person, Population
from chargekey_stack.simulator.scenarios import MOST_WRONG_PINS, Action, Scenario, Step, plan
from chargekey_stack.simulator.settings import Changed, Meaning, Settings
from chargekey_stack.simulator.tally import Snapshot, Tally, Times
from chargekey_stack.simulator.values import NOTHING, Token, Verdict, read, written

ACCEPTED = Verdict("Accepted")
BLOCKED = Verdict("Blocked")
CAPACITY = 4
MOST_AT_ONCE = 3


def a_list() -> LocalList:
    return LocalList(capacity=CAPACITY, most_at_once=MOST_AT_ONCE)


def entries(**verdicts: Verdict | None) -> tuple[ListEntry, ...]:
    return tuple(ListEntry(Token.of(code), verdict) for code, verdict in verdicts.items())


def full(version: int, **verdicts: Verdict | None) -> Update:
    return Update(version, full=True, entries=entries(**verdicts))


def differential(version: int, **verdicts: Verdict | None) -> Update:
    return Update(version, full=False, entries=entries(**verdicts))


def test_a_full_list_replaces_and_a_differential_changes_adds_and_takes_out() -> None:
    held = a_list()
    assert held.take(full(5, a=ACCEPTED, b=ACCEPTED)) is Taken.ACCEPTED
    assert held.take(differential(6, b=None, c=BLOCKED, a=BLOCKED)) is Taken.ACCEPTED
    assert held.version == 6
    assert held.verdicts == {Token.of("a").key: BLOCKED, Token.of("c").key: BLOCKED}
    # A full one may be of any version: that is how a list is mended.
    assert held.take(full(2, d=ACCEPTED)) is Taken.ACCEPTED
    assert (held.version, list(held.verdicts)) == (2, [Token.of("d").key])
    assert held.take(full(3)) is Taken.ACCEPTED
    assert (held.version, len(held)) == (3, 0)


@pytest.mark.parametrize("version", [1, 5])
def test_a_differential_of_a_version_that_is_not_newer_does_not_match(version: int) -> None:
    held = a_list()
    held.take(full(5, a=ACCEPTED))
    assert held.take(differential(version, b=ACCEPTED)) is Taken.VERSION_MISMATCH
    assert (held.version, list(held.verdicts)) == (5, [Token.of("a").key])


@pytest.mark.parametrize(
    "update",
    [
        full(0, a=ACCEPTED),
        full(-1, a=ACCEPTED),
        full(6, a=None),
        full(6, a=ACCEPTED, A=ACCEPTED),  # case does not tell tokens apart
        full(6, a=ACCEPTED, b=ACCEPTED, c=ACCEPTED, d=ACCEPTED),  # too many at once
        differential(6, b=ACCEPTED, c=ACCEPTED, d=ACCEPTED),  # no room for the last one
    ],
)
def test_what_no_charger_can_take_fails_and_changes_nothing(update: Update) -> None:
    held = a_list()
    held.take(full(4, x=ACCEPTED, y=ACCEPTED))
    before = (held.version, dict(held.verdicts))
    assert held.take(update) is Taken.FAILED
    assert (held.version, held.verdicts) == before


updates = st.builds(
    Update,
    version=st.integers(-1, 9),
    full=st.booleans(),
    entries=st.lists(
        st.builds(
            ListEntry,
            st.builds(Token.of, st.sampled_from("abcdefAB")),
            st.sampled_from([ACCEPTED, BLOCKED, None]),
        ),
        max_size=5,
    ),
)


@given(st.lists(updates, max_size=12))
def test_a_list_is_always_what_the_accepted_updates_make_of_it(given_updates: list[Update]) -> None:
    held = a_list()
    model: dict[tuple[str, str], Verdict] = {}
    version = 0
    for update in given_updates:
        taken = held.take(update)
        if taken is Taken.ACCEPTED:
            assert update.full or update.version > version
            version = update.version
            model = {} if update.full else model
            for each in update.entries:
                model.pop(each.token.key, None)
                if each.verdict is not None:
                    model[each.token.key] = each.verdict
        assert (held.version, held.verdicts) == (version, model)
        assert len(held) <= CAPACITY


def test_tokens_of_two_types_are_two() -> None:
    held = a_list()
    held.take(Update(1, full=True, entries=[ListEntry(Token("12", "Central"), ACCEPTED)]))
    assert held.verdict(Token("12", "ISO14443")) is None


def test_the_cache_keeps_the_newest_and_forgets_the_oldest() -> None:
    cache = AuthorizationCache(2)
    for code in ("a", "b", "A", "c"):
        cache.learn(Token.of(code), ACCEPTED)
    assert list(cache.verdicts) == [Token.of("a").key, Token.of("c").key]
    cache.learn(NOTHING, ACCEPTED)
    cache.learn(Token("a", "Central"), ACCEPTED)
    assert len(cache.verdicts) == 2
    cache.clear()
    assert cache.verdicts == {}


SWITCHES = {
    Meaning.PRE_AUTHORIZE: "LocalPreAuthorize",
    Meaning.AUTHORIZE_OFFLINE: "LocalAuthorizeOffline",
    Meaning.UNKNOWN_OFFLINE: "AllowOfflineTxForUnknownId",
}


def settings(*on: Meaning) -> Settings:
    return Settings(
        {name: "true" if each in on else "false" for each, name in SWITCHES.items()},
        ocpp16.SETTINGS,
    )


def known(code: str, now: int = 0) -> Verdict | None:
    held = a_list()
    held.take(full(1, listed=ACCEPTED, both=BLOCKED, expired=Verdict("Accepted", expires=10)))
    cache = AuthorizationCache(9)
    cache.learn(Token.of("cached"), ACCEPTED)
    cache.learn(Token.of("both"), ACCEPTED)
    return judging.known(Token.of(code), now, settings(), held, cache)


@pytest.mark.parametrize(
    ("code", "now", "status"),
    [
        ("listed", 0, "Accepted"),
        ("LISTED", 0, "Accepted"),
        ("cached", 0, "Accepted"),
        ("both", 0, "Blocked"),  # the list beats the cache
        ("expired", 9, "Accepted"),
        ("expired", 10, "Expired"),
    ],
)
def test_list_and_cache_tell_who_is_known(code: str, now: int, status: str) -> None:
    found = known(code, now)
    assert found is not None
    assert found.status == status


@pytest.mark.parametrize(
    ("verdict", "on", "status"),
    [
        (ACCEPTED, Meaning.AUTHORIZE_OFFLINE, "Accepted"),
        (BLOCKED, Meaning.AUTHORIZE_OFFLINE, "Blocked"),
        (ACCEPTED, Meaning.PRE_AUTHORIZE, "Invalid"),  # not while offline
        (None, Meaning.AUTHORIZE_OFFLINE, "Invalid"),
        (None, Meaning.UNKNOWN_OFFLINE, "Accepted"),
        (BLOCKED, Meaning.UNKNOWN_OFFLINE, "Invalid"),  # known, so not an unknown one
    ],
)
def test_offline_the_settings_say_what_is_enough(
    verdict: Verdict | None, on: Meaning, status: str
) -> None:
    assert judging.offline(settings(on), verdict).status == status


@pytest.mark.parametrize(
    ("verdict", "on", "asked"),
    [
        (ACCEPTED, Meaning.PRE_AUTHORIZE, False),
        (ACCEPTED, Meaning.AUTHORIZE_OFFLINE, True),
        (BLOCKED, Meaning.PRE_AUTHORIZE, True),
        (None, Meaning.PRE_AUTHORIZE, True),
    ],
)
def test_online_only_who_is_accepted_here_is_not_asked_about(
    verdict: Verdict | None, on: Meaning, *, asked: bool
) -> None:
    assert (judging.online(settings(on), verdict) is None) == asked


def test_settings_count_when_they_say_so() -> None:
    kept = Settings({}, ocpp2.SETTINGS)
    assert kept.change("authctrlr.localpreauthorize", "TRUE") is Changed.ACCEPTED
    assert kept.on(Meaning.PRE_AUTHORIZE)
    assert kept.change("AuthCacheCtrlr.Enabled", "false") is Changed.REBOOT_REQUIRED
    assert kept.on(Meaning.CACHE)
    kept.boot()
    assert not kept.on(Meaning.CACHE)
    assert kept.change("OCPPCommCtrlr.HeartbeatInterval", "soon") is Changed.REJECTED
    assert kept.change("LocalAuthListCtrlr.ItemsPerMessage", "1") is Changed.REJECTED
    assert kept.change("Wings", "2") is Changed.UNKNOWN


@pytest.mark.parametrize("at", [0, 1_795_000_000_123_000_000])
def test_instants_are_read_as_they_are_written(at: int) -> None:
    assert read(written(at)) == at


def test_no_code_is_in_a_repr() -> None:
    step = Step(1, 2, Action.PRESENT, "#2468", may=True)
    assert not any("2468" in repr(each) for each in (Token.of("#2468"), step))


# The plan.

SCENARIOS: list[Scenario] = ["morning", "storm", "idle"]


FIRST_MORNING = [
    (0.0, 0, "connect"),
    (0.02, 1, "connect"),
    (5.409, 0, "plug in"),
    (6.239, 0, "present"),
    (13.705, 0, "leave"),
    (33.903, 0, "plug in"),
    (34.103, 0, "present"),
    (40.748, 0, "leave"),
]


def test_the_first_steps_of_a_morning_are_these() -> None:
    steps = plan("morning", chargers=2, duration=60, seed=1)
    assert [(each.at, each.charger, each.action.value) for each in steps] == FIRST_MORNING


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_seed_is_a_plan(scenario: Scenario) -> None:
    def of(seed: int) -> Any:
        return plan(scenario, chargers=30, duration=60, seed=seed)

    assert of(1) == of(1)
    assert (of(1) != of(2)) == (scenario == "morning")


@given(
    st.sampled_from(SCENARIOS),
    st.integers(1, 60),
    st.floats(5, 600),
    st.integers(0, 99),
    st.none() | st.floats(0.1, 10),
)
def test_a_plan_can_be_played(
    scenario: Scenario, chargers: int, duration: float, seed: int, rate: float | None
) -> None:
    steps = plan(scenario, chargers=chargers, duration=duration, seed=seed, rate=rate)
    people = set(Population.of(chargers))
    of_charger: dict[int, list[Action]] = defaultdict(list)
    for step in steps:
        assert 0 <= step.at <= duration
        assert step.person is None or step.person in people
        if step.action is Action.PRESENT:
            assert step.presents
            kinds = (Kind.RESIDENT, Kind.SUSPECT)
            assert step.may == (step.person is not None and step.person.kind in kinds)
        of_charger[step.charger].append(step.action)
    assert set(of_charger) == set(range(chargers))
    for actions in of_charger.values():
        assert actions[0] is Action.CONNECT
        assert actions.count(Action.CONNECT) == 1
        assert actions.count(Action.LOSE_CONNECTION) == actions.count(Action.COME_BACK)
        if Action.PRESENT in actions:
            assert Action.LEAVE in actions[actions.index(Action.PRESENT) :]


def test_nobody_is_at_two_chargers_and_wrong_pins_lock_no_site() -> None:
    steps = plan("morning", chargers=500, duration=60, seed=3, rate=50)
    places: dict[Person, set[int]] = defaultdict(set)
    for step in steps:
        if step.person is not None and step.may:
            places[step.person].add(step.charger)
    assert all(len(chargers) == 1 for chargers in places.values())
    wrong = [step for step in steps if step.presents.startswith("#0")]
    assert 0 < len(wrong) <= MOST_WRONG_PINS
    assert {step.action for step in steps} == set(Action)


def test_all_codes_of_a_fleet_differ() -> None:
    people = list(Population.of(2000))
    codes = [code for each in people for code in (each.card, each.pin) if code]
    assert len(set(codes)) == len(codes)
    assert all(len(each.card) == 14 for each in people)
    assert len({each.name for each in people}) == len(people)


# The summary.


def test_a_tally_counts_and_says_it_on_a_line_in_a_table_and_as_a_document() -> None:
    counted = Tally(3)
    for again in (False, False, True):
        counted.connected(again=again)
    counted.disconnected("why")
    for number in range(1, 101):
        counted.answered("Authorize", number / 1000, "Accepted")
    counted.answered("TransactionEvent", 0.5, "Accepted")
    counted.answered("TransactionEvent", 9, "")  # a meter value, for which nobody waits
    counted.answered("BootNotification", 9, "Accepted")
    counted.failed("connect", "charger_disconnected")
    counted.tapped("Accepted")
    counted.tapped("Blocked", "user_blocked")
    counted.sessions = 1
    counted.broken.append("SIM-0001 did not come back.")
    seen = counted.snapshot(seconds=12.345, charging=1)
    assert seen == Snapshot(
        seconds=12.3,
        chargers=3,
        connected=2,
        charging=1,
        sessions=1,
        reconnects=1,
        taps={"Accepted": 1, "Blocked (user_blocked)": 1},
        times={
            "authorize": Times(100, 50, 95, 99, 100),
            "start": Times(1, 500, 500, 500, 500),
        },
        errors={"connect: charger_disconnected": 1},
        broken=("SIM-0001 did not come back.",),
    )
    assert tally.line(seen) == (
        "  12.3 s, 2 of 3 connected, 1 charging, 1 sessions, 2 taps, authorize p95 95 ms, "
        "start p95 500 ms, 1 reconnects, 1 errors, 1 BROKEN"
    )
    assert [tuple(row.values()) for row in tally.rows(seen)] == [
        ("seconds", "12.3"),
        ("connected", "2 of 3"),
        ("charging", "1"),
        ("sessions", "1"),
        ("reconnects", "1"),
        ("taps: Accepted", "1"),
        ("taps: Blocked (user_blocked)", "1"),
        ("authorize in ms", "p50 50, p95 95, p99 99, longest 100, of 100"),
        ("start in ms", "p50 500, p95 500, p99 500, longest 500, of 1"),
        ("error: connect: charger_disconnected", "1"),
        ("not kept", "1"),
    ]


def test_of_many_broken_promises_some_are_told() -> None:
    assert tally.verdict(["A.", "B."]) == "A. B."
    assert tally.verdict([*"ABCDEFG"]) == "A B C D E And 2 more."


def test_of_nothing_no_time_is_told() -> None:
    assert Times.of([]) == Times(0, 0, 0, 0, 0)
