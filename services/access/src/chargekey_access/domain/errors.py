"""What access refuses, by name.

ChargekeyError
├── InvalidArgumentError
│   ├── OcppIdentityMalformedError   ocpp_identity_malformed
│   ├── RolesMissingError            roles_missing
│   ├── OverrideMissingError         override_missing
│   ├── TypeUnknownError             identification_type_unknown
│   ├── TargetMissingError           target_missing
│   ├── SubjectMissingError          subject_missing
│   ├── TooManyUsersError            too_many_users
│   ├── TooManyInstallationsError    too_many_installations
│   ├── TooManyChargersError         too_many_chargers
│   ├── TooManyPartnersError         too_many_partners
│   ├── EmailMalformedError          email_malformed
│   ├── OwnerWithoutEndError         owner_without_end
│   ├── OperatorWithoutEndError      operator_without_end
│   ├── ChargerNotNamedError         charger_not_named
│   ├── OperatorNotNamedError        operator_not_named
│   ├── PartnerKindMissingError      partner_kind_missing
│   ├── ContactMalformedError        contact_malformed
│   ├── LogoUrlMalformedError        logo_url_malformed
│   ├── LookupKeyMalformedError      lookup_key_malformed
│   ├── EndpointKindMissingError     endpoint_kind_missing
│   ├── EndpointUrlInvalidError      endpoint_url_invalid
│   ├── EndpointSecretInvalidError   endpoint_secret_invalid
│   ├── OcpiPartiesMalformedError    ocpi_parties_malformed
│   ├── AccessRequestNotNamedError   access_request_not_named
│   ├── RolesNotAskedError           roles_not_asked
│   ├── AuthenticationTypeMissingError  authentication_type_missing
│   ├── PolicyMissingError           policy_missing
│   ├── PinLengthMalformedError      pin_length_malformed
│   ├── ViewBoundMalformedError      view_bound_malformed
│   ├── ReaderPrefixMalformedError   reader_prefix_malformed
│   ├── AddressMalformedError        address_malformed
│   ├── ForeignPositionError         position_foreign
│   └── ObjectMalformedError         object_malformed
├── NotFoundError
│   ├── InstallationUnknownError     installation_unknown
│   ├── ChargerUnknownError          charger_unknown
│   ├── PermissionUnknownError       permission_unknown
│   ├── PartnerUnknownError          partner_unknown
│   ├── PartnerMemberUnknownError    partner_member_unknown
│   ├── DecisionEndpointUnknownError  decision_endpoint_unknown
│   ├── AccessRequestUnknownError    access_request_unknown
│   ├── ReactionUnknownError         reaction_unknown
│   └── UserUnknownError             user_unknown
├── AlreadyExistsError
│   └── OcppIdentityInUseError       ocpp_identity_in_use
├── ResourceExhaustedError
│   └── NoLookupKeyFreeError         no_lookup_key_free
├── PermissionDeniedError
│   └── RoleNotGrantableError        role_not_grantable
└── FailedPreconditionError
    ├── OperatorConnectedAlreadyError  operator_connected_already
    ├── OperatorNotConnectedError    operator_not_connected
    ├── PartnerNotOperatorError      partner_not_operator
    ├── NotAPaymentOperatorError     not_a_payment_operator
    ├── ExternalNeedsOperatorError   external_needs_operator
    ├── PaymentOperatorConnectedError  payment_operator_connected
    ├── ChargerBusyError             charger_busy
    ├── ChargerPasswordReplacedError  charger_password_replaced
    ├── LastOwnerError               last_owner
    ├── NoOwnerToOfferError          no_owner_to_offer
    ├── AlreadyOwnerError            already_owner
    ├── OwnershipNotOfferedError     ownership_not_offered
    ├── UserBlockedHereError         user_blocked_here
    ├── BlockLocalUserError          block_local_user
    ├── AccessRequestAnsweredError   access_request_answered
    ├── AccessRequestExpiredError    access_request_expired
    ├── LocalUserCannotJoinError     local_user_cannot_join
    ├── PartnerCannotOwnError        partner_cannot_own
    ├── LocalUserCannotOwnError      local_user_cannot_own
    ├── LocalUserElsewhereError      local_user_elsewhere
    ├── ReactionSetAsideError        reaction_set_aside
    └── ChangedMeanwhileError        changed_meanwhile
"""

