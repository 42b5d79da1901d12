"""What operators are told by OCPI, pushed and pulled, from a feed to their own servers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from chargekey_common.published import feed
from chargekey_common.testing.waiting import until
from chargekey_notifier.ocpi import following, pushing, sessions
from chargekey_notifier.ocpi.following import KEPT
from chargekey_notifier.ocpi.objects import CDR, LOCATION, SESSION
from chargekey_notifier.ocpi.starts import Start, Starts
from chargekey_notifier.ocpi.tables import FOLLOWED
from chargekey_notifier.sealing import Seal

from .cpo import VOLT, WATT, Cpo
from .given import (
    CARD,
    EVSE_1,
    EVSE_2,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    SITE,
    THEIR_TOKEN,
    added,
    begun,
    corrected,
    ended,
    online,
    read,
    refused,
    started,
    state,
    stopped,
)
from .given import (
    SESSION as SESSION_ID,
)
from .operator_server import OperatorServer, Pushed

on_both = pytest.mark.parametrize("cpo", ["sqlite", "postgres"], indirect=True)
ALL = ("locations", "sessions", "cdrs")
OWN = f"/locations/NO/CKY/{SITE}"
SITE_EVENTS = (begun(), added(), online(), state("Available"))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "LOOK", 0.05)
    monkeypatch.setattr(pushing, "FIRST_DELAY", 0.05)
    monkeypatch.setattr(following, "LOOK", 0.05)


async def with_a_charge(cpo: Cpo, operator: OperatorServer) -> str:
    """Let there be one, that is over; return what the operator pulls with."""
    cpo.place()
    token = cpo.connect(operator.registration())
    cpo.tell(*SITE_EVENTS, started(), stopped(3500, at=NOON + HOUR))
    await cpo.catch_up()
    return token


def statuses(pushed: list[Pushed]) -> list[tuple[str, Any]]:
    return [(each.method, each.body["status"]) for each in pushed]


@on_both
async def test_everything_of_a_charge_is_pushed_in_its_order(
    cpo: Cpo, operator: OperatorServer
) -> None:
    """P23, P24, P28."""
    cpo.place()
    cpo.connect(operator.registration(*ALL))
    async with cpo.running():
        cpo.tell(*SITE_EVENTS, state("Available", 2))
        await until(lambda: operator.said("locations"))
        assert (operator.pushed[0].method, operator.pushed[0].path) == ("PUT", OWN)
        await until(lambda: len(operator.said("locations")[-1].body["evses"]) == 2)
        before = len(operator.pushed)
        cpo.tell(state("Charging", 2), started(reference="REF-1", reason="operator_accepted"))
        await until(lambda: len(operator.pushed) == before + 2)
        patch, begin = operator.pushed[before:]
        assert (patch.method, patch.path) == ("PATCH", f"{OWN}/{EVSE_2}")
        assert patch.body["status"] == "CHARGING"
        assert (begin.method, begin.path) == ("PUT", f"/sessions/NO/CKY/{SESSION_ID}")
        assert begin.body["authorization_reference"] == "REF-1"
        cpo.tell(read(2000, at=NOON + 20 * MINUTE))
        await until(lambda: operator.said("sessions")[-1].body["kwh"] == 1)
        cpo.tell(stopped(3500, at=NOON + HOUR))
        await until(lambda: operator.said("cdrs"))
    assert operator.said("sessions")[-1].body["status"] == "COMPLETED"
    (cdr,) = operator.said("cdrs")
    assert (cdr.method, cdr.body["total_energy"]) == ("POST", 2.5)
    assert cdr.body["cdr_location"]["evse_uid"] == EVSE_2


@on_both
async def test_the_cdr_that_is_pushed_names_the_operators_own_token(
    cpo: Cpo, operator: OperatorServer
) -> None:
    """P50, P51: nobody else's, and no other operator's."""
    cpo.place()
    cpo.connect(operator.registration(*ALL))
    cpo.tokens.put(VOLT, THEIR_TOKEN)
    commanded = msgspec.structs.replace(THEIR_TOKEN, uid="a-driver", type="APP_USER")
    kept = cpo.starts.put(VOLT, commanded, None, at=NOON - HOUR)
    named = cpo.starts.put(VOLT, commanded, "REF-1", at=NOON)
    others = cpo.starts.put(WATT, commanded, None, at=NOON)
    known = cpo.tokens.reference(THEIR_TOKEN)
    assert kept is not None
    assert others is not None
    cpo.tell(*SITE_EVENTS)
    async with cpo.running():
        await until(lambda: operator.said("locations"))
        for each in (known, kept, named, others):
            begin = started(reference=each, reason="operator_accepted", by_operator=each != known)
            for event in (begin, stopped(3500, at=NOON + HOUR)):
                cpo.tell(msgspec.structs.replace(event, session_id=f"session {each}"))
        await until(lambda: len(operator.said("cdrs")) == 4)
    told = {
        each.body["session_id"].removeprefix("session "): (
            each.body["cdr_token"]["uid"],
            each.body["auth_method"],
            each.body.get("authorization_reference"),
        )
        for each in operator.said("cdrs")
    }
    assert told == {
        known: ("04A1B2C3", "WHITELIST", None),
        kept: ("a-driver", "COMMAND", None),
        named: ("a-driver", "COMMAND", "REF-1"),
        others: (others, "AUTH_REQUEST", others),
    }
    drivers = {each.body["cdr_token"]["uid"] for each in operator.said("sessions")}
    assert drivers == {"04A1B2C3", "a-driver", others}
    again = msgspec.structs.replace(commanded, uid="another")
    assert cpo.starts.put(VOLT, again, "REF-1", at=NOON + KEPT) is None
    assert cpo.starts.put(VOLT, commanded, "REF-1", at=NOON + KEPT) == "REF-1"
    cpo.starts.forget(NOON + KEPT)
    assert cpo.starts.get(VOLT, kept) is None
    assert cpo.starts.get(VOLT, "REF-1") is not None
    changed = Starts(cpo.database, Seal(b"another secret", b"ocpi starts"))
    assert changed.get(VOLT, "REF-1") is None
    assert changed.put(VOLT, again, "REF-1", at=NOON + KEPT) == "REF-1"
    assert changed.get(VOLT, "REF-1") == Start(token=again, named=True)


@on_both
async def test_what_was_taken_is_not_pushed_again_after_a_restart(
    cpo: Cpo, operator: OperatorServer
) -> None:
    """P30."""
    cpo.place()
    cpo.connect(operator.registration(*ALL))
    cpo.tell(*SITE_EVENTS)
    async with cpo.running():
        await until(lambda: operator.said("locations"))
        cpo.tell(started(), stopped(3500, at=NOON + HOUR))
        await until(lambda: operator.said("cdrs"))
        await until(lambda: not cpo.objects.unpushed(VOLT, CDR, limit=1))
    before = len(operator.pushed)
    async with cpo.running():
        cpo.tell(state("Charging"))
        await until(lambda: len(operator.pushed) > before)
    assert [each.path for each in operator.pushed[before:]] == [f"{OWN}/{EVSE_1}"]


async def test_a_dead_operator_delays_nobody_and_gets_everything_in_the_end(
    cpo: Cpo, operator: OperatorServer
) -> None:
    """P31."""
    cpo.place()
    dead = OperatorServer()
    async with dead.serving():
        dead.alive.clear()
        cpo.connect(dead.registration(*ALL), WATT)
        cpo.connect(operator.registration(*ALL))
        async with cpo.running():
            for partner_id in (WATT, VOLT):
                cpo.tell(
                    *SITE_EVENTS,
                    started(),
                    stopped(3500, at=NOON + HOUR),
                    partner_id=partner_id,
                )
            await until(lambda: operator.said("cdrs"))
            assert not dead.pushed
            dead.alive.set()
            await until(lambda: dead.said("cdrs"))


@pytest.mark.parametrize(
    "answer", [(500, 3000), (503, 1000), (429, 2000), (401, 2000), (403, 2000), (200, 3000)]
)
async def test_what_an_operator_cannot_take_now_is_tried_again(
    cpo: Cpo, operator: OperatorServer, answer: tuple[int, int]
) -> None:
    """P31."""
    cpo.place()
    cpo.connect(operator.registration(*ALL))
    operator.answers["PUT"] = [answer]
    cpo.tell(*SITE_EVENTS)
    async with cpo.running():
        await until(lambda: len(operator.said("locations")) > 1)
    first, second = operator.said("locations")[:2]
    assert (first.path, first.body) == (second.path, second.body)


@pytest.mark.parametrize("answer", [(400, 2001), (200, 2001), (404, 2003)])
async def test_what_an_operator_refuses_for_good_holds_up_nothing(
    cpo: Cpo, operator: OperatorServer, answer: tuple[int, int]
) -> None:
    """P32."""
    cpo.place()
    cpo.connect(operator.registration(*ALL))
    operator.answers["POST"] = [answer]
    cpo.tell(*SITE_EVENTS)
    async with cpo.running():
        await until(lambda: operator.said("locations"))
        cpo.tell(started(), stopped(3500, at=NOON + HOUR))
        await until(lambda: operator.said("cdrs"))
        cpo.tell(state("Charging"))
        await until(lambda: operator.pushed[-1].path == f"{OWN}/{EVSE_1}")
    assert len(operator.said("cdrs")) == 1
    assert cpo.objects.get(VOLT, CDR, SESSION_ID) is not None


async def test_what_an_operator_cannot_patch_it_is_given_whole(
    cpo: Cpo, operator: OperatorServer
) -> None:
    """P23."""
    cpo.place()
    cpo.connect(operator.registration(*ALL))
    cpo.tell(*SITE_EVENTS)
    await cpo.catch_up()
    async with cpo.running():
        await until(lambda: operator.said("locations"))
        operator.answers["PATCH"] = [(404, 2003)]
        cpo.tell(state("Charging"))
        await until(lambda: len(operator.said("locations")) > 2)
    assert [each.method for each in operator.said("locations")] == ["PUT", "PATCH", "PUT"]
    assert operator.pushed[-1].body["evses"][0]["status"] == "CHARGING"


@on_both
async def test_who_connects_again_is_told_anew_of_what_goes_on_and_of_nothing_that_ended(
    cpo: Cpo, operator: OperatorServer
) -> None:
    """P33: CDRs are bills."""
    cpo.place()
    cpo.tell(*SITE_EVENTS, started(), stopped(3500, at=NOON + HOUR))
    await cpo.catch_up()
    for _ in range(2):
        operator.pushed.clear()
        cpo.connect(operator.registration(*ALL))
        async with cpo.running():
            await until(lambda: operator.said("locations"))
            cpo.tell(state("Charging"), state("Available"))
            cpo.disconnect()
            await until(lambda: not cpo.objects.unpushed(VOLT, SESSION, limit=1))
            await until(lambda: not _pushing(cpo))
        assert operator.pushed[0].method == "PUT"
        assert not operator.said("sessions")
        assert not operator.said("cdrs")


def _pushing(cpo: Cpo) -> bool:
    with cpo.database.reading() as connection:
        return any(row.pushing for row in connection.execute(select(FOLLOWED.c.pushing)))


async def test_operators_that_take_no_pushes_pull_the_same(
    cpo: Cpo, operator: OperatorServer
) -> None:
    """P34."""
    cpo.place()
    token = cpo.connect(operator.registration())
    other = cpo.connect(operator.registration(), WATT)
    cpo.tell(*SITE_EVENTS, started(), stopped(3500, at=NOON + HOUR))
    await cpo.catch_up()
    async with cpo.answering() as puller:
        (location,) = await puller.data("/locations", token)
        assert location["id"] == SITE
        assert await puller.data(f"/locations/{SITE}", token) == location
        evse = location["evses"][0]
        assert await puller.data(f"/locations/{SITE}/{EVSE_1}", token) == evse
        assert await puller.data(f"/locations/{SITE.upper()}/{EVSE_1.upper()}", token) == evse
        connector = await puller.data(f"/locations/{SITE}/{EVSE_1}/1", token)
        assert connector == evse["connectors"][0]
        (session,) = await puller.data("/sessions", token)
        (cdr,) = await puller.data("/cdrs", token)
        assert (session["id"], cdr["session_id"]) == (SESSION_ID, SESSION_ID)
        for path in ("/locations", "/sessions", "/cdrs"):
            assert await puller.data(path, other) == []
        for path, whose in (
            (f"/locations/{SITE}", other),
            ("/locations/elsewhere", token),
            (f"/locations/{SITE}/{EVSE_2}", token),
            (f"/locations/{SITE}/{EVSE_1}/2", token),
        ):
            answer = await puller.get(path, whose)
            assert answer.status_code == 404
            assert answer.json()["status_code"] == 2003
        assert (await puller.get("/cdrs", "nobody's")).status_code == 401
    assert not operator.pushed


@on_both
async def test_lists_come_in_pages_oldest_first_and_between_dates(
    cpo: Cpo, operator: OperatorServer
) -> None:
    """P35."""
    cpo.place()
    token = cpo.connect(operator.registration())
    cpo.tell(begun(), added())
    await cpo.catch_up()
    ids = [f"session-{number}" for number in range(5)]
    for number, each in enumerate(ids):
        cpo.clock.now = NOON + number * HOUR
        start = msgspec.structs.replace(started(), session_id=each)
        cpo.tell(start, msgspec.structs.replace(stopped(2000, at=NOON + HOUR), session_id=each))
        await cpo.catch_up()
    async with cpo.answering() as puller:
        found: list[str] = []
        path = "/sessions?limit=2"
        while path:
            answer = await puller.get(path, token)
            assert answer.headers["x-total-count"] == "5"
            found += [each["id"] for each in answer.json()["data"]]
            link = answer.headers.get("link", "")
            path = link.partition("<")[2].partition(">")[0].partition("2.2.1")[2]
        assert found == ids

        async def between(**dates: int) -> list[str]:
            asked = "&".join(
                f"{name}={datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"
                for name, at in dates.items()
            )
            return [each["id"] for each in await puller.data(f"/cdrs?{asked}", token)]

        assert await between(date_from=NOON + 3 * HOUR) == ids[3:]
        assert await between(date_to=NOON + HOUR) == ids[:1]
        assert await between(date_from=NOON + HOUR, date_to=NOON + 3 * HOUR) == ids[1:3]


@on_both
async def test_a_site_is_a_location_once_it_has_an_address_and_where_it_moves(
    cpo: Cpo, operator: OperatorServer
) -> None:
    """P20."""
    cpo.access.sites[SITE] = ("Home", "Europe/Oslo")
    token = cpo.connect(operator.registration())
    cpo.tell(*SITE_EVENTS, started(), stopped(3500, at=NOON + HOUR))
    await cpo.catch_up()
    async with cpo.answering() as puller:
        assert await puller.data("/locations", token) == []
        assert await puller.data("/cdrs", token) == []
        assert len(await puller.data("/sessions", token)) == 1
        cpo.place()
        cpo.tell(feed.InstallationAddressSet(installation_id=SITE))
        cpo.access.away = True
        await cpo.catch_up()
        assert await puller.data("/locations", token) == []
        cpo.access.away = False
        await cpo.catch_up()
        assert len(await puller.data("/locations", token)) == 1
        (cdr,) = await puller.data("/cdrs", token)
        cpo.place("Storgata 2")
        # In one batch with something else about the site: neither may hide the other.
        cpo.tell(feed.InstallationAddressSet(installation_id=SITE), state("Charging"))
        await cpo.catch_up()
        (location,) = await puller.data("/locations", token)
        assert location["address"] == "Storgata 2"
        assert location["evses"][0]["status"] == "CHARGING"
        assert await puller.data("/cdrs", token) == [cdr]


async def test_one_site_that_access_cannot_tell_of_holds_up_no_other(cpo: Cpo) -> None:
    unknown = feed.AccessStarted(installation_id="a-site-nobody-knows", roles=("OPERATOR",))
    cpo.place()
    cpo.tell(unknown)
    await cpo.following.follow()
    cpo.clock.now += SECOND
    cpo.tell(*SITE_EVENTS)
    await cpo.catch_up()
    assert cpo.objects.get(VOLT, LOCATION, SITE) is not None


@on_both
async def test_a_presumed_end_is_waited_for_and_then_taken_for_true(
    cpo: Cpo, operator: OperatorServer
) -> None:
    """P26, P29."""
    cpo.place()
    token = cpo.connect(operator.registration())
    cpo.tell(*SITE_EVENTS, started(), stopped(3000, at=NOON + HOUR, presumed=True))
    await cpo.catch_up()
    async with cpo.answering() as puller:
        (session,) = await puller.data("/sessions", token)
        assert session["status"] == "ACTIVE"
        assert await puller.data("/cdrs", token) == []
        cpo.clock.now += sessions.PRESUMED
        await cpo.catch_up()
        (session,) = await puller.data("/sessions", token)
        (first,) = await puller.data("/cdrs", token)
        assert (session["status"], session["kwh"], first["total_energy"]) == ("COMPLETED", 2, 2)
        cpo.clock.now += HOUR
        cpo.tell(corrected(2500, at=NOON + 50 * MINUTE))
        await cpo.catch_up()
        cdrs = await puller.data("/cdrs", token)
        assert await puller.data("/sessions", token) == [session]
    assert cdrs[0] == first
    assert sorted((each.get("credit", False), each["total_energy"]) for each in cdrs) == [
        (False, 1.5),
        (False, 2),
        (True, 2),
    ]


async def test_a_correction_in_time_is_all_that_is_told(cpo: Cpo, operator: OperatorServer) -> None:
    cpo.place()
    token = cpo.connect(operator.registration())
    cpo.tell(*SITE_EVENTS, started(), stopped(3000, at=NOON + HOUR, presumed=True))
    await cpo.catch_up()
    cpo.tell(corrected(2500, at=NOON + 50 * MINUTE))
    await cpo.catch_up()
    cpo.clock.now += 2 * sessions.PRESUMED
    await cpo.catch_up()
    async with cpo.answering() as puller:
        (cdr,) = await puller.data("/cdrs", token)
    assert cdr["total_energy"] == 1.5


async def test_a_refused_start_is_no_cdr_and_what_an_owner_sees_no_session(
    cpo: Cpo, operator: OperatorServer
) -> None:
    """P27."""
    cpo.place()
    token = cpo.connect(operator.registration())
    owner = cpo.connect(operator.registration(), WATT)
    flowed = (refused(), stopped(500, at=NOON + HOUR))
    cpo.tell(*SITE_EVENTS, *flowed)
    cpo.tell(begun(("OWNER",)), *SITE_EVENTS[1:], started(), partner_id=WATT)
    await cpo.catch_up()
    async with cpo.answering() as puller:
        assert await puller.data("/sessions", owner) == []
        assert await puller.data("/cdrs", token) == []
        assert await puller.data("/sessions", token) == []  # no energy: nobody read the start
        assert await puller.data("/locations", owner) == []


async def test_a_session_is_told_to_be_over_before_its_cdr(
    cpo: Cpo, operator: OperatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P28."""
    monkeypatch.setattr(pushing, "BATCH", 1)
    cpo.place()
    cpo.connect(operator.registration(*ALL))
    cpo.tell(*SITE_EVENTS)
    await cpo.catch_up()
    cpo.objects.push_to(VOLT)
    cpo.tell(msgspec.structs.replace(started(), session_id="another"))
    await cpo.catch_up()
    cpo.clock.now += HOUR
    cpo.tell(started(), stopped(3500, at=NOON + HOUR))
    await cpo.catch_up()
    async with cpo.running():
        await until(lambda: operator.said("cdrs"))
    (place,) = [n for n, each in enumerate(operator.pushed) if each.method == "POST"]
    mine = [each for each in operator.pushed[:place] if each.path.endswith(SESSION_ID)]
    assert [each.body["status"] for each in mine] == ["COMPLETED"]


