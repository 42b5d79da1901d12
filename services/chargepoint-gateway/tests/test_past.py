"""What the view remembers of the last week, held against views that know no more than that."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nats.aio.client import Client

from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.follower import Message
from chargekey_common.positions import Position
from chargekey_common.published import access, identity
from chargekey_common.published.envelope import Attributes, PublishedEvent, headers
from chargekey_common.published.sessions import Inputs
from chargekey_gateway.application import gateway as application
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.decision import Decision, decide, decided
from chargekey_gateway.inputs import gather
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.view import past
from chargekey_gateway.view.past import KEPT
from chargekey_gateway.view.view import View

from .test_decision_model import (
    BEGINNING,
    CODES,
    IDENTIFICATIONS,
    KEYED_IDS,
    SECRET,
    SITES,
    STRANGE,
    about_people,
    about_permissions,
    about_sites,
    added,
    as_sent,
    granted,
    key,
    placed,
    possible,
    revoked,
    working,
)

NOW = 1_800_000_000_000_000_000
HOUR = 3600 * 10**9
DAY = 24 * HOUR
At = tuple[int, PublishedEvent]


def by_time(log: Sequence[At]) -> Sequence[At]:
    return log


def access_first(log: Sequence[At]) -> Sequence[At]:
    return sorted(log, key=lambda each: each[1].stream != "access")


def identity_first(log: Sequence[At]) -> Sequence[At]:
    return sorted(log, key=lambda each: each[1].stream != "identity")


def told(log: Sequence[At], now: int = NOW, *, lived: bool = False) -> View:
    """Return a view of these events: one that has lived through them, or is just begun."""
    clock = [now]
    view = View(lambda: clock[0])
    for at, event in log:
        clock[0] = at if lived else now
        view.apply(event, at)
    clock[0] = now
    return view


def inputs_at(view: View, charger_id: str, token: str, at: int) -> Inputs | None:
    """What is known by a view of who presents that there, as of `at`."""
    charger = view.charger(charger_id)
    if charger is None:
        return None
    presented = Lookup(view, KEYED_IDS)(charger, token)
    return gather(charger, presented, at=at, positions=())


def inputs_then(view: View, charger_id: str, token: str, at: int) -> Inputs | None:
    """What was known at `at`, as a view that knows more remembers it."""
    charger = view.charger(charger_id)
    assert charger is not None
    then = view.past.then(charger, at)
    if then is None or not then.charger.registered:
        return None
    presented = Lookup(view, KEYED_IDS).then(then, token)
    return gather(then.charger, presented, at=at, positions=())


def accepted(inputs: Inputs | None) -> bool:
    decision = None if inputs is None else decide(inputs)
    return isinstance(decision, Decision) and decision.accepted


def gateway_of(view: View) -> Gateway:
    return Gateway(
        Client(),
        view=view,
        running=RunningSessions(),
        keyed_ids=KEYED_IDS,
        start_keys=StartKeys(SECRET),
        passwords=ChargerPasswords(SECRET),
        unknown=[].append,
        clock=lambda: NOW,
    )


def histories() -> st.SearchStrategy[list[PublishedEvent]]:
    groups = st.builds(
        lambda name, group: identity.IdentificationGroupChanged(
            identification_id=name, user_id=IDENTIFICATIONS[name][0], group_id=group
        ),
        st.sampled_from(sorted(IDENTIFICATIONS)),
        st.sampled_from((None, "family")),
    )
    people = st.one_of(about_people(), about_people(), groups)
    events = st.one_of(
        st.lists(people, max_size=15),
        st.lists(about_permissions(), max_size=15),
        st.lists(about_sites(), max_size=15),
        st.lists(st.one_of(people, about_permissions(), about_sites()), max_size=25),
    )
    return st.builds(
        lambda first, rest: placed(possible([*first, *rest])),
        st.one_of(working(), working(), st.just(BEGINNING)),
        events,
    )


@settings(max_examples=300, deadline=None)
@given(
    events=histories(),
    gaps=st.lists(st.sampled_from((0, 0, 1, HOUR, DAY)), min_size=80, max_size=80),
    orders=st.lists(
        st.tuples(st.sampled_from((by_time, access_first, identity_first)), st.booleans()),
        min_size=2,
        max_size=2,
    ),
    starts=st.lists(
        st.tuples(
            st.sampled_from(sorted(SITES)),
            st.sampled_from(CODES) | st.sampled_from(CODES) | st.sampled_from(STRANGE),
            # Mostly just before the last few: there is most to remember.
            st.integers(min_value=1, max_value=16) | st.integers(min_value=1, max_value=80),
            st.sampled_from((-1, -1, 0, 1, HOUR)),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_whoever_was_let_in_then_or_would_be_now_is_let_in(
    events: list[PublishedEvent],
    gaps: list[int],
    orders: list[tuple[Callable[[Sequence[At]], Sequence[At]], bool]],
    starts: list[tuple[str, str, int, int]],
) -> None:
    """R23: by whichever replica, however its two streams met, begun just now or long ago."""
    ago = list(itertools.accumulate(reversed(gaps[: len(events)])))[::-1]
    log = [(NOW - each, event) for each, event in zip(ago, events, strict=True)]
    replicas = [told(order(log), lived=lived and order is by_time) for order, lived in orders]
    gateways = [gateway_of(view) for view in replicas]
    times = [at for at, _ in log]
    for charger_id, code, number, beside in starts:
        at = min(max(times[-min(number, len(times))] + beside, NOW - KEPT), NOW)
        before = [(when, event) for when, event in log if when <= at]
        token = as_sent([event for _, event in before], charger_id, code)
        then = inputs_at(told(before), charger_id, token, at)
        for view, gateway in zip(replicas, gateways, strict=True):
            assert inputs_then(view, charger_id, token, at) == then
            charger = view.charger(charger_id)
            assert charger is not None
            deciding = gateway.deciding
            presented = deciding.expected(charger, Lookup(view, KEYED_IDS)(charger, token), at, NOW)
            now = deciding.inputs(charger, presented, at)
            let_in = deciding.let_in_then(charger, token, now)
            if code.startswith("APP:"):  # nobody asked for a remote start
                assert let_in is None or let_in.inputs.identification_id is None
            elif now.managed_externally:
                assert let_in is None
            else:
                assert (let_in is not None) == accepted(then)
            if let_in is None:
                continue
            decision = decided(let_in.inputs)
            assert decision.accepted
            # What a charger keeps of the answer it may go by again only where that is still so.
            same = let_in.inputs.identification_id == now.identification_id
            if accepted(now) and same:
                assert then is not None
                assert decision.valid_until == decided(then).valid_until
            else:
                assert decision.valid_until == at


WORKING: list[PublishedEvent] = [
    *BEGINNING,
    key("ada-pin", "#1111"),
    added("ada-pin", "ACTIVE", None),
    key("ada-card", "04A1B2C3D4E5F6"),
    added("ada-card", "ACTIVE", None),
    granted("ada", None, "north"),
]
REMOVED = identity.IdentificationRemoved(identification_id="ada-pin", user_id="ada")
NEW_CODE = identity.IdentificationCodeChanged(identification_id="ada-pin", user_id="ada")
ERASED = identity.UserErased(user_id="ada")


def replica(*since: At) -> View:
    """One that knew a working system two weeks ago, and what has happened since."""
    return told([*((NOW - 2 * KEPT, event) for event in WORKING), *since])


@pytest.mark.parametrize(
    "loss",
    [
        [REMOVED],
        [key("ada-pin", "#2222"), NEW_CODE],
        [
            identity.IdentificationStatusChanged(
                identification_id="ada-pin", user_id="ada", status="BLOCKED"
            )
        ],
        [identity.UserBlocked(user_id="ada")],
        [access.UserBlockedAtInstallation(installation_id="north", user_id="ada")],
        [revoked("ada", None, "north")],
        [
            access.IdentificationTypesSet(
                charger_id="near", installation_id="north", identification_types=("RFID",)
            )
        ],
        [
            access.ChargerMoved(
                charger_id="near", installation_id="south", from_installation_id="north"
            )
        ],
    ],
    ids=lambda loss: type(loss[-1]).__name__,
)
def test_what_was_lost_counts_until_it_was_and_never_again(loss: list[PublishedEvent]) -> None:
    lost_at = NOW - HOUR
    view = replica(*((lost_at, event) for event in loss))
    assert accepted(inputs_then(view, "near", "#1111", lost_at - 1))
    assert not accepted(inputs_then(view, "near", "#1111", lost_at))
    assert not accepted(inputs_at(view, "near", "#1111", lost_at - 1))


MOVED = access.ChargerMoved(
    charger_id="near", installation_id="south", from_installation_id="north"
)
LEFT = access.PartnerMemberRemoved(partner_id="fleet", user_id="ada")


@pytest.mark.parametrize(
    ("holder", "charger_id", "loss"),
    [
        ("ada", "near", MOVED),
        ("ada", "near", revoked("ada", "near", "north")),
        ("ada", "near", access.UserForgotten(user_id="ada")),
        ("fleet", "near", MOVED),
        ("fleet", "near", revoked("fleet", "near", "north")),
        ("fleet", "near", LEFT),
        ("fleet", None, revoked("fleet", None, "north")),
        ("fleet", None, granted("fleet", None, "north", roles=("SERVICE",))),
        ("fleet", None, LEFT),
    ],
)
def test_a_permission_that_was_lost_counts_until_it_was(
    holder: str, charger_id: str | None, loss: PublishedEvent
) -> None:
    """R8, R11: whether his own or a partner's, taken from him, from it, or with the charger."""
    given_at, lost_at = NOW - DAY, NOW - HOUR
    view = replica(
        (NOW - 2 * KEPT, revoked("ada", None, "north")),
        (NOW - 2 * KEPT, access.PartnerMemberAdded(partner_id="fleet", user_id="ada")),
        (given_at, granted(holder, charger_id, "north")),
        (lost_at, loss),
    )
    for at, counts in ((given_at - 1, False), (given_at, True), (lost_at - 1, True), (NOW, False)):
        assert accepted(inputs_then(view, "near", "#1111", at)) == counts