from __future__ import annotations

from chargekey_common.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
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
    sentence = "Choose among the types rfid, pin, app, vehicle-id, sms and credit-card."


class TargetMissingError(InvalidArgumentError):
    """A permission is about something."""

    code = "target_missing"
    sentence = "Name either an installation or a charger."


class SubjectMissingError(InvalidArgumentError):
    """A permission, and an offer, is somebody's."""

    code = "subject_missing"
    sentence = "Name a user by id or address, or a partner by id or lookup key."


class TooManyUsersError(InvalidArgumentError):
    """More users than one answer is for."""

    code = "too_many_users"
    sentence = "Ask for 1000 users at most."


class TooManyInstallationsError(InvalidArgumentError):
    """More installations than one answer is for."""

    code = "too_many_installations"
    sentence = "Ask for 1000 installations at most."


class TooManyChargersError(InvalidArgumentError):
    """More chargers than one answer is for."""

    code = "too_many_chargers"
    sentence = "Ask for 1000 chargers at most."


class TooManyPartnersError(InvalidArgumentError):
    """More partners than one answer is for."""

    code = "too_many_partners"
    sentence = "Ask for 1000 partners at most."


class EmailMalformedError(InvalidArgumentError):
    """Not an address that mail reaches anybody at."""

    code = "email_malformed"
    sentence = "Give an e-mail address, as in ada@example.org."


class OwnerWithoutEndError(InvalidArgumentError):
    """Otherwise a date could take the last owner away (R6)."""

    code = "owner_without_end"
    sentence = "Owners have no last day; leave it out, or give other roles."


class OperatorWithoutEndError(InvalidArgumentError):
    """Otherwise a date could leave a site managed by nobody (R9)."""

    code = "operator_without_end"
    sentence = "An operator has no last day; leave it out, and disconnect the operator later."


class ChargerNotNamedError(InvalidArgumentError):
    """By neither of its names, or by two that may be two chargers'."""

    code = "charger_not_named"
    sentence = "Name the charger either by its id or by its OCPP identity."


class OperatorNotNamedError(InvalidArgumentError):
    """By neither of its names."""

    code = "operator_not_named"
    sentence = "Name the payment operator by its id or by its lookup key."


class PartnerKindMissingError(InvalidArgumentError):
    """Neither of the two."""

    code = "partner_kind_missing"
    sentence = "Choose service-partner or payment-operator."


class ContactMalformedError(InvalidArgumentError):
    """Nothing that could be shown to whoever has to reach the partner."""

    code = "contact_malformed"
    sentence = "A contact has 1 to 200 printable characters, as in help@example.org."


class LogoUrlMalformedError(InvalidArgumentError):
    """Nothing that a page may show."""

    code = "logo_url_malformed"
    sentence = "A logo has an https address of at most 500 characters, or none at all."


class EndpointKindMissingError(InvalidArgumentError):
    """Neither of the two."""

    code = "endpoint_kind_missing"
    sentence = "Choose ocpi or webhook."


class EndpointUrlInvalidError(InvalidArgumentError):
    """Nothing that can be called, or something that would say a secret in everybody's hearing."""

    code = "endpoint_url_invalid"
    sentence = (
        "Give an https address of at most 500 characters without user, query and fragment,"
        " as in https://volt.example/ocpi/emsp/2.2.1/tokens."
    )


class EndpointSecretInvalidError(InvalidArgumentError):
    """Nothing that OCPI is called with, or something where there is nothing to give."""

    code = "endpoint_secret_invalid"
    sentence = (
        "For ocpi give the token that the operator handed out, 1 to 255 characters of ASCII"
        " without spaces; for webhook give none, one is made."
    )


class OcpiPartiesMalformedError(InvalidArgumentError):
    """Nobody whom OCPI can name, or somebody where it names nobody."""

    code = "ocpi_parties_malformed"
    sentence = (
        "Parties are for OCPI alone: give both, each with a country code of 2 characters and a"
        " party id of 1 to 3, or none."
    )


class LookupKeyMalformedError(InvalidArgumentError):
    """Not the form of any."""

    code = "lookup_key_malformed"
    sentence = "A lookup key has 4 letters or digits, as in K7VN; ask the partner for it."


class AccessRequestNotNamedError(InvalidArgumentError):
    """By neither of its names."""

    code = "access_request_not_named"
    sentence = "Name the request for access by its id or by its link."


