"""What a partner's feed tells: the events of the sites and chargers it has access to.

No names, no addresses, no codes: people and what they present are opaque ids. An event has
the same name as the fact it tells of, and only what is a partner's to know of it. Times are
RFC 3339 in UTC, because a client's numbers may end at 2^53.

Every event is one CloudEvents 1.0 document in JSON (structured mode), and its bytes are the
same behind each door. `sequence` numbers a partner's feed without a gap and is the cursor to
read on behind. `id` is stable: what is told a second time has the same id.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import msgspec

from chargekey_common.published.access import (
    AuthenticationType,
    IdentificationType,
    OnOperatorTimeout,
    Override,
    Role,
    RunningSessions,
)
from chargekey_common.published.identity import IdentificationStatus

Time = Annotated[dt.datetime, msgspec.Meta(tz=True)]

CONTENT_TYPE = "application/cloudevents+json"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class FeedEvent(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=False
):
    """A fact in a partner's feed; the class's name is its name everywhere."""

    @classmethod
    def cloudevents_type(cls) -> str:
        """Return the CloudEvents type: `chargekey.feed.v1.<Event>`."""
        return f"chargekey.feed.v1.{cls.__name__}"


class AccessStarted(FeedEvent, frozen=True, kw_only=True):
    """From here on the feed tells of this site, or of this charger of it alone.

    What is so already follows at once: an event for each setting, charger, permission and
    running session that the partner can see and does not see by another access yet.
    """

    installation_id: str
    charger_id: str | None = None
    roles: tuple[Role, ...]


class AccessChanged(FeedEvent, frozen=True, kw_only=True):
    """The partner holds other roles there; what they let it see in addition follows at once."""

    installation_id: str
    charger_id: str | None = None
    roles: tuple[Role, ...]


class AccessEnded(FeedEvent, frozen=True, kw_only=True):
    """Nothing more is told of this site, or of this charger of it.

    Sessions that ran when access was taken have ended by then, and were told of.
    """

    installation_id: str
    charger_id: str | None = None


class InstallationAddressSet(FeedEvent, frozen=True, kw_only=True):
    """The site has an address, or another one; which, OCPI tells whoever operates it."""

    installation_id: str


class AuthorisationRequiredSet(FeedEvent, frozen=True, kw_only=True):
    """Something must, or need no longer, be presented at inheriting chargers."""

    installation_id: str
    authorisation_required: bool


class AuthenticationTypeSet(FeedEvent, frozen=True, kw_only=True):
    """Who decides: the permissions, or the connected operator."""

    installation_id: str
    authentication_type: AuthenticationType


class PoliciesSet(FeedEvent, frozen=True, kw_only=True):
    """What follows from a block, a revocation, an operator's silence; the new whole."""

    installation_id: str
    on_block: RunningSessions
    on_revoke: RunningSessions
    on_operator_timeout: OnOperatorTimeout


class OverridesAllowedSet(FeedEvent, frozen=True, kw_only=True):
    """Chargers may deviate from the site, or may not: the operator that manages it says so.

    They may where no operator does.
    """

    installation_id: str
    overrides_allowed: bool = False


class OperatorConnected(FeedEvent, frozen=True, kw_only=True):
    """The partner itself manages the site from here on."""

    installation_id: str


class OperatorDisconnected(FeedEvent, frozen=True, kw_only=True):
    """The partner itself manages the site no longer."""

    installation_id: str


class ChargerAdded(FeedEvent, frozen=True, kw_only=True):
    """A charger stands at the site, under its OCPP identity."""

    installation_id: str
    charger_id: str
    ocpp_identity: str
    authorisation_override: Override
    identification_types: tuple[IdentificationType, ...]


class ChargerMoved(FeedEvent, frozen=True, kw_only=True):
    """The charger stands at another site; of the two, those that the partner has access to.

    Without an `installation_id` it has left what the partner can see.
    """

    charger_id: str
    installation_id: str | None = None
    from_installation_id: str | None = None


