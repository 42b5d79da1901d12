"""The CHARGERS stream: what chargers report of themselves."""

from __future__ import annotations

from typing import ClassVar, Literal

from chargekey_common.published.envelope import PublishedEvent


class _AboutCharger(PublishedEvent, frozen=True, kw_only=True):
    stream: ClassVar[str] = "chargers"
    about: ClassVar[tuple[str, str]] = ("charger", "charger_id")

    charger_id: str
    installation_id: str


class ChargerConnected(_AboutCharger, frozen=True, kw_only=True):
    """The charger opened its connection, speaking `ocpp_version`."""

    ocpp_version: str


class ChargerDisconnected(_AboutCharger, frozen=True, kw_only=True):
    """The charger's connection is gone."""


class ChargerBooted(_AboutCharger, frozen=True, kw_only=True):
    """The charger said who made it."""

    vendor: str
    model: str
    firmware_version: str | None = None


class ConnectorStatusChanged(_AboutCharger, frozen=True, kw_only=True):
    """A connector (0: the whole charger) is in another state, in OCPP's words."""

    connector: int
    status: str
    error_code: str


class WaitingForAuthorisationChanged(_AboutCharger, frozen=True, kw_only=True):
    """At a connector something must be presented before energy flows (yellow), or no longer."""

    connector: int
    waiting: bool


class SecurityEventReported(_AboutCharger, frozen=True, kw_only=True):
    """Something that bears on the charger's security, told by itself or seen by the gateway.

    `kind` in OCPP's words (SecurityEventNotification) or, of the gateway,
    `identity_already_connected`, `disconnected_by_hand` and the like.
    """

    kind: str
    seen_by: Literal["CHARGER", "GATEWAY"]


class LocalListConfirmed(_AboutCharger, frozen=True, kw_only=True):
    """The charger has the local list of this version; of so many that belong into it."""

    version: int
    entries: int
    entries_wanted: int


class AuthorizationCacheCleared(_AboutCharger, frozen=True, kw_only=True):
    """The charger remembers nobody it accepted before."""


class RebootRequired(_AboutCharger, frozen=True, kw_only=True):
    """The charger took a setting that counts after its next boot."""

    setting: str


class PinLockedOut(_AboutCharger, frozen=True, kw_only=True):
    """After too many wrong PINs none works at the charger before `until`, ns since the epoch."""

    until: int


class PinLockedOutAtInstallation(PublishedEvent, frozen=True, kw_only=True):
    """After too many wrong PINs at its chargers none works at any before `until`, in ns."""

    stream: ClassVar[str] = "chargers"
    about: ClassVar[tuple[str, str]] = ("installation", "installation_id")

    installation_id: str
    until: int


EVENTS = (
    ChargerConnected,
    ChargerDisconnected,
    ChargerBooted,
    ConnectorStatusChanged,
    WaitingForAuthorisationChanged,
    SecurityEventReported,
    LocalListConfirmed,
    AuthorizationCacheCleared,
    RebootRequired,
    PinLockedOut,
    PinLockedOutAtInstallation,
)
