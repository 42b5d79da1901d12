"""Sending what waits in the outbox: in order, until it is sent or can never be.

Names are asked for at the moment of sending and kept nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import assert_never

import aiosmtplib
import grpc
import structlog
from grpc import aio
from prometheus_client import Counter, Gauge

from chargekey.access.v1 import access_pb2, access_pb2_grpc
from chargekey.identity.v1 import identity_pb2, identity_pb2_grpc
from chargekey_common.database import DatabaseUnavailableError
from chargekey_common.grpc.client import remote_error
from chargekey_notifier.letters import Letter, letter, local_time
from chargekey_notifier.outbox import Mail, Outbox
from chargekey_notifier.post import Post, RefusedError

FIRST_DELAY = 0.5  # seconds before a mail is tried again, doubled each time
LONGEST_DELAY = 60.0
LOOK = 2.0  # seconds between looks for mails that other replicas have added
SENT = "sent"

_MAILS = Counter("notifier_mails_total", "Mails sent, dropped, or to be tried again.", ["result"])
_WAITING = Gauge("notifier_mails_waiting", "Mails that are neither sent nor dropped.")

log = structlog.get_logger()


class _DroppedError(Exception):
    """There is nothing true left to send; the message says why, in one word."""


class Sender:
    """The one sender of an outbox."""

    def __init__(
        self,
        outbox: Outbox,
        post: Post,
        *,
        identity: aio.Channel,
        access: aio.Channel,
        addresses: Mapping[str, str],
    ) -> None:
        """Write to the `addresses` of roles, with names that `identity` and `access` tell."""
        self._outbox = outbox
        self._post = post
        self._identity = identity_pb2_grpc.IdentityServiceStub(identity)
        self._access = access_pb2_grpc.AccessServiceStub(access)
        self._addresses = addresses
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
            written = await self._write(mail)
            await self._post.send(
                written,
                to=self._addresses[mail.recipient],
                key=f"{mail.event_id}.{mail.recipient}",
            )
        except _DroppedError as error:
            return str(error)
        except RefusedError as error:
            return f"smtp_{error}"
        return SENT

    async def _write(self, mail: Mail) -> Letter:
        match mail.kind:
            case "user_blocked":
                return await self._user_blocked(mail)
            case _:
                assert_never(mail.kind)

    async def _user_blocked(self, mail: Mail) -> Letter:
        user = await self._user(mail.user_id)
        site, time_zone = await self._site(mail.installation_id)
        words = {
            "name": f"{user.first_name} {user.last_name}",
            "site": site,
            "time": local_time(mail.at, time_zone),
        }
        return letter("user_blocked" if user.blocked else "user_blocked_lifted_since", words)

    async def _user(self, user_id: str) -> identity_pb2.User:
        try:
            answer = await self._identity.GetUser(identity_pb2.GetUserRequest(user_id=user_id))
        except aio.AioRpcError as error:
            raise _dropped(error) from None
        return answer.user

    async def _site(self, installation_id: str | None) -> tuple[str, str]:
        """Return the site's name and time zone."""
        if installation_id is None:
            return "all sites", "UTC"
        request = access_pb2.GetInstallationRequest(installation_id=installation_id)
        try:
            answer = await self._access.GetInstallation(request)
        except aio.AioRpcError as error:
            raise _dropped(error) from None
        return answer.installation.name, answer.installation.time_zone


def _dropped(error: aio.AioRpcError) -> Exception:
    """Return that the mail is dropped when what it is about does not exist, else the error."""
    if error.code() is grpc.StatusCode.NOT_FOUND:
        return _DroppedError(remote_error(error).code)
    return error
