"""What things are called and how figures are written; each word is translated where it is shown.

`TOLD` is what is said once something was done; the rest has the names of the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, format_skeleton, format_time
from babel.numbers import format_decimal

from chargekey.access.v1.access_requests_pb2 import AccessRequestState
from chargekey.access.v1.chargers_pb2 import AuthorisationOverride
from chargekey.access.v1.decision_endpoints_pb2 import DecisionEndpointKind
from chargekey.access.v1.installations_pb2 import AuthenticationType
from chargekey.access.v1.partners_pb2 import PartnerKind
from chargekey.access.v1.permissions_pb2 import Role
from chargekey.gateway.v1.gateway_pb2 import TokenType
from chargekey.identity.v1.identifications_pb2 import IdentificationStatus, IdentificationType
from chargekey.identity.v1.invitations_pb2 import InvitationState
from chargekey.identity.v1.users_pb2 import UserKind
from chargekey_portal.languages import locale, sentences
from chargekey_portal.refusals import Refusal

NANOSECONDS = 10**9


def N_(text: str) -> str:  # noqa: N802 - gettext's own name for it
    """Mark what is translated where it is shown."""
    return text


TOLD = {
    "saved": N_("Saved."),
    "charger_starts": N_("The charger starts once a vehicle is plugged in."),
    "charger_stops": N_("The charger stops charging."),
    "charger_resets": N_("The charger starts again."),
    "charger_disconnected": N_(
        "The charger is disconnected; whoever comes first with its password is let in."
    ),
    "cable_unlocked": N_("The charger has let go of the cable."),
    "charger_serves": N_("The charger serves vehicles."),
    "charger_serves_none": N_("The charger serves no vehicles."),
    "charger_serves_later": N_("The charger does so once what charges has ended."),
    "message_triggered": N_("The charger sends it."),
    "cache_cleared": N_("The charger has forgotten whom it accepted."),
    "session_ended": N_("Ended in the books; the charger was asked to stop, if it is there."),
    "cache_none": N_("The charger has no cache."),
    "charger_set": N_("The charger is set."),
    "charger_set_after_boot": N_(
        "The charger has taken it; it counts after the next start: reset the charger."
    ),
    "charger_moved": N_("Moved. Permissions on the charger itself are gone."),
    "installation_created": N_("Created; you own it. Add its chargers next."),
    "operator_disconnected": N_(
        "Disconnected. Permissions decide here again, and authorisation is required."
    ),
    "permission_given": N_("Given. Whoever has no account yet gets a link to sign up."),
    "permission_given_to_partner": N_("Given. All members of the partner have it from now on."),
    "permission_revoked": N_("Revoked."),
    "user_blocked": N_("Blocked."),
    "user_blocked_but_open": N_(
        "Blocked. At chargers that are open to anyone this cannot be enforced: there anybody may"
        " charge."
    ),
    "user_unblocked": N_("Blocked no longer."),
    "user_added": N_("Added. Now add what is to be presented at the chargers."),
    "user_added_pending": N_("Added; the permission to charge follows in a moment."),
    "user_erased": N_("Erased."),
    "user_erased_pending": N_("Erased; do not restore a backup just yet."),
    "people_imported": N_("Imported."),
    "scan_cancelled": N_("Cancelled; nothing was added."),
    "invitation_sent": N_("A new link is on its way; the old one is void."),
    "invitation_revoked": N_("Taken back, with the permission that it was for."),
    "access_approved": N_("Approved."),
    "access_denied": N_("Denied."),
    "ownership_offered": N_("Offered; nothing changes hands until it is accepted."),
    "ownership_withdrawn": N_("Withdrawn; nothing changes hands."),
    "acting_stopped": N_("You act as an administrator no longer."),
    "acting_ended": N_("You act as an administrator no longer; nothing was changed."),
    "partner_created": N_("Created. Add who is to manage it next."),
    "signed_out": N_("You are signed out."),
    "sign_in_declined": N_("You are not signed in: the provider did not say who you are."),
    "identification_added": N_("Added; it works from now on."),
    "removed": N_("Removed."),
    "left": N_("You have left."),
    "ownership_accepted": N_("You own this installation from now on."),
    "ownership_declined": N_("Declined; nothing changes hands."),
    "erased": N_("You are erased, and signed out."),
    "key_rotated": N_("This is the lookup key from now on; the old one finds nothing."),
    "member_added": N_("Added; whoever is new here gets a mail with a link."),
    "withdrawn": N_("Withdrawn; the link leads nowhere from now on."),
    "revoked": N_("Revoked; what was made with it ends within minutes."),
    "webhook_replays": N_("It goes on from there."),
    "endpoint_set": N_("Chargers ask there from now on."),
    "endpoint_removed": N_("Nobody is asked any more; sites fall back on their policy."),
    "ocpi_connected": N_("Connected."),
    "ocpi_disconnected": N_("Disconnected."),
    "ocpi_pulled": N_("The tokens are fetched."),
}

ROLES: Mapping[int, str] = {
    Role.ROLE_OWNER: N_("Owner"),
    Role.ROLE_USER: N_("User"),
    Role.ROLE_SERVICE: N_("Service"),
    Role.ROLE_OPERATOR: N_("Operator"),
}
# What each comes to for a person, and for a partner, which cannot own.
ROLES_OF_USERS: Mapping[int, str] = {
    Role.ROLE_OWNER: N_("Full control over settings, users and monitoring."),
    Role.ROLE_USER: N_("Can plug in and charge, and cannot change settings."),
    Role.ROLE_SERVICE: N_("Set-up, maintenance and technical support."),
}
ROLES_OF_PARTNERS: Mapping[int, str] = {
    Role.ROLE_SERVICE: N_("Set-up, maintenance and technical support."),
    Role.ROLE_OPERATOR: N_(
        "A payment operator that manages the whole installation: who may charge is then its to say."
    ),
    Role.ROLE_USER: N_("All its members can plug in and charge."),
}
INVITATION_STATES: Mapping[int, str] = {
    InvitationState.INVITATION_STATE_WAITING: N_("Waiting"),
    InvitationState.INVITATION_STATE_ACCEPTED: N_("Accepted"),
    InvitationState.INVITATION_STATE_REVOKED: N_("Revoked"),
    InvitationState.INVITATION_STATE_EXPIRED: N_("Expired"),
}
# Of requests for access that wait no longer.
ACCESS_REQUEST_STATES: Mapping[int, str] = {
    AccessRequestState.ACCESS_REQUEST_STATE_APPROVED: N_("This request was approved already."),
    AccessRequestState.ACCESS_REQUEST_STATE_DENIED: N_("This request was denied already."),
    AccessRequestState.ACCESS_REQUEST_STATE_WITHDRAWN: N_("This request was withdrawn."),
    AccessRequestState.ACCESS_REQUEST_STATE_EXPIRED: N_(
        "This request has waited too long; ask for a new one."
    ),
}
IDENTIFICATION_TYPES: Mapping[int, str] = {
    IdentificationType.IDENTIFICATION_TYPE_RFID: N_("Charge card (RFID)"),
    IdentificationType.IDENTIFICATION_TYPE_PIN: N_("PIN code"),
    IdentificationType.IDENTIFICATION_TYPE_APP: N_("App"),
    IdentificationType.IDENTIFICATION_TYPE_VEHICLE_ID: N_("Vehicle"),
    IdentificationType.IDENTIFICATION_TYPE_SMS: N_("Telephone (SMS)"),
    IdentificationType.IDENTIFICATION_TYPE_CREDIT_CARD: N_("Bank card"),
}
IDENTIFICATION_STATUSES: Mapping[int, str] = {
    IdentificationStatus.IDENTIFICATION_STATUS_ACTIVE: N_("Active"),
    IdentificationStatus.IDENTIFICATION_STATUS_INACTIVE: N_("Inactive"),
    IdentificationStatus.IDENTIFICATION_STATUS_BLOCKED: N_("Blocked"),
}
AUTHENTICATION_TYPES: Mapping[int, str] = {
    AuthenticationType.AUTHENTICATION_TYPE_NATIVE: N_("Native authentication"),
    AuthenticationType.AUTHENTICATION_TYPE_EXTERNAL: N_("External authentication"),
}
# Where an operator is asked, and no permission counts.
EXTERNAL = AuthenticationType.AUTHENTICATION_TYPE_EXTERNAL
OVERRIDES: Mapping[int, str] = {
    AuthorisationOverride.AUTHORISATION_OVERRIDE_INHERIT: N_("As the installation"),
    AuthorisationOverride.AUTHORISATION_OVERRIDE_REQUIRED: N_("Authorisation required"),
    AuthorisationOverride.AUTHORISATION_OVERRIDE_NOT_REQUIRED: N_("Open to anyone"),
}
# What was presented, as decisions name it.
TOKEN_TYPES: Mapping[str, str] = {
    name.removeprefix("IDENTIFICATION_TYPE_"): IDENTIFICATION_TYPES[number]
    for name, number in IdentificationType.items()
    if number in IDENTIFICATION_TYPES
}
# Mails that may be declined, by the notifier's names.
MAIL_CHOICES: Mapping[str, str] = {
    "permissions": N_("What I am given, and how that changes"),
    "reminders": N_("Reminders before something ends"),
    "lockouts": N_("Chargers at which PINs were guessed"),
    "access_requests": N_("Requests for access, and answers to mine"),
}
# Whom and what is met by an id alone.
SOMEBODY = N_("somebody")
FORMER_USER = N_("a former user")
PARTNER = N_("a partner")
CHARGER = N_("a charger")
INSTALLATION = N_("an installation")
IDENTIFICATION = N_("an identification")
USER_KINDS: Mapping[int, str] = {
    UserKind.USER_KIND_LOCAL: N_("Local user"),
    UserKind.USER_KIND_ACCOUNT: N_("Account"),
    UserKind.USER_KIND_PENDING: N_("Invited"),
}
# What of a service reads a stream, or fills it.
PARTS: Mapping[str, str] = {
    "relay": N_("tells what is stored"),
    "reactions": N_("acts on what happens"),
    "view": N_("decides who may charge"),
    "memory": N_("remembers what was decided"),
    "past": N_("keeps what was"),
    "feeds": N_("tells partners"),
}
SERVICE_STATES: Mapping[str, str] = {
    "SERVING": N_("serves"),
    "NOT_SERVING": N_("not ready"),
    "UNREACHABLE": N_("does not answer"),
}
PARTNER_KINDS: Mapping[int, str] = {
    PartnerKind.PARTNER_KIND_SERVICE_PARTNER: N_("Service partner"),
    PartnerKind.PARTNER_KIND_PAYMENT_OPERATOR: N_("Payment operator"),
}
DECISION_ENDPOINT_KINDS: Mapping[int, str] = {
    DecisionEndpointKind.DECISION_ENDPOINT_KIND_WEBHOOK: N_("Signed webhook"),
    DecisionEndpointKind.DECISION_ENDPOINT_KIND_OCPI: N_("OCPI 2.2.1"),
    DecisionEndpointKind.DECISION_ENDPOINT_KIND_OCPI_PLAIN: N_("OCPI, the token as it is"),
}
# Why nothing is posted to a webhook any more.
DISABLED_BECAUSE: Mapping[str, str] = {
    "by_hand": N_("Disabled here."),
    "gone": N_("Disabled: the address answered that it is gone (410)."),
    "failing": N_("Disabled: it took nothing for three days."),
}
# What programs sign in with, as it is shown once.
SECRETS: Mapping[str, str] = {
    "id": N_("Id"),
    "address": N_("Address"),
    "secret": N_("Secret"),
    "token": N_("Token"),
}
OCPI_STATES: Mapping[str, str] = {
    "": N_("Not connected"),
    "offered": N_("Offered"),
    "connected": N_("Connected"),
}

# What a typed code is taken for.
PRESENTED: Mapping[int, str] = {
    TokenType.TOKEN_TYPE_UNSPECIFIED: N_("Told from the code"),
    TokenType.TOKEN_TYPE_RFID: N_("Charge card (RFID)"),
    TokenType.TOKEN_TYPE_PIN: N_("PIN code"),
}
# How a connector is, of OCPP's words in all versions.
CONNECTOR_STATUSES: Mapping[str, str] = {
    "Available": N_("Available"),
    "Preparing": N_("Plugged in"),
    "Occupied": N_("Occupied"),
    "Charging": N_("Charging"),
    "SuspendedEV": N_("Paused by the vehicle"),
    "SuspendedEVSE": N_("Paused by the charger"),
    "Finishing": N_("Finishing"),
    "Reserved": N_("Reserved"),
    "Unavailable": N_("Out of service"),
    "Faulted": N_("Faulted"),
}

# What came of a command, by the charger's own word.
OUTCOMES: Mapping[str, str] = {
    "accepted": N_("The charger does it."),
    "reboot_required": N_("The charger does it after its next start."),
    "rejected": N_("The charger refuses to do it."),
    "not_supported": N_("The charger cannot do this."),
    "refused": N_("The charger answered with an error."),
    "malformed": N_("The charger answered with something that nobody understands."),
}
# What a charger has still to follow.
PENDING: Mapping[str, str] = {
    "stop_session": N_("Stop a session"),
    "clear_cache": N_("Forget whom it accepted before"),
    "settings": N_("Take its settings"),
    "local_list": N_("Take its local list"),
}
# OCPP 1.6's words for a decision.
DECISION_STATUSES: Mapping[str, str] = {
    "Accepted": N_("Accepted"),
    "Blocked": N_("Blocked"),
    "Expired": N_("Expired"),
    "Invalid": N_("Refused"),
    "ConcurrentTx": N_("Charging already"),
}
_YES, _NO = N_("Yes"), N_("No")
# Why somebody was let in or not: all there are.
REASONS: Mapping[str, str] = {
    "charger_permission": N_("There is a permission to charge at this charger."),
    "installation_permission": N_("There is a permission to charge at this installation."),
    "open_charger": N_("Anybody may charge at this charger."),
    "operator_accepted": N_("The operator that decides here let it in."),
    "identification_unknown": N_(
        "Nobody has what was presented. If it is somebody's who may charge, add it to the"
        " identifications of that user."
    ),
    "identification_malformed": N_(
        "What was presented can be nobody's: no card and no PIN code looks like that."
    ),
    "identification_ambiguous": N_(
        "The reader sends only a part of card numbers, and several cards begin with it."
    ),
    "identification_invalid": N_("The identification is inactive; switch it on first."),
    "type_disabled": N_("This type of identification is switched off at the charger."),
    "pin_locked_out": N_(
        "There were too many wrong PIN codes at the charger. Cards work; PIN codes do again"
        " in a few minutes."
    ),
    "operator_refused": N_("The operator that decides here refused it; ask the operator why."),
    "identification_blocked": N_("The identification is blocked."),
    "user_blocked": N_("The user is blocked."),
    "identification_expired": N_("The identification has expired; give it a later last day."),
    "no_permission": N_("The user has no permission to charge here; an owner can give it."),
    "permission_expired": N_("The permission to charge here has ended; an owner can prolong it."),
    "outside_schedule": N_("The permission does not hold at that time of the day or week."),
    "already_charging": N_("The same identification was charging elsewhere already."),
    "no_credit": N_("The operator that decides here says that there is no credit left."),
    "charger_unknown": N_("The charger was not known then."),
    "view_behind": N_(
        "The system had not heard of changes for longer than the installation allows."
    ),
    "operator_unreachable": N_(
        "The operator that decides here did not answer, and the installation lets nobody in then."
    ),
}

# What a step of a decision asks, by the gateway's word for it; the answer of one that lets the
# decision go on, and of one that ends it.
QUESTIONS: Mapping[str, tuple[str, str, str]] = {
    "charger_unknown": (N_("Is the charger known?"), _YES, _NO),
    "user_blocked_everywhere": (N_("Is the user blocked everywhere?"), _NO, _YES),
    "operator_decides": (N_("Does a payment operator decide who may charge here?"), _NO, _YES),
    "open_charger": (N_("May anybody charge at this charger?"), _NO, _YES),
    "type_disabled": (
        N_("Does the charger accept this type of identification?"),
        _YES,
        _NO,
    ),
    "pins_locked_out": (
        N_("Is it a PIN code, and were there too many wrong ones at this charger?"),
        _NO,
        _YES,
    ),
    "identification_unknown": (N_("Is it known whose identification this is?"), _YES, _NO),
    "blocked": (N_("Is the user or the identification blocked?"), _NO, _YES),
    "inactive": (N_("Is the identification active?"), _YES, _NO),
    "expired": (N_("Has the identification expired?"), _NO, _YES),
    "no_permission": (N_("Is there a permission to charge here that holds?"), _YES, _NO),
    "already_charging": (N_("Does the same identification charge elsewhere?"), _NO, _YES),
    "view_behind": (N_("Is what the system knows fresh enough?"), _YES, _NO),
    "permitted": (N_("Is there anything else against it?"), _YES, _NO),
}
# What the operator that decides had to do with it.
OPERATORS_PARTS: Mapping[str, str] = {
    "said": N_("The operator was asked."),
    "said_before": N_(
        "The operator was not asked or gave no answer; what it answered before counts."
    ),
    "gave_no_answer": N_("The operator was asked and gave no answer that counts."),
    "never_told": N_("The operator was not asked: this is decided without it."),
}


def filters(language: str) -> Mapping[str, Callable[..., str]]:
    """Return how templates write moments, days, figures and refusals in a language."""
    where = locale(language)

    def moment(at: int, zone: str) -> str:
        """Write nanoseconds since the epoch as date and time of a zone."""
        return format_datetime(_local(at, zone), "short", locale=where)

    def clock(at: int, zone: str) -> str:
        """Write the same without its date where that is today's."""
        local = _local(at, zone)
        if local.date() == datetime.now(local.tzinfo).date():
            return format_time(local, "short", locale=where)
        return moment(at, zone)

    def day(until: int, zone: str) -> str:
        """Write an exclusive end as the last day before it."""
        return format_date(_local(until - 1, zone).date(), "medium", locale=where)

    def written(day: date) -> str:
        return format_date(day, "medium", locale=where)

    def short(day: date, pattern: str) -> str:
        """Write what a skeleton of CLDR wants of a day, as on the scale of a chart."""
        return format_skeleton(pattern, day, locale=where)

    def duration(seconds: int) -> str:
        minutes = (seconds + 30) // 60
        return f"{format_decimal(minutes // 60, locale=where)} h {minutes % 60} min"

    def energy(watt_hours: int) -> str:
        return f"{format_decimal(watt_hours / 1000, '#,##0.00', locale=where)} kWh"

    def number(value: float) -> str:
        return format_decimal(value, locale=where)

    return {
        "moment": moment,
        "clock": clock,
        "day": day,
        "date": written,
        "short": short,
        "duration": duration,
        "energy": energy,
        "number": number,
        "sentence": partial(_sentence, language),
    }


def _sentence(language: str, refusal: Refusal) -> str:
    """Write a refusal, with what only its occasion knows at the end of it as it was said."""
    for english, translated in sentences(language).get(refusal.code, ()):
        if refusal.message.startswith(english):
            return translated + refusal.message.removeprefix(english)
    return refusal.message


def _local(at: int, zone: str) -> datetime:
    moment = datetime.fromtimestamp(at // NANOSECONDS, UTC)
    return moment.astimezone(ZoneInfo(zone))


def local_day(until: int, zone: str) -> str:
    """Return the last day before an exclusive end, as `YYYY-MM-DD`: what forms send."""
    return _local(until - 1, zone).date().isoformat()


Words = Mapping[Any, str]
