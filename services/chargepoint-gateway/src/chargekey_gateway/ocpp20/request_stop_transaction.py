"""RequestStopTransaction: the charger shall end a transaction."""

from __future__ import annotations

from chargekey_gateway.commands import Outcome, RemoteStop, Result
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.command_messages import AcceptedOrRejected, RequestStopTransaction


async def send(peer: Peer, command: RemoteStop) -> Result:
    """Ask by the charger's own id; a session that has none began in another version."""
    if command.ocpp_transaction_id is None:
        return Result(outcome=Outcome.NOT_SUPPORTED)
    request = RequestStopTransaction(transaction_id=command.ocpp_transaction_id)
    return await ask(peer, request, AcceptedOrRejected)
