"""What identity refuses, by name; never with what was sent, which may be a code.

ChargekeyError
├── InvalidArgumentError
│   ├── PinMalformedError            pin_malformed
│   ├── RfidMalformedError           rfid_malformed
│   ├── RfidRandomError              rfid_random
│   ├── PinTooShortError             pin_too_short
│   ├── PinCountMalformedError       pin_count_malformed
│   ├── CreditCardNumberRefusedError credit_card_number_refused
│   ├── VehicleIdMalformedError      vehicle_id_malformed
│   ├── PhoneMalformedError          phone_malformed
│   ├── AppNotByHandError            app_not_by_hand
│   ├── GroupMalformedError          group_malformed
│   ├── InstallationMissingError     installation_missing
│   ├── InstallationForeignError     installation_foreign
│   ├── TypeNotScannableError        type_not_scannable
│   ├── TypeUnknownError             identification_type_unknown
│   ├── StatusUnknownError           status_unknown
│   ├── EmailMalformedError          email_malformed
│   ├── CsvTooLargeError             csv_too_large
│   ├── CsvMalformedError            csv_malformed
│   ├── CsvHeaderMalformedError      csv_header_malformed
│   ├── RolesMalformedError          roles_malformed
│   ├── BlockedMalformedError        blocked_malformed
│   ├── OwnerWithoutEndError         owner_without_end
│   ├── TwiceInFileError             twice_in_file
│   ├── LanguageUnknownError         language_unknown
│   ├── TooManyUsersError            too_many_users
│   ├── TooManyDescribedError        too_many_described
│   ├── TooManyCodesError            too_many_codes
│   └── RedirectUriRefusedError      redirect_uri_refused
├── NotFoundError
│   ├── InstallationUnknownError     installation_unknown
│   ├── UserUnknownError             user_unknown
│   ├── IdentificationUnknownError   identification_unknown
│   ├── ChargerUnknownError          charger_unknown
│   ├── ScanUnknownError             scan_unknown
│   ├── UnknownCodeGoneError         unknown_code_gone
│   ├── InvitationUnknownError       invitation_unknown
│   ├── LinkUnknownError             link_unknown
│   ├── PartnerUnknownError          partner_unknown
│   └── CredentialUnknownError       credential_unknown
├── AlreadyExistsError
│   ├── CodeUnavailableError         code_unavailable
│   ├── CodeInUseError               code_in_use
│   └── RfidInUseError               rfid_in_use
├── FailedPreconditionError
│   ├── AppMissingError              app_missing
│   ├── UserBlockedError             user_blocked
│   ├── CodeChangedSinceError        code_changed_since
│   ├── TooManyIdentificationsError  too_many_identifications
│   ├── ChargerElsewhereError        charger_elsewhere
│   ├── ScanRunningError             scan_running
│   ├── ScanOverError                scan_over
│   ├── BlockAtInstallationError     block_at_installation
│   ├── LastOwnerError               last_owner
│   ├── LocalUserCannotOwnError      local_user_cannot_own
│   ├── BlockedHasAddressError       blocked_has_address
│   ├── LocalProfileError            local_profile
│   ├── InvitationSettledError       invitation_settled
│   ├── OpenIdNotConfiguredError     openid_not_configured
│   ├── OpenIdEmailUnverifiedError   openid_email_unverified
│   └── LinkInvalidError             link_invalid
├── PermissionDeniedError
│   ├── StricterOnlyError            stricter_only
│   └── SignInRefusedError           sign_in_refused
├── UnauthenticatedError
│   ├── SignInEndedError             sign_in_ended
│   ├── OpenIdStateUnknownError      openid_state_unknown
│   ├── OpenIdRefusedError           openid_refused
│   └── CredentialRefusedError       credential_refused
└── UnavailableError
    └── OpenIdUnavailableError       openid_unavailable
"""

from __future__ import annotations

from chargekey_common.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
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


class PinTooShortError(InvalidArgumentError):
    """Fewer digits than the installation asks of new PINs; how many, the detail says."""

    code = "pin_too_short"
    sentence = "This PIN is too short for this installation."


class PinCountMalformedError(InvalidArgumentError):
    """More PINs than anybody needs at once, or less than none."""

    code = "pin_count_malformed"
    sentence = "Ask for 1 to 20 PINs at a time."


