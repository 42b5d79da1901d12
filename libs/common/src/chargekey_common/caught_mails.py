"""Mails that were caught instead of sent, read from their files; ids are when they came."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path

import msgspec

from chargekey_common.errors import NotFoundError

_ID = re.compile(r"[0-9]{1,20}")


class MailUnknownError(NotFoundError):
    """None was caught by that id, or it is kept no longer."""

    code = "mail_unknown"
    sentence = "There is no such mail here; use an id that `chargekey mail list` shows."


class CaughtMail(msgspec.Struct, frozen=True):
    """One mail; `id` is when it came, in nanoseconds since the epoch."""

    id: str
    to: str
    subject: str
    text: str


def caught(directory: Path) -> Sequence[CaughtMail]:
    """Return every mail that was caught, oldest first."""
    files = sorted(directory.glob("*.eml"), key=lambda file: int(file.stem))
    found = (_read(file) for file in files)
    return [each for each in found if each is not None]


def caught_mail(directory: Path, mail_id: str) -> CaughtMail:
    """Return one mail; raises MailUnknownError."""
    known = _ID.fullmatch(mail_id) is not None
    mail = _read(directory / f"{mail_id}.eml") if known else None
    if mail is None:
        raise MailUnknownError
    return mail


def _read(file: Path) -> CaughtMail | None:
    """Return the mail, None where it is gone: whoever it was about may be erased just now."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    mail = email.message_from_bytes(content, _class=EmailMessage, policy=email.policy.default)
    body = mail.get_body(("plain",))
    text = "" if body is None else str(body.get_content())
    return CaughtMail(file.stem, str(mail["To"]), str(mail["Subject"]), text.strip())
