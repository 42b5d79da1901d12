"""The root of every service's error tree.

ChargekeyError
├── InvalidArgumentError     what was sent can never work
├── NotFoundError            no such thing
├── AlreadyExistsError       something else has that name or code
├── FailedPreconditionError  not in the present state
│   └── ManagedByThirdPartyError  managed_by_third_party
├── PermissionDeniedError    this caller may not
├── UnauthenticatedError     nobody known is calling
├── ResourceExhaustedError   too many, too fast
│   └── TooManyAttemptsError      too_many_attempts
└── UnavailableError         try again later

A leaf sets `code`, which never changes once released, and `sentence`, which
tells the person what to do. Neither ever carries what was sent: it may be a
secret.
"""

from __future__ import annotations

import math
from typing import ClassVar

_MINUTE = 60


class CannotRunError(Exception):
    """A process ends with this sentence, which says what to do: trying again would not help."""


class ChargekeyError(Exception):
    """Anything a caller is told by name; nothing was stored."""

    code: ClassVar[str]
    sentence: ClassVar[str]

    def __init__(self, detail: str = "") -> None:
        """Join the class's sentence with what only this occasion knows."""
        super().__init__(" ".join(filter(None, (self.sentence, detail))))


class InvalidArgumentError(ChargekeyError):
    """What was sent can never work, whatever the state."""


class NotFoundError(ChargekeyError):
    """There is no such thing, or none this caller may know of."""


class AlreadyExistsError(ChargekeyError):
    """Something else has that name or code already."""


class FailedPreconditionError(ChargekeyError):
    """It cannot be done in the present state."""


class PermissionDeniedError(ChargekeyError):
    """This caller may not do this."""

    code = "permission_denied"
    sentence = (
        "You have no permission for this here; ask an owner of the installation, whoever manages"
        " the partner, or an administrator."
    )


class ManagedByThirdPartyError(FailedPreconditionError):
    """An operator manages the site, and edits access there alone (R3)."""

    code = "managed_by_third_party"
    sentence = "An operator manages this site and who may charge there; ask it:"


class UnauthenticatedError(ChargekeyError):
    """The call carries no caller that is known here."""

    code = "unauthenticated"
    sentence = "Sign in, or use the credential that `chargekey up` left in its data directory."


class ResourceExhaustedError(ChargekeyError):
    """Too many, or too fast."""


class TooManyAttemptsError(ResourceExhaustedError):
    """The limit is reached; nothing is said about what was asked for."""

    code = "too_many_attempts"
    sentence = "There were too many attempts; try again"

    def __init__(self, left: int) -> None:
        """Say when the next one is allowed, rounded up: `left` nanoseconds from now."""
        self.retry_after = seconds = math.ceil(left / 10**9)
        count, unit = seconds, "second"
        if seconds > _MINUTE:
            count, unit = math.ceil(seconds / _MINUTE), "minute"
        super().__init__(f"in {count} {unit}{'' if count == 1 else 's'}.")


class UnavailableError(ChargekeyError):
    """Something needed does not answer; the same call may work later."""

    code = "unavailable"
    sentence = "A part of the system does not answer; try again in a moment."
