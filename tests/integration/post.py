"""What people find in their mail: links, and what is in them."""

from __future__ import annotations

import asyncio
import email
import re
from email import policy

from chargekey_stack.data_directory import DataDirectory

from .garage import eventually

_LINK = re.compile(r"/(?:invitation|sign-in)#(\S+)")


async def mailed(data: DataDirectory, to: str) -> str:
    """Return the token of the link in the newest mail to somebody, once there is one."""
    token = await eventually(lambda: asyncio.to_thread(_newest, data, to), bool)
    assert token is not None
    return token


def _newest(data: DataDirectory, to: str) -> str | None:
    for file in sorted(data.mail.glob("*.eml"), reverse=True):
        mail = email.message_from_bytes(file.read_bytes(), policy=policy.default)
        body = mail.get_body(("plain",))
        if mail["To"] == to and body is not None:
            match = _LINK.search(body.get_content())
            if match is not None:
                return match[1]
    return None
