"""`…/permissions/new`: giving a permission, to a person by his address or to a partner by its key.

A partner is looked up, chosen, and shown once more with what it is to be given, before anything
is; who is to manage the site from then on, with what that means. The roles that are offered are
those that access lets the visitor give there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Form, Request, Response
from grpc import aio

from chargekey.access.v1 import partners_pb2
from chargekey.access.v1 import permissions_pb2 as pb
from chargekey_portal import names
from chargekey_portal.forms import IN_RANGE, Text, Ticked
from chargekey_portal.places import AtPlace, Place
from chargekey_portal.refusals import DENIED, NOT_CONFIRMED, Refusal, RefusedError, refusal_of
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import Site
from chargekey_portal.visitors import SignedIn, Visitor
from chargekey_portal.words import ROLES_OF_PARTNERS, ROLES_OF_USERS

router = APIRouter()

INSTALLATION = "/installations/{installation_id}/permissions/new"
CHARGER = "/chargers/{charger_id}/permissions/new"


class Given(msgspec.Struct, frozen=True):
    """What the form says is given, and where."""

    # Who may charge is what most are given.
    roles: tuple[pb.Role.ValueType, ...] = (pb.ROLE_USER,)
    # The last day, `YYYY-MM-DD`; empty for no end.
    valid_until: str = ""
    # Empty for the place itself.
    charger_id: str = ""

    def to(self, place: Place, command_id: str, **subject: str) -> pb.GrantPermissionRequest:
        """Return the command that gives it to somebody."""
        target = {"charger_id": self.charger_id} if self.charger_id else place.target
        who: Mapping[str, Any] = {**target, **subject}
        return pb.GrantPermissionRequest(
            command_id=command_id, roles=self.roles, valid_until=self.valid_until, **who
        )

    def seen_at(self, place: Place) -> str:
        """Return the address of the list that it is in."""
        at = f"/chargers/{self.charger_id}" if self.charger_id else place.path
        return f"{at}/permissions"


def given(
    roles: Annotated[list[Annotated[pb.Role.ValueType, IN_RANGE]], Form(default_factory=list)],
    valid_until: Text = "",
    charger: Text = "",
) -> Given:
    """Return what the form says; the service refuses what it cannot be."""
    return Given(tuple(roles), valid_until, charger)


class Chosen(msgspec.Struct, frozen=True):
    """The partner that was found and chosen, for as long as nothing is given."""

    partner_id: str = ""
    name: str = ""
    lookup_key: str = ""


def chosen(
    partner_id: Text = "",
    partner_name: Text = "",
    lookup_key: Text = "",
) -> Chosen:
    """Return which one the form says."""
    return Chosen(partner_id, partner_name, lookup_key)


IsGiven = Annotated[Given, Depends(given)]
IsChosen = Annotated[Chosen, Depends(chosen)]


@router.get(INSTALLATION)
@router.get(CHARGER)
async def ask_for_new(request: Request, visitor: SignedIn, place: AtPlace) -> Response:
    """Ask for a person's address, and what to give."""
    return await _for_user(request, visitor, place, Given())


@router.post(INSTALLATION)
@router.post(CHARGER)
async def give(
    request: Request,
    visitor: SignedIn,
    place: AtPlace,
    given: IsGiven,
    command_id: Text = "",
    email: Text = "",
) -> Response:
    """Give it, and invite whoever has the address."""
    try:
        await visitor.services.permissions.GrantPermission(given.to(place, command_id, email=email))
    except aio.AioRpcError as error:
        return await _for_user(request, visitor, place, given, refusal_of(error), email)
    return see(given.seen_at(place), "permission_given")


@router.get(f"{INSTALLATION}/partner")
@router.get(f"{CHARGER}/partner")
async def ask_for_partner(
    request: Request, visitor: SignedIn, place: AtPlace, lookup_key: str = ""
) -> Response:
    """Ask for a lookup key; with one, for what to give to the partner that it finds."""
    found, refusal = None, None
    if lookup_key:
        asked = partners_pb2.SearchPartnerRequest(lookup_key=lookup_key)
        try:
            found = await visitor.services.partners.SearchPartner(asked)
        except aio.AioRpcError as error:
            refusal = refusal_of(error)
    return page(
        request,
        "permissions/new_partner",
        **place.layout,
        refusal=refusal,
        lookup_key=lookup_key,
        found=found,
        offered=await _offered(visitor, place, None if found is None else found.kind),
        chargers=await _chargers(visitor, place),
    )


@router.post(f"{INSTALLATION}/partner/summary")
@router.post(f"{CHARGER}/partner/summary")
async def sum_up(
    request: Request, visitor: SignedIn, place: AtPlace, given: IsGiven, chosen: IsChosen
) -> Response:
    """Show what would be given to whom; nothing is yet."""
    return await _summary(request, visitor, place, given, chosen)


@router.post(f"{INSTALLATION}/partner")
@router.post(f"{CHARGER}/partner")
async def give_to_partner(
    request: Request,
    visitor: SignedIn,
    place: AtPlace,
    given: IsGiven,
    chosen: IsChosen,
    command_id: Text = "",
    confirmed: Ticked = False,
) -> Response:
    """Give it."""
    if pb.ROLE_OPERATOR in given.roles and not confirmed:
        return await _summary(request, visitor, place, given, chosen, NOT_CONFIRMED)
    try:
        await visitor.services.permissions.GrantPermission(
            given.to(place, command_id, partner_id=chosen.partner_id)
        )
    except aio.AioRpcError as error:
        return await _summary(request, visitor, place, given, chosen, refusal_of(error))
    return see(given.seen_at(place), "permission_given_to_partner")


async def _for_user(
    request: Request,
    visitor: Visitor,
    place: Place,
    given: Given,
    refusal: Refusal | None = None,
    email: str = "",
) -> Response:
    return page(
        request,
        "permissions/new",
        **place.layout,
        refusal=refusal,
        given=given,
        email=email,
        offered=await _offered(visitor, place),
        chargers=await _chargers(visitor, place, given.charger_id),
    )


async def _summary(
    request: Request,
    visitor: Visitor,
    place: Place,
    given: Given,
    chosen: Chosen,
    refusal: Refusal | None = None,
) -> Response:
    return page(
        request,
        "permissions/new_summary",
        **place.layout,
        refusal=refusal,
        given=given,
        chosen=chosen,
        chargers=await _chargers(visitor, place, given.charger_id),
    )


async def _offered(
    visitor: Visitor, place: Place, kind: partners_pb2.PartnerKind.ValueType | None = None
) -> Mapping[int, str]:
    """Return what the visitor may give there, to a person or to a partner of that kind.

    Nothing where an operator decides; raises RefusedError where it is not his to give at all.
    """
    mine = await visitor.may_give(place.name)
    if not mine and not place.installation.HasField("managed_by"):
        raise RefusedError(DENIED)
    # Only a payment operator manages, and only the whole installation.
    manages = kind == partners_pb2.PARTNER_KIND_PAYMENT_OPERATOR and isinstance(place.at, Site)
    return {
        role: about
        for role, about in (ROLES_OF_USERS if kind is None else ROLES_OF_PARTNERS).items()
        if role in mine and (role != pb.ROLE_OPERATOR or manages)
    }


async def _chargers(visitor: Visitor, place: Place, chosen: str = "") -> Mapping[str, str]:
    """Return the chargers that a permission may be on instead; none below one charger."""
    if isinstance(place.at, Site):
        return await names.choices(visitor, place.installation.id, chosen)
    return {}
