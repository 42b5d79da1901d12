"""The sender: what is true is sent, once or under one Message-ID, and nothing blocks for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.eventstore.recorder import Handled
from chargekey_common.positions import Position
from chargekey_common.postgres import Postgres
from chargekey_common.process import Lifetime
from chargekey_common.testing.waiting import until
from chargekey_notifier.mails import sending as module
from chargekey_notifier.mails.kinds import ADMINISTRATOR, Mail, to_user
from chargekey_notifier.mails.letters import Letter
from chargekey_notifier.mails.outbox import Outbox
from chargekey_notifier.mails.post import Post
from chargekey_notifier.mails.sending import Sender

from .neighbours import NOON, Neighbours, event_id
from .smtp import TAKEN, Mailbox, part, subjects, text

MakeSender = Callable[[Outbox], Sender]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with closing(Outbox(tmp_path / "notifier.db")) as outbox:
        yield outbox


def put(outbox: Outbox, number: int, user_id: str, installation_id: str | None = "home") -> None:
    mail = Mail(event_id(number), ADMINISTRATOR, "user_blocked", user_id, NOON, installation_id)
    position = Position("identity", "00000000000000a1", number)
    outbox.add(Handled("notifier-on-user-blocked", position), mail)


@asynccontextmanager
async def sending(sender: Sender) -> AsyncIterator[None]:
    lifetime = Lifetime()
    lifetime.own(sender.run(), "sender")
    try:
        yield
    finally:
        assert await lifetime.close()


async def until_settled(outbox: Outbox) -> None:
    async with asyncio.timeout(30):
        while outbox.waiting():
            await asyncio.sleep(0.01)


async def test_a_crash_between_sending_and_marking_sends_again_under_the_same_message_id(
    outbox: Outbox,
    sender: MakeSender,
    neighbours: Neighbours,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """M12."""
    neighbours.identity.add("u1", "Anna")
    put(outbox, 1, "u1")

    def never_marked(*_: object) -> None:
        raise DatabaseUnavailableError

    with monkeypatch.context() as crashing:
        crashing.setattr(outbox, "settle", never_marked)
        async with sending(sender(outbox)):
            await mailbox.wait(1)
    assert outbox.waiting() == 1
    async with sending(sender(outbox)):
        first, second = await mailbox.wait(2)
        await until_settled(outbox)
    assert first["Message-ID"] == second["Message-ID"]


async def test_a_block_that_was_lifted_meanwhile_is_told_as_such(
    outbox: Outbox, sender: MakeSender, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """S0-25."""
    neighbours.identity.add("u1", "Anna")
    neighbours.identity.users["u1"].blocked = False
    put(outbox, 1, "u1")
    async with sending(sender(outbox)):
        (mail,) = await mailbox.wait(1)
    assert mail["Subject"] == "Anna Berg was blocked at Home, and is allowed again"
    for kind in ("plain", "html"):
        assert "the user can charge again" in part(mail, kind)


async def test_a_block_everywhere_names_no_site(
    outbox: Outbox, sender: MakeSender, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    neighbours.identity.add("u1", "Anna")
    put(outbox, 1, "u1", installation_id=None)
    async with sending(sender(outbox)):
        (mail,) = await mailbox.wait(1)
    assert mail["Subject"] == "Anna Berg was blocked at all sites"
    assert "on 2026-03-03 at 12:00 (UTC)." in text(mail)


async def test_no_name_can_break_headers_or_markup(
    outbox: Outbox, sender: MakeSender, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    neighbours.identity.add(
        "u1", "<script>alert('x')</script>&\r\nBcc: thief@evil.test", "\n\n.\r\n$site\u202e"
    )
    neighbours.access.sites["home"] = ("<b>Home</b>\r\n", "Europe/Oslo")
    put(outbox, 1, "u1")
    async with sending(sender(outbox)):
        (mail,) = await mailbox.wait(1)
    name = "<script>alert('x')</script>& Bcc: thief@evil.test . $site"
    assert mail["Subject"] == f"{name} was blocked at <b>Home</b>"
    assert mail["Bcc"] is None
    assert mailbox.recipients == [["admin@chargekey.test"]]
    assert f"{name} was blocked at <b>Home</b> on" in text(mail)
    markup = part(mail, "html")
    assert "<script" not in markup
    assert "<b>" not in markup
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp; Bcc" in markup


async def test_names_of_every_script_arrive_as_they_are(
    outbox: Outbox, sender: MakeSender, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    neighbours.identity.add("u1", "Øystein " * 20 + "王秀英", "Ægir")
    put(outbox, 1, "u1")
    async with sending(sender(outbox)):
        (mail,) = await mailbox.wait(1)
    name = "Øystein " * 20 + "王秀英 Ægir"
    assert mail["Subject"] == f"{name} was blocked at Home"
    assert name in text(mail)
    assert name in part(mail, "html")
    assert max(map(len, mailbox.raw[0].split(b"\r\n"))) <= 998


async def test_a_letter_that_is_refused_for_good_is_dropped_with_the_reason(
    outbox: Outbox, sender: MakeSender, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """One poisonous letter must not hold back all others for ever."""
    neighbours.identity.add("u1", "Spam")
    neighbours.identity.add("u2", "Bo")
    mailbox.answer = lambda mail: "554 no" if "Spam" in mail["Subject"] else TAKEN
    put(outbox, 1, "u1")
    put(outbox, 2, "u2")
    async with sending(sender(outbox)):
        await mailbox.wait(1)
        await until_settled(outbox)
    assert subjects(mailbox.mails) == ["Bo Berg was blocked at Home"]


async def test_a_letter_that_is_refused_for_now_is_tried_again_before_the_next(
    outbox: Outbox, sender: MakeSender, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    neighbours.identity.add("u1", "Anna")
    neighbours.identity.add("u2", "Bo")
    answers = iter(["451 later"])
    mailbox.answer = lambda _: next(answers, TAKEN)
    put(outbox, 1, "u1")
    put(outbox, 2, "u2")
    async with sending(sender(outbox)):
        mails = await mailbox.wait(2)
    assert subjects(mails) == ["Anna Berg was blocked at Home", "Bo Berg was blocked at Home"]


async def test_an_identity_that_fails_is_asked_again(
    outbox: Outbox, sender: MakeSender, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    neighbours.identity.add("u1", "Anna")
    neighbours.identity.failures = 2
    put(outbox, 1, "u1")
    async with sending(sender(outbox)):
        (mail,) = await mailbox.wait(1)
    assert neighbours.identity.failures == 0
    assert mail["Subject"] == "Anna Berg was blocked at Home"


async def test_a_sent_mail_is_not_sent_again_while_it_cannot_be_marked(
    outbox: Outbox,
    sender: MakeSender,
    neighbours: Neighbours,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full disk would mail the administrator the same thing every minute."""
    neighbours.identity.add("u1", "Anna")
    put(outbox, 1, "u1")
    settle, failures = outbox.settle, iter(range(2))

    def settle_in_the_end(mail: Mail, outcome: str) -> None:
        if next(failures, None) is not None:
            reason = "database or disk is full"
            raise DatabaseUnavailableError(reason)
        settle(mail, outcome)

    monkeypatch.setattr(outbox, "settle", settle_in_the_end)
    async with sending(sender(outbox)):
        await until_settled(outbox)
    assert len(mailbox.mails) == 1


