"""Which sign-in links can be followed: those asked for a moment ago and not used since."""

from __future__ import annotations

from collections import defaultdict

from chargekey_common.eventstore.projection import CaughtUp
from chargekey_common.eventstore.records import Record
from chargekey_identity.domain.events import SignedIn, SignInLinkRequested, UserErased

LIFETIME = 15 * 60 * 10**9
"""How long a link is good for, in nanoseconds."""


class SignInLinks:
    """Answers about links by the event that asked for each; one sign-in voids all of a user."""

    def __init__(self, caught_up: CaughtUp) -> None:
        self._caught_up = caught_up
        self._of_user: dict[str, dict[str, int]] = defaultdict(dict)

    def expires_at(self, user_id: str, event_id: str) -> int | None:
        """Return when a link that nobody used ends (exclusive, ns); None for any other."""
        with self._caught_up():
            return self._of_user.get(user_id, {}).get(event_id)

    def apply(self, record: Record) -> None:
        """Take in one event of a user."""
        match record.event:
            case SignInLinkRequested():
                links = self._of_user[record.originator_id]
                for key in [key for key, end in links.items() if end <= record.at]:
                    del links[key]
                links[record.event_id] = record.at + LIFETIME
            case SignedIn() | UserErased():
                self._of_user.pop(record.originator_id, None)
            case _:
                pass  # bears on no link
