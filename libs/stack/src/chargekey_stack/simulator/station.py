"""What a charger is to its end of a connection, in words of no version."""

from __future__ import annotations

from typing import Protocol

from chargekey_stack.simulator.local_list import Taken, Update
from chargekey_stack.simulator.settings import Settings
from chargekey_stack.simulator.transactions import Outbox, Transaction
from chargekey_stack.simulator.values import State, Token
from chargekey_stack.simulator.wire import Obliging


class Station(Obliging, Protocol):
    """What an answer needs: how the charger is, and what the gateway asks of it.

    What is accepted here is done by `oblige`, once the answer is out.
    """

    settings: Settings
    outbox: Outbox
    state: State
    transaction: Transaction | None

    def now(self) -> int:
        """Return the charger's time, in nanoseconds since the epoch."""

    def on_remote_start(self, token: Token, request_id: int | None = None) -> bool:
        """Begin as if `token` had been presented there; return whether it will."""

    def on_remote_stop(self, transaction_id: int | str) -> bool:
        """End what runs, if it is this; return whether it is."""

    def on_clear_cache(self) -> bool:
        """Forget who was accepted; return whether that is remembered at all."""

    def on_list_version(self) -> int | None:
        """Return the version of the local list; None where there is none."""

    def on_local_list(self, update: Update) -> Taken | None:
        """Take an update of the local list; None where there is none."""

    def on_trigger(self, message: str) -> bool:
        """Send a message, named as 1.6 names it; return whether there is one of this name."""

    def on_reset(self, *, at_once: bool, hard: bool) -> bool:
        """Start again; return whether it is at once."""

    def on_unlock(self) -> None:
        """Let the cable go."""

    def on_availability(self, *, operative: bool) -> bool:
        """Serve vehicles or none; return whether it counts at once."""
