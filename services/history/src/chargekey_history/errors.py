"""What history refuses, by name.

ChargekeyError
├── InvalidArgumentError          pages: page_size_malformed, page_token_malformed
│   ├── PeriodMalformedError      period_malformed
│   ├── BoundsMalformedError      bounds_malformed
│   └── ReportFormatUnknownError  report_format_unknown
├── NotFoundError
│   ├── DecisionUnknownError      decision_unknown
│   ├── InstallationUnknownError  installation_unknown
│   ├── ChargerUnknownError       charger_unknown
│   └── UserUnknownError          user_unknown
└── UnavailableError
    └── HistoryUnavailableError   history_unavailable
"""

from __future__ import annotations

from chargekey_common.errors import InvalidArgumentError, NotFoundError, UnavailableError


class PeriodMalformedError(InvalidArgumentError):
    """It ends before, or as, it begins: no day is so short."""

    code = "period_malformed"
    sentence = "The period ends before it begins; give its first day and then its last."


class BoundsMalformedError(InvalidArgumentError):
    """Not in order, or of more periods than anybody can look at."""

    code = "bounds_malformed"
    sentence = "Give at most 400 moments, each later than the one before."


class ReportFormatUnknownError(InvalidArgumentError):
    """No such kind of file."""

    code = "report_format_unknown"
    sentence = "A report is written as csv or as xlsx; choose one of them."


class DecisionUnknownError(NotFoundError):
    """Neither a session nor a refusal has this id, or it is no longer kept."""

    code = "decision_unknown"
    sentence = (
        "There is no such session or refusal, or it is no longer kept;"
        " look at the lists of sessions and of refusals."
    )


class InstallationUnknownError(NotFoundError):
    """Nothing is recorded of it, and access knows no installation with this id."""

    code = "installation_unknown"
    sentence = "There is no such installation; choose one of those that are listed for you."


class ChargerUnknownError(NotFoundError):
    """Nothing is recorded of it, and access knows no charger with this id."""

    code = "charger_unknown"
    sentence = "There is no such charger; look it up in the list of the installation's chargers."


class UserUnknownError(NotFoundError):
    """Nothing is recorded of him, and access has never heard of a user with this id."""

    code = "user_unknown"
    sentence = "There is no such user; look them up in the list of the installation's users."


class HistoryUnavailableError(UnavailableError):
    """The file is locked, or cannot be read for another reason that passes."""

    code = "history_unavailable"
    sentence = "The history cannot be read right now; try again in a moment."