CARD = "04A1B2C3D4E5F6"
CONNECTED = access.OperatorConnected(
    installation_id="north", partner_id="volt", overrides_allowed=True
)
OPENED = access.AuthorisationOverrideSet(
    charger_id="near", installation_id="north", authorisation_override="NOT_REQUIRED"
)
EXTERNAL = access.AuthenticationTypeSet(installation_id="north", authentication_type="EXTERNAL")


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (
            [],
            access.AuthorisationRequiredSet(installation_id="north", authorisation_required=False),
        ),
        (
            [],
            access.InstallationCreated(
                installation_id="north", name="", time_zone="UTC", authorisation_required=False
            ),
        ),
        ([], EXTERNAL),
        ([], OPENED),
        ([CONNECTED, OPENED], access.OverridesAllowedSet(installation_id="north")),
        ([OPENED], msgspec.structs.replace(CONNECTED, overrides_allowed=False)),
        (
            [msgspec.structs.replace(CONNECTED, overrides_allowed=False), OPENED],
            access.OperatorDisconnected(installation_id="north", partner_id="volt"),
        ),
        (
            [],
            access.ReaderQuirksSet(charger_id="near", installation_id="north", reversed=True),
        ),
        (
            [access.UserBlockedAtInstallation(installation_id="north", user_id="ada")],
            access.UserUnblockedAtInstallation(installation_id="north", user_id="ada"),
        ),
        ([], identity.LocalUserAdded(user_id="ada", installation_id="north", blocked=True)),
        ([], identity.PendingUserAdded(user_id="ada")),
        ([identity.PendingUserAdded(user_id="ada")], identity.EmailVerified(user_id="ada")),
        ([identity.UserBlocked(user_id="ada")], identity.UserUnblocked(user_id="ada")),
        (
            [],
            identity.IdentificationGroupChanged(
                identification_id="ada-card", user_id="ada", group_id="family"
            ),
        ),
        (
            [],
            identity.IdentificationExpiryChanged(
                identification_id="ada-card", user_id="ada", valid_until=NOW - DAY
            ),
        ),
    ],
    ids=lambda told: type(told).__name__,
)
def test_whatever_a_decision_is_made_from_is_remembered(
    before: list[PublishedEvent], event: PublishedEvent
) -> None:
    known = [(NOW - 2 * KEPT, each) for each in before]
    view = replica(*known, (NOW - HOUR, event))
    was = inputs_at(replica(*known), "near", CARD, NOW - HOUR - 1)
    assert inputs_then(view, "near", CARD, NOW - HOUR - 1) == was
    assert inputs_at(view, "near", CARD, NOW - HOUR - 1) != was


