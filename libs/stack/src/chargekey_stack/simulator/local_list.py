"""The local authorization list of a charger, as the standard has it be kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from chargekey_stack.simulator.values import Token, Verdict

EMPTY = 0  # the version of no list


class ListEntry(msgspec.Struct, frozen=True):
    """One line of a SendLocalList; without a verdict the token is to be taken out."""

    token: Token
    verdict: Verdict | None = None


class Update(msgspec.Struct, frozen=True):
    """A SendLocalList: `full` replaces the list, else it is changed."""

    version: int
    full: bool
    entries: Sequence[ListEntry] = ()


class Taken(StrEnum):
    """What became of an update, in the words of every version."""

    ACCEPTED = "Accepted"
    FAILED = "Failed"
    VERSION_MISMATCH = "VersionMismatch"


class LocalList:
    """Tokens and verdicts under a version; an update counts as a whole or not at all."""

    def __init__(self, *, capacity: int, most_at_once: int) -> None:
        """Hold `capacity` tokens, of which one message may bring `most_at_once`."""
        self._capacity = capacity
        self._most_at_once = most_at_once
        self._version = EMPTY
        self._verdicts: dict[tuple[str, str], Verdict] = {}

    @property
    def version(self) -> int:
        """The version of what is held; 0 for nothing (1.6 §5.10, 2.0.1 D02)."""
        return self._version

    @property
    def verdicts(self) -> Mapping[tuple[str, str], Verdict]:
        """What is held, by the keys of tokens."""
        return self._verdicts

    def __len__(self) -> int:
        return len(self._verdicts)

    def verdict(self, token: Token) -> Verdict | None:
        """Return what the list says of a token, if anything."""
        return self._verdicts.get(token.key)

    def take(self, update: Update) -> Taken:
        """Take an update (1.6 §5.15, 2.0.1 D01).

        Versions are positive, and a differential's is above the one held. One message
        names a token once, and a full list takes none out.
        """
        keys = [each.token.key for each in update.entries]
        if (
            update.version <= EMPTY
            or len(keys) > self._most_at_once
            or len(set(keys)) < len(keys)
            or (update.full and any(each.verdict is None for each in update.entries))
        ):
            return Taken.FAILED
        if not update.full and update.version <= self._version:
            return Taken.VERSION_MISMATCH
        verdicts = {} if update.full else dict(self._verdicts)
        for each in update.entries:
            if each.verdict is None:
                verdicts.pop(each.token.key, None)
            else:
                verdicts[each.token.key] = each.verdict
        if len(verdicts) > self._capacity:
            return Taken.FAILED
        self._verdicts, self._version = verdicts, update.version
        return Taken.ACCEPTED
