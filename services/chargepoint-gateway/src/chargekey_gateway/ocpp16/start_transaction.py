"""StartTransaction: a charge has begun, and who began it is judged again."""

from __future__ import annotations

import structlog

from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.id_tag_info import id_tag_info
from chargekey_gateway.ocpp16.messages import (
    RemoteStopTransaction,
    RemoteStopTransactionResponse,
    StartTransaction,
    StartTransactionResponse,
)

log = structlog.get_logger()


async def answer(peer: Peer, request: StartTransaction) -> StartTransactionResponse:
    """Answer with an id and a verdict, accepted or not (§4.8), once they are durable.

    Until then the charger gets an InternalError and sends the start again. One that it tells
    of no time at all, for want of a clock, is a start like any other.
    """
    started = await peer.gateway.charging.start(
        peer.charger,
        connector=request.connector_id,
        token=request.id_tag,
        started_at=_started_at(peer, request.timestamp),
        meter_start=request.meter_start,
    )
    return StartTransactionResponse(
        transaction_id=started.transaction_id, id_tag_info=id_tag_info(started.decision)
    )


def stop_if_refused(
    peer: Peer, _request: StartTransaction, response: StartTransactionResponse
) -> None:
    """Stop what was not accepted: left to itself one charger stops, another only pauses.

    That depends on its StopTransactionOnInvalidId (§9.1.27) and its vendor. Sent once the
    answer is out, so that the charger knows the id.
    """
    if response.id_tag_info.status != "Accepted":
        peer.call(
            RemoteStopTransaction(transaction_id=response.transaction_id),
            RemoteStopTransactionResponse,
        )


def _started_at(peer: Peer, timestamp: str) -> int | str:
    """Return when it began; the charger's own word for it where that cannot be read."""
    try:
        return timestamps.parse(timestamp)
    except timestamps.TimestampUnreadableError as error:
        log.warning("start_without_time", charger=peer.charger.id, code=error.code)
        return timestamp
