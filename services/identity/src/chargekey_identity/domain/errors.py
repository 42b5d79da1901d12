"""What identity refuses, by name; never with what was sent, which may be a code.

ChargekeyError
├── InvalidArgumentError
│   ├── PinMalformedError            pin_malformed
│   ├── RfidMalformedError           rfid_malformed
│   ├── RfidRandomError              rfid_random
│   ├── TypeUnknownError             identification_type_unknown
│   └── StatusUnknownError           status_unknown
├── NotFoundError
│   ├── InstallationUnknownError     installation_unknown
│   ├── UserUnknownError             user_unknown
│   └── IdentificationUnknownError   identification_unknown
├── AlreadyExistsError
│   ├── CodeUnavailableError         code_unavailable
│   └── RfidInUseError               rfid_in_use
└── FailedPreconditionError
    └── CodeChangedSinceError        code_changed_since
"""

from __future__ import annotations

from chargekey_common.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)


class PinMalformedError(InvalidArgumentError):
    """Not a PIN as it is typed at a charger; a missing # is never added (R13)."""

    code = "pin_malformed"
    sentence = "A PIN is the sign # followed by 4 to 8 digits, exactly as typed at the charger."


class RfidMalformedError(InvalidArgumentError):
    """Not a number that an ISO 14443 type A card can have (R15)."""

    code = "rfid_malformed"
    sentence = (
        "A card number has 4, 7 or 10 bytes, two hexadecimal digits each; "
        "scan the card or copy the number as a reader shows it."
    )


class RfidRandomError(InvalidArgumentError):
    """A number that does not tell one card from another (R15)."""

    code = "rfid_random"
    sentence = (
        "This number identifies no card: bank cards and phones show a random one, beginning "
        "with 08, at every tap, and some readers show a dummy. Use a charging card or a PIN."
    )


class TypeUnknownError(InvalidArgumentError):
    """Not a type of identification that can be added by hand."""

    code = "identification_type_unknown"
    sentence = "Choose among the identification types rfid and pin."


class StatusUnknownError(InvalidArgumentError):
    """Not a status."""

    code = "status_unknown"
    sentence = "Choose among the statuses active, inactive and blocked."


class InstallationUnknownError(NotFoundError):
    """Access knows no installation with this id."""

    code = "installation_unknown"
    sentence = "There is no such installation; `chargekey installation list` shows them."


class UserUnknownError(NotFoundError):
    """No user has this id, or he was erased."""

    code = "user_unknown"
    sentence = "There is no such user; `chargekey user list` shows an installation's."


class IdentificationUnknownError(NotFoundError):
    """No identification has this id, or it was removed."""

    code = "identification_unknown"
    sentence = "There is no such identification; `chargekey identification list` shows a user's."


class CodeUnavailableError(AlreadyExistsError):
    """The PIN is taken at this installation, and nobody is told by whom (R13)."""

    code = "code_unavailable"
    sentence = "This PIN cannot be used here; choose another one."


class RfidInUseError(AlreadyExistsError):
    """The card belongs to an identification somewhere, and nobody is told to whose (R15)."""

    code = "rfid_in_use"
    sentence = "This card is registered already; remove it there first, or use another card."


class CodeChangedSinceError(FailedPreconditionError):
    """What this command was recorded to reveal is no longer the code."""

    code = "code_changed_since"
    sentence = "The code was changed since it was revealed; reveal it again with a new command_id."
