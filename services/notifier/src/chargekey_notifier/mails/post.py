"""Letters to an SMTP server, which takes each one or says why not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from email.headerregistry import BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage, Message
from email.policy import SMTP, Policy
from email.utils import localtime
from pathlib import Path
from typing import Literal

import aiosmtplib

from chargekey_common.jetstream import cancellably
from chargekey_notifier.mails.letters import Letter

SmtpTls = Literal["offered", "required", "implicit"]

DEADLINE = 20.0  # seconds for one letter, from connecting to the last answer
PERMANENT = 500
ABOUT = "Chargekey-About"
LONGEST_LINE = 998  # RFC 5322 §2.1.1, without its end; in bytes


class _Whole(UnstructuredHeader, BaseHeader):
    """A header that stands as it is: folded, an address in it would become encoded words."""

    def fold(self, *, policy: Policy[Message]) -> str:
        return f"{self.name}: {self}{policy.linesep}"


_HEADERS = HeaderRegistry()
for _name in ("to", "message-id", "list-unsubscribe"):
    _HEADERS.map_to_type(_name, _Whole)
_POLICY = SMTP.clone(header_factory=_HEADERS)


class RefusedError(Exception):
    """The server will never take this letter (RFC 5321 §4.2.1: 5yz); the message is its code."""


class AddressRefusedError(Exception):
    """The server takes nothing to this address; the message is its code.

    For good, or until its settings, or ours, are mended: nobody knows.
    """


class Post:
    """Sends from one address through one server, to which it is `user` where one is named.

    `tls` is as in the settings.
    """

    def __init__(
        self,
        smtp_address: str,
        sender: str,
        *,
        tls: SmtpTls = "offered",
        user: str = "",
        password_file: Path | None = None,
    ) -> None:
        self._tls = tls
        self._user = user
        self._password_file = password_file
        self._host, _, port = smtp_address.rpartition(":")
        self._port = int(port)
        self._sender = sender
        self._domain = sender.rpartition("@")[2]

    async def send(
        self,
        letter: Letter,
        *,
        to: str,
        key: str,
        about: Sequence[str] = (),
        unsubscribe: str | None = None,
    ) -> None:
        """Return once the server has taken the letter.

        The Message-ID follows from `key`, so that a letter sent again, because
        nobody knew that it was sent, can be recognised as the same. `about` are the ids of
        users whose names or addresses may be in it, for who keeps letters to forget them by.
        `unsubscribe` declines the next of its kind, by one POST where it is https (RFC 8058 §3).

        Raises RefusedError when the server refuses this very letter, AddressRefusedError
        when it refuses whom it is to, and aiosmtplib.SMTPException, OSError or TimeoutError
        when it may work later: a refused sender, or login, is a matter of settings.
        """
        message = EmailMessage(policy=_POLICY)
        message["From"] = self._sender
        message["To"] = to
        message["Subject"] = letter.subject
        message["Date"] = localtime()
        message["Message-ID"] = f"<{key}@{self._domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message[ABOUT] = " ".join(about)
        if unsubscribe is not None:
            message["List-Unsubscribe"] = f"<{unsubscribe}>"
            if unsubscribe.startswith("https://"):
                message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message.set_content(letter.text, cte=_encoding(letter.text))
        message.add_alternative(letter.html, subtype="html", cte=_encoding(letter.html))
        try:
            async with asyncio.timeout(DEADLINE):
                # The library waits as nats-py does, and loses cancellations.
                await cancellably(
                    aiosmtplib.send(
                        message,
                        hostname=self._host,
                        port=self._port,
                        local_hostname=self._domain,
                        use_tls=self._tls == "implicit",
                        start_tls={"offered": None, "required": True, "implicit": False}[self._tls],
                        username=self._user or None,
                        password=await self._password(),
                    )
                )
        except aiosmtplib.SMTPRecipientsRefused as error:
            code = max(each.code for each in error.recipients)
            if code >= PERMANENT:
                raise AddressRefusedError(str(code)) from None
            raise
        except aiosmtplib.SMTPDataError as error:
            if error.code >= PERMANENT:
                raise RefusedError(str(error.code)) from None
            raise

    async def _password(self) -> str | None:
        if self._password_file is None:
            return None
        # What is no text is a wrong password, and tried again like one.
        return (await asyncio.to_thread(self._password_file.read_text, errors="replace")).strip()


def _encoding(text: str) -> str | None:
    """Return how it is written as it stands, links whole; None where a line is too long.

    Mails may be kept as files, and links be copied from these. What is not ASCII goes to
    servers that take no 8BITMIME (RFC 6152) in another encoding.
    """
    if any(len(line.encode()) > LONGEST_LINE for line in text.split("\n")):
        return None
    return "7bit" if text.isascii() else "8bit"
