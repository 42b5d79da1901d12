"""The mail sink: an SMTP server that keeps every mail as a file and sends none on.

`python -m chargekey_stack.mail_sink PORT DIRECTORY` serves on loopback until told
to stop; each mail becomes one `.eml` file, named so that the files sort by arrival.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from functools import partial
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from chargekey_stack.ports import HOST

LONGEST_MAIL = 1 << 20


class Keep:
    """Keeps what arrives."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep one mail; a reader never sees half of it."""
        mail = self._directory / f"{time.time_ns()}.eml"
        half = mail.with_suffix(".part")
        half.touch(mode=0o600)
        half.write_bytes(envelope.original_content or b"")
        half.rename(mail)
        return "250 kept"


async def serve(port: int, directory: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    session = partial(
        SMTP,
        Keep(directory),
        hostname="localhost",
        data_size_limit=LONGEST_MAIL,
        enable_SMTPUTF8=True,
        loop=loop,
    )
    server = await loop.create_server(session, HOST, port, reuse_port=True)
    await stop.wait()
    server.close()


def main() -> None:
    """Read the command line and serve."""
    port, directory = sys.argv[1:]
    asyncio.run(serve(int(port), Path(directory)))


if __name__ == "__main__":
    main()