class CreditCardNumberRefusedError(InvalidArgumentError):
    """The number printed on a bank card: no reader shows it, and it is nothing to keep (S3-54)."""

    code = "credit_card_number_refused"
    sentence = (
        "Never type in the number printed on a bank card: chargers do not see it. "
        "Add the card by scanning it at a charger."
    )


class VehicleIdMalformedError(InvalidArgumentError):
    """Neither an eMAID of ISO 15118-2 or DIN SPEC 91286 nor a MAC address."""

    code = "vehicle_id_malformed"
    sentence = (
        "A vehicle is known by its contract, as in NL-TNM-C00122045-K with a check digit that "
        "is right or left out, or by its MAC address of 12 hexadecimal digits."
    )


class PhoneMalformedError(InvalidArgumentError):
    """Not a telephone number of ITU-T E.164."""

    code = "phone_malformed"
    sentence = (
        "Give the telephone number with + and the country's code first, as in +4791234567, "
        "7 to 15 digits in all."
    )


class AppNotByHandError(InvalidArgumentError):
    """What the portal starts sessions with is made and removed with the account."""

    code = "app_not_by_hand"
    sentence = (
        "The identification of the app comes with the account and goes with it; "
        "switch it off instead, or add another one."
    )


class GroupMalformedError(InvalidArgumentError):
    """Not a label."""

    code = "group_malformed"
    sentence = "A group is 1 to 20 letters, digits or hyphens, as in family-1."


class InstallationMissingError(InvalidArgumentError):
    """A PIN works at one installation (R13)."""

    code = "installation_missing"
    sentence = "A PIN belongs to one installation; say which."


class InstallationForeignError(InvalidArgumentError):
    """Another installation than the one a local user belongs to."""

    code = "installation_foreign"
    sentence = "A local user belongs to one installation; name that one, or none."


class TypeNotScannableError(InvalidArgumentError):
    """Nothing that a charger's reader or cable tells."""

    code = "type_not_scannable"
    sentence = "Scan the types rfid, credit_card and vehicle_id; others are added by hand."


class TypeUnknownError(InvalidArgumentError):
    """Not a type of identification that can be added by hand."""

    code = "identification_type_unknown"
    sentence = "Choose among the types rfid, pin, vehicle_id, sms and credit_card."


class StatusUnknownError(InvalidArgumentError):
    """Not a status."""

    code = "status_unknown"
    sentence = "Choose among the statuses active, inactive and blocked."


class InstallationUnknownError(NotFoundError):
    """Access knows no installation with this id."""

    code = "installation_unknown"
    sentence = "There is no such installation; choose one of those that are listed for you."


class UserUnknownError(NotFoundError):
    """No user has this id, or he was erased."""

    code = "user_unknown"
    sentence = "There is no such user; look them up in the list of the installation's users."


class IdentificationUnknownError(NotFoundError):
    """No identification has this id, or it was removed."""

    code = "identification_unknown"
    sentence = "There is no such identification; look at the list of the user's."


class ChargerUnknownError(NotFoundError):
    """Access knows no charger with this id."""

    code = "charger_unknown"
    sentence = "There is no such charger; look it up in the list of the installation's chargers."


class ScanUnknownError(NotFoundError):
    """No scan has this id, or it was long ago."""

    code = "scan_unknown"
    sentence = "There is no such scan; start another one."


class UnknownCodeGoneError(NotFoundError):
    """It is not kept any more, never was, or not at this installation."""

    code = "unknown_code_gone"
    sentence = "This is not kept any more; present the card at a charger once again."


class CodeUnavailableError(AlreadyExistsError):
    """The PIN is taken at this installation, and nobody is told by whom (R13)."""

    code = "code_unavailable"
    sentence = "This PIN cannot be used here; choose another one."


class CodeInUseError(AlreadyExistsError):
    """The code belongs to an identification somewhere, and nobody is told to whose."""

    code = "code_in_use"
    sentence = "This is registered already; remove it there first, or use another one."


class RfidInUseError(AlreadyExistsError):
    """The card belongs to an identification somewhere, and nobody is told to whose (R15)."""

    code = "rfid_in_use"
    sentence = "This card is registered already; remove it there first, or use another card."


class ChargerElsewhereError(FailedPreconditionError):
    """The card would not work where it is scanned."""

    code = "charger_elsewhere"
    sentence = "This charger stands elsewhere; choose one of the installation it is to work at."


