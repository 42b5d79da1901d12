"""What goes on is followed for as long as somebody looks, and by nobody too often."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from fastapi import FastAPI, Request

from chargekey_portal import live
from chargekey_portal.refusals import RefusedError

TEMPLATES = Path(live.__file__).parent / "templates"
SWAPPED = re.compile('hx-swap-oob="([^"]*)"')
PRESSED = re.compile("<(a|button|input|select|summary|textarea)\\b")


def asking(app: FastAPI, user_id: str) -> Request:
    return Request({"type": "http", "app": app, "session": {"user_id": user_id}})


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setattr(live, "EVERY", 0.001)
    app = FastAPI()
    app.state.ending, app.state.open_streams = asyncio.Event(), Counter()
    return app


async def test_what_changed_is_sent_and_nothing_else_until_the_portal_ends(app: FastAPI) -> None:
    looks = iter([{"a": "<i>1</i>", "b": "<i>2</i>"}, {"a": "<i>1</i>", "b": "<i>3</i>"}])
    last = {"a": "<i>1</i>", "b": "<i>3</i>"}

    async def look() -> Mapping[str, str]:
        found = next(looks, None)
        if found is None:
            app.state.ending.set()
        return found or last

    stream = live.live(asking(app, "ada"), look).body_iterator
    sent = [str(each) async for each in stream]
    assert sent == ["retry: 1000\n\n", "data: <i>1</i><i>2</i>\n\n", "data: <i>3</i>\n\n"]


def test_what_somebody_may_be_pressing_stays_where_the_part_it_is_of_is_sent() -> None:
    """Pressed on one element and let go on its replacement is no click."""
    parts = {
        str(path.relative_to(TEMPLATES)): text
        for path in TEMPLATES.rglob("*.html")
        if "hx-swap-oob" in (text := path.read_text(encoding="utf-8"))
    }
    pressed = {name: text for name, text in parts.items() if PRESSED.search(text)}
    assert pressed
    ways = {way for text in pressed.values() for way in SWAPPED.findall(text)}
    assert ways == {"outerMorph"}, list(pressed)


async def test_one_person_follows_so_many_at_once_and_others_go_on(app: FastAPI) -> None:
    async def look() -> Mapping[str, str]:
        return {}

    streams = [live.live(asking(app, "ada"), look).body_iterator for _ in range(live.MOST)]
    for each in streams:
        assert await anext(aiter(each)) == "retry: 1000\n\n"
    with pytest.raises(RefusedError) as refused:
        live.live(asking(app, "ada"), look)
    assert refused.value.refusal.status == 429
    live.live(asking(app, "bob"), look)
    for each in streams:
        await each.aclose()  # type: ignore[attr-defined] # a generator is what it is
    assert app.state.open_streams == {}
    live.live(asking(app, "ada"), look)
