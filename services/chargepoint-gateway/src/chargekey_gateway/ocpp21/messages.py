"""The messages of OCPP 2.1 that chargers begin, where they are not those of 2.0.1.

They differ by longer texts, by more words and by what is new.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from chargekey_gateway.ocpp20 import messages as older
from chargekey_gateway.ocpp20.messages import (
    CiString20,
    CiString36,
    CiString50,
    CiString255,
    Integer,
    Message,
    Natural,
    SomeUnread,
    Unread,
)

CiString500 = Annotated[str, Meta(max_length=500)]
CiString2000 = Annotated[str, Meta(max_length=2000)]
CiString10000 = Annotated[str, Meta(max_length=10000)]
CiString11000 = Annotated[str, Meta(max_length=11000)]
UpTo24 = Annotated[tuple[Unread, ...], Meta(min_length=1, max_length=24)]

DerControl = Literal[
    "EnterService",
    "FreqDroop",
    "FreqWatt",
    "FixedPFAbsorb",
    "FixedPFInject",
    "FixedVar",
    "Gradients",
    "HFMustTrip",
    "HFMayTrip",
    "HVMustTrip",
    "HVMomCess",
    "HVMayTrip",
    "LimitMaxDischarge",
    "LFMustTrip",
    "LVMustTrip",
    "LVMomCess",
    "LVMayTrip",
    "PowerMonitoringMustTrip",
    "VoltVar",
    "VoltWatt",
    "WattPF",
    "WattVar",
]
CertificateUse = Literal["ChargingStationCertificate", "V2GCertificate", "V2G20Certificate"]
GridEventFault = Literal[
    "CurrentImbalance",
    "LocalEmergency",
    "LowInputPower",
    "OverCurrent",
    "OverFrequency",
    "OverVoltage",
    "PhaseRotation",
    "RemoteEmergency",
    "UnderFrequency",
    "UnderVoltage",
    "VoltageImbalance",
]


class IdToken(older.IdToken, frozen=True, kw_only=True):
    """IdTokenType: longer than before, and of any type."""

    id_token: CiString255


class Authorize(older.Authorize, frozen=True, kw_only=True):
    """C01."""

    id_token: IdToken
    certificate: CiString10000 | None = None


class BatterySwap(Message, frozen=True, kw_only=True):
    """Batteries came in, or went out."""

    battery_data: SomeUnread
    event_type: Literal["BatteryIn", "BatteryOut", "BatteryOutTimeout"]
    id_token: IdToken
    request_id: Integer


class ClearedChargingLimit(older.ClearedChargingLimit, frozen=True, kw_only=True):
    """K13."""

    charging_limit_source: CiString20  # type: ignore[assignment] # no longer a closed set


class ClosePeriodicEventStream(Message, frozen=True, kw_only=True):
    """The charger ends a stream of events; none is ever opened."""

    id: Natural


class FirmwareStatusNotification(older.FirmwareStatusNotification, frozen=True, kw_only=True):
    """L01."""

    status_info: Unread | None = None


class Get15118EVCertificate(older.Get15118EVCertificate, frozen=True, kw_only=True):
    """M01, M02."""

    exi_request: CiString11000
    maximum_contract_certificate_chains: Natural | None = None
    prioritized_emaids: (
        Annotated[tuple[CiString255, ...], Meta(min_length=1, max_length=8)] | None
    ) = field(default=None, name="prioritizedEMAIDs")


class CertificateHashData(Message, frozen=True, kw_only=True):
    """CertificateHashDataType: which certificate."""

    hash_algorithm: Literal["SHA256", "SHA384", "SHA512"]
    issuer_name_hash: Annotated[str, Meta(max_length=128)]
    issuer_key_hash: Annotated[str, Meta(max_length=128)]
    serial_number: Annotated[str, Meta(max_length=40)]


class CertificateStatusRequestInfo(Message, frozen=True, kw_only=True):
    """CertificateStatusRequestInfoType: which certificate, and by what to know of it."""

    certificate_hash_data: CertificateHashData
    source: Literal["CRL", "OCSP"]
    urls: Annotated[tuple[CiString2000, ...], Meta(min_length=1, max_length=5)]


class GetCertificateChainStatus(Message, frozen=True, kw_only=True):
    """Whether certificates are revoked."""

    certificate_status_requests: Annotated[
        tuple[CertificateStatusRequestInfo, ...], Meta(min_length=1, max_length=4)
    ]


class CertificateStatus(Message, frozen=True, kw_only=True):
    """CertificateStatusType."""

    certificate_hash_data: CertificateHashData
    source: Literal["CRL", "OCSP"]
    status: Literal["Good", "Revoked", "Unknown", "Failed"]
    next_update: str


class GetCertificateChainStatusResponse(Message, frozen=True, kw_only=True):
    """What is known of each."""

    certificate_status: tuple[CertificateStatus, ...]


class OcspRequestData(older.OcspRequestData, frozen=True, kw_only=True):
    """OCSPRequestDataType."""

    responder_url: CiString2000 = field(name="responderURL")


class GetCertificateStatus(older.GetCertificateStatus, frozen=True, kw_only=True):
    """M06."""

    ocsp_request_data: OcspRequestData


class LogStatusNotification(older.LogStatusNotification, frozen=True, kw_only=True):
    """N01."""

    status_info: Unread | None = None


class NotifyDERAlarm(Message, frozen=True, kw_only=True):
    """Something is wrong with the grid."""

    control_type: DerControl
    timestamp: str
    grid_event_fault: GridEventFault | None = None
    alarm_ended: bool = False
    extra_info: Annotated[str, Meta(max_length=200)] | None = None


class NotifyDERStartStop(Message, frozen=True, kw_only=True):
    """A control of a distributed energy resource begins or ends."""

    control_id: CiString36
    started: bool
    timestamp: str
    superseded_ids: Annotated[tuple[CiString36, ...], Meta(min_length=1, max_length=24)] | None = (
        None
    )


class NotifyEVChargingNeeds(older.NotifyEVChargingNeeds, frozen=True, kw_only=True):
    """K15."""

    timestamp: str | None = None


class NotifyEVChargingSchedule(older.NotifyEVChargingSchedule, frozen=True, kw_only=True):
    """K15."""

    selected_charging_schedule_id: Natural | None = None
    power_tolerance_acceptance: bool | None = None


class NotifyPriorityCharging(Message, frozen=True, kw_only=True):
    """A vehicle charges before others, or no longer."""

    transaction_id: CiString36
    activated: bool


class NotifySettlement(Message, frozen=True, kw_only=True):
    """A payment at a terminal has come to an end."""

    psp_ref: CiString255
    status: Literal["Settled", "Canceled", "Rejected", "Failed"]
    settlement_amount: float
    settlement_time: str
    transaction_id: CiString36 | None = None
    status_info: CiString500 | None = None
    receipt_id: CiString50 | None = None
    receipt_url: CiString2000 | None = None
    vat_company: Unread | None = None
    vat_number: CiString20 | None = None


class OpenPeriodicEventStream(Message, frozen=True, kw_only=True):
    """The charger offers to tell what it measures."""

    constant_stream_data: Unread


class OpenPeriodicEventStreamResponse(Message, frozen=True, kw_only=True):
    """Whether somebody listens."""

    status: Literal["Accepted", "Rejected"]


class PublishFirmwareStatusNotification(
    older.PublishFirmwareStatusNotification, frozen=True, kw_only=True
):
    """L03."""

    location: Annotated[tuple[CiString2000, ...], Meta(min_length=1)] | None = None
    status_info: Unread | None = None


class PullDynamicScheduleUpdate(Message, frozen=True, kw_only=True):
    """What the limits of a charging profile are now."""

    charging_profile_id: Integer


class PullDynamicScheduleUpdateResponse(Message, frozen=True, kw_only=True):
    """Whether there are any."""

    status: Literal["Accepted", "Rejected"]


class ReportChargingProfiles(older.ReportChargingProfiles, frozen=True, kw_only=True):
    """K09."""

    charging_limit_source: CiString20  # type: ignore[assignment] # no longer a closed set


class ReportDERControl(Message, frozen=True, kw_only=True):
    """Which of these controls are there; never asked for."""

    request_id: Integer
    curve: UpTo24 | None = None
    enter_service: UpTo24 | None = None
    fixed_pf_absorb: UpTo24 | None = field(default=None, name="fixedPFAbsorb")
    fixed_pf_inject: UpTo24 | None = field(default=None, name="fixedPFInject")
    fixed_var: UpTo24 | None = None
    freq_droop: UpTo24 | None = None
    gradient: UpTo24 | None = None
    limit_max_discharge: UpTo24 | None = None
    tbc: bool = False


class ReservationStatusUpdate(older.ReservationStatusUpdate, frozen=True, kw_only=True):
    """H01."""

    reservation_update_status: Literal["Expired", "Removed", "NoTransaction"]  # type: ignore[assignment] # one more


class SignCertificate(older.SignCertificate, frozen=True, kw_only=True):
    """A02."""

    certificate_type: CertificateUse | None = None  # type: ignore[assignment] # one more
    hash_root_certificate: CertificateHashData | None = None
    request_id: Integer | None = None


class TransactionEvent(older.TransactionEvent, frozen=True, kw_only=True):
    """E01 to E15."""

    id_token: IdToken | None = None


class VatNumberValidation(Message, frozen=True, kw_only=True):
    """Whether this is the number of a company."""

    vat_number: CiString20
    evse_id: Natural | None = None


class VatNumberValidationResponse(Message, frozen=True, kw_only=True):
    """Whose it is."""

    status: Literal["Accepted", "Rejected"]
    vat_number: str
    evse_id: int | None = None
