"""RemoteStopTransaction: the charger shall end a transaction."""

from __future__ import annotations

from chargekey_gateway.commands import Outcome, RemoteStop, Result
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.messages import RemoteStopTransaction, RemoteStopTransactionResponse


async def send(peer: Peer, command: RemoteStop) -> Result:
    """Ask; accepted means that it will stop (§5.11), and the StopTransaction follows."""
    answer = await peer.call(
        RemoteStopTransaction(transaction_id=command.transaction_id), RemoteStopTransactionResponse
    )
    if isinstance(answer, Outcome):
        return Result(outcome=answer)
    accepted = answer.status == "Accepted"
    return Result(outcome=Outcome.ACCEPTED if accepted else Outcome.REJECTED, status=answer.status)
