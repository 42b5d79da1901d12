"""BootNotification: a charger has started."""

from __future__ import annotations

from chargekey_gateway.ocpp import redelivery, timestamps
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.messages import (
    BootNotification,
    BootNotificationResponse,
    ChangeConfiguration,
    ChangeConfigurationResponse,
)


def answer(peer: Peer, request: BootNotification) -> BootNotificationResponse:
    """Accept: whoever got here has said who it is (§4.2)."""
    peer.gateway.reports.booted(
        peer.charger,
        vendor=request.charge_point_vendor,
        model=request.charge_point_model,
        firmware_version=request.firmware_version,
    )
    return BootNotificationResponse(
        status="Accepted",
        current_time=timestamps.write(peer.now()),
        interval=peer.limits.heartbeat_interval,
    )


def configure(peer: Peer, _request: BootNotification, _response: BootNotificationResponse) -> None:
    """Make the charger keep what it could not deliver; one that refuses keeps its own ways."""
    for key, value in (
        ("TransactionMessageAttempts", redelivery.ATTEMPTS),
        ("TransactionMessageRetryInterval", redelivery.INTERVAL),
    ):
        peer.call(ChangeConfiguration(key=key, value=str(value)), ChangeConfigurationResponse)