class RolesNotAskedError(InvalidArgumentError):
    """A request is answered by what it asks for, or less."""

    code = "roles_not_asked"
    sentence = "Approve roles that were asked for; give others by a permission."


class AuthenticationTypeMissingError(InvalidArgumentError):
    """Neither of the two."""

    code = "authentication_type_missing"
    sentence = "Choose native or external."


class PolicyMissingError(InvalidArgumentError):
    """The policies are replaced as a whole, and one of them is none."""

    code = "policy_missing"
    sentence = (
        "Choose stop or finish for blocks and for revocations, and deny or last-known for "
        "an operator that does not answer and for a gateway that is behind."
    )


class PinLengthMalformedError(InvalidArgumentError):
    """Shorter or longer than any PIN."""

    code = "pin_length_malformed"
    sentence = "A PIN has at least 4 to 8 digits."


class ViewBoundMalformedError(InvalidArgumentError):
    """Less than gateways can tell, or more than a week."""

    code = "view_bound_malformed"
    sentence = "Gateways may be behind for 1 to 10080 minutes."


class AddressMalformedError(InvalidArgumentError):
    """Not a place that OCPI could tell of."""

    code = "address_malformed"
    sentence = (
        "An address has a street and a city of 1 to 45 printable characters, a postal code of"
        " at most 10, a country as in NOR, and latitude and longitude as in 59.913869."
    )


class ReaderPrefixMalformedError(InvalidArgumentError):
    """Nothing a charger could send before a card number."""

    code = "reader_prefix_malformed"
    sentence = "A reader's prefix has at most 8 printable characters of ASCII."


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
    sentence = "There is no such installation; choose one of those that are listed for you."


class ChargerUnknownError(NotFoundError):
    """No charger has this id or OCPP identity."""

    code = "charger_unknown"
    sentence = "There is no such charger; look it up in the list of the installation's chargers."


class PermissionUnknownError(NotFoundError):
    """No permission has this id, or it was revoked."""

    code = "permission_unknown"
    sentence = "There is no such permission, or it was revoked; look at the list of permissions."


class PartnerUnknownError(NotFoundError):
    """No partner has this id or lookup key."""

    code = "partner_unknown"
    sentence = "There is no such partner; ask it for its lookup key, which may have changed."


class PartnerMemberUnknownError(NotFoundError):
    """The user is not in it, or no longer."""

    code = "partner_member_unknown"
    sentence = "This user is no member of the partner; look at the list of its members."


class DecisionEndpointUnknownError(NotFoundError):
    """It has never said where, or no longer answers."""

    code = "decision_endpoint_unknown"
    sentence = "This partner has no decision endpoint; set one."


class AccessRequestUnknownError(NotFoundError):
    """No request has this id or link."""

    code = "access_request_unknown"
    sentence = "There is no such request for access; ask for a new link."


class ReactionUnknownError(NotFoundError):
    """Access has no reaction of this name."""

    code = "reaction_unknown"
    sentence = "There is no such reaction here; name one by its durable name."


class UserUnknownError(NotFoundError):
    """No user has this id, or access has not heard of him yet."""

    code = "user_unknown"
    sentence = "There is no such user; look them up in the list of the installation's users."


class ChargerPasswordReplacedError(FailedPreconditionError):
    """The password that this command once gave the charger is no longer its password."""

    code = "charger_password_replaced"
    sentence = (
        "The charger was given a newer password since; where nobody knows that one, "
        "replace it once more."
    )


class OcppIdentityInUseError(AlreadyExistsError):
    """Another charger connects under this name."""

    code = "ocpp_identity_in_use"
    sentence = "A charger with this OCPP identity is registered already; choose another."


class NoLookupKeyFreeError(ResourceExhaustedError):
    """Almost every key of four characters finds somebody."""

    code = "no_lookup_key_free"
    sentence = "No free lookup key was found; try again."


class RoleNotGrantableError(PermissionDeniedError):
    """The caller may grant, but not this (R5)."""

    code = "role_not_grantable"
    sentence = "You may not give or take this role here; ask an owner of the installation."


class LastOwnerError(FailedPreconditionError):
    """An installation that had an owner always has one (R6)."""

    code = "last_owner"
    sentence = (
        "This is the installation's last owner; make somebody else an owner first, and wait "
        "until whoever was invited has accepted."
    )


