"""A charger's cache of whom it accepted before: when it has to be emptied.

Nobody but the charger knows who is in it, so it is emptied as a whole whenever something
was taken from somebody since.
"""

from __future__ import annotations

from chargekey_gateway.view.entries import Charger


def is_behind(charger: Charger, cleared_as_of: int, taken: int) -> bool:
    """Whether the charger may remember somebody it must not accept any more.

    `taken` is when something was last taken from anybody there, `cleared_as_of` what of that
    an empty cache was confirmed for; in nanoseconds since the epoch. Where nothing must be
    presented nobody is refused.
    """
    return charger.registered and charger.authorisation_required and taken > cleared_as_of