class ScanRunningError(FailedPreconditionError):
    """One at a time, or nobody knows whose card it is (R16)."""

    code = "scan_running"
    sentence = "Somebody is adding a card at this charger right now; try again in a minute."


class ScanOverError(FailedPreconditionError):
    """It cannot be taken back by cancelling."""

    code = "scan_over"
    sentence = "The card was added already; remove the identification instead."


class AppMissingError(FailedPreconditionError):
    """Whoever has no account cannot start sessions from the portal or an app."""

    code = "app_missing"
    sentence = "Only people with an account start sessions from here; accept an invitation first."


class UserBlockedError(FailedPreconditionError):
    """He is blocked on the whole platform."""

    code = "user_blocked"
    sentence = "This user is blocked; an administrator can say why and unblock them."


class TooManyCodesError(InvalidArgumentError):
    """More codes at once than are told for a charger's list."""

    code = "too_many_codes"
    sentence = "Ask for at most 1000 codes at once."


class CodeChangedSinceError(FailedPreconditionError):
    """What this command was recorded to reveal is no longer the code."""

    code = "code_changed_since"
    sentence = "The code was changed since it was revealed; reveal it again with a new command_id."


class TooManyIdentificationsError(FailedPreconditionError):
    """Who takes one PIN after the other leaves none to anybody else (R13)."""

    code = "too_many_identifications"
    sentence = (
        "Nobody has more than 10 PINs at an installation, or 100 identifications in all; "
        "remove one that is not needed any more."
    )


class StricterOnlyError(PermissionDeniedError):
    """A user undoes what the owner of a site has set for him there."""

    code = "stricter_only"
    sentence = (
        "You can switch this off, remove it or let it end earlier, but not undo what was set "
        "for you here; ask an owner of the site."
    )


class EmailMalformedError(InvalidArgumentError):
    """Not an address that a mail could reach."""

    code = "email_malformed"
    sentence = "Give an e-mail address, as in name@example.com."


class LanguageUnknownError(InvalidArgumentError):
    """Not a language that mails are written in."""

    code = "language_unknown"
    sentence = "Mails are written in English and Norwegian; choose en or nb."


class TooManyUsersError(InvalidArgumentError):
    """More users than one answer is for."""

    code = "too_many_users"
    sentence = "Ask for the names of 1000 users at most."


class TooManyDescribedError(InvalidArgumentError):
    """More identifications than one answer is for."""

    code = "too_many_described"
    sentence = "Ask what 1000 identifications are at most."


class InvitationUnknownError(NotFoundError):
    """No invitation has this id."""

    code = "invitation_unknown"
    sentence = "There is no such invitation; look at the list of the installation's."


class LinkUnknownError(NotFoundError):
    """No mail needs this link any more: it was used, replaced or taken back, or is too old."""

    code = "link_unknown"
    sentence = "There is no such link to be sent, or no longer."


class BlockAtInstallationError(FailedPreconditionError):
    """Somebody with an address is blocked at an installation, which access does (R12)."""

    code = "block_at_installation"
    sentence = (
        "This user belongs to no installation; name the one to block or allow the user at,"
        " or, as an administrator, everywhere."
    )


class LocalProfileError(FailedPreconditionError):
    """A local user has his installation's zone, and nobody writes to him."""

    code = "local_profile"
    sentence = "A local user has the installation's time zone, and gets no mails to be written."


class InvitationSettledError(FailedPreconditionError):
    """There is nothing left to send or to take back."""

    code = "invitation_settled"
    sentence = "This invitation was accepted or taken back; give the permission again if needed."


class LinkInvalidError(FailedPreconditionError):
    """The same for every link that does not work, so that none tells more than that (R7)."""

    code = "link_invalid"
    sentence = (
        "This link was used, was replaced or is too old; sign in with your address, "
        "or ask whoever invited you for a new one."
    )


class SignInRefusedError(PermissionDeniedError):
    """Who the person is was shown, and that person may not sign in."""

    code = "sign_in_refused"
    sentence = "This account cannot sign in; ask whoever runs this platform."


class SignInEndedError(UnauthenticatedError):
    """No sign-in goes on with this refresh token: it ended, or somebody used the token before."""

    code = "sign_in_ended"
    sentence = "This sign-in has ended; sign in again."


