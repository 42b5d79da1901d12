"""What a webhook is, and what may be one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from chargekey_common.published.feed import EVENTS
from chargekey_notifier.errors import EventNameUnknownError, UrlMalformedError

MOST = 20  # a partner
LONGEST_URL = 500
# No user names and no fragments; what else RFC 3986 allows and nobody needs is left out.
_URL = re.compile(
    r"(?P<scheme>https?)://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:(?P<port>[0-9]{1,5}))?"
    r"(/[\w./~%:@!$&*+,;=-]*)?(\?[\w./~%:@!$&*+,;=?-]*)?",
    re.ASCII | re.IGNORECASE,
)
_HIGHEST_PORT = 2**16 - 1
_NAMES = frozenset(each.__name__ for each in EVENTS)

# Why one is disabled.
BY_HAND = "by_hand"
GONE = "gone"
FAILING = "failing"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook as it is kept, with its secrets sealed.

    `events` are the names that are sent, none for all. `delivered` is the number of the event
    that was taken, or passed over, last. `revision` counts the commands on it: what was begun
    under an earlier one no longer counts. Times are nanoseconds since the epoch.
    """

    id: str
    partner_id: str
    url: str
    events: tuple[str, ...]
    disabled_because: str | None
    delivered: int
    failures: int
    failing_since: int | None
    next_attempt_at: int | None
    revision: int
    secret: bytes
    # Signs beside it, until then.
    secret_before: bytes | None
    secret_before_until: int | None

    def __repr__(self) -> str:
        return f"Endpoint({self.id}, delivered={self.delivered})"

    def wants(self, event: str) -> bool:
        """Whether an event of this name is sent."""
        return not self.events or event in self.events


def url(text: str, *, anywhere: bool) -> str:
    """Return an address that can be called, without TLS only `anywhere`.

    Where it leads is found out at each call. Raises UrlMalformedError.
    """
    match = _URL.fullmatch(text)
    if match is None or len(text) > LONGEST_URL:
        raise UrlMalformedError
    if match["scheme"].lower() != "https" and not anywhere:
        raise UrlMalformedError
    if int(match["port"] or 1) not in range(1, _HIGHEST_PORT + 1):
        raise UrlMalformedError
    return text


def event_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names once each, in order; raises EventNameUnknownError."""
    wanted = set(names)
    if not wanted <= _NAMES:
        raise EventNameUnknownError
    return tuple(sorted(wanted))
