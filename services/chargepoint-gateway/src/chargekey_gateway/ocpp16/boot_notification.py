"""BootNotification: a charger has started."""

from __future__ import annotations

from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16 import timestamps
from chargekey_gateway.ocpp16.messages import (
    BootNotification,
    BootNotificationResponse,
    ChangeConfiguration,
    ChangeConfigurationResponse,
)

# §3.7.1: before it sends a transaction message for the n-th time again, a charger waits
# n times the interval. 133 attempts, 10 s: 10 s times (1 + 2 + … + 132) = 24 h 23 min, so a
# start outlives a day without answers. The short interval keeps the gaps short when the
# answers come back (22 minutes at the end of that day), and the count fits into a byte,
# which is all some firmware has.
TRANSACTION_MESSAGE_ATTEMPTS = 133
TRANSACTION_MESSAGE_RETRY_INTERVAL = 10


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
        ("TransactionMessageAttempts", TRANSACTION_MESSAGE_ATTEMPTS),
        ("TransactionMessageRetryInterval", TRANSACTION_MESSAGE_RETRY_INTERVAL),
    ):
        peer.call(ChangeConfiguration(key=key, value=str(value)), ChangeConfigurationResponse)
