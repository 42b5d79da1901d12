"""Links are mailed to the person himself, in his language, with a token that no row keeps."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chargekey.identity.v1 import invitations_pb2
from chargekey_common.published.identity import (
    InvitationCreated,
    InvitationRenewed,
    SignInLinkRequested,
)

from .conftest import Running
from .neighbours import NOON, IdentityStream, Neighbours, event_id
from .smtp import Mailbox, part


def outbox_files(directory: Path) -> list[Path]:
    return list(directory.glob("notifier.db*"))


def invite(neighbours: Neighbours, token: str, **place: Any) -> None:
    neighbours.invitations.links["i1"] = invitations_pb2.IssueInvitationLinkResponse(
        email="kari@people.test", token=token, expires_at=NOON, **place
    )


async def test_the_invited_get_a_link_and_a_new_one_when_it_is_sent_again(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """R7, S3-20, S3-27, M1."""
    invite(neighbours, "first", installation_id="home", language="en")
    async with running():
        await stream.tell(
            1,
            InvitationCreated(
                user_id="u1", invitation_id="i1", installation_id="home", expires_at=NOON
            ),
        )
        await mailbox.wait(1)
        invite(neighbours, "second", installation_id="home", language="nb")
        await stream.tell(2, InvitationRenewed(user_id="u1", invitation_id="i1", expires_at=NOON))
        first, second = await mailbox.wait(2)
    assert mailbox.recipients == [["kari@people.test"]] * 2
    assert first["Subject"] == "You are invited to charge"
    assert second["Subject"] == "Du er invitert til å lade"
    for mail, token, at in ((first, "first", "at"), (second, "second", "kl.")):
        for kind in ("plain", "html"):
            assert f"https://charge.test/invitation#{token}" in part(mail, kind)
            assert f"2026-03-03 {at} 13:00 (Europe/Oslo)" in part(mail, kind)


async def test_a_member_of_a_partner_is_invited_by_the_partners_name(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    invite(neighbours, "t", partner_id="p1", language="en")
    async with running():
        await stream.tell(
            1,
            InvitationCreated(user_id="u1", invitation_id="i1", partner_id="p1", expires_at=NOON),
        )
        (mail,) = await mailbox.wait(1)
    assert mail["Subject"] == "You are invited to an organisation"
    assert "You were made a member of Volt AS." in part(mail, "plain")


async def test_a_link_stands_whole_in_the_mail_as_it_is_sent(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """R7, M1: where it is kept as a file, it is copied from there, its `=` as one."""
    token = "a" * 43 + "="
    invite(neighbours, token, partner_id="p1", language="en")
    async with running():
        await stream.tell(
            1,
            InvitationCreated(user_id="u1", invitation_id="i1", partner_id="p1", expires_at=NOON),
        )
        await mailbox.wait(1)
    assert mailbox.raw[0].count(f"https://charge.test/invitation#{token}".encode()) >= 2


async def test_who_is_offered_a_site_is_told_that_it_is_his_when_he_accepts(
    running: Running, stream: IdentityStream, neighbours: Neighbours, mailbox: Mailbox
) -> None:
    """R6."""
    invite(neighbours, "t", installation_id="home", ownership=True, language="en")
    async with running():
        await stream.tell(
            1,
            InvitationCreated(
                user_id="u1", invitation_id="i1", installation_id="home", expires_at=NOON
            ),
        )
        (mail,) = await mailbox.wait(1)
    assert mail["Subject"] == "You are offered to own a charging site"
    assert "chargekey invitation accept --token 'https://charge.test/invitation#t'" in part(
        mail, "plain"
    )


@pytest.mark.parametrize(
    ("language", "word"), [("en", "sign in"), ("nb", "logge inn"), ("", "sign in")]
)
async def test_who_asks_for_a_link_to_sign_in_gets_one(
    running: Running,
    stream: IdentityStream,
    neighbours: Neighbours,
    mailbox: Mailbox,
    language: str,
    word: str,
) -> None:
    neighbours.sign_in.language = language
    async with running():
        await stream.tell(7, SignInLinkRequested(user_id="u1"))
        (mail,) = await mailbox.wait(1)
    assert mailbox.recipients == [["u1@people.test"]]
    assert mail["Chargekey-About"] == "u1"
    for kind in ("plain", "html"):
        assert f"https://charge.test/sign-in#token-of-{event_id(7)}" in part(mail, kind)
        assert word in part(mail, kind)


async def test_an_invitation_that_is_gone_holds_back_nothing_and_no_row_keeps_a_token(
    running: Running,
    stream: IdentityStream,
    mailbox: Mailbox,
    tmp_path: Path,
) -> None:
    """R17, R20, M15: addresses and tokens are asked for at the moment of sending."""
    async with running() as outbox, asyncio.timeout(20):
        await stream.tell(1, InvitationRenewed(user_id="u1", invitation_id="gone", expires_at=1))
        while outbox.handled("notifier-on-invitation-renewed") is None or outbox.waiting():
            await asyncio.sleep(0.01)
        await stream.tell(2, SignInLinkRequested(user_id="u2"))
        await mailbox.wait(1)
    stored = b"".join(map(Path.read_bytes, outbox_files(tmp_path)))
    assert b"invitation_unknown" in stored
    assert b"token-of" not in stored
    assert b"people.test" not in stored