def test_a_code_that_is_anothers_by_now_was_its_owners_then() -> None:
    view = replica(
        (NOW - HOUR, REMOVED),
        (
            NOW - HOUR,
            identity.IdentificationKey(
                identification_id="new", keyed_id=key("ada-pin", "#1111").keyed_id
            ),
        ),
        (
            NOW - HOUR,
            identity.IdentificationAdded(
                identification_id="new", user_id="bob", type="PIN", status="ACTIVE"
            ),
        ),
        (NOW - HOUR, granted("bob", None, "north")),
    )
    then = inputs_then(view, "near", "#1111", NOW - 2 * HOUR)
    now = inputs_at(view, "near", "#1111", NOW)
    assert then is not None
    assert now is not None
    assert (then.user_id, now.user_id) == ("ada", "bob")
    charger = view.charger("near")
    assert charger is not None
    at = inputs_at(view, "near", "#1111", NOW - 2 * HOUR)
    assert at is not None
    let_in = gateway_of(view).deciding.let_in_then(charger, "#1111", at)
    assert let_in is not None
    # It is the other's to go by: the charger must not keep that it was Ada's.
    assert (let_in.inputs.user_id, let_in.inputs.withdrawn) == ("ada", True)


def test_the_past_does_not_start_here_as_somebody_who_did_not_ask_for_it() -> None:
    """An app's code is worth something together with a remote start alone."""
    app = "APP:ABCDEFGHIJKLMNOP"
    view = replica(
        (NOW - 2 * KEPT, key("ada-app", app)),
        (NOW - 2 * KEPT, added("ada-app", "ACTIVE", None)),
        (NOW - HOUR, identity.UserBlocked(user_id="ada")),
    )
    charger, now = view.charger("near"), inputs_at(view, "near", app, NOW - 2 * HOUR)
    assert charger is not None
    assert now is not None
    assert accepted(inputs_then(view, "near", app, NOW - 2 * HOUR))
    assert gateway_of(view).deciding.let_in_then(charger, app, now) is None


