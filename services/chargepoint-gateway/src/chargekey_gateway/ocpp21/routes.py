"""Who answers what in OCPP 2.1: action → request, response, handler, what follows.

Most is answered as in 2.0.1, whose messages and handlers these are where nothing else is
said. Actions answered at once may overtake; the others keep their order.
"""

from __future__ import annotations

from chargekey_gateway.ocpp.dialect import AtOnce, Dialect, InOrder, Route
from chargekey_gateway.ocpp.timing import timed
from chargekey_gateway.ocpp20 import (
    authorize,
    boot_notification,
    data_transfer,
    get_15118_ev_certificate,
    get_certificate_status,
    heartbeat,
    meter_values,
    notifications,
    notify_ev_charging_needs,
    notify_ev_charging_schedule,
    notify_event,
    sign_certificate,
    status_notification,
    transaction_event,
)
from chargekey_gateway.ocpp20 import messages as m
from chargekey_gateway.ocpp20.error_codes import ERROR_CODES
from chargekey_gateway.ocpp20.routes import noted
from chargekey_gateway.ocpp21 import (
    get_certificate_chain_status,
    open_periodic_event_stream,
    pull_dynamic_schedule_update,
    vat_number_validation,
)
from chargekey_gateway.ocpp21 import messages as m21
from chargekey_gateway.ocpp21.commands import COMMANDS
from chargekey_gateway.ocpp21.send import ACTIONS

ROUTES: dict[str, Route] = {
    "Authorize": AtOnce(m21.Authorize, m.AuthorizeResponse, timed(authorize.answer)),
    "BatterySwap": noted(m21.BatterySwap),
    "BootNotification": AtOnce(
        m.BootNotification,
        m.BootNotificationResponse,
        boot_notification.answer,
        then=boot_notification.configure,
    ),
    "ClearedChargingLimit": noted(m21.ClearedChargingLimit),
    "ClosePeriodicEventStream": noted(m21.ClosePeriodicEventStream),
    "DataTransfer": AtOnce(m.DataTransfer, m.DataTransferResponse, data_transfer.answer),
    "FirmwareStatusNotification": noted(m21.FirmwareStatusNotification),
    "Get15118EVCertificate": AtOnce(
        m21.Get15118EVCertificate, m.Get15118EVCertificateResponse, get_15118_ev_certificate.answer
    ),
    "GetCertificateChainStatus": AtOnce(
        m21.GetCertificateChainStatus,
        m21.GetCertificateChainStatusResponse,
        get_certificate_chain_status.answer,
    ),
    "GetCertificateStatus": AtOnce(
        m21.GetCertificateStatus, m.GetCertificateStatusResponse, get_certificate_status.answer
    ),
    "Heartbeat": AtOnce(m.Heartbeat, m.HeartbeatResponse, heartbeat.answer),
    "LogStatusNotification": noted(m21.LogStatusNotification),
    "MeterValues": AtOnce(m.MeterValues, m.Acknowledged, meter_values.answer),
    "NotifyChargingLimit": noted(m.NotifyChargingLimit),
    "NotifyCustomerInformation": noted(m.NotifyCustomerInformation),
    "NotifyDERAlarm": noted(m21.NotifyDERAlarm),
    "NotifyDERStartStop": noted(m21.NotifyDERStartStop),
    "NotifyDisplayMessages": noted(m.NotifyDisplayMessages),
    "NotifyEVChargingNeeds": AtOnce(
        m21.NotifyEVChargingNeeds, m.NotifyEVChargingNeedsResponse, notify_ev_charging_needs.answer
    ),
    "NotifyEVChargingSchedule": AtOnce(
        m21.NotifyEVChargingSchedule,
        m.NotifyEVChargingScheduleResponse,
        notify_ev_charging_schedule.answer,
    ),
    "NotifyEvent": AtOnce(m.NotifyEvent, m.Acknowledged, notify_event.answer),
    "NotifyMonitoringReport": noted(m.NotifyMonitoringReport),
    "NotifyPriorityCharging": noted(m21.NotifyPriorityCharging),
    "NotifyReport": noted(m.NotifyReport),
    "NotifySettlement": noted(m21.NotifySettlement),
    "OpenPeriodicEventStream": AtOnce(
        m21.OpenPeriodicEventStream,
        m21.OpenPeriodicEventStreamResponse,
        open_periodic_event_stream.answer,
    ),
    "PublishFirmwareStatusNotification": noted(m21.PublishFirmwareStatusNotification),
    "PullDynamicScheduleUpdate": AtOnce(
        m21.PullDynamicScheduleUpdate,
        m21.PullDynamicScheduleUpdateResponse,
        pull_dynamic_schedule_update.answer,
    ),
    "ReportChargingProfiles": noted(m21.ReportChargingProfiles),
    "ReportDERControl": noted(m21.ReportDERControl),
    "ReservationStatusUpdate": noted(m21.ReservationStatusUpdate),
    "SecurityEventNotification": AtOnce(
        m.SecurityEventNotification, m.Acknowledged, notifications.security_event
    ),
    "SignCertificate": AtOnce(
        m21.SignCertificate, m.SignCertificateResponse, sign_certificate.answer
    ),
    "StatusNotification": AtOnce(m.StatusNotification, m.Acknowledged, status_notification.answer),
    "TransactionEvent": InOrder(
        m21.TransactionEvent,
        m.TransactionEventResponse,
        transaction_event.answer,
        then=transaction_event.stop_if_refused,
    ),
    "VatNumberValidation": AtOnce(
        m21.VatNumberValidation, m21.VatNumberValidationResponse, vat_number_validation.answer
    ),
}

# What is sent and never answered; a charger that calls it has not understood that.
SENT = frozenset({"NotifyPeriodicEventStream"})

OCPP21 = Dialect(
    version="2.1",
    routes=ROUTES,
    not_offered=ACTIONS | SENT,
    fault_codes=ERROR_CODES,
    commands=COMMANDS,
    answers_unreadable=True,
    has_unanswered=True,
)
