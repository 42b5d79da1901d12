"""The messages of OCPP 2.0.1, edition 3, that chargers begin, and what they are answered with.

Lengths and words are those of the official JSON schemas. Fields a charger adds are
ignored, and so are those that nobody here reads (`Unread`). Where this is more lenient
than the schemas it is so on purpose: a charger sends a TransactionEvent again and again
until it is answered (E13), so one that can never be accepted blocks all that come after
it; and a token is decided on by its spelling, whatever its type is said to be.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

CiString20 = Annotated[str, Meta(max_length=20)]
CiString25 = Annotated[str, Meta(max_length=25)]
CiString36 = Annotated[str, Meta(max_length=36)]
CiString50 = Annotated[str, Meta(max_length=50)]
CiString255 = Annotated[str, Meta(max_length=255)]
CiString512 = Annotated[str, Meta(max_length=512)]
CiString2500 = Annotated[str, Meta(max_length=2500)]
CiString5500 = Annotated[str, Meta(max_length=5500)]
CiString5600 = Annotated[str, Meta(max_length=5600)]

Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]

AuthorizationStatus = Literal[
    "Accepted",
    "Blocked",
    "ConcurrentTx",
    "Expired",
    "Invalid",
    "NoCredit",
    "NotAllowedTypeEVSE",
    "NotAtThisLocation",
    "NotAtThisTime",
    "Unknown",
]
CertificateStatus = Literal["Accepted", "NoCertificateAvailable"]


class Message(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A request or a response; optional fields are absent where they are None."""

    def __repr__(self) -> str:
        """Show the class only: tokens are secrets, and reprs end up in logs."""
        return type(self).__name__


class Unread(Message, frozen=True):
    """An object that nobody here looks into."""


SomeUnread = Annotated[tuple[Unread, ...], Meta(min_length=1)]


class Acknowledged(Message, frozen=True):
    """The empty response of every notification."""


class IdToken(Message, frozen=True, kw_only=True):
    """IdTokenType: what is presented, and what it is said to be."""

    id_token: CiString36
    type: CiString20


class Evse(Message, frozen=True, kw_only=True):
    """EVSEType: what one vehicle charges at; 0 is the charger itself."""

    id: Natural
    connector_id: Natural | None = None


class IdTokenInfo(Message, frozen=True, kw_only=True):
    """IdTokenInfoType: what became of a token."""

    status: AuthorizationStatus
    cache_expiry_date_time: str | None = None
    group_id_token: IdToken | None = None


class Authorize(Message, frozen=True, kw_only=True):
    """C01: somebody presents a token."""

    id_token: IdToken
    certificate: CiString5500 | None = None
    iso15118_certificate_hash_data: (
        Annotated[tuple[Unread, ...], Meta(min_length=1, max_length=4)] | None
    ) = None


class AuthorizeResponse(Message, frozen=True, kw_only=True):
    """C01."""

    id_token_info: IdTokenInfo
    certificate_status: CertificateStatus | None = None


class ChargingStation(Message, frozen=True, kw_only=True):
    """ChargingStationType: who made it."""

    vendor_name: CiString50
    model: CiString20
    serial_number: CiString25 | None = None
    firmware_version: CiString50 | None = None


class BootNotification(Message, frozen=True, kw_only=True):
    """B01: the charger has started."""

    charging_station: ChargingStation
    reason: Literal[
        "ApplicationReset",
        "FirmwareUpdate",
        "LocalReset",
        "PowerUp",
        "RemoteReset",
        "ScheduledReset",
        "Triggered",
        "Unknown",
        "Watchdog",
    ]


class BootNotificationResponse(Message, frozen=True, kw_only=True):
    """B01; `interval` in seconds."""

    current_time: str
    interval: int
    status: Literal["Accepted", "Pending", "Rejected"]


class ClearedChargingLimit(Message, frozen=True, kw_only=True):
    """K13."""

    charging_limit_source: Literal["EMS", "Other", "SO", "CSO"]
    evse_id: Natural | None = None


class DataTransfer(Message, frozen=True, kw_only=True):
    """P02: something of a vendor's own."""

    vendor_id: CiString255
    message_id: CiString50 | None = None
    data: Any = None


