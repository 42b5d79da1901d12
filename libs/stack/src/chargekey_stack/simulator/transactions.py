"""A transaction, and the messages that tell of it until they are answered."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from chargekey_stack.simulator.values import ACCEPTED, Reason, Token, Verdict

UNNUMBERED = -1
# Of one transaction; more that are not answered, and the charger measures no more.
MOST_UPDATES = 200


class Moment(StrEnum):
    """Which part of a transaction a message tells of, in the words of OCPP 2.x."""

    STARTED = "Started"
    UPDATED = "Updated"
    ENDED = "Ended"


class Answer(msgspec.Struct, frozen=True):
    """What a transaction message was answered; the number is OCPP 1.6's."""

    verdict: Verdict | None = None
    number: int = UNNUMBERED


class Transaction:
    """One charge. `own_id` is the charger's name for it, `number` the gateway's (1.6)."""

    def __init__(self, token: Token, meter_start: int, remote_start_id: int | None) -> None:
        self.own_id = str(uuid.uuid4())
        self.number = UNNUMBERED
        self.token = token
        self.meter_start = meter_start
        self.remote_start_id = remote_start_id
        self.status = ACCEPTED
        self.reason: Reason | None = None
        self.ending = asyncio.Event()
        self._messages = 0

    def end(self, reason: Reason) -> None:
        """Let it end; the first reason counts."""
        if self.reason is None:
            self.reason = reason
            self.ending.set()

    def next_sequence_number(self) -> int:
        """Return the number of the next message: each has one, from 0 on, without a gap."""
        self._messages += 1
        return self._messages - 1


class Message(msgspec.Struct, frozen=True, eq=False):
    """Tells of a transaction at `at` (ns since the epoch), which it says however late it is.

    Each one sent has a new message id; what it says stays the same (1.6 §3.7.1).
    """

    transaction: Transaction
    moment: Moment
    at: int
    meter: int
    sequence_number: int
    offline: bool
    answered: asyncio.Future[Answer]
    cause: Reason | None = None

    def again(self) -> Message:
        """Return the same, to be answered once more."""
        return msgspec.structs.replace(self, answered=asyncio.get_running_loop().create_future())


class Outbox:
    """Messages that are not answered yet, in their order."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    def put(self, message: Message) -> None:
        """Add the newest."""
        self._messages.append(message)
        self._filled.set()

    def put_first(self, message: Message) -> None:
        """Add one that goes before all others."""
        self._messages.insert(0, message)
        self._filled.set()

    def full(self) -> bool:
        """Whether there is no room for what could be left out."""
        return len(self._messages) >= MOST_UPDATES

    async def first(self) -> Message:
        """Return the oldest, once there is one."""
        await self._filled.wait()
        return self._messages[0]

    def remove(self, message: Message) -> None:
        """Forget a message: it is answered, or given up."""
        self._messages.remove(message)
        if not self._messages:
            self._filled.clear()
