"""ChangeConfiguration: the charger shall be set otherwise."""

from __future__ import annotations

from chargekey_gateway.commands import ChangeSetting, Outcome, ReadSettings, Result
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp.kept_settings import why_kept
from chargekey_gateway.ocpp16 import get_configuration
from chargekey_gateway.ocpp16.configuration_keys import spelled
from chargekey_gateway.ocpp16.messages import ChangeConfiguration, ChangeConfigurationResponse

PROFILE = "securityprofile"  # of the security white paper


async def send(peer: Peer, command: ChangeSetting) -> Result:
    """Ask; what people must not set is not for here, but that a security profile is raised."""
    why = "" if command.ours else why_kept([command.name], command.value)
    if why and not (spelled(command.name) == PROFILE and await _raises_profile(peer, command)):
        return Result(outcome=Outcome.NOT_FOR_HERE, instead=why)
    request = ChangeConfiguration(key=command.name, value=command.value)
    return await ask(peer, request, ChangeConfigurationResponse)


async def _raises_profile(peer: Peer, command: ChangeSetting) -> bool:
    """Whether it is a higher profile than the charger says it has."""
    now = await get_configuration.send(peer, ReadSettings(names=(command.name,)))
    known = now.settings.get(command.name, "")
    return known.isdecimal() and command.value.isdecimal() and int(command.value) > int(known)
