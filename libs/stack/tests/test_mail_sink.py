from __future__ import annotations

import asyncio
import smtplib
import sys
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest_asyncio

from chargekey_stack.children import ProgramChild
from chargekey_stack.ports import HOST, Ports
from chargekey_stack.programs import Program


@pytest_asyncio.fixture
async def sink(tmp_path: Path) -> AsyncIterator[int]:
    ports = Ports()
    port = ports.reserve()
    command = (sys.executable, "-m", "chargekey_stack.mail_sink", str(port), str(tmp_path))
    child = ProgramChild(Program("mail", command, {}, smtp=f"{HOST}:{port}"), tmp_path / "log")
    await child.start()
    await child.ready()
    yield port
    await child.stop(5)
    assert await child.ended() == 0
    ports.close()


def send(port: int, subject: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.org", "b@example.org", subject
    mail.set_content("Ærlig talt\n")
    with smtplib.SMTP(HOST, port, timeout=5) as client:
        client.send_message(mail)


def subjects(directory: Path) -> list[str]:
    assert not list(directory.glob("*.part"))
    mails = [mail.read_text() for mail in sorted(directory.glob("*.eml"))]
    return [mail.partition("Subject: ")[2].split()[0] for mail in mails]


async def test_every_mail_is_kept_as_a_file_of_its_own_in_order(sink: int, tmp_path: Path) -> None:
    for subject in ("one", "two", "three"):
        await asyncio.to_thread(send, sink, subject)
    assert subjects(tmp_path) == ["one", "two", "three"]
