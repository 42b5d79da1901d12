"""The messages of OCPP 1.6, edition 2, and of its security white paper that are spoken here.

Lengths and words are those of the official JSON schemas. Fields a charger adds are
ignored. Where this is more lenient than the schemas it is so on purpose: a charger
sends Start-, StopTransaction and MeterValues again and again until they are answered
(§3.7.1), so one that can never be accepted blocks all that come after it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

CiString20 = Annotated[str, Meta(max_length=20)]
CiString25 = Annotated[str, Meta(max_length=25)]
CiString50 = Annotated[str, Meta(max_length=50)]
CiString255 = Annotated[str, Meta(max_length=255)]
CiString500 = Annotated[str, Meta(max_length=500)]
Csr = Annotated[str, Meta(max_length=5500)]

ConnectorId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
ChargingConnectorId = Annotated[int, Meta(ge=1, le=2**31 - 1)]  # 0 is the charger itself
Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Reading = Annotated[float, Meta(ge=-(2.0**53), le=2.0**53)]

AuthorizationStatus = Literal["Accepted", "Blocked", "Expired", "Invalid", "ConcurrentTx"]


class Message(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A request or a response; optional fields are absent where they are None."""

    def __repr__(self) -> str:
        """Show the class only: idTags are secrets, and reprs end up in logs."""
        return type(self).__name__


class Acknowledged(Message, frozen=True):
    """The empty response of every notification."""


class IdTagInfo(Message, frozen=True, kw_only=True):
    """§7.24: what became of an idTag."""

    status: AuthorizationStatus
    expiry_date: str | None = None
    parent_id_tag: CiString20 | None = None


class Authorize(Message, frozen=True, kw_only=True):
    """§6.1: somebody presents an idTag."""

    id_tag: CiString20


class AuthorizeResponse(Message, frozen=True, kw_only=True):
    """§6.2."""

    id_tag_info: IdTagInfo


class BootNotification(Message, frozen=True, kw_only=True):
    """§6.3: the charger has started and says who made it."""

    charge_point_vendor: CiString20
    charge_point_model: CiString20
    charge_point_serial_number: CiString25 | None = None
    charge_box_serial_number: CiString25 | None = None
    firmware_version: CiString50 | None = None
    iccid: CiString20 | None = None
    imsi: CiString20 | None = None
    meter_type: CiString25 | None = None
    meter_serial_number: CiString25 | None = None


class BootNotificationResponse(Message, frozen=True, kw_only=True):
    """§6.4; `interval` in seconds."""

    status: Literal["Accepted", "Pending", "Rejected"]
    current_time: str
    interval: int


class DataTransfer(Message, frozen=True, kw_only=True):
    """§6.19: something of a vendor's own."""

    vendor_id: CiString255
    message_id: CiString50 | None = None
    data: str | None = None


class DataTransferResponse(Message, frozen=True, kw_only=True):
    """§6.20."""

    status: Literal["Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId"]


class DiagnosticsStatusNotification(Message, frozen=True, kw_only=True):
    """§6.21."""

    status: Literal["Idle", "Uploaded", "UploadFailed", "Uploading"]


class FirmwareStatusNotification(Message, frozen=True, kw_only=True):
    """§6.23."""

    status: Literal[
        "Downloaded",
        "DownloadFailed",
        "Downloading",
        "Idle",
        "InstallationFailed",
        "Installing",
        "Installed",
    ]


class Heartbeat(Message, frozen=True):
    """§6.29."""


class HeartbeatResponse(Message, frozen=True, kw_only=True):
    """§6.30."""

    current_time: str


class SampledValue(Message, frozen=True, kw_only=True):
    """§7.43; words are taken as they come: vendors add measurands, contexts and units."""

    value: str | int | float
    context: str | None = None
    format: str | None = None
    measurand: str | None = None
    phase: str | None = None
    location: str | None = None
    unit: str | None = None


class MeterValue(Message, frozen=True, kw_only=True):
    """§7.33."""

    timestamp: str
    sampled_value: tuple[SampledValue, ...]