class DataTransferResponse(Message, frozen=True, kw_only=True):
    """P02."""

    status: Literal["Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId"]


class FirmwareStatusNotification(Message, frozen=True, kw_only=True):
    """L01."""

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


class Get15118EVCertificate(Message, frozen=True, kw_only=True):
    """M01, M02: a vehicle wants a certificate of its contract."""

    iso15118_schema_version: CiString50
    action: Literal["Install", "Update"]
    exi_request: CiString5600


class Get15118EVCertificateResponse(Message, frozen=True, kw_only=True):
    """M01, M02."""

    status: Literal["Accepted", "Failed"]
    exi_response: str


class OcspRequestData(Message, frozen=True, kw_only=True):
    """OCSPRequestDataType: which certificate, and where to ask about it."""

    hash_algorithm: Literal["SHA256", "SHA384", "SHA512"]
    issuer_name_hash: Annotated[str, Meta(max_length=128)]
    issuer_key_hash: Annotated[str, Meta(max_length=128)]
    serial_number: Annotated[str, Meta(max_length=40)]
    responder_url: Annotated[str, Meta(max_length=512)] = field(name="responderURL")


class GetCertificateStatus(Message, frozen=True, kw_only=True):
    """M06: whether a certificate is revoked."""

    ocsp_request_data: OcspRequestData


class GetCertificateStatusResponse(Message, frozen=True, kw_only=True):
    """M06."""

    status: Literal["Accepted", "Failed"]


class Heartbeat(Message, frozen=True):
    """G02."""


class HeartbeatResponse(Message, frozen=True, kw_only=True):
    """G02."""

    current_time: str


class LogStatusNotification(Message, frozen=True, kw_only=True):
    """N01."""

    status: Literal[
        "BadMessage",
        "Idle",
        "NotSupportedOperation",
        "PermissionDenied",
        "Uploaded",
        "UploadFailure",
        "Uploading",
        "AcceptedCanceled",
    ]
    request_id: Integer | None = None


class UnitOfMeasure(Message, frozen=True, kw_only=True):
    """UnitOfMeasureType: a value is of this unit, times ten to the `multiplier`."""

    unit: str = "Wh"
    multiplier: Integer = 0


class SampledValue(Message, frozen=True, kw_only=True):
    """SampledValueType; words are taken as they come, and values, however absurd."""

    value: float
    context: str = "Sample.Periodic"
    measurand: str = "Energy.Active.Import.Register"
    phase: str | None = None
    location: str = "Outlet"
    unit_of_measure: UnitOfMeasure = UnitOfMeasure()


class MeterValue(Message, frozen=True, kw_only=True):
    """MeterValueType: what was measured at one time."""

    timestamp: str
    sampled_value: tuple[SampledValue, ...]


class MeterValues(Message, frozen=True, kw_only=True):
    """J01: what is measured outside transactions."""

    evse_id: Natural
    meter_value: SomeUnread


class NotifyChargingLimit(Message, frozen=True, kw_only=True):
    """K12."""

    charging_limit: Unread
    charging_schedule: SomeUnread | None = None
    evse_id: Natural | None = None


class NotifyCustomerInformation(Message, frozen=True, kw_only=True):
    """N09, N10; never asked for."""

    data: CiString512
    seq_no: Integer
    generated_at: str
    request_id: Integer
    tbc: bool = False


class NotifyDisplayMessages(Message, frozen=True, kw_only=True):
    """O03, O04."""

    request_id: Integer
    message_info: SomeUnread | None = None
    tbc: bool = False


class NotifyEVChargingNeeds(Message, frozen=True, kw_only=True):
    """K15: a vehicle says what it needs."""

    charging_needs: Unread
    evse_id: Natural
    max_schedule_tuples: Integer | None = None


class NotifyEVChargingNeedsResponse(Message, frozen=True, kw_only=True):
    """K15."""

    status: Literal["Accepted", "Rejected", "Processing"]


class NotifyEVChargingSchedule(Message, frozen=True, kw_only=True):
    """K15: how a vehicle is going to charge."""

    time_base: str
    charging_schedule: Unread
    evse_id: Natural


