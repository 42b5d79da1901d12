"""How often partners' programs and strangers may ask, by each replica for itself."""

from __future__ import annotations

from starlette.requests import Request

from chargekey_common import rates
from chargekey_notifier.errors import TooManyRequestsError

MINUTE = 60.0
# Refused requests from one address, in a minute.
MOST_STRANGERS = 600


class Rates(rates.Rates):
    """Refuses what is one too many."""

    def spend(self, key: str) -> None:
        """Count one; raises TooManyRequestsError, which says when to try again."""
        if seconds := self.wait(key):
            raise TooManyRequestsError(seconds)


class Strangers(Rates):
    """Counts requests of whoever turned out to be nobody, by their addresses.

    To be counted only then, so that who has the right secret is let in however often it was
    wrong: behind a proxy strangers have the address of everybody.
    """

    def __init__(self) -> None:
        super().__init__(most=MOST_STRANGERS, within=MINUTE)

    def count(self, request: Request) -> None:
        """Count one; raises TooManyRequestsError."""
        self.spend(request.client.host if request.client else "")