class AuthorisationOverrideSet(FeedEvent, frozen=True, kw_only=True):
    """The charger deviates from its site's setting, or no longer does."""

    installation_id: str
    charger_id: str
    authorisation_override: Override


class IdentificationTypesSet(FeedEvent, frozen=True, kw_only=True):
    """The charger accepts exactly these types."""

    installation_id: str
    charger_id: str
    identification_types: tuple[IdentificationType, ...]


class ChargerConnected(FeedEvent, frozen=True, kw_only=True):
    """The charger is online, speaking `ocpp_version`."""

    installation_id: str
    charger_id: str
    ocpp_version: str


class ChargerDisconnected(FeedEvent, frozen=True, kw_only=True):
    """The charger is offline."""

    installation_id: str
    charger_id: str


class ConnectorStatusChanged(FeedEvent, frozen=True, kw_only=True):
    """A connector (0: the whole charger) is in another state, in OCPP's words."""

    installation_id: str
    charger_id: str
    connector: int
    status: str
    error_code: str


class PermissionGranted(FeedEvent, frozen=True, kw_only=True):
    """A user holds roles on the site or one charger; `valid_until` is exclusive."""

    installation_id: str
    permission_id: str
    user_id: str
    roles: tuple[Role, ...]
    charger_id: str | None = None
    valid_until: Time | None = None


class PermissionChanged(FeedEvent, frozen=True, kw_only=True):
    """A permission has other roles or another end; the fields are the new whole."""

    installation_id: str
    permission_id: str
    user_id: str
    roles: tuple[Role, ...]
    charger_id: str | None = None
    valid_until: Time | None = None


class PermissionRevoked(FeedEvent, frozen=True, kw_only=True):
    """A permission is gone."""

    installation_id: str
    permission_id: str
    user_id: str
    charger_id: str | None = None


class UserBlockedAtInstallation(FeedEvent, frozen=True, kw_only=True):
    """The user is refused at every charger of the site, whatever he holds."""

    installation_id: str
    user_id: str


class UserUnblockedAtInstallation(FeedEvent, frozen=True, kw_only=True):
    """That block is lifted."""

    installation_id: str
    user_id: str


class UserBlocked(FeedEvent, frozen=True, kw_only=True):
    """The user is refused with every identification: at his one site, or everywhere."""

    user_id: str
    installation_id: str | None = None


class UserUnblocked(FeedEvent, frozen=True, kw_only=True):
    """The block with the same scope is lifted."""

    user_id: str
    installation_id: str | None = None


class UserErased(FeedEvent, frozen=True, kw_only=True):
    """The user is forgotten: what is kept about this id anywhere should be, too."""

    user_id: str


class IdentificationAdded(FeedEvent, frozen=True, kw_only=True):
    """A user who holds something there can present something; `valid_until` is exclusive.

    At one site only, where one is named, as a PIN is.
    """

    identification_id: str
    user_id: str
    type: IdentificationType
    status: IdentificationStatus
    installation_id: str | None = None
    valid_until: Time | None = None


class IdentificationStatusChanged(FeedEvent, frozen=True, kw_only=True):
    """Only ACTIVE authorises."""

    identification_id: str
    user_id: str
    status: IdentificationStatus


class IdentificationExpiryChanged(FeedEvent, frozen=True, kw_only=True):
    """The identification ends at another time, or at none."""

    identification_id: str
    user_id: str
    valid_until: Time | None = None


class IdentificationCodeChanged(FeedEvent, frozen=True, kw_only=True):
    """Another code is presented from here on; what either is, is told nowhere."""

    identification_id: str
    user_id: str


class IdentificationRemoved(FeedEvent, frozen=True, kw_only=True):
    """The identification is gone."""

    identification_id: str
    user_id: str


class _AtCharger(FeedEvent, frozen=True, kw_only=True):
    installation_id: str
    charger_id: str


