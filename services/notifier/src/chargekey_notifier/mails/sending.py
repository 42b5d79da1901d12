"""Sending what waits in the outbox: several at once, in order for each recipient."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

import aiosmtplib
import structlog
from grpc import aio
from prometheus_client import Counter, Gauge

from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.process import cancel, set_within
from chargekey_notifier.mails.kinds import Mail, is_group
from chargekey_notifier.mails.outbox import SENT, SPREAD, TOLD_WITHIN, Outbox
from chargekey_notifier.mails.post import AddressRefusedError, Post, RefusedError
from chargekey_notifier.mails.writing import DroppedError, Writer

AT_ONCE = 8
FIRST_DELAY = 0.5  # seconds before a mail is tried again, doubled each time
LONGEST_DELAY = 60.0
# Whoever refuses an address is not to be asked every minute for days.
LONGEST_REFUSED = 3600.0
LOOK = 2.0  # seconds between looks for mails that other replicas have added, or that are due

_MAILS = Counter("notifier_mails_total", "Mails sent, dropped, or to be tried again.", ["result"])
_WAITING = Gauge("notifier_mails_waiting", "Mails that are neither sent nor dropped, and due.")
_SECOND = 10**9

Result = TypeVar("Result")

log = structlog.get_logger()


class Sender:
    """The one sender of an outbox."""

    def __init__(self, outbox: Outbox, writer: Writer, post: Post) -> None:
        self._outbox = outbox
        self._writer = writer
        self._post = post
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        outbox.on_added(self._wake)

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Send until cancelled.

        A mail that cannot be sent yet holds back the others to its recipient, and nobody's.
        """
        try:
            while True:
                self._woken.clear()
                for mail in await self._due():
                    task = asyncio.create_task(self._deliver(mail))
                    task.add_done_callback(lambda _: self._woken.set())
                    self._sending[mail.recipient] = task
                await set_within(self._woken, LOOK)
                for recipient, task in list(self._sending.items()):
                    if task.done():
                        del self._sending[recipient]
                        task.result()  # what nobody foresaw ends the process
        finally:
            await cancel(*self._sending.values())

    async def _due(self) -> list[Mail]:
        """Return what is to be sent now, beside what is being sent."""
        now = time.time_ns()
        try:
            _WAITING.set(await asyncio.to_thread(self._outbox.waiting, now=now))
            found = await asyncio.to_thread(
                self._outbox.due,
                now=now,
                busy=list(self._sending),
                most=AT_ONCE - len(self._sending),
            )
        except DatabaseUnavailableError as error:
            log.warning("mails_not_read", error=type(error).__name__)
            return []
        return list(found)

    async def _deliver(self, mail: Mail) -> None:
        """Send the mail, drop it, or put it off, and mark it so."""
        try:
            outcome = await self._send(mail)
        except AddressRefusedError as error:
            if time.time_ns() - mail.due > TOLD_WITHIN:
                outcome = f"smtp_{error}"
            else:
                return await self._put_off(mail, error, LONGEST_REFUSED)
        except (
            aio.AioRpcError,
            aiosmtplib.SMTPException,
            OSError,
            DatabaseUnavailableError,
        ) as error:
            return await self._put_off(mail, error, LONGEST_DELAY)
        # A crash just here sends the mail again, under the same Message-ID; an outbox
        # that cannot be written does not.
        await _written(lambda: self._outbox.settle(mail, outcome))
        _MAILS.labels(outcome if outcome in (SENT, SPREAD) else "dropped").inc()
        log.info("mail_settled", kind=mail.kind, cause=mail.event_id, outcome=outcome)
        return None

    async def _send(self, mail: Mail) -> str:
        """Return what became of the mail: sent, or why it was dropped."""
        try:
            if is_group(mail.recipient):
                people = await self._writer.recipients(mail)
                await asyncio.to_thread(self._outbox.spread, mail, people)
                return SPREAD
            written = await self._writer.write(mail)
            await self._post.send(
                written.letter,
                to=written.to,
                key=f"{mail.event_id}.{mail.kind}.{mail.recipient.replace(':', '.')}",
                about=written.about,
                unsubscribe=written.unsubscribe,
            )
        except DroppedError as error:
            return str(error)
        except RefusedError as error:
            return f"smtp_{error}"
        return SENT

    async def _put_off(self, mail: Mail, error: Exception, longest: float) -> None:
        attempts = await _written(lambda: self._outbox.attempts(mail))
        delay = min(FIRST_DELAY * 2 ** min(attempts, 32), longest)
        _MAILS.labels("again").inc()
        # Not the error itself: SMTP's quote addresses.
        log.warning(
            "mail_not_sent", error=type(error).__name__, cause=mail.event_id, again_in=delay
        )
        until = time.time_ns() + int(delay * _SECOND)
        await _written(lambda: self._outbox.postpone(mail, until=until))
        self._loop.call_later(delay, self._woken.set)


async def _written(work: Callable[[], Result]) -> Result:
    """Do it with the outbox until it is done: a full disk sends nobody the same thing twice."""
    delay = FIRST_DELAY
    while True:
        try:
            return await asyncio.to_thread(work)
        except DatabaseUnavailableError as error:
            log.warning("mail_not_marked", error=type(error).__name__, again_in=delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)
