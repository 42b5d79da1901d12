"""Which chargers can I use, and who can use this one: over gRPC, on a real server."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc import aio

from chargekey.access.v1 import chargers_pb2
from chargekey_access.domain import owners
from chargekey_access.domain.permission import Subject, Target
from chargekey_common.eventstore.store import Work
from chargekey_common.grpc.client import remote_error

from .conftest import Access, serving
from .given import leaves, now
from .worlds import Callers, a_partner_called, done, given, taken

ADMINISTRATOR = "administrator:local"
ADA, EVE, GUS, OLE = "user:ada", "user:eve", "user:gus", "user:ole"
LATER = time.time_ns() + 10**15
STILL_LATER = LATER + 1


@pytest_asyncio.fixture
async def callers(access: Access, tmp_path: Path) -> AsyncIterator[Callers]:
    async with serving(access, tmp_path) as as_caller:
        yield Callers(as_caller)


class Site:
    """Eve's site with the chargers CP-1 and CP-2."""

    def __init__(self, access: Access, name: str = "Home") -> None:
        self.access = access
        self.id = access.installations.create_installation(
            now(), name=name, time_zone="Europe/Oslo", owner_id="eve"
        ).result
        self.chargers = [
            access.chargers.add_charger(
                now(), installation_id=self.id, ocpp_identity=f"{name}-{number}"
            ).result
            for number in (1, 2)
        ]

    @property
    def whole(self) -> Target:
        return Target(self.id)

    def one(self, number: int) -> Target:
        return Target(self.id, self.chargers[number])

    def open(self, *, required: bool = False) -> None:
        self.access.installations.set_authorisation_required(
            now(), installation_id=self.id, required=required
        )

    def block(self, user_id: str) -> None:
        def decide(work: Work) -> None:
            loaded = work.load(owners.evolve, owners.owners_id(self.id))
            work.record(
                loaded, *owners.block(loaded.state, installation_id=self.id, user_id=user_id)
            )

        done(self.access, decide)


@pytest.fixture
def site(access: Access) -> Site:
    return Site(access)


async def usable(callers: Callers, caller: str, **fields: Any) -> dict[str, Any]:
    request = chargers_pb2.ListUsableChargersRequest(**fields)
    answer = await callers[caller].ListUsableChargers(request)
    return {each.charger.id: each for each in answer.chargers}


async def keys(callers: Callers, caller: str) -> dict[str, bool]:
    return {key: each.key for key, each in (await usable(callers, caller)).items()}


async def users(callers: Callers, charger: str, **fields: Any) -> Any:
    request = chargers_pb2.ListChargerUsersRequest(charger_id=charger, **fields)
    return await callers[EVE].ListChargerUsers(request)


async def names(callers: Callers, charger: str) -> list[str]:
    return [each.user_id for each in (await users(callers, charger)).users]


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as error:
        await call
    return error.value.code(), remote_error(error.value).code


async def test_a_driver_has_the_key_of_each_charger_that_he_may_use_and_of_no_other(
    access: Access, callers: Callers, site: Site
) -> None:
    """R4, S3-11, S3-25, S3-27, S3-56: on the whole site, or on one charger of it."""
    given(access, Subject("ada"), site.whole, "USER")
    given(access, Subject("gus"), site.one(0), "USER")
    assert await keys(callers, ADA) == dict.fromkeys(site.chargers, True)
    assert await keys(callers, GUS) == {site.chargers[0]: True}
    assert await keys(callers, OLE) == {}
    [one] = (await usable(callers, GUS)).values()
    assert one.installation_name == "Home"
    assert one.charger.authorisation_required


async def test_owners_and_service_partners_have_no_key_by_that_alone(
    access: Access, callers: Callers, site: Site
) -> None:
    """R5: only USER carries the right to charge."""
    other = Site(access, "Work")
    given(access, Subject("ada"), site.whole, "OWNER", "SERVICE")
    given(access, Subject("ada"), other.whole, "USER")
    assert await keys(callers, ADA) == dict.fromkeys(other.chargers, True)


async def test_an_open_charger_needs_no_key_and_is_shown_to_who_has_to_do_with_its_site(
    access: Access, callers: Callers, site: Site
) -> None:
    """S3-10, S3-13, S3-56: at once, both ways."""
    given(access, Subject("ada"), site.whole, "USER")
    given(access, Subject("gus"), site.one(0), "SERVICE")
    for opened in (True, False, True):
        site.open(required=not opened)
        assert await keys(callers, ADA) == dict.fromkeys(site.chargers, not opened)
        assert await keys(callers, GUS) == (dict.fromkeys(site.chargers, False) if opened else {})
        assert await keys(callers, OLE) == {}
        assert (await users(callers, site.chargers[0])).open == opened


