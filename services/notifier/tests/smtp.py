"""A real SMTP server in the test's own loop, which can go away and come back."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import Awaitable, Callable
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session

TAKEN = "250 OK"


class Mailbox:
    """Takes every mail on a port of its own, or answers what it is told to."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.raw: list[bytes] = []
        self.recipients: list[list[str]] = []
        self.answer: Callable[[EmailMessage], str] = lambda _: TAKEN
        # Who is refused at once, and with what.
        self.refused: dict[str, str] = {}
        self.before: Callable[[], Awaitable[object]] | None = None
        self.eight_bit = True
        self.port = 0
        self._grown = asyncio.Condition()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, hostname="mail.test", loop=loop), "127.0.0.1", self.port
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def handle_EHLO(
        self, _: SMTP, session: Session, __: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [each for each in responses if self.eight_bit or "8BITMIME" not in each]

    async def handle_RCPT(
        self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return TAKEN

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        if self.before is not None:
            await self.before()
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        answer = self.answer(mail)
        if answer == TAKEN:
            async with self._grown:
                self.mails.append(mail)
                self.raw.append(envelope.content)
                self.recipients.append(list(envelope.rcpt_tos))
                self._grown.notify_all()
        return answer

    async def wait(self, count: int) -> list[EmailMessage]:
        """Return the mails once there are `count`."""
        async with asyncio.timeout(40), self._grown:
            await self._grown.wait_for(lambda: len(self.mails) >= count)
        return self.mails


def subjects(mails: list[EmailMessage]) -> list[str]:
    return [mail["Subject"] for mail in mails]


def text(mail: EmailMessage) -> str:
    return part(mail, "plain")


def part(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert isinstance(body, EmailMessage)
    return str(body.get_content())
