"""A page of ten thousand is as little work as a page of a hundred."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from chargekey.access.v1 import chargers_pb2, permissions_pb2
from chargekey_access.api.chargers import ChargerServicer
from chargekey_access.api.permissions import PermissionServicer
from chargekey_access.domain.events import ChargerAdded, PermissionGranted
from chargekey_common.pages import token_of
from chargekey_common.testing.steps import steps

from .conftest import Access
from .given import a_site, opened

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
    directory = access.directory
    directory.sites.installation(site)  # what comes now follows the log
    for number in range(many):
        directory.sites.apply(
            f"charger-{number}",
            ChargerAdded(
                installation_id=site,
                ocpp_identity=f"CP-{number}",
                password_hash="",
                authorisation_override="NOT_REQUIRED" if number % 2 else "INHERIT",
                identification_types=("PIN",),
            ),
        )
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
    return site


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"page_token": token_of(f"charger-{FEW - PAGE - 1}")},
        {"charger_ids": ["charger-7", "charger-42"]},
    ],
    ids=["first", "further", "by ids"],
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
