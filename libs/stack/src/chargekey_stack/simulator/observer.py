"""What goes on at a charger, for whoever watches it."""

from __future__ import annotations

from chargekey_stack.answers import Tell


class Observer:
    """Is told what happens as it happens; this one takes no notice."""

    def connected(self, *, again: bool) -> None:
        """Take note of a connection; `again`: it was lost before."""

    def disconnected(self, why: str) -> None:
        """Take note of a connection that is gone."""

    def answered(self, action: str, seconds: float, status: str) -> None:
        """Take note of an answer; the status is empty where the action has none."""

    def failed(self, action: str, kind: str) -> None:
        """Take note of a call that was not answered, or with an error of this kind."""


class Reconnections(Observer):
    """Tells people when a connection is lost, and when it is there again."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def connected(self, *, again: bool) -> None:
        """Say that it is there again."""
        if again:
            self._tell("Connected again.")

    def disconnected(self, why: str) -> None:
        """Say that it is lost."""
        self._tell(f"Not connected any more; trying again. {why}")
