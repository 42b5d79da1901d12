"""What the notifier refuses, by name.

ChargekeyError
├── InvalidArgumentError
│   ├── CursorMalformedError      cursor_malformed
│   └── LimitMalformedError       limit_malformed
└── UnavailableError
    └── NotifierUnavailableError  notifier_unavailable
"""

from __future__ import annotations

from chargekey_common.errors import InvalidArgumentError, UnavailableError


class CursorMalformedError(InvalidArgumentError):
    """Not a cursor that a feed has given."""

    code = "cursor_malformed"
    sentence = "A cursor is an event's `sequence`; give one as the feed told it, or none."


class LimitMalformedError(InvalidArgumentError):
    """Not a number of events."""

    code = "limit_malformed"
    sentence = "A page has 1 to 1000 events; give such a limit, or none."


class NotifierUnavailableError(UnavailableError):
    """The database is locked, full or out of reach: it passes."""

    code = "notifier_unavailable"
    sentence = "The notifier cannot be read or written right now; try again in a moment."
