"""What people and chargers are called on pages, whose lists have ids of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import grpc
from grpc import aio

from chargekey.access.v1 import chargers_pb2, installations_pb2, permissions_pb2
from chargekey.identity.v1 import identifications_pb2, users_pb2
from chargekey_portal.administrators import Administrator
from chargekey_portal.visitors import Visitor

# The most that are asked of at once.
MOST = 1000
# Of the id of whom the visitor may know no name.
SHORT = 8


async def names(
    visitor: Visitor, installation_id: str, user_ids: Iterable[str]
) -> Mapping[str, str]:
    """Return what to call each of these users; by its id's beginning at worst."""
    called = {each: each[:SHORT] for each in user_ids if each}

    async def told(some: Sequence[str]) -> Sequence[users_pb2.NamedUser]:
        asked = users_pb2.ListNamesRequest(installation_id=installation_id, user_ids=some)
        return (await visitor.services.users.ListNames(asked)).users

    try:
        answers = await asyncio.gather(*map(told, _portions(called)))
    except aio.AioRpcError as error:
        # Services see who holds what, and not who that is.
        if error.code() is not grpc.StatusCode.PERMISSION_DENIED:
            raise
        return called
    return called | {each.id: each.name for answer in answers for each in answer}


async def members(visitor: Visitor, partner_id: str, user_ids: Iterable[str]) -> Mapping[str, str]:
    """Return what to call each of these members of a partner; by its id's beginning at worst."""
    called = {each: each[:SHORT] for each in user_ids}
    asked = users_pb2.ListNamesRequest(partner_id=partner_id, user_ids=list(called))
    answer = await visitor.services.users.ListNames(asked)
    return called | {each.id: each.name for each in answer.users}


async def holders(
    visitor: Visitor,
    installation: installations_pb2.Installation,
    permissions: Iterable[permissions_pb2.Permission],
) -> Mapping[str, str]:
    """Return what to call whoever holds each of these, person or partner, by the holder's id.

    Of partners the one that manages the installation is told by its name.
    """
    held = list(permissions)
    managing = installation.managed_by
    partners = {
        each.partner_id: managing.name
        if each.partner_id == managing.partner_id
        else each.partner_id[:SHORT]
        for each in held
        if each.partner_id
    }
    people = await names(visitor, installation.id, [each.user_id for each in held])
    return {**partners, **people}


async def chargers(visitor: Visitor, installation_id: str) -> Mapping[str, str]:
    """Return the OCPP identity of each charger of an installation by its id, the first MOST."""
    asked = chargers_pb2.ListChargersRequest(installation_id=installation_id, page_size=MOST)
    found = await visitor.services.chargers.ListChargers(asked)
    return {each.id: each.ocpp_identity for each in found.chargers}


async def identifications(
    visitor: Visitor, installation_id: str, identification_ids: Iterable[str]
) -> Mapping[str, identifications_pb2.DescribedIdentification]:
    """Return what these identifications are and whose, as far as the visitor may know."""

    async def told(some: Sequence[str]) -> Sequence[identifications_pb2.DescribedIdentification]:
        asked = identifications_pb2.DescribeIdentificationsRequest(
            installation_id=installation_id, identification_ids=some
        )
        answer = await visitor.services.identifications.DescribeIdentifications(asked)
        return answer.identifications

    answers = await asyncio.gather(*map(told, _portions(filter(None, identification_ids))))
    return {each.id: each for answer in answers for each in answer}


async def people(administrator: Administrator, user_ids: Iterable[str]) -> Mapping[str, str]:
    """Return what an administrator calls these users, wherever they are."""

    async def told(some: Sequence[str]) -> Sequence[users_pb2.NamedUser]:
        asked = users_pb2.ListNamesRequest(user_ids=some)
        return (await administrator.services.users.ListNames(asked)).users

    called = {each: each[:SHORT] for each in user_ids if each}
    answers = await asyncio.gather(*map(told, _portions(called)))
    return called | {each.id: each.name for answer in answers for each in answer}


async def installations(
    administrator: Administrator, installation_ids: Iterable[str]
) -> Mapping[str, installations_pb2.Installation]:
    """Return these installations, by their ids."""

    async def told(some: Sequence[str]) -> Sequence[installations_pb2.Installation]:
        asked = installations_pb2.ListInstallationsRequest(installation_ids=some, page_size=MOST)
        answer = await administrator.services.installations.ListInstallations(asked)
        return answer.installations

    answers = await asyncio.gather(*map(told, _portions(filter(None, installation_ids))))
    return {each.id: each for answer in answers for each in answer}


def _portions(ids: Iterable[str]) -> Sequence[Sequence[str]]:
    """Return them by MOST, each once."""
    distinct = list(dict.fromkeys(ids))
    return [distinct[first : first + MOST] for first in range(0, len(distinct), MOST)]
