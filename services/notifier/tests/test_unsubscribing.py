"""What people want no mails about: chosen by themselves, or by the link in a mail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.store import CommandIdReusedError, Context
from chargekey_common.http_server import HttpServer
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres
from chargekey_common.process import Lifetime
from chargekey_common.testing.waiting import until
from chargekey_notifier.errors import UnsubscribeLinkInvalidError
from chargekey_notifier.http.app import app
from chargekey_notifier.http.unsubscribe import UnsubscribeDoor
from chargekey_notifier.mails.choices import Choices
from chargekey_notifier.mails.kinds import CHOICES, OPTIONAL
from chargekey_notifier.mails.outbox import Outbox
from chargekey_notifier.mails.unsubscribing import Unsubscribing

from .conftest import SECRET

LINKS = Unsubscribing(SECRET, "https://partners.test")


@pytest.fixture
def choices(place: Path | Postgres) -> Iterator[Choices]:
    if isinstance(place, Postgres):
        Outbox.migrate(place)
    with closing(Outbox(place)) as outbox:
        yield Choices(outbox, SECRET)


@asynccontextmanager
async def door(choices: Choices) -> AsyncIterator[httpx2.AsyncClient]:
    server = HttpServer(app(UnsubscribeDoor(choices, LINKS).routes()), "127.0.0.1:0")
    lifetime = Lifetime()
    lifetime.own(server.run(), "http")
    lifetime.closing.push_async_callback(server.stop)
    await until(lambda: server.serving)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
        yield client
    assert await lifetime.close()


def path(user_id: str = "kari") -> str:
    return LINKS.url(user_id, "reminders").removeprefix("https://partners.test")


async def test_a_link_declines_by_post_and_by_nothing_else(choices: Choices) -> None:
    """M9: mail scanners follow links; a mail program posts to it on its own (RFC 8058 §3.2)."""
    async with door(choices) as client:
        for method in ("GET", "HEAD"):
            page = await client.request(method, path())
            assert page.status_code == 200
        assert not await asyncio.to_thread(choices.declined, "kari")
        page = await client.get(path())
        assert '<form method="post">' in page.text
        assert "kari" not in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert page.headers["referrer-policy"] == "no-referrer"
        for _ in range(2):
            body = {"List-Unsubscribe": "One-Click"}
            assert (await client.post(path(), data=body)).status_code == 200
    assert await asyncio.to_thread(choices.declined, "kari") == {"reminders"}


async def test_a_link_that_no_mail_carried_declines_nothing(choices: Choices) -> None:
    """M9."""
    other = Unsubscribing(b"another" * 5, "").url("kari", "reminders")
    links = ["/unsubscribe/x", "/unsubscribe/%C3%A6", other, path()[:-1], path() + "A"]
    async with door(choices) as client:
        for link in links:
            for method in ("GET", "POST"):
                assert (await client.request(method, link)).status_code == 404
    assert not await asyncio.to_thread(choices.declined, "kari")


@given(st.text(), st.sampled_from(CHOICES))
def test_a_link_says_to_us_alone_whom_and_what_it_is_about(user_id: str, choice: str) -> None:
    """M9."""
    url = LINKS.url(user_id, choice)  # type: ignore[arg-type] # one of them
    assert LINKS.read(url.rpartition("/")[2]) == (user_id, choice)
    assert LINKS.url(user_id, choice) != url  # type: ignore[arg-type]


@given(st.text())
def test_what_is_no_link_is_refused_by_name(token: str) -> None:
    with pytest.raises(UnsubscribeLinkInvalidError):
        LINKS.read(token)


def test_everything_that_is_optional_can_be_chosen_and_a_choice_is_the_whole(
    choices: Choices,
) -> None:
    """M9."""
    assert set(OPTIONAL.values()) == set(CHOICES)
    choices.choose(Context("user:kari", "one"), "kari", ["lockouts", "reminders", "reminders"])
    choices.decline("ola", "permissions")
    assert choices.declined("kari") == {"lockouts", "reminders"}
    choices.choose(Context("user:kari", "two"), "kari", [])
    # What comes again, late, changes nothing; and is nobody else's.
    choices.choose(Context("user:kari", "one"), "kari", ["lockouts", "reminders", "reminders"])
    assert not choices.declined("kari")
    with pytest.raises(CommandIdReusedError):
        choices.choose(Context("user:ola", "one"), "ola", [])
    assert choices.declined("ola") == {"permissions"}


def test_who_is_erased_has_chosen_nothing(choices: Choices) -> None:
    """R20."""
    for user in ("kari", "ola"):
        choices.decline(user, "permissions")
    erased = Handled("notifier-on-user-erased", Position("identity", "a1", 7))
    choices.forget("kari", erased)
    choices.decline("kari", "lockouts")
    choices.forget("kari", erased)
    assert choices.declined("kari") == {"lockouts"}
    assert choices.declined("ola") == {"permissions"}
