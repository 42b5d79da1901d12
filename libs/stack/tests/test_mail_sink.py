from __future__ import annotations

import asyncio
import contextlib
import smtplib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

from chargekey_common.nats_server import NatsServer
from chargekey_common.published.identity import UserErased, UserRenamed
from chargekey_common.testing.streams import make_stream
from chargekey_common.testing.waiting import until
from chargekey_stack.children import ProgramChild
from chargekey_stack.ports import HOST, Ports
from chargekey_stack.programs import Program


@asynccontextmanager
async def serving(directory: Path, nats: NatsServer) -> AsyncIterator[int]:
    """Run a sink for the length of the block; yield its port."""
    ports = Ports()
    port = ports.reserve()
    token = directory.parent / "token"
    token.write_text(nats.token)
    command = (sys.executable, "-m", "chargekey_stack.mail_sink", str(port), str(directory))
    command = (*command, nats.url, str(token))
    program = Program("mail", command, {}, smtp=f"{HOST}:{port}")
    child = ProgramChild(program, directory.parent / "log")
    await child.start()
    await child.ready()
    yield port
    await child.stop(30)
    assert await child.ended() == 0
    ports.close()


@pytest.fixture
def mails(tmp_path: Path) -> Path:
    """Return the directory that mails are kept in."""
    directory = tmp_path / "mail"
    directory.mkdir()
    return directory


def send(port: int, subject: str, about: str = "") -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.org", "b@example.org", subject
    if about:
        mail["Chargekey-About"] = about
    mail.set_content("Ærlig talt\n")
    with smtplib.SMTP(HOST, port, timeout=30) as client:
        client.send_message(mail)


def subjects(directory: Path) -> list[str]:
    assert not list(directory.glob("*.part"))
    mails = []
    for mail in sorted(directory.glob("*.eml")):
        with contextlib.suppress(FileNotFoundError):  # removed since it was listed
            mails.append(mail.read_text())
    return [mail.partition("Subject: ")[2].split()[0] for mail in mails]


async def erase(client: Client, user_id: str) -> None:
    event = UserErased(user_id=user_id)
    await client.jetstream().publish(event.subject, msgspec.json.encode(event))


async def test_every_mail_is_kept_as_a_file_of_its_own_in_order(
    mails: Path, nats_server: NatsServer
) -> None:
    """Also while there is no stream to follow."""
    async with serving(mails, nats_server) as port:
        for subject in ("one", "two", "three"):
            await asyncio.to_thread(send, port, subject)
        assert subjects(mails) == ["one", "two", "three"]


async def test_mails_about_somebody_who_is_erased_go_and_none_come_any_more(
    mails: Path, nats_server: NatsServer, nats_client: Client
) -> None:
    """R20, M19: also those that were kept by a sink before this one, and those that come late."""
    config = StreamConfig(name="IDENTITY", subjects=["identity.v1.>"])
    await make_stream(nats_client.jetstream(), config)
    async with serving(mails, nats_server) as port:
        for about in ("ada", "grace", "", "katherine"):
            await asyncio.to_thread(send, port, f"about-{about}", f"charles {about}")
        renamed = UserRenamed(user_id="katherine")
        await nats_client.jetstream().publish(renamed.subject, msgspec.json.encode(renamed))
        await erase(nats_client, "ada")
        await until(lambda: len(subjects(mails)) == 3)
        await asyncio.to_thread(send, port, "late", "ada")
        assert subjects(mails) == ["about-grace", "about-", "about-katherine"]
    await erase(nats_client, "grace")
    (mails / "1.part").write_text("half of a mail about somebody")
    async with serving(mails, nats_server):
        await until(lambda: subjects(mails) == ["about-", "about-katherine"])
