"""BootNotification: a charger has started."""

from __future__ import annotations

from chargekey_gateway.ocpp import redelivery, timestamps
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.command_messages import (
    Component,
    SetVariableData,
    SetVariables,
    SetVariablesResponse,
    Variable,
)
from chargekey_gateway.ocpp20.messages import BootNotification, BootNotificationResponse


def answer(peer: Peer, request: BootNotification) -> BootNotificationResponse:
    """Accept: whoever got here has said who it is (B01)."""
    charger = request.charging_station
    peer.gateway.reports.booted(
        peer.charger,
        vendor=charger.vendor_name,
        model=charger.model,
        firmware_version=charger.firmware_version,
    )
    return BootNotificationResponse(
        status="Accepted",
        current_time=timestamps.write(peer.now()),
        interval=peer.limits.heartbeat_interval,
    )


def configure(peer: Peer, _request: BootNotification, _response: BootNotificationResponse) -> None:
    """Make the charger keep what it could not deliver; one that refuses keeps its own ways.

    One variable a message: no charger takes fewer (ItemsPerMessageSetVariables).
    """
    for name, value in (
        ("MessageAttempts", redelivery.ATTEMPTS),
        ("MessageAttemptInterval", redelivery.INTERVAL),
    ):
        data = SetVariableData(
            component=Component(name="OCPPCommCtrlr"),
            variable=Variable(name=name, instance="TransactionEvent"),
            attribute_value=str(value),
        )
        peer.call(SetVariables(set_variable_data=(data,)), SetVariablesResponse)
