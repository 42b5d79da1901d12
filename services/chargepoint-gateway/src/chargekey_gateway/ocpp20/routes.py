"""Who answers what in OCPP 2.0.1: action → request, response, handler, what follows.

Actions answered at once may overtake; the others keep their order.
"""

from __future__ import annotations

import msgspec

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
from chargekey_gateway.ocpp20.commands import COMMANDS
from chargekey_gateway.ocpp20.error_codes import ERROR_CODES
from chargekey_gateway.ocpp20.send import ACTIONS


def noted(notification: type[msgspec.Struct]) -> Route:
    """Return the route of what is taken note of and no more."""
    return AtOnce(notification, m.Acknowledged, notifications.acknowledge)


ROUTES: dict[str, Route] = {
    "Authorize": AtOnce(m.Authorize, m.AuthorizeResponse, timed(authorize.answer)),
    "BootNotification": AtOnce(
        m.BootNotification,
        m.BootNotificationResponse,
        boot_notification.answer,
        then=boot_notification.configure,
    ),
    "ClearedChargingLimit": noted(m.ClearedChargingLimit),
    "DataTransfer": AtOnce(m.DataTransfer, m.DataTransferResponse, data_transfer.answer),
    "FirmwareStatusNotification": noted(m.FirmwareStatusNotification),
    "Get15118EVCertificate": AtOnce(
        m.Get15118EVCertificate, m.Get15118EVCertificateResponse, get_15118_ev_certificate.answer
    ),
    "GetCertificateStatus": AtOnce(
        m.GetCertificateStatus, m.GetCertificateStatusResponse, get_certificate_status.answer
    ),
    "Heartbeat": AtOnce(m.Heartbeat, m.HeartbeatResponse, heartbeat.answer),
    "LogStatusNotification": noted(m.LogStatusNotification),
    "MeterValues": AtOnce(m.MeterValues, m.Acknowledged, meter_values.answer),
    "NotifyChargingLimit": noted(m.NotifyChargingLimit),
    "NotifyCustomerInformation": noted(m.NotifyCustomerInformation),
    "NotifyDisplayMessages": noted(m.NotifyDisplayMessages),
    "NotifyEVChargingNeeds": AtOnce(
        m.NotifyEVChargingNeeds, m.NotifyEVChargingNeedsResponse, notify_ev_charging_needs.answer
    ),
    "NotifyEVChargingSchedule": AtOnce(
        m.NotifyEVChargingSchedule,
        m.NotifyEVChargingScheduleResponse,
        notify_ev_charging_schedule.answer,
    ),
    "NotifyEvent": AtOnce(m.NotifyEvent, m.Acknowledged, notify_event.answer),
    "NotifyMonitoringReport": noted(m.NotifyMonitoringReport),
    "NotifyReport": noted(m.NotifyReport),
    "PublishFirmwareStatusNotification": noted(m.PublishFirmwareStatusNotification),
    "ReportChargingProfiles": noted(m.ReportChargingProfiles),
    "ReservationStatusUpdate": noted(m.ReservationStatusUpdate),
    "SecurityEventNotification": AtOnce(
        m.SecurityEventNotification, m.Acknowledged, notifications.security_event
    ),
    "SignCertificate": AtOnce(
        m.SignCertificate, m.SignCertificateResponse, sign_certificate.answer
    ),
    "StatusNotification": AtOnce(m.StatusNotification, m.Acknowledged, status_notification.answer),
    "TransactionEvent": InOrder(
        m.TransactionEvent,
        m.TransactionEventResponse,
        transaction_event.answer,
        then=transaction_event.stop_if_refused,
    ),
}

OCPP20 = Dialect(
    version="2.0.1",
    routes=ROUTES,
    not_offered=ACTIONS,
    fault_codes=ERROR_CODES,
    commands=COMMANDS,
    answers_unreadable=True,
)
