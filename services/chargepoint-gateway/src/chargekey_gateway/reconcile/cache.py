"""A charger's cache of whom it accepted before: when it has to be emptied.

Nobody but the charger knows who is in it, so it is emptied as a whole whenever something
was taken from somebody since.
"""

from __future__ import annotations

from chargekey_gateway.commands import Outcome, Result
from chargekey_gateway.view.entries import Charger


def is_behind(charger: Charger, cleared_as_of: int, taken: int) -> bool:
    """Whether the charger may remember somebody it must not accept any more.

    `taken` is when something was last taken from anybody there, `cleared_as_of` what of that
    an empty cache was confirmed for; in nanoseconds since the epoch. Where nothing must be
    presented nobody is refused.
    """
    return charger.registered and charger.authorisation_required and taken > cleared_as_of


def is_empty(result: Result) -> bool:
    """Whether nobody is in a cache any more, by what came of clearing it.

    A charger without one rejects (§5.4 of OCPP 1.6, C11 of 2.x), or knows no such action. Any
    other error, and an answer that cannot be read, says nothing of who is still in it.
    """
    return result.accepted or result.unsupported or result.outcome is Outcome.REJECTED
