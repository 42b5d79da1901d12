"""GetLocalListVersion: which list the charger has."""

from __future__ import annotations

from chargekey_gateway import commands
from chargekey_gateway.commands import Outcome, Result
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.command_messages import (
    GetLocalListVersion,
    GetLocalListVersionResponse,
)


async def send(peer: Peer, _: commands.GetLocalListVersion) -> Result:
    """Ask; 0 is an empty list, and below it lists are not supported (§5.10)."""
    answer = await peer.call(GetLocalListVersion(), GetLocalListVersionResponse)
    if isinstance(answer, Result):
        return answer
    if answer.list_version < 0:
        return Result(outcome=Outcome.NOT_SUPPORTED)
    return Result(outcome=Outcome.ACCEPTED, version=answer.list_version)
