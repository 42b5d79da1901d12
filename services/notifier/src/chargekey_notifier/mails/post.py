"""Letters to an SMTP server, which takes each one or says why not."""

from __future__ import annotations

import asyncio
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime

import aiosmtplib

from chargekey_notifier.mails.letters import Letter

DEADLINE = 20.0  # seconds for one letter, from connecting to the last answer
PERMANENT = 500
ABOUT = "Chargekey-About"
LONGEST_LINE = 998  # RFC 5322 §2.1.1, without its end


class RefusedError(Exception):
    """The server will never take this letter (RFC 5321 §4.2.1: 5yz); the message is its code."""


class Post:
    """Sends from one address through one server; TLS where the server offers it."""

    def __init__(self, smtp_address: str, sender: str) -> None:
        self._host, _, port = smtp_address.rpartition(":")
        self._port = int(port)
        self._sender = sender
        self._domain = sender.rpartition("@")[2]

    async def send(self, letter: Letter, *, to: str, key: str, about: str) -> None:
        """Return once the server has taken the letter.

        The Message-ID follows from `key`, so that a letter sent again, because
        nobody knew that it was sent, can be recognised as the same. `about` is the id of
        the user whose name may be in it, for who keeps letters to forget him by.

        Raises RefusedError when the server refuses this very letter, and
        aiosmtplib.SMTPException, OSError or TimeoutError when it may work later: a
        refused sender or recipient is a matter of settings, not of the letter.
        """
        message = EmailMessage(policy=SMTP)
        message["From"] = self._sender
        message["To"] = to
        message["Subject"] = letter.subject
        message["Date"] = localtime()
        message["Message-ID"] = f"<{key}@{self._domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message[ABOUT] = about
        message.set_content(letter.text, cte=_encoding(letter.text))
        message.add_alternative(letter.html, subtype="html", cte=_encoding(letter.html))
        try:
            async with asyncio.timeout(DEADLINE):
                await aiosmtplib.send(
                    message, hostname=self._host, port=self._port, local_hostname=self._domain
                )
        except aiosmtplib.SMTPDataError as error:
            if error.code >= PERMANENT:
                raise RefusedError(str(error.code)) from None
            raise


def _encoding(text: str) -> str | None:
    """Return that it is written as it stands, where every server takes that; else None.

    Mails may be kept as files, and links be copied from these.
    """
    fits = text.isascii() and all(len(line) <= LONGEST_LINE for line in text.split("\n"))
    return "7bit" if fits else None
