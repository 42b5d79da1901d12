"""What access refuses, by name.

ChargekeyError
├── InvalidArgumentError
│   ├── OcppIdentityMalformedError   ocpp_identity_malformed
│   ├── RolesMissingError            roles_missing
│   ├── OverrideMissingError         override_missing
│   ├── TypeUnknownError             identification_type_unknown
│   ├── TargetMissingError           target_missing
│   ├── ChargerNotNamedError         charger_not_named
│   ├── ForeignPositionError         position_foreign
│   └── ObjectMalformedError         object_malformed
├── NotFoundError
│   ├── InstallationUnknownError     installation_unknown
│   ├── ChargerUnknownError          charger_unknown
│   ├── PermissionUnknownError       permission_unknown
│   ├── ReactionUnknownError         reaction_unknown
│   └── UserUnknownError             user_unknown
├── AlreadyExistsError
│   └── OcppIdentityInUseError       ocpp_identity_in_use
└── FailedPreconditionError
    ├── LastOwnerError               last_owner
    ├── LocalUserCannotOwnError      local_user_cannot_own
    ├── LocalUserElsewhereError      local_user_elsewhere
    └── ReactionSetAsideError        reaction_set_aside
"""

from __future__ import annotations

from chargekey_common.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)


class OcppIdentityMalformedError(InvalidArgumentError):
    """Not a name that every OCPP version can carry in a URL and a user name."""

    code = "ocpp_identity_malformed"
    sentence = "An OCPP identity has 1 to 48 letters, digits or any of * - _ = + | @ and the dot."


class RolesMissingError(InvalidArgumentError):
    """A permission without a role permits nothing."""

    code = "roles_missing"
    sentence = "Choose at least one role: owner, user, service or operator."


class OverrideMissingError(InvalidArgumentError):
    """Neither of the three."""

    code = "override_missing"
    sentence = "Choose inherit, required or not-required."


class TypeUnknownError(InvalidArgumentError):
    """Not a type of identification."""

    code = "identification_type_unknown"
    sentence = "Choose among the identification types rfid, pin and app."


class TargetMissingError(InvalidArgumentError):
    """A permission is about something."""

    code = "target_missing"
    sentence = "Name either an installation or a charger."


class ChargerNotNamedError(InvalidArgumentError):
    """By neither of its names, or by two that may be two chargers'."""

    code = "charger_not_named"
    sentence = "Name the charger either by its id or by its OCPP identity."


class ForeignPositionError(InvalidArgumentError):
    """The reaction never sees events of that service."""

    code = "position_foreign"
    sentence = "Use a position of the service whose events this reaction follows."


class ObjectMalformedError(InvalidArgumentError):
    """Not the name of anything a caller could be allowed."""

    code = "object_malformed"
    sentence = "Name what it is about: an installation, a charger, a permission or the system."


class InstallationUnknownError(NotFoundError):
    """No installation has this id."""

    code = "installation_unknown"
    sentence = "There is no such installation; `chargekey installation list` shows them."


class ChargerUnknownError(NotFoundError):
    """No charger has this id or OCPP identity."""

    code = "charger_unknown"
    sentence = "There is no such charger; `chargekey charger list` shows an installation's."


class PermissionUnknownError(NotFoundError):
    """No permission has this id, or it was revoked."""

    code = "permission_unknown"
    sentence = "There is no such permission; `chargekey permission list` shows those that hold."


class ReactionUnknownError(NotFoundError):
    """Access has no reaction of this name."""

    code = "reaction_unknown"
    sentence = "There is no such reaction here; name one by its durable name."


class UserUnknownError(NotFoundError):
    """No user has this id, or access has not heard of him yet."""

    code = "user_unknown"
    sentence = "There is no such user; `chargekey user list` shows an installation's."


class OcppIdentityInUseError(AlreadyExistsError):
    """Another charger connects under this name."""

    code = "ocpp_identity_in_use"
    sentence = "A charger with this OCPP identity is registered already; choose another."


class LastOwnerError(FailedPreconditionError):
    """An installation that had an owner always has one (R6)."""

    code = "last_owner"
    sentence = "This is the installation's last owner; make somebody else an owner first."


class LocalUserCannotOwnError(FailedPreconditionError):
    """Whoever cannot sign in cannot own (R6)."""

    code = "local_user_cannot_own"
    sentence = "A local user cannot sign in and so cannot be an owner; choose other roles."


class LocalUserElsewhereError(FailedPreconditionError):
    """A local user belongs to one installation."""

    code = "local_user_elsewhere"
    sentence = "This local user belongs to another installation; add one there."


class ReactionSetAsideError(FailedPreconditionError):
    """The reaction could not read the event, or one before it about the same thing."""

    code = "reaction_set_aside"
    sentence = "This event waits for a version that can read it; bring the services up to date."
