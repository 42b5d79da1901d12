"""What history refuses, by name.

ChargekeyError
├── InvalidArgumentError          pages: page_size_malformed, page_token_malformed
├── NotFoundError
│   ├── InstallationUnknownError  installation_unknown
│   ├── ChargerUnknownError       charger_unknown
│   └── UserUnknownError          user_unknown
└── UnavailableError
    └── HistoryUnavailableError   history_unavailable
"""

from __future__ import annotations

from chargekey_common.errors import NotFoundError, UnavailableError


class InstallationUnknownError(NotFoundError):
    """Nothing is recorded of it, and access knows no installation with this id."""

    code = "installation_unknown"
    sentence = "There is no such installation; `chargekey installation list` shows them."


class ChargerUnknownError(NotFoundError):
    """Nothing is recorded of it, and access knows no charger with this id."""

    code = "charger_unknown"
    sentence = "There is no such charger; `chargekey charger list` shows an installation's."


class UserUnknownError(NotFoundError):
    """Nothing is recorded of him, and access has never heard of a user with this id."""

    code = "user_unknown"
    sentence = "There is no such user; `chargekey user list` shows an installation's."


class HistoryUnavailableError(UnavailableError):
    """The file is locked, or cannot be read for another reason that passes."""

    code = "history_unavailable"
    sentence = "The history cannot be read right now; try again in a moment."
