"""UnlockConnector: the charger shall let go of a cable."""

from __future__ import annotations

from chargekey_gateway.commands import Result, Unlock
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.command_messages import UnlockConnector, UnlockConnectorResponse


async def send(peer: Peer, command: Unlock) -> Result:
    """Ask; a transaction that runs there ends first (§5.18)."""
    request = UnlockConnector(connector_id=command.connector)
    return await ask(peer, request, UnlockConnectorResponse)
