"""RemoteStopTransaction: the charger shall end a transaction."""

from __future__ import annotations

from chargekey_gateway.commands import RemoteStop, Result
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.messages import RemoteStopTransaction, RemoteStopTransactionResponse


async def send(peer: Peer, command: RemoteStop) -> Result:
    """Ask; accepted means that it will stop (§5.11), and the StopTransaction follows."""
    request = RemoteStopTransaction(transaction_id=command.transaction_id)
    return await ask(peer, request, RemoteStopTransactionResponse)
