"""SendLocalList: whom the charger accepts, or does not, without asking."""

from __future__ import annotations

from chargekey_gateway import commands
from chargekey_gateway.commands import ListEntry, Result
from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20 import id_tokens
from chargekey_gateway.ocpp20.command_messages import (
    AuthorizationData,
    ListedTokenInfo,
    SendLocalList,
    SendLocalListResponse,
)


async def send(peer: Peer, command: commands.SendLocalList) -> Result:
    """Send one message of a list; raises ValueError for version 0, which means none at all."""
    if command.version <= 0:
        message = "a local list has a version above 0"
        raise ValueError(message)
    changed = [_data(each) for each in command.entries]
    removed = [
        AuthorizationData(id_token=id_tokens.written(each.code, each.type))
        for each in command.removed
    ]
    request = SendLocalList(
        version_number=command.version,
        update_type="Full" if command.full else "Differential",
        local_authorization_list=(*changed, *removed),
    )
    return await ask(peer, request, SendLocalListResponse)


def _data(entry: ListEntry) -> AuthorizationData:
    info = ListedTokenInfo(
        status=entry.status,
        cache_expiry_date_time=None if entry.expires is None else timestamps.write(entry.expires),
        group_id_token=id_tokens.group(entry.group),
    )
    return AuthorizationData(id_token=id_tokens.written(entry.code, entry.type), id_token_info=info)