async def test_permissions_add_up_and_the_last_end_counts(
    access: Access, callers: Callers, site: Site
) -> None:
    """R4, R10."""
    first = given(access, Subject("ada"), site.whole, "USER", valid_until=STILL_LATER)
    second = given(access, Subject("ada"), site.one(0), "USER", valid_until=LATER)
    found = await usable(callers, ADA)
    assert list(found[site.chargers[0]].permission_ids) == [first, second]
    assert [each.valid_until for each in found.values()] == [STILL_LATER, STILL_LATER]
    endless = given(access, Subject("ada"), site.one(0), "USER")
    assert endless == second
    assert not (await usable(callers, ADA))[site.chargers[0]].HasField("valid_until")
    [user] = [
        each for each in (await users(callers, site.chargers[0])).users if each.user_id == "ada"
    ]
    assert list(user.permission_ids) == [first, second]
    taken(access, Subject("ada"), site.whole)
    assert await keys(callers, ADA) == {site.chargers[0]: True}


async def test_a_permission_that_has_ended_lets_nobody(
    access: Access, callers: Callers, site: Site
) -> None:
    """R10, R18."""
    given(access, Subject("ada"), site.whole, "USER", valid_until=1)
    assert await keys(callers, ADA) == {}
    site.open()
    assert await keys(callers, ADA) == {}
    assert await names(callers, site.chargers[0]) == ["eve"]


async def test_members_use_what_their_partner_may_use_for_as_long_as_they_are_in_it(
    access: Access, callers: Callers, site: Site
) -> None:
    """R8: each is there once, by his own permission where he has one."""
    fleet = a_partner_called(access, "fleet", "ada", "gus", kind="SERVICE_PARTNER")
    permission = given(access, fleet, site.one(0), "USER", kind="SERVICE_PARTNER")
    own = given(access, Subject("gus"), site.whole, "USER", valid_until=LATER)
    assert await keys(callers, ADA) == {site.chargers[0]: True}
    assert await keys(callers, "partner:fleet") == {site.chargers[0]: True}
    found = {each.user_id: each for each in (await users(callers, site.chargers[0])).users}
    assert set(found) == {"ada", "eve", "gus"}
    assert (found["ada"].partner_id, list(found["ada"].permission_ids)) == ("fleet", [permission])
    assert found["gus"].partner_id == ""
    assert list(found["gus"].permission_ids) == [own, permission]
    assert not found["gus"].HasField("valid_until")
    leaves(access, "fleet", "ada")
    assert await keys(callers, ADA) == {}
    assert await names(callers, site.chargers[0]) == ["eve", "gus"]
    assert await names(callers, site.chargers[1]) == ["eve", "gus"]


async def test_who_is_blocked_there_is_marked_and_has_no_key(
    access: Access, callers: Callers, site: Site
) -> None:
    """R12: on an open charger it cannot be enforced."""
    given(access, Subject("ada"), site.whole, "USER")
    site.block("ada")
    assert await keys(callers, ADA) == {}
    marks = {each.user_id: each.blocked for each in (await users(callers, site.chargers[0])).users}
    assert marks == {"ada": True, "eve": False}
    site.open()
    found = await usable(callers, ADA)
    assert {key: each.key for key, each in found.items()} == dict.fromkeys(site.chargers, False)
    assert not any(each.permission_ids for each in found.values())


async def test_where_the_operator_decides_permissions_let_nobody(
    access: Access, callers: Callers, site: Site
) -> None:
    """R3, S3-29: and they count again when it no longer does."""
    given(access, Subject("ada"), site.whole, "USER")
    a_partner_called(access, "volt")
    site.open()
    access.installations.connect_operator(
        now(),
        installation_id=site.id,
        partner_id="volt",
        authentication_type="EXTERNAL",
        overrides_allowed=False,
    )
    assert await keys(callers, ADA) == {}
    answer = await users(callers, site.chargers[0])
    assert (list(answer.users), answer.open) == ([], False)
    access.installations.disconnect_operator(now(), installation_id=site.id)
    assert await keys(callers, ADA) == dict.fromkeys(site.chargers, True)
    assert await names(callers, site.chargers[0]) == ["ada", "eve"]


