"""What the command line itself refuses, by name; services refuse for themselves.

ChargekeyError
├── InvalidArgumentError
│   ├── ChoiceUnknownError        choice_unknown
│   ├── CodeTooLongError          code_too_long
│   ├── FleetOrChargerError       fleet_or_charger
│   ├── NeitherOrBothError        neither_or_both
│   ├── NothingToChangeError      nothing_to_change
│   ├── ObjectMissingError        object_missing
│   ├── StoreMalformedError       store_malformed
│   ├── SubjectMissingError       subject_missing
│   ├── TargetMissingError        target_missing
│   └── TypeTwiceError            type_twice
├── FailedPreconditionError
│   ├── FileUnreadableError       file_unreadable
│   ├── ImportRefusedError        import_refused
│   ├── LoginDamagedError         login_damaged
│   ├── NotSignedInError          not_signed_in
│   ├── ScanFailedError           scan_failed
│   ├── DataInUseError            data_in_use
│   ├── DataVersionError          data_version
│   ├── DataForeignError          data_foreign
│   ├── StoreElsewhereError       store_elsewhere
│   ├── DatabaseInUseError        database_in_use
│   ├── DatabaseForeignError      database_foreign
│   ├── ChargerConnectedError     charger_connected
│   ├── ChargerRefusedError       charger_refused
│   ├── ChargingRefusedError      charging_refused
│   ├── CommandRefusedError       command_refused
│   ├── PromiseBrokenError        promise_broken
│   ├── RequestRefusedError       request_refused
│   ├── UserElsewhereError        local_user_elsewhere
│   ├── PortTakenError            port_taken
│   ├── StoreMissingError         store_missing
│   ├── StoreDamagedError         store_damaged
│   ├── AuditDifferedError        audit_differed
│   └── DemoDifferedError         demo_differed
└── UnavailableError
    ├── DataUnusableError         data_unusable
    ├── OutputFailedError         output_failed
    ├── SecretsUnwritableError    secrets_unwritable
    ├── TlsUnusableError          tls_unusable
    ├── DatabaseUnusableError     database_unusable
    ├── NotRunningError           not_running
    ├── StartFailedError          start_failed
    └── ChargerDisconnectedError  charger_disconnected
"""

from __future__ import annotations

from chargekey_common.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    UnavailableError,
)


class ChoiceUnknownError(InvalidArgumentError):
    """Not one of the words that can stand here."""

    code = "choice_unknown"
    sentence = "That is not one of the words to choose from:"


class CodeTooLongError(InvalidArgumentError):
    """OCPP 1.6 gives an idTag 20 characters (CiString20)."""

    code = "code_too_long"
    sentence = "A charger can present at most 20 characters; shorten the code."


class TargetMissingError(InvalidArgumentError):
    """Neither, or both, of the two things a permission can be about."""

    code = "target_missing"
    sentence = "Name either --installation or --charger."


class InstallationOrPartnerError(InvalidArgumentError):
    """What was asked of one, or what one has asked for."""

    code = "installation_or_partner"
    sentence = "Name either --installation or --partner-id."


class SubjectMissingError(InvalidArgumentError):
    """Nobody, or several, of those it could be about."""

    code = "subject_missing"
    sentence = "Name exactly one of --user, --email and, where there is one, --partner."


class ObjectMissingError(InvalidArgumentError):
    """Not one thing that has a history."""

    code = "object_missing"
    sentence = (
        "Name one of --installation, --charger, --permission, --partner and --user, "
        "or a user and an installation."
    )


class NeitherOrBothError(InvalidArgumentError):
    """Signing in begins with an address and ends with a link."""

    code = "neither_or_both"
    sentence = "Ask for a link by --email, or give what it carries by --token."


class FleetOrChargerError(InvalidArgumentError):
    """One charger that is known, or many that are made."""

    code = "fleet_or_charger"
    sentence = (
        "Be one charger, by --ocpp-identity and --password, "
        "or a fleet of --chargers that plays a --scenario."
    )


class NothingToChangeError(InvalidArgumentError):
    """A command that changes something was given nothing to change."""

    code = "nothing_to_change"
    sentence = "Say what is to change; --help lists the options."


class TypeTwiceError(InvalidArgumentError):
    """Both on and off."""

    code = "type_twice"
    sentence = "The same type cannot be enabled and disabled; name it once:"


class FileUnreadableError(FailedPreconditionError):
    """Not there, or not for us."""

    code = "file_unreadable"
    sentence = "This file cannot be read:"


class FileUnwritableError(FailedPreconditionError):
    """A directory that is not there, a disk that is full, or not for us."""

    code = "file_unwritable"
    sentence = "This file cannot be written:"


class DryRunImpossibleError(InvalidArgumentError):
    """Something whose effects nobody works out beforehand."""

    code = "dry_run_impossible"
    sentence = (
        "What this would do cannot be shown beforehand; a dry run shows what a revoked permission, "
        "a block at one installation, --authorisation-required, and a charger's --authorisation "
        "and types would do."
    )


class ImportRefusedError(FailedPreconditionError):
    """A line cannot be imported, and so none was."""

    code = "import_refused"
    sentence = "Nothing was imported; put the lines that are named in order and try again."


class LoginDamagedError(FailedPreconditionError):
    """What is kept of a login cannot be read."""

    code = "login_damaged"
    sentence = "Sign in again with `chargekey login`; this file cannot be read:"


class NotSignedInError(FailedPreconditionError):
    """Nobody but the administrator uses this system from here."""

    code = "not_signed_in"
    sentence = "Nobody is signed in; `chargekey login --email ADDRESS` begins."