@pytest.mark.parametrize("events", list(itertools.permutations([REMOVED, ERASED])))
def test_who_was_erased_was_never_there(events: Sequence[PublishedEvent]) -> None:
    """R20: in whatever order identity tells of it, and though codes changed before."""
    before = (identity.UserBlocked(user_id="ada"), identity.UserUnblocked(user_id="ada"))
    codes = (key("ada-pin", "#2222"), NEW_CODE)
    view = replica(
        *((NOW - 2 * HOUR, event) for event in (*before, *codes)),
        *((NOW - HOUR, event) for event in events),
    )
    for code in ("#1111", "#2222", "04A1B2C3D4E5F6"):
        for at in (NOW - 3 * HOUR, NOW - HOUR - 1):
            then = inputs_then(view, "near", code, at)
            assert then is not None
            assert then.identification_id is None or not then.user_verified
    assert not view.past.cards.by("ada")


def test_a_replica_that_begins_once_the_code_is_unreadable_does_not_know_whose_it_was() -> None:
    """Design of the keys: identity has erased what was removed from its stream by then."""
    told_later = [event for event in WORKING if event != key("ada-pin", "#1111")]
    view = told([*((NOW - DAY, event) for event in told_later), (NOW - HOUR, REMOVED)])
    then = inputs_then(view, "near", "#1111", NOW - 2 * HOUR)
    assert then is not None
    assert then.identification_id is None


def test_nothing_is_remembered_longer_than_a_week_nor_what_bears_on_nothing() -> None:
    clock = [NOW]
    view = View(lambda: clock[0])
    for event in WORKING:
        view.apply(event, NOW - KEPT)
    assert not len(view.past)
    renamed = identity.UserRenamed(user_id="ada")
    for event in (REMOVED, renamed, access.InstallationRenamed(installation_id="north", name="")):
        view.apply(event, NOW)
    assert len(view.past) == 1
    for event in (key("bob-car", "NLTNM01234567X"), added("bob-car", "ACTIVE", None)):
        view.apply(event, NOW)
    assert len(view.past) == 2  # that there was none, once
    clock[0] = NOW + KEPT - 1
    view.past.forget_old()
    assert accepted(inputs_then(view, "near", "#1111", NOW - 1))
    clock[0] = NOW + KEPT
    view.past.forget_old()
    assert not len(view.past)
    assert not view.past.cards.by("ada")
    assert inputs_then(view, "near", "#1111", NOW - 1) == inputs_at(view, "near", "#1111", NOW - 1)


