"""GetLocalListVersion: which list the charger has."""

from __future__ import annotations

from chargekey_gateway import commands
from chargekey_gateway.commands import Outcome, Result
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20.command_messages import (
    GetLocalListVersion,
    GetLocalListVersionResponse,
)


async def send(peer: Peer, _: commands.GetLocalListVersion) -> Result:
    """Ask; 0 is no list (D02.FR.02), and what only 1.6 has below it is taken as there."""
    answer = await peer.call(GetLocalListVersion(), GetLocalListVersionResponse)
    if isinstance(answer, Result):
        return answer
    if answer.version_number < 0:
        return Result(outcome=Outcome.NOT_SUPPORTED)
    return Result(outcome=Outcome.ACCEPTED, version=answer.version_number)
