"""GetVariables: how the charger is set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from chargekey_gateway.commands import Outcome, ReadSettings, Result
from chargekey_gateway.ocpp.asking import read_settings
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp.kept_settings import is_secret
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
    return await read_settings(tuple(asked), partial(_read, peer, asked, ours=command.ours))


async def _read(
    peer: Peer, known: Mapping[str, GetVariableData], names: Sequence[str], *, ours: bool
) -> Result:
    asked = {name: known[name] for name in names}
    request = GetVariables(get_variable_data=tuple(asked.values()))
    answer = await peer.call(request, GetVariablesResponse)
    if isinstance(answer, Result):
        return answer
    by_spelling = {
        variables.spelled(each.component, each.variable): name for name, each in asked.items()
    }
    settings = {}
    for each in answer.get_variable_result:
        name = by_spelling.get(variables.spelled(each.component, each.variable))
        value = each.attribute_value or ""
        shown = ours or not is_secret(variables.names(each.component, each.variable), value)
        if name is not None and each.attribute_status == "Accepted" and shown:
            settings[name] = value
    return Result(outcome=Outcome.ACCEPTED, settings=settings)
