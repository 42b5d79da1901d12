"""SetVariables: the charger shall be set otherwise."""

from __future__ import annotations

from chargekey_gateway.commands import ChangeSetting, Outcome, Result
from chargekey_gateway.ocpp.asking import meaning
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp.kept_settings import why_kept
from chargekey_gateway.ocpp20 import variables
from chargekey_gateway.ocpp20.command_messages import (
    SetVariableData,
    SetVariables,
    SetVariablesResponse,
)


async def send(peer: Peer, command: ChangeSetting) -> Result:
    """Ask; what people must not set is not for here."""
    parsed = variables.parse(command.name)
    if parsed is None:
        return Result(outcome=Outcome.NOT_SUPPORTED)
    component, variable = parsed
    why = "" if command.ours else why_kept(variables.names(component, variable), command.value)
    if why:
        return Result(outcome=Outcome.NOT_FOR_HERE, instead=why)
    data = SetVariableData(attribute_value=command.value, component=component, variable=variable)
    answer = await peer.call(SetVariables(set_variable_data=(data,)), SetVariablesResponse)
    if isinstance(answer, Result):
        return answer
    status = answer.set_variable_result[0].attribute_status
    return Result(outcome=meaning(status), status=status)
