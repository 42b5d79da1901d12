"""Sending what waits in the outbox: in order, until it is sent or can never be."""

from __future__ import annotations

import asyncio
import contextlib

import aiosmtplib
import structlog
from grpc import aio
from prometheus_client import Counter, Gauge

from chargekey_common.database import DatabaseUnavailableError
from chargekey_notifier.mails.outbox import Mail, Outbox
from chargekey_notifier.mails.post import Post, RefusedError
from chargekey_notifier.mails.writing import DroppedError, Writer

FIRST_DELAY = 0.5  # seconds before a mail is tried again, doubled each time
LONGEST_DELAY = 60.0
LOOK = 2.0  # seconds between looks for mails that other replicas have added
SENT = "sent"

_MAILS = Counter("notifier_mails_total", "Mails sent, dropped, or to be tried again.", ["result"])
_WAITING = Gauge("notifier_mails_waiting", "Mails that are neither sent nor dropped.")

log = structlog.get_logger()


class Sender:
    """The one sender of an outbox."""

    def __init__(self, outbox: Outbox, writer: Writer, post: Post) -> None:
        self._outbox = outbox
        self._writer = writer
        self._post = post
        self._done: tuple[Mail, str] | None = None
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        outbox.on_added(self._wake)

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Send until cancelled; a mail that cannot be sent yet holds back those behind it."""
        delay = FIRST_DELAY
        while True:
            self._woken.clear()
            try:
                was_there_one = await self._send_first()
            except (
                aio.AioRpcError,
                aiosmtplib.SMTPException,
                OSError,
                DatabaseUnavailableError,
            ) as error:
                _MAILS.labels("again").inc()
                # Not the error itself: SMTP's quote addresses.
                log.warning("mail_not_sent", error=type(error).__name__, again_in=delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)
            else:
                delay = FIRST_DELAY
                if not was_there_one:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LOOK):
                            await self._woken.wait()

    async def _send_first(self) -> bool:
        """Send or drop the oldest mail; return whether there was one."""
        if self._done is None:
            _WAITING.set(await asyncio.to_thread(self._outbox.waiting))
            mail = await asyncio.to_thread(self._outbox.first_waiting)
            if mail is None:
                return False
            self._done = mail, await self._send(mail)
        # A crash just here sends the mail again, under the same Message-ID; an outbox
        # that cannot be written does not.
        mail, outcome = self._done
        await asyncio.to_thread(self._outbox.settle, mail, outcome)
        self._done = None
        _MAILS.labels(SENT if outcome == SENT else "dropped").inc()
        log.info("mail_settled", kind=mail.kind, cause=mail.event_id, outcome=outcome)
        return True

    async def _send(self, mail: Mail) -> str:
        """Return what became of the mail: sent, or why it was dropped."""
        try:
            written = await self._writer.write(mail)
            await self._post.send(
                written.letter,
                to=written.to,
                key=f"{mail.event_id}.{mail.recipient}",
                about=mail.user_id,
            )
        except DroppedError as error:
            return str(error)
        except RefusedError as error:
            return f"smtp_{error}"
        return SENT