async def test_whose_chargers_are_shown_to_whom(
    access: Access, callers: Callers, site: Site
) -> None:
    """One's own to everybody, another's to the administrator, a local user's to his owner."""
    given(access, Subject("ada"), site.whole, "USER")
    given(access, Subject("liv"), site.one(1), "USER", kind="LOCAL")
    everywhere = set(site.chargers)
    assert set(await usable(callers, ADA, user_id="ada")) == everywhere
    assert set(await usable(callers, ADMINISTRATOR, user_id="ada")) == everywhere
    assert set(await usable(callers, EVE, user_id="liv")) == {site.chargers[1]}
    denied = (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")
    for caller, user_id in ((EVE, "ada"), (ADA, "liv"), (ADA, "nobody")):
        assert await refused(usable(callers, caller, user_id=user_id)) == denied
    for fields in ({}, {"user_id": "nobody"}):
        assert await refused(usable(callers, ADMINISTRATOR, **fields)) == (
            grpc.StatusCode.NOT_FOUND,
            "user_unknown",
        )
    for caller in (ADA, GUS):
        request = chargers_pb2.ListChargerUsersRequest(charger_id=site.chargers[0])
        assert await refused(callers[caller].ListChargerUsers(request)) == denied


async def test_usable_chargers_come_in_pages(access: Access, callers: Callers) -> None:
    sites = [Site(access, f"Site{number}") for number in range(4)]
    for each in sites[::2]:
        given(access, Subject("ada"), each.whole, "USER")
    found, token = [], ""
    while True:
        request = chargers_pb2.ListUsableChargersRequest(page_size=3, page_token=token)
        answer = await callers[ADA].ListUsableChargers(request)
        found.append([each.charger.id for each in answer.chargers])
        token = answer.next_page_token
        if not token:
            break
    assert [key for each in found for key in each] == sites[0].chargers + sites[2].chargers
    assert [len(each) for each in found] == [3, 1]


async def test_usable_chargers_are_found_by_their_identity_and_by_the_name_of_their_site(
    access: Access, callers: Callers
) -> None:
    home, work, elsewhere = (Site(access, name) for name in ("Home", "Work", "Elsewhere"))
    for each in (home, work):
        given(access, Subject("ada"), each.whole, "USER")
    for search, found in (
        ("", home.chargers + work.chargers),
        ("e-2", home.chargers[1:]),
        (" WORK ", work.chargers),
        ("elsewhere", []),
        ("-1", [home.chargers[0], work.chargers[0]]),
    ):
        assert list(await usable(callers, ADA, search=search)) == found
    asked = [work.chargers[1], elsewhere.chargers[0], "nowhere", home.chargers[0]]
    found = [home.chargers[0], work.chargers[1]]
    assert list(await usable(callers, ADA, charger_ids=asked)) == found
    assert list(await usable(callers, ADA, charger_ids=asked[:1], search="home")) == []


async def test_a_page_begins_behind_a_charger_that_was_usable_when_the_one_before_was_read(
    access: Access, callers: Callers
) -> None:
    first, second = Site(access, "First"), Site(access, "Second")
    for each in (second, first):
        given(access, Subject("ada"), each.whole, "USER")
    request = chargers_pb2.ListUsableChargersRequest(page_size=2)
    page = await callers[ADA].ListUsableChargers(request)
    assert [each.charger.id for each in page.chargers] == first.chargers
    taken(access, Subject("ada"), first.whole)
    after = page.next_page_token
    assert list(await usable(callers, ADA, page_token=after)) == second.chargers


async def test_a_charger_that_was_moved_is_usable_by_what_is_held_where_it_stands_now(
    access: Access, callers: Callers, site: Site
) -> None:
    """R11: in its old place among the others."""
    other = Site(access, "Work")
    given(access, Subject("ada"), other.whole, "USER")
    given(access, Subject("gus"), site.whole, "USER")
    moved = site.chargers[0]
    access.chargers.move_charger(now(), charger_id=moved, installation_id=other.id)
    assert list(await usable(callers, ADA)) == [moved, *other.chargers]
    assert list(await usable(callers, GUS)) == site.chargers[1:]


async def test_a_chargers_users_come_in_pages_that_comings_and_goings_do_not_disturb(
    access: Access, callers: Callers, site: Site
) -> None:
    """Also when the one a page begins behind is gone by then."""
    everybody = [f"u{number}" for number in range(5)]
    for each in reversed(everybody):
        given(access, Subject(each), site.whole, "USER")
    first = await users(callers, site.chargers[0], page_size=3)
    assert [each.user_id for each in first.users] == ["eve", "u0", "u1"]
    taken(access, Subject("u1"), site.whole)
    given(access, Subject("u2"), site.one(0), "USER")
    given(access, Subject("a-new-one"), site.whole, "USER")
    rest = await users(callers, site.chargers[0], page_size=3, page_token=first.next_page_token)
    assert [each.user_id for each in rest.users] == ["u2", "u3", "u4"]
    assert rest.next_page_token == ""
