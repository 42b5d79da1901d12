"""A page of ten thousand people is as little work as a page of a hundred."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chargekey.identity.v1 import users_pb2 as pb
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.eventstore.records import Record
from chargekey_common.eventstore.store import EventStore
from chargekey_common.pages import PORTION, token_of
from chargekey_common.testing.steps import steps
from chargekey_identity.api.users import UserServicer, known_at, people_found
from chargekey_identity.domain.events import (
    EVENTS,
    InvitationCreated,
    LocalUserAdded,
    PendingUserAdded,
)
from chargekey_identity.domain.user import User
from chargekey_identity.projections.directory import Directory

FEW, MANY = 100, 10_000
PAGE = 50


class Somewhere:
    """Access, as far as it is asked: the site exists."""

    async def time_zone(self, _: str) -> str:
        return "UTC"


class Watched(Directory):
    """Tells how many users were looked at each time that others had to wait."""

    def __init__(self, store: EventStore) -> None:
        self.looked_at: list[int] = []
        super().__init__(store)

    @contextmanager
    def caught_up(self) -> Iterator[None]:
        with super().caught_up():
            if self._entered == 1:
                self.looked_at.append(0)
            yield

    def once(self, user_id: str) -> User | None:
        with self.caught_up():
            self.looked_at[-1] += 1
            return super().once(user_id)


class Long:
    """A site of so many local users, and of as many who were invited."""

    def __init__(self, place: Path, many: int) -> None:
        self.store = EventStore("identity", place, EVENTS)
        self.directory = Watched(self.store)
        for number in range(many):
            for key, event in (
                (
                    f"local-{number}",
                    LocalUserAdded(
                        installation_id="home",
                        first_name=f"Kari {number}",
                        last_name="Nordmann",
                        blocked=False,
                    ),
                ),
                (f"invited-{number}", PendingUserAdded(email=f"ola-{number}@example.org")),
                (
                    f"invitation-{number}",
                    InvitationCreated(
                        user_id=f"invited-{number}",
                        installation_id="home",
                        charger_id=None,
                        permission_id=f"permission-{number}",
                        partner_id=None,
                        expires_at=1,
                    ),
                ),
            ):
                self.directory.apply(Record(key, 1, 0, "command", "user:owner", event))


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Long, Long]]:
    place = tmp_path_factory.mktemp("long")
    few, many = Long(place / "few.db", FEW), Long(place / "many.db", MANY)
    yield few, many
    for each in (few, many):
        each.store.close()


@pytest.mark.parametrize("after", ["", token_of(f"local-{FEW - PAGE - 1}")], ids=["first", "more"])
def test_a_page_of_local_users_is_no_more_work_among_more(
    sites: tuple[Long, Long], after: str
) -> None:
    def work(at: Long) -> int:
        nobody: Any = None  # nothing is changed
        here: Any = Somewhere()
        servicer = UserServicer(nobody, nobody, at.directory, here, frozenset())
        request = pb.ListUsersRequest(installation_id="home", page_size=PAGE, page_token=after)
        return steps(lambda: servicer.ListUsers(request, nobody))

    few, many = map(work, sites)
    assert many < 2 * few


@pytest.mark.parametrize("site", ["home", ""], ids=["a site's", "everybody"])
def test_a_page_of_people_is_no_more_work_among_more(sites: tuple[Long, Long], site: str) -> None:
    request = pb.SearchPeopleRequest(installation_id=site, page_size=PAGE)
    by: Caller = Caller("user:owner") if site else ADMINISTRATOR

    def work(at: Long) -> int:
        async def ask() -> None:
            assert len(people_found(at.directory, request, by).entries) == PAGE

        return steps(ask)

    few, many = map(work, sites)
    assert many < 2 * few


@pytest.mark.parametrize("site", ["home", ""], ids=["a site's", "everybody"])
def test_others_are_answered_while_people_are_searched(sites: tuple[Long, Long], site: str) -> None:
    _, many = sites
    request = pb.SearchPeopleRequest(installation_id=site, search="is called by nobody")
    many.directory.looked_at.clear()
    assert people_found(many.directory, request, ADMINISTRATOR).entries == []
    assert sum(many.directory.looked_at) == 2 * MANY
    assert max(many.directory.looked_at) == PORTION


def test_the_names_on_a_page_are_no_more_work_among_more(sites: tuple[Long, Long]) -> None:
    asked = ["local-7", "invited-42", *(f"invited-{number}" for number in range(PAGE))]

    def work(at: Long) -> int:
        async def ask() -> None:
            found = at.directory.ever(asked)
            known = known_at(at.directory, "home", found, Caller("user:owner"))
            assert [known[key].name for key in asked[:2]] == [
                "Kari 7 Nordmann",
                "ola-42@example.org",
            ]

        return steps(ask)

    few, many = map(work, sites)
    assert many < 2 * few