class SessionStarted(_AtCharger, frozen=True, kw_only=True):
    """A charge began. `meter_start` in watt-hours, absent where nobody told.

    `reason` is why it was let: `operator_accepted` where the operator decided, and then
    `authorization_reference` is its own name for that, or where it gave none what its token is
    known by, from OCPI. `by_operator` where the partner itself was asked and said yes.
    `offline` where the charger had no connection then.
    """

    session_id: str
    connector: int
    started_at: Time
    reason: str
    user_id: str | None = None
    identification_id: str | None = None
    meter_start: int | None = None
    offline: bool = False
    authorization_reference: str | None = None
    by_operator: bool = False


class SessionUpdated(_AtCharger, frozen=True, kw_only=True):
    """What a session's meter said: the register in watt-hours, the power in watts."""

    session_id: str
    connector: int
    at: Time
    meter: int
    power: int | None = None


class SessionEnded(_AtCharger, frozen=True, kw_only=True):
    """The charge is over; `reason` is the charger's, `meter_stop` in watt-hours.

    `presumed` where the charger did not say so itself.
    """

    session_id: str
    connector: int
    ended_at: Time
    meter_stop: int
    reason: str
    presumed: bool = False


class SessionCorrected(_AtCharger, frozen=True, kw_only=True):
    """The charger told after all how a session ended whose end was presumed."""

    session_id: str
    ended_at: Time
    meter_stop: int
    reason: str


class AuthorizationRefused(_AtCharger, frozen=True, kw_only=True):
    """Something was presented and refused; `reason` says why, `status` is OCPP's word.

    `by_operator` where the partner itself was asked and said no.
    """

    status: str
    reason: str
    user_id: str | None = None
    identification_id: str | None = None
    by_operator: bool = False


class StartRefused(_AtCharger, frozen=True, kw_only=True):
    """A start was refused; should energy flow all the same, SessionEnded tells how much."""

    session_id: str
    connector: int
    started_at: Time
    status: str
    reason: str
    user_id: str | None = None
    identification_id: str | None = None
    by_operator: bool = False


EVENTS: tuple[type[FeedEvent], ...] = (
    AccessStarted,
    AccessChanged,
    AccessEnded,
    InstallationAddressSet,
    AuthorisationRequiredSet,
    AuthenticationTypeSet,
    PoliciesSet,
    OverridesAllowedSet,
    OperatorConnected,
    OperatorDisconnected,
    ChargerAdded,
    ChargerMoved,
    AuthorisationOverrideSet,
    IdentificationTypesSet,
    ChargerConnected,
    ChargerDisconnected,
    ConnectorStatusChanged,
    PermissionGranted,
    PermissionChanged,
    PermissionRevoked,
    UserBlockedAtInstallation,
    UserUnblockedAtInstallation,
    UserBlocked,
    UserUnblocked,
    UserErased,
    IdentificationAdded,
    IdentificationStatusChanged,
    IdentificationExpiryChanged,
    IdentificationCodeChanged,
    IdentificationRemoved,
    SessionStarted,
    SessionUpdated,
    SessionEnded,
    SessionCorrected,
    AuthorizationRefused,
    StartRefused,
)


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The CloudEvents 1.0 attributes of an event, with the event as `data`."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    time: Time
    sequence: str
    datacontenttype: Literal["application/json"] = "application/json"
    data: msgspec.Raw


def sequence_of(number: int) -> str:
    """Return the cursor of the event with this number: ordered as text as it is as a number."""
    return f"{number:020d}"


def moment(at: int) -> dt.datetime:
    """Return nanoseconds since the epoch as the feed tells them, in whole microseconds."""
    return _EPOCH + dt.timedelta(microseconds=at // 1000)


def document(event: FeedEvent, *, partner_id: str, event_id: str, number: int, at: int) -> bytes:
    """Return the bytes of the event, `number` in its partner's feed, `at` in nanoseconds."""
    return msgspec.json.encode(
        Envelope(
            id=event_id,
            source=f"/chargekey/feeds/{partner_id}",
            type=event.cloudevents_type(),
            time=moment(at),
            sequence=sequence_of(number),
            data=msgspec.Raw(msgspec.json.encode(event)),
        )
    )
