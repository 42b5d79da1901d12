"""A page of ten thousand is as little work as a page of a hundred."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from chargekey.access.v1 import chargers_pb2, permissions_pb2
from chargekey_access.api import chargers
from chargekey_access.api.chargers import ChargerServicer
from chargekey_access.api.permissions import PermissionServicer
from chargekey_access.domain.events import ChargerAdded, Override, PermissionGranted
from chargekey_common.accounts import Caller
from chargekey_common.pages import token_of
from chargekey_common.testing.steps import steps

from .conftest import Access
from .given import a_site, now, opened

FEW, MANY = 100, 10_000
PAGE = 50


class Long:
    """A site of so many chargers, and as many people who may charge there."""

    def __init__(self, place: Path, many: int) -> None:
        self.many = many
        self.store = opened(place)
        self.access = Access(self.store)
        self.site = filled(self.access, many)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Long, Long]]:
    place = tmp_path_factory.mktemp("long")
    few, many = Long(place / "few.db", FEW), Long(place / "many.db", MANY)
    yield few, many
    for each in (few, many):
        each.store.close()


def filled(access: Access, many: int) -> str:
    """Return a site of so many chargers, and as many people who may charge there."""
    site = a_site(access)
    own = access.installations.create_installation(
        now(), name="Cabin", time_zone="Europe/Oslo", owner_id="eve"
    ).result
    directory = access.directory
    directory.sites.installation(site)  # what comes now follows the log
    for number in range(many):
        stands(access, site, f"charger-{number}", "NOT_REQUIRED" if number % 2 else "INHERIT")
        directory.holdings.apply(
            f"permission-{number}",
            PermissionGranted(
                installation_id=site,
                charger_id=None,
                user_id=f"user-{number}",
                roles=("USER",),
                valid_until=None,
                local=True,
            ),
        )
    locked = a_site(access)
    for number in range(many):
        stands(access, locked, f"locked-{number}")
    for user_id, at, charger in (("guest", site, "charger-0"), ("lone", locked, "locked-0")):
        directory.holdings.apply(
            f"permission-of-{user_id}",
            PermissionGranted(
                installation_id=at,
                charger_id=charger,
                user_id=user_id,
                roles=("USER",),
                valid_until=None,
                local=False,
            ),
        )
    for number in range(60):
        stands(access, own, f"mine-{number}")
    return site


def stands(access: Access, site: str, key: str, override: Override = "INHERIT") -> None:
    """Let a charger be there under this id."""
    added = ChargerAdded(
        installation_id=site,
        ocpp_identity=key.replace("charger", "CP"),
        password_hash="",
        authorisation_override=override,
        identification_types=("PIN",),
    )
    access.directory.sites.apply(key, added)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"page_token": token_of(f"charger-{FEW - PAGE - 1}")},
        {"charger_ids": ["charger-7", "charger-42"]},
        {"search": "cp-"},
    ],
    ids=["first", "further", "by ids", "search"],
)
def test_a_page_of_chargers_is_no_more_work_among_more(
    sites: tuple[Long, Long], asked: Mapping[str, Any]
) -> None:
    def work(at: Long) -> int:
        nobody: Any = None  # the gateway, which is not asked
        servicer = ChargerServicer(at.access.chargers, at.access.directory, at.access.check, nobody)
        request = chargers_pb2.ListChargersRequest(installation_id=at.site, page_size=PAGE, **asked)
        return steps(lambda: servicer.ListChargers(request, nobody))

    few, many = map(work, sites)
    assert many < 2 * few


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, PAGE),
        ({"page_token": token_of("mine-29")}, 30),
        ({"charger_ids": ["mine-7", "mine-42", "charger-7"]}, 2),
        ({"search": "MINE-4"}, 11),
        ({"search": "cab"}, PAGE),
        ({"search": "nowhere"}, 0),
    ],
    ids=["first", "further", "by ids", "by identity", "by installation", "found nowhere"],
)
def test_ones_own_chargers_are_no_more_work_among_more_elsewhere(
    sites: tuple[Long, Long],
    monkeypatch: pytest.MonkeyPatch,
    asked: Mapping[str, Any],
    found: int,
) -> None:
    monkeypatch.setattr(chargers, "current_caller", lambda: Caller("user:eve"))
    few, many = (usable(each, found, asked) for each in sites)
    assert many < 2 * few


@pytest.mark.parametrize(("user_id", "found"), [("user-7", PAGE), ("guest", PAGE), ("lone", 1)])
def test_a_page_of_ones_own_chargers_is_no_more_work_among_more(
    sites: tuple[Long, Long], monkeypatch: pytest.MonkeyPatch, user_id: str, found: int
) -> None:
    """Of one who holds the site, of one who holds a charger of it, and of another all locked."""
    monkeypatch.setattr(chargers, "current_caller", lambda: Caller(f"user:{user_id}"))
    few, many = (usable(each, found, {}) for each in sites)
    assert many < 2 * few


def usable(at: Long, found: int, asked: Mapping[str, Any]) -> int:
    """Return how much work it is to list the chargers that the caller can use: so many here."""
    nobody: Any = None  # the gateway, which is not asked
    servicer = ChargerServicer(at.access.chargers, at.access.directory, at.access.check, nobody)
    request = chargers_pb2.ListUsableChargersRequest(page_size=PAGE, **asked)

    async def ask() -> None:
        assert len((await servicer.ListUsableChargers(request, nobody)).chargers) == found

    return steps(ask)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"page_token": token_of(f"permission-{FEW - PAGE - 1}")},
        {"user_ids": ["user-7", "user-42"]},
    ],
    ids=["first", "further", "by users"],
)
def test_a_page_of_permissions_is_no_more_work_among_more(
    sites: tuple[Long, Long], asked: Mapping[str, Any]
) -> None:
    def work(at: Long) -> int:
        nobody: Any = None  # nothing is given
        servicer = PermissionServicer(
            at.access.permissions, at.access.forgetting, at.access.directory, nobody, nobody
        )
        request = permissions_pb2.ListPermissionsRequest(
            installation_id=at.site, page_size=PAGE, **asked
        )
        return steps(lambda: servicer.ListPermissions(request, nobody))

    few, many = map(work, sites)
    assert many < 2 * few


def test_how_many_chargers_are_open_is_known_without_looking_at_each(
    sites: tuple[Long, Long],
) -> None:
    """Every page of an installation asks for it."""

    def work(at: Long) -> int:
        async def ask() -> None:
            assert at.access.directory.sites.open_chargers(at.site) == at.many // 2

        return steps(ask)

    few, many = map(work, sites)
    assert many < 2 * few
