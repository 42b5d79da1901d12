"""GetVariables: how the charger is set."""

from __future__ import annotations

from chargekey_gateway.commands import Outcome, ReadSettings, Result
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20 import variables
from chargekey_gateway.ocpp20.command_messages import (
    GetVariableData,
    GetVariables,
    GetVariablesResponse,
)
from chargekey_gateway.reconcile import charger_settings


async def send(peer: Peer, command: ReadSettings) -> Result:
    """Ask for all at once, or one after the other of a charger that takes no more (B06.FR.16).

    What names no variable is as unknown as one that the charger does not have.
    """
    asked = {}
    for name in command.names or charger_settings.wanted("2.0.1", peer.charger):
        parsed = variables.parse(name)
        if parsed is not None:
            asked[name] = GetVariableData(component=parsed[0], variable=parsed[1])
    if not asked:
        return Result(outcome=Outcome.ACCEPTED)
    result = await _read(peer, asked)
    if result.outcome is not Outcome.REFUSED or len(asked) == 1:
        return result
    found: dict[str, str] = {}
    for name, data in asked.items():
        one = await _read(peer, {name: data})
        if one.outcome is not Outcome.ACCEPTED:
            return one
        found |= one.settings
    return Result(outcome=Outcome.ACCEPTED, settings=found)


async def _read(peer: Peer, asked: dict[str, GetVariableData]) -> Result:
    request = GetVariables(get_variable_data=tuple(asked.values()))
    answer = await peer.call(request, GetVariablesResponse)
    if isinstance(answer, Outcome):
        return Result(outcome=answer)
    names = {variables.spelled(each.component, each.variable): name for name, each in asked.items()}
    settings = {}
    for each in answer.get_variable_result:
        name = names.get(variables.spelled(each.component, each.variable))
        readable = each.attribute_status == "Accepted"
        if name is not None and readable and not variables.is_password(each.variable.name):
            settings[name] = each.attribute_value or ""
    return Result(outcome=Outcome.ACCEPTED, settings=settings)