async def test_a_mail_that_another_replica_added_is_found(
    postgres: Postgres,
    sender: MakeSender,
    neighbours: Neighbours,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LOOK", 0.02)
    neighbours.identity.add("u1", "Anna")
    await asyncio.to_thread(Outbox.migrate, postgres)
    with closing(Outbox(postgres)) as outbox, closing(Outbox(postgres)) as other:
        async with sending(sender(outbox)):
            put(other, 1, "u1")
            (mail,) = await mailbox.wait(1)
            await until_settled(other)
    assert mail["Subject"] == "Anna Berg was blocked at Home"


def to(outbox: Outbox, number: int, user_id: str) -> None:
    """Queue a link to sign in."""
    now = time.time_ns()
    mail = Mail(event_id(number), to_user(user_id), "sign_in_link", user_id, now)
    position = Position("identity", "00000000000000a1", number)
    outbox.add(Handled("notifier-on-sign-in-link-requested", position), mail)


async def test_whoever_cannot_be_reached_delays_nobody_else(
    outbox: Outbox, sender: MakeSender, mailbox: Mailbox
) -> None:
    """M13: an address that is refused is tried again, for days: it may be our own settings."""
    mailbox.refused = {"gone@people.test": "550 no such mailbox"}
    mailbox.answer = lambda mail: "451 later" if mail["To"].startswith("slow") else TAKEN
    for number, user_id in enumerate(("gone", "slow", *"abcdefghij"), start=1):
        to(outbox, number, user_id)
    async with sending(sender(outbox)):
        mails = await mailbox.wait(10)
        await until(lambda: outbox.waiting() == 2)
    assert {mail["To"] for mail in mails} == {f"{each}@people.test" for each in "abcdefghij"}


async def test_an_address_that_is_refused_for_days_is_given_up(
    outbox: Outbox, sender: MakeSender, mailbox: Mailbox
) -> None:
    """M13: NOON is long ago."""
    mailbox.refused = {"gone@people.test": "550 no such mailbox"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time_ns", lambda: NOON)
        to(outbox, 1, "gone")
    async with sending(sender(outbox)):
        await until_settled(outbox)
    assert not mailbox.mails


async def test_several_mails_are_on_their_way_at_once(
    outbox: Outbox, sender: MakeSender, mailbox: Mailbox
) -> None:
    """M13."""
    together = asyncio.Barrier(module.AT_ONCE)
    mailbox.before = together.wait
    for number in range(module.AT_ONCE):
        to(outbox, number + 1, f"u{number}")
    async with sending(sender(outbox)):
        await mailbox.wait(module.AT_ONCE)


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_mail_programs_decline_by_one_click_where_nobody_listens_in(
    mailbox: Mailbox, scheme: str
) -> None:
    """M9: the header for that stands beside an https link alone (RFC 8058 §3)."""
    link = f"{scheme}://partners.test/unsubscribe/token"
    post = Post(mailbox.address, "chargekey@chargekey.test")
    letter = Letter("Subject", "Text", "<p>Text</p>")
    await post.send(letter, to="kari@people.test", key="key", unsubscribe=link)
    (mail,) = await mailbox.wait(1)
    assert mail["List-Unsubscribe"] == f"<{link}>"
    one_click = "List-Unsubscribe=One-Click" if scheme == "https" else None
    assert mail["List-Unsubscribe-Post"] == one_click


@pytest.mark.parametrize("eight_bit", [True, False])
async def test_letters_are_readable_whatever_the_server_takes(
    outbox: Outbox,
    sender: MakeSender,
    neighbours: Neighbours,
    mailbox: Mailbox,
    *,
    eight_bit: bool,
) -> None:
    """M16: as they stand where it takes 8BITMIME (RFC 6152), encoded where it does not."""
    mailbox.eight_bit = eight_bit
    neighbours.sign_in.language = "nb"
    to(outbox, 1, "u1")
    async with sending(sender(outbox)):
        (mail,) = await mailbox.wait(1)
    link = f"https://charge.test/sign-in#token-of-{event_id(1)}"
    assert link in text(mail)
    assert "Følg lenken" in text(mail)
    assert mailbox.raw[0].isascii() is not eight_bit
    if eight_bit:
        assert f"\r\n{link}\r\n".encode() in mailbox.raw[0]
    message_id = f"<{event_id(1)}.sign_in_link.user.u1@chargekey.test>"
    assert f"\r\nMessage-ID: {message_id}\r\n".encode() in mailbox.raw[0]
