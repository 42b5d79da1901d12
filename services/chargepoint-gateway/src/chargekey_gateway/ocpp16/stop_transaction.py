"""StopTransaction: a charge is over."""

from __future__ import annotations

import structlog

from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.messages import StopTransaction, StopTransactionResponse

log = structlog.get_logger()

ID_TAG_LENGTH = 20
REASONS = frozenset(
    {
        "DeAuthorized",
        "EmergencyStop",
        "EVDisconnected",
        "HardReset",
        "Local",
        "Other",
        "PowerLoss",
        "Reboot",
        "Remote",
        "SoftReset",
        "UnlockCommand",
    }
)


async def answer(peer: Peer, request: StopTransaction) -> StopTransactionResponse:
    """Take the end as it is told (§4.10: it cannot be refused), once it is durable.

    Unknown ids, and the -1 of a charger that never got one, are answered as if valid.
    Until it is durable the charger gets an InternalError, which means: again, later.
    """
    await peer.gateway.charging.end(
        peer.charger,
        transaction_id=request.transaction_id,
        token=_token(request.id_tag),
        ended_at=_ended_at(peer, request.timestamp),
        meter_stop=int(request.meter_stop),
        reason=request.reason if request.reason in REASONS else "Other",
    )
    return StopTransactionResponse()


def _token(id_tag: str | None) -> str | None:
    """Return the idTag; one that cannot be one (CiString20) identifies nobody."""
    return id_tag if id_tag is not None and 0 < len(id_tag) <= ID_TAG_LENGTH else None


def _ended_at(peer: Peer, timestamp: str) -> int:
    """Return when it ended; it is now, where the charger's word for it cannot be read."""
    try:
        return timestamps.parse(timestamp)
    except timestamps.TimestampUnreadableError as error:
        log.warning("stop_without_time", charger=peer.charger.id, code=error.code)
        return peer.now()