async def test_who_connects_before_there_is_a_feed_is_told_all_of_it(
    cpo: Cpo, operator: OperatorServer
) -> None:
    """P33."""
    cpo.place()
    cpo.connect(operator.registration(*ALL))
    async with cpo.running():
        await until(lambda: _pushing(cpo))
        cpo.tell(*SITE_EVENTS, started(), stopped(3500, at=NOON + HOUR))
        await until(lambda: operator.said("cdrs"))


async def test_a_clock_that_was_set_back_makes_no_change_older(
    cpo: Cpo, operator: OperatorServer
) -> None:
    """P35: who pulls by dates would miss it."""
    cpo.place()
    token = cpo.connect(operator.registration())
    cpo.tell(*SITE_EVENTS)
    await cpo.catch_up()
    cpo.clock.now -= HOUR
    cpo.tell(state("Charging"))
    await cpo.catch_up()
    async with cpo.answering() as puller:
        (location,) = await puller.data("/locations?date_from=2026-03-03T12:00:00Z", token)
    assert location["evses"][0]["status"] == "CHARGING"


async def test_access_that_ends_removes_what_was_there(cpo: Cpo, operator: OperatorServer) -> None:
    """P22."""
    cpo.place()
    cpo.connect(operator.registration(*ALL))
    async with cpo.running():
        cpo.tell(*SITE_EVENTS)
        await until(lambda: operator.said("locations"))
        cpo.tell(ended())
        await until(lambda: operator.pushed[-1].body.get("status") == "REMOVED")


