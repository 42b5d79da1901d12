"""Why a charger was not told what it should have been.

ChargekeyError
├── InvalidArgumentError
│   ├── ConnectorMalformedError   connector_malformed
│   ├── SettingMalformedError     setting_malformed
│   ├── ActionUnknownError        action_unknown
│   └── PayloadInvalidError       payload_invalid
├── NotFoundError
│   ├── ChargerUnknownError       charger_unknown
│   └── SessionUnknownError       session_unknown
├── FailedPreconditionError
│   ├── NotAPersonError           not_a_person
│   ├── AppMissingError           app_missing
│   ├── OperatorNotDecidingError  operator_not_deciding
│   ├── StartRefusedError         the reason of the decision
│   ├── ChargerOfflineError       charger_offline
│   ├── SettingsNotToldError      settings_not_told
│   └── ActionNotForHereError     action_not_for_here
├── ResourceExhaustedError
│   └── ChargerBusyError          charger_busy
└── UnavailableError
    └── ChargerSilentError        charger_silent
"""

from __future__ import annotations

from chargekey_common.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)


class ConnectorMalformedError(InvalidArgumentError):
    """Not a number that a connector can have."""

    code = "connector_malformed"
    sentence = "Connectors have numbers from 1 on; leave it out for the whole charger, if at all."


class SettingMalformedError(InvalidArgumentError):
    """No name or no value that any version has."""

    code = "setting_malformed"
    sentence = (
        "A setting has a name of the charger's OCPP version, such as LocalPreAuthorize or "
        "AuthCtrlr.Enabled, and printable values; name at most 50 at once."
    )


class ActionUnknownError(InvalidArgumentError):
    """The charger's version does not know it, or it is the charger that calls it."""

    code = "action_unknown"
    sentence = (
        "The charger's OCPP version has no such action for chargers to be sent; "
        "spell it as the standard does, with capitals, as in ClearCache."
    )


class PayloadInvalidError(InvalidArgumentError):
    """Not what the standard's schema of the action has; the detail says where."""

    code = "payload_invalid"
    sentence = "The payload is not what the standard wants of this action. Correct"


class ChargerUnknownError(NotFoundError):
    """Nobody here has heard of it."""

    code = "charger_unknown"
    sentence = "There is no such charger; look up its name in the list of chargers."


class SessionUnknownError(NotFoundError):
    """It does not run, or never did."""

    code = "session_unknown"
    sentence = "No such session is running; it may have ended. Look into the list of sessions."


class NotAPersonError(FailedPreconditionError):
    """Administrators and programs have nothing to charge with."""

    code = "not_a_person"
    sentence = "Only a person can start a session here; sign in as the one who is charging."


class AppMissingError(FailedPreconditionError):
    """Whoever wants to start has nothing that the portal can start with."""

    code = "app_missing"
    sentence = "You cannot start from here; present a card or a PIN at the charger instead."


class StartRefusedError(FailedPreconditionError):
    """The decision was no; its reason is the code, what can be done about it the sentence."""

    code = "not_permitted"
    sentence = "You may not charge here."

    @classmethod
    def because(cls, reason: str) -> StartRefusedError:
        """Return the refusal for a reason of the decision."""
        sentence = _WHAT_TO_DO.get(reason, cls.sentence)
        kind = type(cls.__name__, (cls,), {"code": reason, "sentence": sentence})
        error: StartRefusedError = kind()
        return error


class OperatorNotDecidingError(FailedPreconditionError):
    """Who decides there is somebody else than is asked; the detail says who."""

    code = "operator_not_deciding"
    sentence = "This does not go with who decides at the site."


class ChargerOfflineError(FailedPreconditionError):
    """It is not connected to any gateway, or has just gone."""

    code = "charger_offline"
    sentence = "The charger is not connected; see to its power and its network, then try again."


class SettingsNotToldError(FailedPreconditionError):
    """It answered with an error, whose word is the detail, or with what nobody understands."""

    code = "settings_not_told"
    sentence = "The charger refuses to tell these settings; name fewer of them, or others."


class ActionNotForHereError(FailedPreconditionError):
    """It is not for whoever serves a site, or for nobody but the system; the detail says why."""

    code = "action_not_for_here"
    sentence = "Nobody has a charger do this from here."


class ChargerBusyError(ResourceExhaustedError):
    """Too many commands wait for it already."""

    code = "charger_busy"
    sentence = "Many commands wait for this charger already; try again in a minute."


class ChargerSilentError(UnavailableError):
    """It is connected and did not answer in time; it may do as it was told all the same."""

    code = "charger_silent"
    sentence = (
        "The charger is connected but did not answer in time; see whether it did as it was "
        "told before you try again."
    )


_WHAT_TO_DO = {
    "already_charging": "You are charging already; stop that session first.",
    "charger_unknown": "This charger is not in use yet; ask the owner of the site.",
    "identification_blocked": "Starting from here is blocked for you; ask the owner of the site.",
    "identification_expired": "Starting from here has expired for you; ask the owner of the site.",
    "identification_invalid": "Starting from here is switched off for you; switch it on first.",
    "identification_unknown": "What you would start with has not arrived here yet; "
    "try again in a moment, or present a card or a PIN at the charger.",
    "no_permission": "You have no permission to charge here; ask the owner of the site for one.",
    "operator_refused": "The operator of this site does not let you charge; ask it why.",
    "operator_unreachable": "The operator of this site does not answer; try again in a moment.",
    "outside_schedule": "Your permission does not hold at this time of the day or week.",
    "permission_expired": "Your permission has ended; ask the owner of the site for a new one.",
    "type_disabled": "This charger does not let sessions be started from here; present a card "
    "or a PIN at it instead.",
    "user_blocked": "You are blocked here; ask the owner of the site.",
    "view_behind": "This site's charging service has not heard of changes for too long; "
    "try again later.",
}
