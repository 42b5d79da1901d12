"""RemoteStopTransaction: the charger shall end a transaction."""

from __future__ import annotations

from chargekey_gateway.ocpp.connection import ChargerConnection
from chargekey_gateway.ocpp16.messages import RemoteStopTransaction, RemoteStopTransactionResponse


async def remote_stop(connection: ChargerConnection, transaction_id: int) -> bool:
    """Return True when the charger accepted to stop (§5.11); the StopTransaction follows."""
    answer = await connection.call(
        RemoteStopTransaction(transaction_id=transaction_id), RemoteStopTransactionResponse
    )
    return isinstance(answer, RemoteStopTransactionResponse) and answer.status == "Accepted"
