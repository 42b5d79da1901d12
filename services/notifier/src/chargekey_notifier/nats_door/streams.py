"""Feeds as streams, and the durable consumers made for partners' credentials.

A feed's stream is called like its partner, a consumer like its credential. An event has the
same number in its stream as in its feed, so the stream is its own bookmark: nothing can be
stored in it twice, left out, or by two at once.
"""

from __future__ import annotations

import nats.errors
from nats.aio.client import Client
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import BadRequestError as DeclaredOtherwiseError
from nats.js.errors import NotFoundError as NothingThereError

# Seconds until what was pulled and not acknowledged is delivered again.
ACK_WAIT = 30.0
# What a credential may have pulled and not acknowledged yet, and how often it may ask at once.
MOST_UNACKNOWLEDGED = 1000
MOST_PULLS = 64
DAY = 86_400.0
TIMEOUT = 5.0
# Followed by a credential's id.
INBOX_PREFIX = "_INBOX."


def subject(partner_id: str) -> str:
    """Return where the partner's feed is published: to our own account alone."""
    return f"feed.{partner_id}"


def inbox_prefix(credential_id: str) -> str:
    """Return what begins every subject that a credential's client may be answered on."""
    return INBOX_PREFIX + credential_id


class Streams:
    """Declares; raises nats.errors.Error while NATS is away."""

    def __init__(self, client: Client, *, days: int, replicas: int = 1) -> None:
        self._js = client.jetstream(timeout=TIMEOUT)
        self._kept = days * DAY
        self._replicas = replicas

    async def stream(self, partner_id: str, *, first: int = 1) -> StreamInfo:
        """Return the partner's stream; one that is made now counts from `first` on."""
        config = StreamConfig(
            name=partner_id,
            subjects=[subject(partner_id)],
            storage=StorageType.FILE,
            max_age=self._kept,
            num_replicas=self._replicas,
            first_seq=first,
            allow_atomic=True,
            deny_delete=True,
            deny_purge=True,
        )
        try:
            present = await self._js.stream_info(partner_id)
        except NothingThereError:
            try:
                return await self._js.add_stream(config)
            except DeclaredOtherwiseError:  # by another replica, a moment ago
                return await self._js.stream_info(partner_id)
        wanted = {"max_age": self._kept, "num_replicas": self._replicas}
        if all(getattr(present.config, name) == value for name, value in wanted.items()):
            return present
        return await self._js.update_stream(present.config, **wanted)

    async def document(self, partner_id: str, number: int) -> bytes | None:
        """Return what the stream has under this number, if it is kept."""
        try:
            return (await self._js.get_msg(partner_id, number)).data
        except NothingThereError:
            return None

    async def make_anew(self, partner_id: str, *, first: int) -> StreamInfo:
        """Empty the stream and let it count from `first`; its consumers begin with it."""
        found = await self._js.consumers_info(partner_id)
        await self._js.delete_stream(partner_id)
        made = await self.stream(partner_id, first=first)
        for each in found:
            await self.consumer(partner_id, each.name)
        return made

    async def consumer(self, partner_id: str, credential_id: str) -> bool:
        """Make a credential's consumer; return whether there was none.

        It begins with the oldest event kept, and ends after as long without any pull.
        """
        try:
            await self._js.consumer_info(partner_id, credential_id)
        except NothingThereError:
            await self.stream(partner_id)
            await self._js.add_consumer(
                partner_id,
                ConsumerConfig(
                    durable_name=credential_id,
                    deliver_policy=DeliverPolicy.ALL,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=ACK_WAIT,
                    max_ack_pending=MOST_UNACKNOWLEDGED,
                    max_waiting=MOST_PULLS,
                    inactive_threshold=self._kept,
                ),
            )
            return True
        return False

    async def forget_consumer(self, partner_id: str, credential_id: str) -> None:
        """Remove a credential's consumer, if there is one, and with it what it had asked for."""
        try:
            await self._js.delete_consumer(partner_id, credential_id)
        except NothingThereError:
            return


PASSING = (nats.errors.Error, OSError)
