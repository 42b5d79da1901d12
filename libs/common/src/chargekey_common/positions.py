"""Positions: "at least as new as this", as one opaque string."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from chargekey_common.errors import InvalidArgumentError

_ORIGIN = re.compile(r"([a-z][a-z-]*):([0-9a-f]{16})")
_NUMBER = re.compile(r"[0-9]{1,18}")


class MalformedPositionError(InvalidArgumentError):
    """A position that none of the services made."""

    code = "position_malformed"
    sentence = "Use a position exactly as an earlier answer gave it."


class Position(msgspec.Struct, frozen=True):
    """A place in one service's event log.

    `number` is the notification id of the store; it may have gaps. Numbers of
    two generations cannot be compared: a store restored from a backup starts a
    new generation, and whoever sees one starts over.
    """

    service: str
    generation: str
    number: int

    def __str__(self) -> str:
        return f"{self.service}:{self.generation}:{self.number}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read a position back; raises `MalformedPositionError`."""
        origin, _, number = text.rpartition(":")
        if _NUMBER.fullmatch(number) is None:
            raise MalformedPositionError
        service, generation = _origin(origin)
        return cls(service, generation, int(number))

    def includes(self, other: Position) -> bool:
        """Whether being here means having seen `other` too."""
        return (
            self.service == other.service
            and self.generation == other.generation
            and self.number >= other.number
        )


@lru_cache(maxsize=64)  # millions of positions are of a few logs
def _origin(text: str) -> tuple[str, str]:
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise MalformedPositionError
    return match[1], match[2]