class NoOwnerToOfferError(FailedPreconditionError):
    """Ownership is somebody's to offer, and of several owners nobody says whose."""

    code = "no_owner_to_offer"
    sentence = "Owners offer their own ownership; administrators, where there is one owner."


class AlreadyOwnerError(FailedPreconditionError):
    """There is nothing to hand over."""

    code = "already_owner"
    sentence = "This user is an owner already; nothing needs to be offered."


class OwnershipNotOfferedError(FailedPreconditionError):
    """Never, no longer, or to somebody else (R6)."""

    code = "ownership_not_offered"
    sentence = "No such offer of ownership stands; ask an owner to offer it again."


class UserBlockedHereError(FailedPreconditionError):
    """Whoever is blocked at a site cannot come to own it."""

    code = "user_blocked_here"
    sentence = "This user is blocked at this installation; lift that first."


class BlockLocalUserError(FailedPreconditionError):
    """A LOCAL user's block is his own, and identity's to keep (R12)."""

    code = "block_local_user"
    sentence = "This is a local user; block them as such, not at the installation."


class AccessRequestAnsweredError(FailedPreconditionError):
    """Once approved, denied or withdrawn it stays so."""

    code = "access_request_answered"
    sentence = "This request was answered or withdrawn already; a new one can be made."


class AccessRequestExpiredError(FailedPreconditionError):
    """Nobody answered in time."""

    code = "access_request_expired"
    sentence = "This request has waited for more than 14 days; ask for a new one."


class LocalUserCannotJoinError(FailedPreconditionError):
    """A local user belongs to one installation, and a partner is at home nowhere."""

    code = "local_user_cannot_join"
    sentence = "A local user cannot be a member of a partner; invite the person by e-mail."


class PartnerCannotOwnError(FailedPreconditionError):
    """Owners are people."""

    code = "partner_cannot_own"
    sentence = "A partner cannot be an owner; choose other roles."


class LocalUserCannotOwnError(FailedPreconditionError):
    """Whoever cannot sign in cannot own (R6)."""

    code = "local_user_cannot_own"
    sentence = "A local user cannot sign in and so cannot be an owner; choose other roles."


class LocalUserElsewhereError(FailedPreconditionError):
    """A local user belongs to one installation."""

    code = "local_user_elsewhere"
    sentence = "This local user belongs to another installation; add one there."


class OperatorConnectedAlreadyError(FailedPreconditionError):
    """A site is managed by one operator at a time (R3)."""

    code = "operator_connected_already"
    sentence = "An operator manages this site already; disconnect it first."


class OperatorNotConnectedError(FailedPreconditionError):
    """Nobody manages the site but its owners."""

    code = "operator_not_connected"
    sentence = "No payment operator is connected to this site; connect one first."


class PartnerNotOperatorError(FailedPreconditionError):
    """Nobody else is ever asked."""

    code = "partner_not_operator"
    sentence = "Only a payment operator is asked who may charge; this is a service partner."


class NotAPaymentOperatorError(FailedPreconditionError):
    """Only an organisation of that kind manages sites."""

    code = "not_a_payment_operator"
    sentence = "Only a payment operator can manage a site, and only all of it; choose other roles."


class ExternalNeedsOperatorError(FailedPreconditionError):
    """Without an operator nobody would answer (R3)."""

    code = "external_needs_operator"
    sentence = "Connect a payment operator first: with external authentication it decides."


class PaymentOperatorConnectedError(FailedPreconditionError):
    """Chargers of a managed site deviate only where its operator allows them (R2)."""

    code = "payment_operator_connected"
    sentence = "A payment operator is connected and lets no charger deviate from the site; ask it:"


class ChargerBusyError(FailedPreconditionError):
    """A session would end elsewhere than it began (R11)."""

    code = "charger_busy"
    sentence = "Somebody is charging there; move the charger when nothing charges."


class ReactionSetAsideError(FailedPreconditionError):
    """The reaction could not read the event, or one before it about the same thing."""

    code = "reaction_set_aside"
    sentence = "This event waits for a version that can read it; bring the services up to date."


class ChangedMeanwhileError(FailedPreconditionError):
    """What was to be replaced is another by now: somebody else was faster."""

    code = "changed_meanwhile"
    sentence = "Somebody has changed this meanwhile; look at what is there now, and decide anew."