class ScanFailedError(FailedPreconditionError):
    """No card was bound."""

    code = "scan_failed"
    sentence = "No card was added:"


class DataInUseError(FailedPreconditionError):
    """One system a data directory."""

    code = "data_in_use"
    sentence = "Chargekey runs on this data directory already; end it, or name another with --data:"


class DataVersionError(FailedPreconditionError):
    """Written by a release that keeps its data in another way."""

    code = "data_version"
    sentence = (
        "This data directory belongs to another version of Chargekey; "
        "use that version, or name another directory with --data:"
    )


class DataForeignError(FailedPreconditionError):
    """A directory that something else fills."""

    code = "data_foreign"
    sentence = (
        "This directory holds other things than Chargekey's; name an empty or new one with --data:"
    )


class StoreElsewhereError(FailedPreconditionError):
    """Events do not move by being started somewhere else."""

    code = "store_elsewhere"
    sentence = (
        "This data directory keeps its events in another place; leave --store out, "
        "or name a new directory with --data."
    )


class DatabaseInUseError(FailedPreconditionError):
    """One database, one system."""

    code = "database_in_use"
    sentence = "Another Chargekey runs on this database; end it, or name another with --store."


class DatabaseForeignError(FailedPreconditionError):
    """Its keys are in the other directory."""

    code = "database_foreign"
    sentence = (
        "This database belongs to another data directory; "
        "name that one with --data, or an empty database with --store."
    )


class StoreMalformedError(InvalidArgumentError):
    """Not a URL of PostgreSQL."""

    code = "store_malformed"
    sentence = (
        "A store is a URL as in postgresql://user:password@host:5432/database; "
        "write @ : / in a password as %40 %3A %2F."
    )


class DatabaseUnusableError(UnavailableError):
    """It does not answer, or does not let us in."""

    code = "database_unusable"
    sentence = "The database of --store cannot be used:"


class UserElsewhereError(FailedPreconditionError):
    """A local user belongs to one installation."""

    code = "local_user_elsewhere"
    sentence = "This local user belongs to another installation; leave --installation out."


class PortTakenError(FailedPreconditionError):
    """Somebody listens there."""

    code = "port_taken"
    sentence = "This port is taken; name another one, or 0 for any that is free:"


class StoreMissingError(FailedPreconditionError):
    """There is nothing that could have been restored."""

    code = "store_missing"
    sentence = "There is no store here; name the data directory that was restored with --data:"


class StoreDamagedError(FailedPreconditionError):
    """No database, one that is broken, or one of somebody else."""

    code = "store_damaged"
    sentence = "This store cannot be read; restore another backup of it:"


class AuditDifferedError(FailedPreconditionError):
    """Store and stream tell different stories."""

    code = "audit_differed"
    sentence = "A store and its stream differ."


class DemoDifferedError(FailedPreconditionError):
    """The system did something else than the story says."""

    code = "demo_differed"
    sentence = "The demo did not go as it should; `chargekey demo --data DIR` keeps its logs:"


class DataUnusableError(UnavailableError):
    """The file system refuses."""

    code = "data_unusable"
    sentence = "The data directory cannot be used; name another with --data:"


class SecretsUnwritableError(UnavailableError):
    """The file system refuses what a cluster is to be given."""

    code = "secrets_unwritable"
    sentence = "The secrets cannot be written there; name another directory:"


class TlsUnusableError(UnavailableError):
    """What the environment says of certificates is not whole."""

    code = "tls_unusable"
    sentence = "The certificate, its key or the CA cannot be used; see the CHARGEKEY_TLS_… files:"


class OutputFailedError(UnavailableError):
    """A full disk, most likely; what was asked for was done."""

    code = "output_failed"
    sentence = "It was done, but the answer could not be written:"


class NotRunningError(UnavailableError):
    """There is nothing to talk to."""

    code = "not_running"
    sentence = (
        "Chargekey does not run on this data directory; "
        "start it with `chargekey up`, or name another with --data:"
    )


class StartFailedError(UnavailableError):
    """A process ended, or never became ready."""

    code = "start_failed"
    sentence = "Chargekey could not start:"


class ChargerRefusedError(FailedPreconditionError):
    """The gateway knows no such charger, or another password."""

    code = "charger_refused"
    sentence = "The gateway does not serve this charger; check its OCPP identity and password:"


class ChargingRefusedError(FailedPreconditionError):
    """The simulated charger was told so, by the status behind the sentence."""

    code = "charging_refused"
    sentence = "Charging was refused; `chargekey refusals list` says why:"


class CommandRefusedError(FailedPreconditionError):
    """A connected charger answered, and does not do it; its word is behind the sentence."""

    code = "command_refused"
    sentence = "The charger does not do this; see what it is doing now. It answered:"


class PromiseBrokenError(FailedPreconditionError):
    """A simulated fleet saw something that the system says it never does."""

    code = "promise_broken"
    sentence = "Something was not as promised; `chargekey why` and the logs tell more:"


class ChargerConnectedError(FailedPreconditionError):
    """One connection a charger."""

    code = "charger_connected"
    sentence = "A charger of this OCPP identity is connected; end that one first."


class RequestRefusedError(FailedPreconditionError):
    """The gateway has answered the simulated charger with an error."""

    code = "request_refused"
    sentence = "The gateway did not take what the charger sent; its log in `logs` says why:"


class ChargerDisconnectedError(UnavailableError):
    """There is no gateway, or it has gone, or it has closed the connection."""

    code = "charger_disconnected"
    sentence = "The charger has no connection to the gateway; see whether `chargekey up` runs:"
