"""Searches of people, sealed: what an address tells of them, to whom and for how long."""

from __future__ import annotations

import base64

import pytest

from chargekey_portal.searches import LASTS, Searches

SECRET = bytes(range(32))
ADA = "3f0c9d52-ada"


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def test_whoever_searched_finds_it_again_at_every_replica() -> None:
    token = Searches(SECRET, Clock()).sealed(ADA, "Kari Nordmann <Æ>")
    assert Searches(SECRET, Clock()).opened(ADA, token) == "Kari Nordmann <Æ>"


def test_nobody_reads_it_in_an_address_nor_sees_that_it_is_the_same() -> None:
    """Names and addresses of people stand in no address of ours."""
    searches = Searches(SECRET, Clock())
    token = searches.sealed(ADA, "Nordmann")
    assert token != searches.sealed(ADA, "Nordmann")
    for written in (token.encode(), base64.urlsafe_b64decode(token)):
        assert b"Nordmann" not in written
        assert ADA.encode() not in written


def test_it_is_opened_for_who_sealed_it_alone_unchanged_and_by_the_same_secret() -> None:
    searches = Searches(SECRET, Clock())
    token = searches.sealed(ADA, "Nordmann")
    assert searches.opened("bob", token) is None
    assert Searches(SECRET[::-1], Clock()).opened(ADA, token) is None
    assert searches.opened(ADA, token[:-8] + "AAAAAAA=") is None


@pytest.mark.parametrize("nonsense", ["", "x", "Nordmann", "§", "gAAAAA=="])
def test_what_is_no_search_opens_nothing(nonsense: str) -> None:
    assert Searches(SECRET, Clock()).opened(ADA, nonsense) is None


def test_it_lasts_an_hour() -> None:
    clock = Clock()
    searches = Searches(SECRET, clock)
    token = searches.sealed(ADA, "Nordmann")
    clock.now += LASTS
    assert searches.opened(ADA, token) == "Nordmann"
    clock.now += 1
    assert searches.opened(ADA, token) is None
