"""Takes mails, keeps them, and forgets whom they are about once he is erased."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from email.parser import BytesHeaderParser
from functools import partial
from pathlib import Path

import msgspec
from aiosmtpd.smtp import SMTP, Envelope, Session

from chargekey_common import jetstream
from chargekey_common.follower import Follower, Message
from chargekey_common.jetstream import Bus
from chargekey_common.process import cancel
from chargekey_common.published.identity import UserErased
from chargekey_stack.ports import HOST

LONGEST_MAIL = 1 << 20
ABOUT = "Chargekey-About"


class Mails:
    """Keeps what arrives, until it is about somebody who was erased."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._erased: set[str] = set()
        for half in directory.glob("*.part"):
            half.unlink()  # of a process that died just then

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep one mail; a reader never sees half of it."""
        content = envelope.original_content or b""
        if not _about(content).isdisjoint(self._erased):
            return "250 not kept"
        mail = self._directory / f"{time.time_ns()}.eml"
        half = mail.with_suffix(".part")
        half.touch(mode=0o600)
        half.write_bytes(content)
        half.rename(mail)
        return "250 kept"

    async def take(self, batch: Sequence[Message]) -> None:
        """Forget whom the next messages of IDENTITY tell of."""
        erased = {msgspec.json.decode(each.data, type=UserErased).user_id for each in batch}
        # First, so that what is not among the files yet is never put there.
        self._erased |= erased
        await asyncio.to_thread(self._delete, erased)

    def _delete(self, erased: AbstractSet[str]) -> None:
        for mail in self._directory.glob("*.eml"):
            if not _about(mail.read_bytes()).isdisjoint(erased):
                mail.unlink()


def _about(content: bytes) -> AbstractSet[str]:
    """Return the ids of those whose names or addresses may be in it."""
    return set((BytesHeaderParser().parsebytes(content)[ABOUT] or "").split())


async def serve(port: int, directory: Path, bus: Bus) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    mails = Mails(directory)
    session = partial(
        SMTP,
        mails,
        hostname="localhost",
        data_size_limit=LONGEST_MAIL,
        enable_SMTPUTF8=True,
        loop=loop,
    )
    server = await loop.create_server(session, HOST, port, reuse_port=True)
    following = asyncio.create_task(_follow(mails, bus))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({following, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            await following  # it failed: whoever started this process is to know
    finally:
        await cancel(stopped, following)
        server.close()


async def _follow(mails: Mails, bus: Bus) -> None:
    """Follow IDENTITY from its beginning, for as long as the process lives."""
    client = await jetstream.connect(bus, "mail")
    try:
        subjects = [UserErased.subject_filter()]
        await Follower(client, UserErased.stream.upper(), mails.take, subjects=subjects).run()
    finally:
        await jetstream.close(client)


def main() -> None:
    """Read the command line and serve."""
    port, directory, nats_url, token_file = sys.argv[1:]
    bus = Bus(nats_url, lambda: Path(token_file).read_text(encoding="utf-8").strip())
    asyncio.run(serve(int(port), Path(directory), bus))