class MeterValues(Message, frozen=True, kw_only=True):
    """§6.31."""

    connector_id: ConnectorId
    meter_value: tuple[MeterValue, ...]
    transaction_id: Integer | None = None


class StartTransaction(Message, frozen=True, kw_only=True):
    """§6.45; the meter in watt-hours."""

    connector_id: ChargingConnectorId
    id_tag: CiString20
    meter_start: Integer
    timestamp: str
    reservation_id: Integer | None = None


class StartTransactionResponse(Message, frozen=True, kw_only=True):
    """§6.46."""

    transaction_id: int
    id_tag_info: IdTagInfo


class StatusNotification(Message, frozen=True, kw_only=True):
    """§6.47; connector 0 is the charger as a whole."""

    connector_id: ConnectorId
    error_code: Literal[
        "ConnectorLockFailure",
        "EVCommunicationError",
        "GroundFailure",
        "HighTemperature",
        "InternalError",
        "LocalListConflict",
        "NoError",
        "OtherError",
        "OverCurrentFailure",
        "OverVoltage",
        "PowerMeterFailure",
        "PowerSwitchFailure",
        "ReaderFailure",
        "ResetFailure",
        "UnderVoltage",
        "WeakSignal",
    ]
    status: Literal[
        "Available",
        "Preparing",
        "Charging",
        "SuspendedEVSE",
        "SuspendedEV",
        "Finishing",
        "Reserved",
        "Unavailable",
        "Faulted",
    ]
    info: CiString50 | None = None
    timestamp: str | None = None
    vendor_id: CiString255 | None = None
    vendor_error_code: CiString50 | None = None


class StopTransaction(Message, frozen=True, kw_only=True):
    """§6.49; the meter in watt-hours.

    A stop is never refused (§4.10), so only what it cannot do without is checked:
    `transactionData` stays unread, `reason` and `idTag` are taken as they come.
    """

    transaction_id: Integer
    meter_stop: Integer | Reading
    timestamp: str
    id_tag: str | None = None
    reason: str = "Local"  # §6.49: what is left out means Local


class StopTransactionResponse(Message, frozen=True, kw_only=True):
    """§6.50."""

    id_tag_info: IdTagInfo | None = None


class LogStatusNotification(Message, frozen=True, kw_only=True):
    """Security white paper, A05 and N01."""

    status: Literal[
        "BadMessage",
        "Idle",
        "NotSupportedOperation",
        "PermissionDenied",
        "Uploaded",
        "UploadFailure",
        "Uploading",
    ]
    request_id: Integer | None = None


class SecurityEventNotification(Message, frozen=True, kw_only=True):
    """Security white paper, A04."""

    type: CiString50
    timestamp: str
    tech_info: CiString255 | None = None


class SignCertificate(Message, frozen=True, kw_only=True):
    """Security white paper, A02: the charger wants a certificate."""

    csr: Csr


class SignCertificateResponse(Message, frozen=True, kw_only=True):
    """Security white paper, A02."""

    status: Literal["Accepted", "Rejected"]


class SignedFirmwareStatusNotification(Message, frozen=True, kw_only=True):
    """Security white paper, L01."""

    status: Literal[
        "Downloaded",
        "DownloadFailed",
        "Downloading",
        "DownloadScheduled",
        "DownloadPaused",
        "Idle",
        "InstallationFailed",
        "Installing",
        "Installed",
        "InstallRebooting",
        "InstallScheduled",
        "InstallVerificationFailed",
        "InvalidSignature",
        "SignatureVerified",
    ]
    request_id: Integer | None = None


# Calls of ours.


class ChangeConfiguration(Message, frozen=True, kw_only=True):
    """§6.9."""

    key: CiString50
    value: CiString500


class ChangeConfigurationResponse(Message, frozen=True, kw_only=True):
    """§6.10."""

    status: Literal["Accepted", "Rejected", "RebootRequired", "NotSupported"]


class RemoteStopTransaction(Message, frozen=True, kw_only=True):
    """§6.37."""

    transaction_id: int


class RemoteStopTransactionResponse(Message, frozen=True, kw_only=True):
    """§6.38."""

    status: Literal["Accepted", "Rejected"]
