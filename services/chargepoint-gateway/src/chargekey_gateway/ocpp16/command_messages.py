"""The messages of OCPP 1.6 with which this side has a charger do something."""

from __future__ import annotations

from typing import Literal

from chargekey_gateway.ocpp16.messages import (
    ChargingConnectorId,
    CiString20,
    CiString50,
    ConnectorId,
    Integer,
    Message,
)

TRIGGERS = (
    "BootNotification",
    "DiagnosticsStatusNotification",
    "FirmwareStatusNotification",
    "Heartbeat",
    "MeterValues",
    "StatusNotification",
)
EXTENDED_TRIGGERS = (
    "BootNotification",
    "FirmwareStatusNotification",
    "Heartbeat",
    "LogStatusNotification",
    "MeterValues",
    "SignChargePointCertificate",
    "StatusNotification",
)


class AcceptedOrRejected(Message, frozen=True, kw_only=True):
    """The response of what is done or not."""

    status: Literal["Accepted", "Rejected"]


class RemoteStartTransaction(Message, frozen=True, kw_only=True):
    """§6.35."""

    id_tag: CiString20
    connector_id: ChargingConnectorId | None = None


class ClearCache(Message, frozen=True):
    """§6.11."""


class GetLocalListVersion(Message, frozen=True):
    """§6.27."""


class GetLocalListVersionResponse(Message, frozen=True, kw_only=True):
    """§6.28; -1 where lists are not supported."""

    list_version: Integer


class ListedTagInfo(Message, frozen=True, kw_only=True):
    """§7.24, IdTagInfo, as a list says it."""

    status: str
    expiry_date: str | None = None
    parent_id_tag: CiString20 | None = None


class AuthorizationData(Message, frozen=True, kw_only=True):
    """§7.2; without information it is taken out of the list."""

    id_tag: CiString20
    id_tag_info: ListedTagInfo | None = None


class SendLocalList(Message, frozen=True, kw_only=True, omit_defaults=False):
    """§6.43; a full list without entries is an empty one."""

    list_version: int
    update_type: Literal["Differential", "Full"]
    local_authorization_list: tuple[AuthorizationData, ...]


class SendLocalListResponse(Message, frozen=True, kw_only=True):
    """§6.44."""

    status: Literal["Accepted", "Failed", "NotSupported", "VersionMismatch"]


class GetConfiguration(Message, frozen=True, kw_only=True):
    """§6.23; without keys, all of them."""

    key: tuple[CiString50, ...] = ()


class KeyValue(Message, frozen=True, kw_only=True):
    """§7.29; lengths are not checked, as vendors exceed them."""

    key: str
    value: str | None = None


class GetConfigurationResponse(Message, frozen=True, kw_only=True):
    """§6.24."""

    configuration_key: tuple[KeyValue, ...] = ()
    unknown_key: tuple[str, ...] = ()


class TriggerMessage(Message, frozen=True, kw_only=True):
    """§6.51."""

    requested_message: str
    connector_id: ChargingConnectorId | None = None


class ExtendedTriggerMessage(Message, frozen=True, kw_only=True):
    """Security white paper, §6.1."""

    requested_message: str
    connector_id: ChargingConnectorId | None = None


class TriggerMessageResponse(Message, frozen=True, kw_only=True):
    """§6.52, and that of ExtendedTriggerMessage."""

    status: Literal["Accepted", "Rejected", "NotImplemented"]


class Reset(Message, frozen=True, kw_only=True):
    """§6.39."""

    type: Literal["Hard", "Soft"]


class UnlockConnector(Message, frozen=True, kw_only=True):
    """§6.53."""

    connector_id: ChargingConnectorId


class UnlockConnectorResponse(Message, frozen=True, kw_only=True):
    """§6.54."""

    status: Literal["Unlocked", "UnlockFailed", "NotSupported"]


class ChangeAvailability(Message, frozen=True, kw_only=True):
    """§6.7; connector 0 is the whole charger."""

    connector_id: ConnectorId
    type: Literal["Inoperative", "Operative"]


class ChangeAvailabilityResponse(Message, frozen=True, kw_only=True):
    """§6.8; scheduled is what waits for a transaction to end."""

    status: Literal["Accepted", "Rejected", "Scheduled"]
