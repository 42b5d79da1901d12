"""RequestStartTransaction: the charger shall begin a transaction."""

from __future__ import annotations

from chargekey_gateway.commands import RemoteStart, Result
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20 import id_tokens
from chargekey_gateway.ocpp20.command_messages import (
    AcceptedOrRejected,
    RequestStartTransaction,
)


async def send(peer: Peer, command: RemoteStart) -> Result:
    """Ask; accepted means that it will try (F01), and a TransactionEvent follows.

    The charger may authorize the token first, as one that is presented
    (AuthCtrlr.AuthorizeRemoteStart).
    """
    request = RequestStartTransaction(
        id_token=id_tokens.written(command.token),
        remote_start_id=command.request_id,
        evse_id=command.connector or None,
        group_id_token=id_tokens.group(command.group),
    )
    return await ask(peer, request, AcceptedOrRejected)