class RedirectUriRefusedError(InvalidArgumentError):
    """Nobody said that a provider may send people there."""

    code = "redirect_uri_refused"
    sentence = "Sign-ins may not come back to this address; use one that identity's settings name."


class OpenIdNotConfiguredError(FailedPreconditionError):
    """This platform has no OpenID Connect provider."""

    code = "openid_not_configured"
    sentence = "Here people sign in by a mailed link; ask for one."


class OpenIdStateUnknownError(UnauthenticatedError):
    """Not a sign-in that has begun here, or one that took too long or is done."""

    code = "openid_state_unknown"
    sentence = "This sign-in was not begun here, took too long or is done; begin again."


class OpenIdRefusedError(UnauthenticatedError):
    """The provider does not vouch for whoever came back, or not so that it can be believed."""

    code = "openid_refused"
    sentence = "The provider did not confirm this sign-in; begin again."


class OpenIdEmailUnverifiedError(FailedPreconditionError):
    """The provider tells no address, or one that it has not verified."""

    code = "openid_email_unverified"
    sentence = "Have the provider verify your address, or sign in by a mailed link."


class OpenIdUnavailableError(UnavailableError):
    """The provider does not answer, or not as one does."""

    code = "openid_unavailable"
    sentence = "The sign-in provider does not answer; try again, or sign in by a mailed link."


class PartnerUnknownError(NotFoundError):
    """Access knows no partner with this id."""

    code = "partner_unknown"
    sentence = "There is no such partner; choose one that you are a member of."


class CredentialUnknownError(NotFoundError):
    """No credential has this id, or it was revoked."""

    code = "credential_unknown"
    sentence = "There is no such credential; look at the list of the partner's."


class CredentialRefusedError(UnauthenticatedError):
    """Unknown, revoked or not its secret: nobody is told which."""

    code = "credential_refused"
    sentence = "This credential opens nothing; use another, or have a new one issued."


class LastOwnerError(FailedPreconditionError):
    """An installation that had an owner always has one (R6)."""

    code = "last_owner"
    sentence = "This is some installation's last owner; make somebody else an owner there first."


class CsvTooLargeError(InvalidArgumentError):
    """More than one command takes."""

    code = "csv_too_large"
    sentence = "Import 1 MiB and 2000 people at most at a time; split the file."


class CsvMalformedError(InvalidArgumentError):
    """Not a table as RFC 4180 has it, in UTF-8, each line with as many cells as the header."""

    code = "csv_malformed"
    sentence = "Save the table as CSV in UTF-8, with commas, and the same cells in every line."


class CsvHeaderMalformedError(InvalidArgumentError):
    """Not the columns of a table of people."""

    code = "csv_header_malformed"
    sentence = (
        "The first line names the columns: first_name, last_name, email, roles, valid_until, "
        "pin, rfid, blocked."
    )


class RolesMalformedError(InvalidArgumentError):
    """Not the roles of a person."""

    code = "roles_malformed"
    sentence = "Roles are owner, user and service; several are separated by semicolons."


class BlockedMalformedError(InvalidArgumentError):
    """Neither yes nor no."""

    code = "blocked_malformed"
    sentence = "Say yes or no, or leave it empty, in the column blocked."


class OwnerWithoutEndError(InvalidArgumentError):
    """Ownership ends by being taken away, so that somebody always has it (R6)."""

    code = "owner_without_end"
    sentence = "An owner's permission has no end; leave valid_until empty, or choose other roles."


class TwiceInFileError(InvalidArgumentError):
    """A line before has the same address or code."""

    code = "twice_in_file"
    sentence = "A line above has this address, PIN or card already; leave it in one of them."


class LocalUserCannotOwnError(FailedPreconditionError):
    """Whoever cannot sign in cannot own (R6)."""

    code = "local_user_cannot_own"
    sentence = "Who has no address cannot sign in and so cannot be an owner; choose other roles."


class BlockedHasAddressError(FailedPreconditionError):
    """Somebody with an address is blocked at an installation by access (R12)."""

    code = "blocked_has_address"
    sentence = "Import people with an address unblocked, and block them at the site afterwards."


class RoleNotGrantableError(PermissionDeniedError):
    """Only an installation's owner gives more than the right to charge (R5)."""

    code = "role_not_grantable"
    sentence = "You may only give the role user here; ask an owner of the installation."