class NotifyEVChargingScheduleResponse(Message, frozen=True, kw_only=True):
    """K15."""

    status: Literal["Accepted", "Rejected"]


class Component(Message, frozen=True, kw_only=True):
    """ComponentType: a part of the charger."""

    name: CiString50
    instance: CiString50 | None = None
    evse: Evse | None = None


class Variable(Message, frozen=True, kw_only=True):
    """VariableType: something that can be told of a component."""

    name: CiString50
    instance: CiString50 | None = None


class EventData(Message, frozen=True, kw_only=True):
    """EventDataType: what has become of a variable; of its words only these are read."""

    component: Component
    variable: Variable
    actual_value: CiString2500


class NotifyEvent(Message, frozen=True, kw_only=True):
    """N07, G01: something about the charger has changed."""

    generated_at: str
    seq_no: Integer
    event_data: Annotated[tuple[EventData, ...], Meta(min_length=1)]
    tbc: bool = False


class NotifyMonitoringReport(Message, frozen=True, kw_only=True):
    """N02."""

    request_id: Integer
    seq_no: Integer
    generated_at: str
    monitor: SomeUnread | None = None
    tbc: bool = False


class NotifyReport(Message, frozen=True, kw_only=True):
    """B07, B08."""

    request_id: Integer
    generated_at: str
    seq_no: Integer
    report_data: SomeUnread | None = None
    tbc: bool = False


class PublishFirmwareStatusNotification(Message, frozen=True, kw_only=True):
    """L03."""

    status: Literal[
        "Idle",
        "DownloadScheduled",
        "Downloading",
        "Downloaded",
        "Published",
        "DownloadFailed",
        "DownloadPaused",
        "InvalidChecksum",
        "ChecksumVerified",
        "PublishFailed",
    ]
    location: Annotated[tuple[CiString512, ...], Meta(min_length=1)] | None = None
    request_id: Integer | None = None


class ReportChargingProfiles(Message, frozen=True, kw_only=True):
    """K09."""

    request_id: Integer
    charging_limit_source: Literal["EMS", "Other", "SO", "CSO"]
    charging_profile: SomeUnread
    evse_id: Natural
    tbc: bool = False


class ReservationStatusUpdate(Message, frozen=True, kw_only=True):
    """H01."""

    reservation_id: Integer
    reservation_update_status: Literal["Expired", "Removed"]


class SecurityEventNotification(Message, frozen=True, kw_only=True):
    """A04."""

    type: CiString50
    timestamp: str
    tech_info: CiString255 | None = None


class SignCertificate(Message, frozen=True, kw_only=True):
    """A02: the charger wants a certificate."""

    csr: CiString5500
    certificate_type: Literal["ChargingStationCertificate", "V2GCertificate"] | None = None


class SignCertificateResponse(Message, frozen=True, kw_only=True):
    """A02."""

    status: Literal["Accepted", "Rejected"]


class StatusNotification(Message, frozen=True, kw_only=True):
    """G01: a connector is in another state."""

    timestamp: str
    connector_status: Literal["Available", "Occupied", "Reserved", "Unavailable", "Faulted"]
    evse_id: Natural
    connector_id: Natural


class TransactionInfo(Message, frozen=True, kw_only=True):
    """TransactionType; where no reason to stop is told it is Local."""

    transaction_id: CiString36
    stopped_reason: str = "Local"


class TransactionEvent(Message, frozen=True, kw_only=True):
    """E01 to E15: a transaction began, went on or ended.

    Only what it cannot do without is checked, and what nobody reads stays unread.
    """

    event_type: Literal["Started", "Updated", "Ended"]
    timestamp: str
    trigger_reason: str
    seq_no: Integer
    transaction_info: TransactionInfo
    offline: bool = False
    evse: Evse | None = None
    id_token: IdToken | None = None
    meter_value: tuple[MeterValue, ...] = ()


class TransactionEventResponse(Message, frozen=True, kw_only=True):
    """E01; a verdict only where a token was presented."""

    id_token_info: IdTokenInfo | None = None
