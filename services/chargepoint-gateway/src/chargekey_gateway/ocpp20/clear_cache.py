"""ClearCache: the charger shall forget whom it accepted before."""

from __future__ import annotations

from chargekey_gateway import commands
from chargekey_gateway.commands import Result
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.command_messages import AcceptedOrRejected, ClearCache


async def send(peer: Peer, _: commands.ClearCache) -> Result:
    """Ask; a charger without a cache rejects (C11.FR.04), which is no error."""
    return await ask(peer, ClearCache(), AcceptedOrRejected)
