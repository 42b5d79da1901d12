"""What people and chargers are called on pages, whose lists have ids of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Protocol, TypeVar

import grpc
import msgspec
from grpc import aio

from chargekey.access.v1 import chargers_pb2, installations_pb2, partners_pb2, permissions_pb2
from chargekey.identity.v1 import identifications_pb2, users_pb2
from chargekey_portal import words
from chargekey_portal.administrators import Administrator
from chargekey_portal.languages import catalogue
from chargekey_portal.visitors import Visitor

# The most that are asked of at once.
MOST = 1000

Told = TypeVar("Told")


class Reader(Protocol):
    """Whoever reads a page."""

    language: str


class Called(msgspec.Struct, frozen=True):
    """What to call somebody, and what stands beside his name."""

    name: str
    # Invited, and not come yet.
    waiting: bool = False
    # A local user at his installation, anybody on the whole platform.
    blocked: bool = False
    blocked_everywhere: bool = False


async def names(
    visitor: Visitor, installation_id: str, user_ids: Iterable[str]
) -> Mapping[str, str]:
    """Return what to call each of these users; somebody, at worst."""
    called = dict.fromkeys(filter(None, user_ids), said(visitor, words.SOMEBODY))
    return {**called, **await known(visitor, installation_id, called)}


async def known(
    visitor: Visitor, installation_id: str, user_ids: Iterable[str]
) -> Mapping[str, str]:
    """Return what to call those of these users of whom the visitor may know."""
    found = await _known(visitor, installation_id, user_ids)
    return {key: each.name for key, each in found.items()}


async def members(
    visitor: Visitor, partner_id: str, user_ids: Iterable[str]
) -> Mapping[str, Called]:
    """Return what to call each of these members of a partner; somebody, at worst."""
    called = dict.fromkeys(user_ids, Called(said(visitor, words.SOMEBODY)))
    asked = users_pb2.ListNamesRequest(partner_id=partner_id, user_ids=list(called))
    answer = await visitor.services.users.ListNames(asked)
    return called | {each.id: _called(visitor, each) for each in answer.users}


async def holders(
    visitor: Visitor, installation_id: str, permissions: Iterable[permissions_pb2.Permission]
) -> Mapping[str, Called]:
    """Return what to call whoever holds each of these, person or partner, by the holder's id."""
    held = list(permissions)
    partners = {
        each.partner_id: Called(each.partner_name or said(visitor, words.PARTNER))
        for each in held
        if each.partner_id
    }
    people = [each.user_id for each in held if each.user_id]
    somebody = dict.fromkeys(people, Called(said(visitor, words.SOMEBODY)))
    return {**partners, **somebody, **await _known(visitor, installation_id, people)}


async def partners(
    visitor: Visitor, installation_id: str, partner_ids: Iterable[str]
) -> Mapping[str, str]:
    """Return what those of these partners call themselves that ever had to do with it."""

    async def told(some: Sequence[str]) -> Sequence[partners_pb2.NamedPartner]:
        asked = partners_pb2.ListPartnerNamesRequest(
            installation_id=installation_id, partner_ids=some
        )
        return (await visitor.services.partners.ListPartnerNames(asked)).partners

    found = await _of_all(told, partner_ids)
    return {each.id: each.name for each in found}


async def chargers(
    visitor: Visitor, installation_id: str, charger_ids: Iterable[str]
) -> Mapping[str, str]:
    """Return the OCPP identity of each of these chargers; a charger, where it is elsewhere now."""

    async def told(some: Sequence[str]) -> Sequence[chargers_pb2.Charger]:
        asked = chargers_pb2.ListChargersRequest(
            installation_id=installation_id, charger_ids=some, page_size=MOST
        )
        return (await visitor.services.chargers.ListChargers(asked)).chargers

    called = dict.fromkeys(filter(None, charger_ids), said(visitor, words.CHARGER))
    found = await _of_all(told, called)
    return called | {each.id: each.ocpp_identity for each in found}


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

    found = await _of_all(told, identification_ids)
    return {each.id: each for each in found}


async def people(administrator: Administrator, user_ids: Iterable[str]) -> Mapping[str, Called]:
    """Return what an administrator calls these users, wherever they are."""

    async def told(some: Sequence[str]) -> Sequence[users_pb2.NamedUser]:
        asked = users_pb2.ListNamesRequest(user_ids=some)
        return (await administrator.services.users.ListNames(asked)).users

    somebody = Called(said(administrator, words.SOMEBODY))
    called = dict.fromkeys(filter(None, user_ids), somebody)
    found = await _of_all(told, called)
    return called | {each.id: _called(administrator, each) for each in found}


async def installations(
    administrator: Administrator, installation_ids: Iterable[str]
) -> Mapping[str, installations_pb2.Installation]:
    """Return these installations, by their ids."""

    async def told(some: Sequence[str]) -> Sequence[installations_pb2.Installation]:
        asked = installations_pb2.ListInstallationsRequest(installation_ids=some, page_size=MOST)
        answer = await administrator.services.installations.ListInstallations(asked)
        return answer.installations

    found = await _of_all(told, installation_ids)
    return {each.id: each for each in found}


def said(reader: Reader, marked: str) -> str:
    """Return marked words as somebody reads them."""
    return str(catalogue(reader.language).ugettext(marked))


async def _known(
    visitor: Visitor, installation_id: str, user_ids: Iterable[str]
) -> Mapping[str, Called]:
    """Return those of these users of whom the visitor may know."""

    async def told(some: Sequence[str]) -> Sequence[users_pb2.NamedUser]:
        asked = users_pb2.ListNamesRequest(installation_id=installation_id, user_ids=some)
        return (await visitor.services.users.ListNames(asked)).users

    try:
        found = await _of_all(told, user_ids)
    except aio.AioRpcError as error:
        # Services see who holds what, and not who that is.
        if error.code() is not grpc.StatusCode.PERMISSION_DENIED:
            raise
        return {}
    return {each.id: _called(visitor, each) for each in found}


def _called(reader: Reader, user: users_pb2.NamedUser) -> Called:
    name = said(reader, words.FORMER_USER) if user.erased else user.name
    return Called(
        name,
        waiting=user.waiting,
        blocked=user.blocked,
        blocked_everywhere=user.blocked_everywhere,
    )


async def _of_all(
    told: Callable[[Sequence[str]], Awaitable[Sequence[Told]]], ids: Iterable[str]
) -> Sequence[Told]:
    """Return what is told of these, each asked of once and MOST at a time; of "" nothing."""
    distinct = list(dict.fromkeys(filter(None, ids)))
    portions = [distinct[first : first + MOST] for first in range(0, len(distinct), MOST)]
    return list(chain.from_iterable(await asyncio.gather(*map(told, portions))))
