"""Who answers what in OCPP 1.6: action → request, response, handler, what follows.

Actions answered at once may overtake; the others keep their order.
"""

from __future__ import annotations

from chargekey_gateway.ocpp.dialect import AtOnce, Dialect, InOrder, Route
from chargekey_gateway.ocpp.timing import timed
from chargekey_gateway.ocpp16 import (
    authorize,
    boot_notification,
    data_transfer,
    heartbeat,
    meter_values,
    notifications,
    sign_certificate,
    start_transaction,
    status_notification,
    stop_transaction,
)
from chargekey_gateway.ocpp16 import messages as m
from chargekey_gateway.ocpp16.commands import COMMANDS
from chargekey_gateway.ocpp16.error_codes import ERROR_CODES
from chargekey_gateway.ocpp16.send import ACTIONS

# fmt: off - a table is read by its columns
ROUTES: dict[str, Route] = {
    "Authorize": AtOnce(m.Authorize, m.AuthorizeResponse, timed(authorize.answer)),
    "BootNotification": AtOnce(
        m.BootNotification,
        m.BootNotificationResponse,
        boot_notification.answer,
        then=boot_notification.configure,
    ),
    "DataTransfer": AtOnce(m.DataTransfer, m.DataTransferResponse, data_transfer.answer),
    "DiagnosticsStatusNotification": AtOnce(
        m.DiagnosticsStatusNotification, m.Acknowledged, notifications.acknowledge
    ),
    "FirmwareStatusNotification": AtOnce(
        m.FirmwareStatusNotification, m.Acknowledged, notifications.acknowledge
    ),
    "Heartbeat": AtOnce(m.Heartbeat, m.HeartbeatResponse, heartbeat.answer),
    "LogStatusNotification": AtOnce(
        m.LogStatusNotification, m.Acknowledged, notifications.acknowledge
    ),
    "MeterValues": AtOnce(m.MeterValues, m.Acknowledged, meter_values.answer),
    "SecurityEventNotification": AtOnce(
        m.SecurityEventNotification, m.Acknowledged, notifications.security_event
    ),
    "SignCertificate": AtOnce(
        m.SignCertificate, m.SignCertificateResponse, sign_certificate.answer
    ),
    "SignedFirmwareStatusNotification": AtOnce(
        m.SignedFirmwareStatusNotification, m.Acknowledged, notifications.acknowledge
    ),
    "StartTransaction": InOrder(
        m.StartTransaction,
        m.StartTransactionResponse,
        start_transaction.answer,
        then=start_transaction.stop_if_refused,
    ),
    "StatusNotification": AtOnce(m.StatusNotification, m.Acknowledged, status_notification.answer),
    "StopTransaction": InOrder(
        m.StopTransaction, m.StopTransactionResponse, stop_transaction.answer
    ),
}
# fmt: on

OCPP16 = Dialect(
    version="1.6",
    routes=ROUTES,
    not_offered=ACTIONS,
    fault_codes=ERROR_CODES,
    commands=COMMANDS,
)
