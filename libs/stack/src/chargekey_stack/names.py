"""What people call the chargers and users that a list of the past has ids of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec
from grpc import aio

from chargekey.access.v1 import chargers_pb2
from chargekey.history.v1 import decisions_pb2, history_pb2
from chargekey.identity.v1 import users_pb2
from chargekey_common.pages import every
from chargekey_stack.answers import Document
from chargekey_stack.client import Client

Past: TypeAlias = history_pb2.Session | history_pb2.Refusal | decisions_pb2.ExplainDecisionResponse

MOST_NAMES = 1000  # that identity tells at once


class Names(msgspec.Struct, frozen=True):
    """OCPP identities and names by id; names for people alone, scripts have the ids."""

    chargers: dict[str, str]
    users: dict[str, str] | None

    @staticmethod
    async def about(client: Client, past: Sequence[Past]) -> Names:
        """Ask once an installation; what cannot be told now goes without its name."""
        installations = sorted({each.installation_id for each in past})
        chargers = await asyncio.gather(*(_chargers(client, each) for each in installations))
        users = None
        if client.for_people:
            asked = (_users(client, each, _here(each, past)) for each in installations)
            users = _joined(await asyncio.gather(*asked))
        return Names(_joined(chargers), users)

    @staticmethod
    async def at(client: Client, installation: str, users: Iterable[str]) -> dict[str, str]:
        """Return what a site's chargers and these users are called, by id."""
        asked = sorted(set(users) - {""})
        parts = [asked[first : first + MOST_NAMES] for first in range(0, len(asked), MOST_NAMES)]
        return _joined(
            await asyncio.gather(
                _chargers(client, installation),
                *(_users(client, installation, part) for part in parts),
            )
        )

    def of(self, past: Past) -> Document:
        """Return the columns `charger` and, for people, `user`: the id where there is no name."""
        charger = {"charger": self.chargers.get(past.charger_id)}
        if self.users is None:
            return charger
        return {**charger, "user": self.users.get(past.user_id, past.user_id) or None}


async def _chargers(client: Client, installation: str) -> dict[str, str]:
    request = chargers_pb2.ListChargersRequest(installation_id=installation)
    try:
        found = await every(client.chargers.ListChargers, request, "chargers")
    except aio.AioRpcError:
        return {}
    return {each.id: each.ocpp_identity for each in found}


def _here(installation: str, past: Iterable[Past]) -> Sequence[str]:
    here = {each.user_id for each in past if each.installation_id == installation}
    return sorted(here - {""})


async def _users(client: Client, installation: str, users: Sequence[str]) -> dict[str, str]:
    request = users_pb2.ListNamesRequest(installation_id=installation, user_ids=users)
    try:
        found = await client.users.ListNames(request)
    except aio.AioRpcError:
        return {}
    return {each.id: each.name for each in found.users if each.name}


def _joined(parts: Iterable[dict[str, str]]) -> dict[str, str]:
    return {key: name for part in parts for key, name in part.items()}
