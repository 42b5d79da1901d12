"""GetConfiguration: how the charger is set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from chargekey_gateway.commands import Outcome, ReadSettings, Result
from chargekey_gateway.ocpp.asking import read_settings
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp.kept_settings import is_secret
from chargekey_gateway.ocpp16.command_messages import GetConfiguration, GetConfigurationResponse
from chargekey_gateway.ocpp16.configuration_keys import spelled
from chargekey_gateway.reconcile import charger_settings


async def send(peer: Peer, command: ReadSettings) -> Result:
    """Ask for all keys at once, or one after the other of a charger that takes no more (§9.1.8).

    A key that comes back is told under the name it was asked by, whatever its case there.
    """
    names = command.names or tuple(charger_settings.wanted("1.6", peer.charger))
    return await read_settings(names, partial(_read, peer))


async def _read(peer: Peer, names: Sequence[str]) -> Result:
    answer = await peer.call(GetConfiguration(key=tuple(names)), GetConfigurationResponse)
    if isinstance(answer, Result):
        return answer
    asked = {spelled(name): name for name in names}
    settings = {
        asked.get(spelled(each.key), each.key): each.value or ""
        for each in answer.configuration_key
        if not is_secret([each.key], each.value or "")
    }
    return Result(outcome=Outcome.ACCEPTED, settings=settings)
