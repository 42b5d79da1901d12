"""RemoteStartTransaction: the charger shall begin a transaction."""

from __future__ import annotations

from chargekey_gateway.commands import Outcome, RemoteStart, Result
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.command_messages import AcceptedOrRejected, RemoteStartTransaction
from chargekey_gateway.ocpp16.id_tags import LONGEST_ID_TAG, written


async def send(peer: Peer, command: RemoteStart) -> Result:
    """Ask; accepted means that it will try (§5.11), and the StartTransaction follows.

    The charger may authorize the tag first, as with one that is presented
    (AuthorizeRemoteTxRequests).
    """
    if len(command.token) > LONGEST_ID_TAG:
        return Result(outcome=Outcome.NOT_SUPPORTED)
    request = RemoteStartTransaction(
        id_tag=written(command.token), connector_id=command.connector or None
    )
    return await ask(peer, request, AcceptedOrRejected)
