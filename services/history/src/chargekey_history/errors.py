"""What history refuses, by name.

ChargekeyError
├── InvalidArgumentError
│   └── LimitMalformedError       limit_malformed
└── UnavailableError
    └── HistoryUnavailableError   history_unavailable
"""

from __future__ import annotations

from chargekey_common.errors import InvalidArgumentError, UnavailableError


class LimitMalformedError(InvalidArgumentError):
    """Less than nothing was asked for."""

    code = "limit_malformed"
    sentence = "Ask for 1 to 1000 entries; 0 means 100."


class HistoryUnavailableError(UnavailableError):
    """The file is locked, or cannot be read for another reason that passes."""

    code = "history_unavailable"
    sentence = "The history cannot be read right now; try again in a moment."