def test_more_than_a_week_holds_is_forgotten_the_oldest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And nothing is taken for what it was then, where that is not remembered."""
    monkeypatch.setattr(past, "MOST", 5)
    blocks = [
        (NOW - HOUR + number, made(user_id="ada"))
        for number, made in enumerate([identity.UserBlocked, identity.UserUnblocked] * 5)
    ]
    for log in (blocks, blocks[::-1]):  # a late one changes nothing of what is kept
        view = replica(*log)
        assert len(view.past) == 5
        charger = view.charger("near")
        assert charger is not None
        assert view.past.then(charger, NOW - HOUR + 3) is None
        assert view.past.then(charger, NOW - HOUR + 4) is not None
    view = replica(*blocks)
    for number in range(4, 10):
        then = inputs_then(view, "near", "#1111", NOW - HOUR + number)
        assert accepted(then) == (number % 2 == 1)


def test_whoever_switches_his_own_to_and_fro_has_nothing_of_others_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does it take longer to look for what was: after so much it counts as it is now."""
    monkeypatch.setattr(past, "MOST", 5)
    monkeypatch.setattr(past, "MOST_OF_ONE", 3)
    switched = [
        (
            NOW - HOUR + number,
            access.AuthorisationRequiredSet(
                installation_id="south", authorisation_required=number % 2 == 1
            ),
        )
        for number in range(20)
    ]
    view = replica((NOW - 2 * HOUR, REMOVED), *switched)
    assert len(view.past) == 4
    assert accepted(inputs_then(view, "near", "#1111", NOW - 3 * HOUR))
    required = []
    for number in (-1, 0, 1, 2, 18):
        then = view.past.installations.at("south", NOW - HOUR + number)
        assert then is not None
        required.append(then.authorisation_required)
    assert required == [True, False, True, True, True]


def test_of_a_service_that_is_heard_again_everything_is_remembered_anew() -> None:
    """Another generation of a store: all of the week comes again, with its own times."""
    since = [(NOW - 2 * HOUR, REMOVED), (NOW - HOUR, revoked("ada", None, "north"))]
    view = replica(*since)
    fresh = replica(*since)
    view.reset("identity")
    assert not view.past.cards.by("ada")
    then = inputs_then(view, "near", "#1111", NOW - 3 * HOUR)
    assert then is not None
    assert then.identification_id is None
    for event in WORKING:
        if event.stream == "identity":
            view.apply(event, NOW - 2 * KEPT)
    view.apply(REMOVED, NOW - 2 * HOUR)
    assert len(view.past) == len(fresh.past)
    for at in (NOW - 3 * HOUR, NOW - 2 * HOUR, NOW - HOUR):
        assert inputs_then(view, "near", "#1111", at) == inputs_then(fresh, "near", "#1111", at)


def test_nothing_of_what_finds_a_card_is_in_its_words() -> None:
    view = replica((NOW - HOUR, REMOVED))
    card = view.past.cards.at("ada-pin", NOW - 2 * HOUR)
    assert card.keyed_id is not None
    assert key("ada-pin", "#1111").keyed_id not in repr(card)
    assert repr(card.keyed_id) not in repr(card)


def test_a_changed_code_is_dated_by_its_message() -> None:
    """The key of a code travels in a message of its own, before the event."""
    view = View(lambda: NOW)
    log: list[At] = [(NOW - 2 * KEPT, event) for event in WORKING]
    log += [(NOW - HOUR, key("ada-pin", "#2222")), (NOW - HOUR, NEW_CODE)]
    for number, (at, event) in enumerate(log, start=1):
        # A private message has the position of the event behind it.
        private = isinstance(event, identity.IdentificationKey)
        position = Position(event.stream, "0000000000000001", number + private)
        about = Attributes(id=f"{number}", at=at, cause="", actor="", position=position)
        told_of = headers(event, about, source=event.stream)
        view.handle(Message(event.subject, number, msgspec.json.encode(event), told_of))
    for code, before, since in (("#1111", True, False), ("#2222", False, True)):
        assert accepted(inputs_then(view, "near", code, NOW - HOUR - 1000)) == before
        assert accepted(inputs_then(view, "near", code, NOW - HOUR)) == since


async def test_a_gateway_forgets_also_while_nothing_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(application, "FORGETTING", 0)
    clock = [NOW]
    view = View(lambda: clock[0])
    for event in WORKING:
        view.apply(event, NOW)
    gateway = gateway_of(view)
    running = asyncio.create_task(gateway.run())
    clock[0] += KEPT
    async with asyncio.timeout(10):
        while len(view.past):
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
