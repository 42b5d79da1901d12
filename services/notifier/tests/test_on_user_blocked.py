"""A block becomes a mail: once, whatever the bus forgets, and in order."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from nats.aio.client import Client

from chargekey_common.published.identity import UserBlocked
from chargekey_notifier.mails.outbox import Outbox
from chargekey_notifier.reactions.on_user_blocked import on_user_blocked

from .conftest import Running
from .neighbours import IdentityStream, Neighbours, event_id
from .smtp import Mailbox, subjects, text


def outcomes(path: Path) -> dict[str, str | None]:
    """Return what became of each event's mail, from the file of a notifier that has ended."""
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT event_id, outcome FROM mails ORDER BY number"))


async def settled(outbox: Outbox) -> None:
    """Return once what went out is marked: a notifier that ends before may send it again."""
    async with asyncio.timeout(20):
        while outbox.waiting():
            await asyncio.sleep(0.01)


def test_the_reaction_is_named_as_its_event() -> None:
    with closing(Outbox(Path(":memory:"))) as outbox:
        on = on_user_blocked(outbox)
    assert (on.event, on.name("notifier")) == (UserBlocked, "notifier-on-user-blocked")


async def test_a_blocked_user_is_told_of_by_name_and_site(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """R12, S0-15."""
    neighbours.identity.add("u1", "Anna")
    async with running():
        await stream.blocked(4, "u1")
        (mail,) = await mailbox.wait(1)
    assert mail["Subject"] == "Anna Berg was blocked at Home"
    assert mail["From"] == "chargekey@chargekey.test"
    assert (
        mail["Message-ID"].strip() == f"<{event_id(4)}.user_blocked.administrator@chargekey.test>"
    )
    assert mailbox.recipients == [["admin@chargekey.test"]]
    assert "Anna Berg was blocked at Home on 2026-03-03 at 13:00 (Europe/Oslo)." in text(mail)


async def test_a_redelivered_event_sends_no_second_mail(
    running: Running,
    stream: IdentityStream,
    neighbours: Neighbours,
    mailbox: Mailbox,
    nats_client: Client,
) -> None:
    neighbours.identity.add("u1", "Anna")
    neighbours.identity.add("u2", "Bo")
    async with running() as outbox:
        await stream.blocked(1, "u1")
        await stream.blocked(1, "u1")
        await mailbox.wait(1)
        await settled(outbox)
    # Without the durable the server delivers everything again.
    await nats_client.jetstream().delete_consumer("IDENTITY", "notifier-on-user-blocked")
    async with running():
        await stream.blocked(2, "u2")
        mails = await mailbox.wait(2)
    assert subjects(mails) == ["Anna Berg was blocked at Home", "Bo Berg was blocked at Home"]


async def test_a_lost_stream_filled_again_under_another_generation_sends_no_second_mail(
    running: Running,
    stream: IdentityStream,
    neighbours: Neighbours,
    mailbox: Mailbox,
    nats_client: Client,
) -> None:
    for user in ("u1", "u2", "u3"):
        neighbours.identity.add(user, user.upper())
    async with running():
        await stream.blocked(5, "u1")
        await stream.blocked(9, "u2")
        await mailbox.wait(2)
        await stream.lose()
        again = IdentityStream(nats_client, generation="00000000000000b2")
        await again.make()
        await again.blocked(5, "u1")
        await again.blocked(9, "u2")
        await again.blocked(11, "u3")
        mails = await mailbox.wait(3)
    assert [subject.split()[0] for subject in subjects(mails)] == ["U1", "U2", "U3"]


async def test_blocks_while_the_notifier_was_down_are_told_of_in_order(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    for number in range(1, 4):
        neighbours.identity.add(f"u{number}", f"Nr{number}")
        await stream.blocked(number, f"u{number}")
    async with running():
        mails = await mailbox.wait(3)
    assert [subject.split()[0] for subject in subjects(mails)] == ["Nr1", "Nr2", "Nr3"]


async def test_while_smtp_is_down_mails_wait_and_then_go_out_in_order(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    await mailbox.close()
    for number in range(1, 4):
        neighbours.identity.add(f"u{number}", f"Nr{number}")
    async with running() as outbox:
        for number in range(1, 4):
            await stream.blocked(number, f"u{number}")
        async with asyncio.timeout(20):
            while outbox.waiting() != 3:
                await asyncio.sleep(0.01)
        await mailbox.open()
        mails = await mailbox.wait(3)
    assert [subject.split()[0] for subject in subjects(mails)] == ["Nr1", "Nr2", "Nr3"]


async def test_a_user_erased_meanwhile_is_not_told_of_and_holds_nothing_up(
    running: Running,
    stream: IdentityStream,
    neighbours: Neighbours,
    mailbox: Mailbox,
    tmp_path: Path,
) -> None:
    """R20."""
    neighbours.identity.add("u2", "Bo")
    async with running() as outbox:
        await stream.blocked(1, "erased")
        await stream.blocked(2, "u2", installation_id="gone")
        await stream.blocked(3, "u2")
        mails = await mailbox.wait(1)
        await settled(outbox)
    assert subjects(mails) == ["Bo Berg was blocked at Home"]
    assert outcomes(tmp_path / "notifier.db") == {
        event_id(1): "user_unknown",
        event_id(2): "installation_unknown",
        event_id(3): "sent",
    }


async def test_no_name_and_no_address_is_kept(
    running: Running,
    stream: IdentityStream,
    neighbours: Neighbours,
    mailbox: Mailbox,
    tmp_path: Path,
) -> None:
    neighbours.identity.add("u1", "Annabella", "Bergstrom")
    async with running():
        await stream.blocked(1, "u1")
        await mailbox.wait(1)
    kept = await asyncio.to_thread((tmp_path / "notifier.db").read_bytes)
    assert b"u1" in kept
    assert not [word for word in (b"Annabella", b"Bergstrom", b"admin@") if word in kept]
