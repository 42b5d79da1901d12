"""A connected charger that is looked after: how far that is, and that a step has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from chargekey_common.published.envelope import PublishedEvent
from chargekey_gateway.commands import Command, Outcome, Result
from chargekey_gateway.reconcile.convergence import Step
from chargekey_gateway.view.entries import Charger

# After these the charger itself has said nothing of the kind.
UNANSWERED = frozenset({Outcome.TIMED_OUT, Outcome.DISCONNECTED, Outcome.TOO_MANY_QUEUED})

Tell = Callable[[PublishedEvent], None]


class LaterError(Exception):
    """A step did not come to its end; it is tried again after a while."""


class MismatchError(LaterError):
    """The charger's list is another one than was thought: at first, that is no reason to wait."""


class Connection(Protocol):
    """What reconciling needs of a charger's connection."""

    charger: Charger

    @property
    def version(self) -> str:
        """The OCPP version spoken."""

    async def carry_out(self, command: Command) -> Result:
        """Have the charger do something."""


class Kept:
    """A connected charger, and how far its task is. Times are those of the event loop."""

    __slots__ = (
        "asked",
        "boots",
        "changed",
        "changed_at",
        "conflicts",
        "connection",
        "failures",
        "greeted_by",
        "list_checked",
        "not_before",
        "task",
        "timer",
        "tried",
        "unsettled_since",
        "version_tried",
    )

    def __init__(self, connection: Connection, greeted_by: float) -> None:
        """Look after the charger over `connection`; a boot is awaited until `greeted_by`."""
        self.connection = connection
        self.greeted_by = greeted_by
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.changed: asyncio.Event | None = None  # as long as there is a task, which it wakes
        self.changed_at = 0.0
        self.unsettled_since: float | None = None
        self.not_before: dict[Step, float] = {}
        self.failures: dict[Step, int] = {}
        # Sessions asked to stop: how often, and when that may be done again.
        self.asked: dict[int, tuple[int, float]] = {}
        self.boots = 0
        self.conflicts = 0
        self.list_checked = False  # whether the charger said which list it has
        self.version_tried = 0  # the highest version that it may have got
        self.tried = False  # whether any step was

    @property
    def charger(self) -> Charger:
        """The charger, as it is in the view."""
        return self.connection.charger

    @property
    def about(self) -> dict[str, str]:
        """Whom an event is about: fields of all that are published of chargers."""
        charger = self.charger
        return {"charger_id": charger.id, "installation_id": charger.installation.id}
