"""What recording a session can end in.

ChargekeyError
└── UnavailableError
    ├── SessionsUnavailableError
    └── StartsPutOffError
"""

from __future__ import annotations

from chargekey_common.errors import UnavailableError


class SessionsUnavailableError(UnavailableError):
    """The start or end could not be made durable in time; it may or may not be stored.

    Sent again it gets the answer it would have got.
    """

    code = "sessions_unavailable"
    sentence = "The session could not be recorded now; send it again in a moment."


class StartsPutOffError(UnavailableError):
    """The charger has told of more starts than any charger has; told again it is taken."""

    code = "starts_put_off"
    sentence = "This charger starts too many sessions; send it again in a while."
