"""Mails that the sink has caught."""

from __future__ import annotations

import email
import email.policy
import re
import time
from email.message import EmailMessage
from pathlib import Path

LINK = re.compile(r"http://\S+#(\S+)")


def mails(data: Path, address: str) -> list[EmailMessage]:
    """Return the mails to an address, the oldest first."""
    # Only what may be his is read as a mail: others' are hundreds, and that takes a while.
    contents = map(_content, sorted((data / "mail").glob("*.eml")))
    found = [
        email.message_from_bytes(content, policy=email.policy.default)
        for content in contents
        if address.encode() in content
    ]
    return [mail for mail in found if mail["To"] == address]  # type: ignore[misc]


def token(data: Path, address: str, number: int = 1) -> str:
    """Return what the link of somebody's mail carries, once he has that many such mails."""
    deadline = time.monotonic() + 30
    while len(found := tokens(data, address)) < number:
        assert time.monotonic() < deadline, f"{address} has {len(found)} links"
        time.sleep(0.05)
    return found[number - 1]


def tokens(data: Path, address: str) -> list[str]:
    """Return what the links of somebody's mails carry, the oldest first."""
    links = []
    for mail in mails(data, address):
        text = mail.get_body(("plain",))
        assert text is not None
        links.append(LINK.search(text.get_content()))
    return [link[1] for link in links if link is not None]


def _content(mail: Path) -> bytes:
    try:
        return mail.read_bytes()
    except FileNotFoundError:  # its person was erased since it was listed
        return b""
