"""SendLocalList: whom the charger accepts, or does not, without asking."""

from __future__ import annotations

from chargekey_gateway import commands
from chargekey_gateway.commands import ListEntry, Result
from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp.asking import ask
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.command_messages import (
    AuthorizationData,
    ListedTagInfo,
    SendLocalList,
    SendLocalListResponse,
)
from chargekey_gateway.ocpp16.id_tags import LONGEST_ID_TAG, written


async def send(peer: Peer, command: commands.SendLocalList) -> Result:
    """Send one message of a list; what no idTag of 1.6 can be is left out of it.

    Raises ValueError for versions that stand for something else: 0 for an empty list, -1
    for none at all (§5.10).
    """
    if command.version <= 0:
        message = "a local list has a version above 0"
        raise ValueError(message)
    changed = [_data(each) for each in command.entries if _fits(each)]
    removed = [
        AuthorizationData(id_tag=written(each.code)) for each in command.removed if _fits(each)
    ]
    request = SendLocalList(
        list_version=command.version,
        update_type="Full" if command.full else "Differential",
        local_authorization_list=(*changed, *removed),
    )
    return await ask(peer, request, SendLocalListResponse)


def _fits(entry: ListEntry) -> bool:
    return len(entry.code) <= LONGEST_ID_TAG


def _data(entry: ListEntry) -> AuthorizationData:
    info = ListedTagInfo(
        status=entry.status,
        expiry_date=None if entry.expires is None else timestamps.write(entry.expires),
        parent_id_tag=entry.group,
    )
    return AuthorizationData(id_tag=written(entry.code), id_tag_info=info)