@on_both
async def test_sessions_and_cdrs_are_kept_for_a_year_and_sites_for_ever(
    cpo: Cpo, operator: OperatorServer
) -> None:
    """P36."""
    token = await with_a_charge(cpo, operator)
    async with cpo.answering() as puller:
        for since, left in ((NOON, 1), (NOON + 1, 0)):
            cpo.objects.forget(since)
            assert len(await puller.data("/sessions", token)) == left
            assert len(await puller.data("/cdrs", token)) == left
        assert len(await puller.data("/locations", token)) == 1
    assert KEPT > 366 * 24 * HOUR


async def test_bills_stay_as_they_were_when_who_charged_is_erased(
    cpo: Cpo, operator: OperatorServer
) -> None:
    """P36: under an id that leads to nobody any more."""
    token = await with_a_charge(cpo, operator)
    async with cpo.answering() as puller:
        before = [await puller.data(path, token) for path in ("/sessions", "/cdrs")]
        cpo.tell(feed.UserErased(user_id="ada"))
        await cpo.catch_up()
        assert [await puller.data(path, token) for path in ("/sessions", "/cdrs")] == before
    assert [each["cdr_token"]["uid"] for each in before[1]] == [CARD]


@on_both
async def test_a_follower_that_led_before_changes_nothing(cpo: Cpo) -> None:
    """P30."""
    cpo.place()
    cpo.tell(*SITE_EVENTS)
    entries = cpo.feeds.read(VOLT)
    await cpo.following.follow()
    cpo.tell(state("Charging"))
    await cpo.following.follow()
    cpo.following._follow(VOLT, 0, entries)  # noqa: SLF001 - between its reading and its writing
    with cpo.objects.changing(VOLT, NOON) as changes:
        assert not changes.follow(0, entries[-1].number)
        known = changes.get(LOCATION, SITE)
    assert known is not None
    assert known.evses[EVSE_1].status == "CHARGING"
    assert cpo.objects.number(VOLT) == entries[-1].number + 1
