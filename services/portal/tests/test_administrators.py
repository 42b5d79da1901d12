"""Acting as an administrator ends by itself, and what was asked for then changes nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from .neighbours import NAMES, Neighbours
from .portal import Portal, serving

MINUTE = 60 * 10**9
SECRET = "made-for-this-session"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Portal]:
    neighbours = Neighbours()
    for name in NAMES:
        await neighbours.start(name)
    async with serving(neighbours.addresses, tmp_path_factory.mktemp("portal")) as portal:
        yield portal
    await neighbours.stop_all()


def acting(minutes: float) -> dict[str, Any]:
    until = time.time_ns() + int(minutes * MINUTE)
    return {"token": "a token", "until": until, "zone": "Europe/Oslo"}


def browser(served: Portal, minutes: float | None) -> Mapping[str, str]:
    """Return the headers of one in which somebody acts as an administrator for so long yet."""
    more: dict[str, Any] = {} if minutes is None else {"acting": acting(minutes)}
    return served.signed_in(form_secret=SECRET, **more)


async def test_who_acts_is_told_for_how_long(served: Portal) -> None:
    page = await served.ask("GET", "/administration", browser(served, 3.5))
    assert page.status == 200
    assert "You act as an administrator, for 4 more minutes." in page.body
    last = await served.ask("GET", "/administration", browser(served, 0.5))
    assert "You act as an administrator, for 1 more minute." in last.body


@pytest.mark.parametrize("minutes", [None, -1, 0.01])
async def test_who_acts_no_longer_is_led_back_to_the_button(
    served: Portal, minutes: float | None
) -> None:
    his = browser(served, minutes)
    page = await served.ask("GET", "/administration/people", his)
    assert (page.status, page.headers["location"]) == (303, "/administration")
    body = f"form_secret={SECRET}".encode()
    changing = "/administration/people/ada/block"
    refused = await served.ask("POST", changing, {**his, **FORM}, body)
    ended = "/administration?told=acting_ended"
    assert (refused.status, refused.headers["location"]) == (303, ended)
    # A part of a page, which nobody could press a button on.
    live = {**his, "HX-Request": "true"}
    assert (await served.ask("GET", "/administration/health/live", live)).status == 401


async def test_nobody_acts_who_is_not_signed_in(served: Portal) -> None:
    alone = served.cookie(acting=acting(3))
    page = await served.ask("GET", "/administration/people", alone)
    assert (page.status, page.headers["location"]) == (303, "/sign-in")


async def test_a_form_from_elsewhere_makes_nobody_act(served: Portal) -> None:
    for changing in ("act", "stop", "people/ada/block", "health/compare"):
        path = f"/administration/{changing}"
        sent = await served.ask("POST", path, {**browser(served, 3), **FORM}, b"form_secret=x")
        assert sent.status == 403
        assert "request_from_elsewhere" in sent.body
