"""What waiting for the view can end in.

ChargekeyError
├── InvalidArgumentError
│   └── PositionOfUnknownServiceError
├── FailedPreconditionError
│   └── PositionOfAnotherGenerationError
└── UnavailableError
    └── ViewBehindError
"""

from __future__ import annotations

from chargekey_common.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    UnavailableError,
)


class PositionOfUnknownServiceError(InvalidArgumentError):
    """A position of a service whose events the view does not hold."""

    code = "position_of_unknown_service"
    sentence = "Use positions of the access and identity services only."


class PositionOfAnotherGenerationError(FailedPreconditionError):
    """A position from before (or after) a restore of the service's store."""

    code = "position_of_another_generation"
    sentence = "The service was restored from a backup since; read again and use the new position."


class ViewBehindError(UnavailableError):
    """The view did not reach the position in time."""

    code = "view_behind"
    sentence = "The change has not arrived here yet; try again in a moment."
