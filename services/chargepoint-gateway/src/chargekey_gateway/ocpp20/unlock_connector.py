"""UnlockConnector: the charger shall let go of a cable."""

from __future__ import annotations

from chargekey_gateway.commands import Result, Unlock
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.command_messages import UnlockConnector, UnlockConnectorResponse

# The vocabulary names EVSEs; of one with several connectors it is the first.
CONNECTOR = 1


async def send(peer: Peer, command: Unlock) -> Result:
    """Ask; where a transaction runs with an authorization it is not done (F05.FR.02)."""
    request = UnlockConnector(evse_id=command.connector, connector_id=CONNECTOR)
    return await ask(peer, request, UnlockConnectorResponse)
