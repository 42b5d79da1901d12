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
    found = [
        email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        for file in sorted((data / "mail").glob("*.eml"))
    ]
    return [mail for mail in found if mail["To"] == address]  # type: ignore[misc]


def token(data: Path, address: str, number: int = 1) -> str:
    """Return what the link of somebody's mail carries, once he has that many mails."""
    deadline = time.monotonic() + 30
    while len(found := mails(data, address)) < number:
        assert time.monotonic() < deadline, f"{address} has {len(found)} mails"
        time.sleep(0.05)
    text = found[number - 1].get_body(("plain",))
    assert text is not None
    link = LINK.search(text.get_content())
    assert link is not None
    return link[1]
