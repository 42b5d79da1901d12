"""Asking a charger something it answers with a word, and what the words come to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from chargekey_gateway.commands import Outcome, Result
from chargekey_gateway.ocpp.dialect import Peer

# The words for what a charger does, now or once a transaction has ended, and for what it has
# no such thing; any other says that it does not do it.
_MEANING = {
    "": Outcome.ACCEPTED,  # some responses have none
    "Accepted": Outcome.ACCEPTED,
    "NotImplemented": Outcome.NOT_SUPPORTED,
    "NotSupported": Outcome.NOT_SUPPORTED,
    "NotSupportedAttributeType": Outcome.NOT_SUPPORTED,
    "RebootRequired": Outcome.REBOOT_REQUIRED,
    "Scheduled": Outcome.ACCEPTED,
    "UnknownComponent": Outcome.NOT_SUPPORTED,
    "UnknownVariable": Outcome.NOT_SUPPORTED,
    "Unlocked": Outcome.ACCEPTED,
    "Unpublished": Outcome.ACCEPTED,
    "VersionMismatch": Outcome.VERSION_MISMATCH,
}


class _WithStatus(Protocol):
    @property
    def status(self) -> str:
        """The charger's word."""


_Answer = TypeVar("_Answer", bound=_WithStatus)


def meaning(status: str) -> Outcome:
    """Return what a response's status comes to, in whatever version."""
    return _MEANING.get(status, Outcome.REJECTED)


async def ask(peer: Peer, request: msgspec.Struct, response: type[_Answer]) -> Result:
    """Send `request`, and tell what the status of the response comes to."""
    answer = await peer.call(request, response)
    if isinstance(answer, Result):
        return answer
    return Result(outcome=meaning(answer.status), status=answer.status)


async def read_settings(
    names: Sequence[str], read: Callable[[Sequence[str]], Awaitable[Result]]
) -> Result:
    """Have `read` ask for all at once, or one after the other of a charger that takes no more."""
    result = await read(names)
    if result.outcome is not Outcome.REFUSED or len(names) == 1:
        return result
    found: dict[str, str] = {}
    for name in names:
        one = await read((name,))
        if one.outcome is not Outcome.ACCEPTED:
            return one
        found |= one.settings
    return Result(outcome=Outcome.ACCEPTED, settings=found)
