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
from chargekey_portal.choosing import Chosen, IsChosen, Offered, offered
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
    # None for the place itself.
    charger: Chosen = Chosen()

    async def at(self, visitor: Visitor, place: Place) -> Given:
        """Return it with the charger that was typed; raises RefusedError where there is none."""
        charger_id = await self.charger.at(visitor, place.installation.id)
        return msgspec.structs.replace(self, charger=Chosen(charger_id))

    def to(self, place: Place, command_id: str, **subject: str) -> pb.GrantPermissionRequest:
        """Return the command that gives it to somebody."""
        charger_id = self.charger.charger_id
        target = {"charger_id": charger_id} if charger_id else place.target
        who: Mapping[str, Any] = {**target, **subject}
        return pb.GrantPermissionRequest(
            command_id=command_id, roles=self.roles, valid_until=self.valid_until, **who
        )

    def seen_at(self, place: Place) -> str:
        """Return the address of the list that it is in."""
        charger_id = self.charger.charger_id
        at = f"/chargers/{charger_id}" if charger_id else place.path
        return f"{at}/permissions"


def given(
    roles: Annotated[list[Annotated[pb.Role.ValueType, IN_RANGE]], Form(default_factory=list)],
    charger: IsChosen,
    valid_until: Text = "",
) -> Given:
    """Return what the form says; the service refuses what it cannot be."""
    return Given(tuple(roles), valid_until, charger)


class Partner(msgspec.Struct, frozen=True):
    """The partner that was found and chosen, for as long as nothing is given."""

    partner_id: str = ""
    name: str = ""
    lookup_key: str = ""


def partner(
    partner_id: Text = "",
    partner_name: Text = "",
    lookup_key: Text = "",
) -> Partner:
    """Return which one the form says."""
    return Partner(partner_id, partner_name, lookup_key)


IsGiven = Annotated[Given, Depends(given)]
IsPartner = Annotated[Partner, Depends(partner)]


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
        there = await given.at(visitor, place)
        await visitor.services.permissions.GrantPermission(there.to(place, command_id, email=email))
    except (aio.AioRpcError, RefusedError) as error:
        return await _for_user(request, visitor, place, given, refusal_of(error), email)
    return see(there.seen_at(place), "permission_given")


@router.get(f"{INSTALLATION}/partner")
@router.get(f"{CHARGER}/partner")
async def ask_for_partner(
    request: Request, visitor: SignedIn, place: AtPlace, lookup_key: str = ""
) -> Response:
    """Ask for a lookup key; with one, for what to give to the partner that it finds."""
    return await _for_partner(request, visitor, place, Partner(lookup_key=lookup_key))


@router.post(f"{INSTALLATION}/partner/summary")
@router.post(f"{CHARGER}/partner/summary")
async def sum_up(
    request: Request, visitor: SignedIn, place: AtPlace, given: IsGiven, partner: IsPartner
) -> Response:
    """Show what would be given to whom; nothing is yet."""
    try:
        there = await given.at(visitor, place)
    except RefusedError as error:
        return await _for_partner(request, visitor, place, partner, given, error.refusal)
    return await _summary(request, visitor, place, there, partner)


@router.post(f"{INSTALLATION}/partner")
@router.post(f"{CHARGER}/partner")
async def give_to_partner(
    request: Request,
    visitor: SignedIn,
    place: AtPlace,
    given: IsGiven,
    partner: IsPartner,
    command_id: Text = "",
    confirmed: Ticked = False,
) -> Response:
    """Give it."""
    if pb.ROLE_OPERATOR in given.roles and not confirmed:
        return await _summary(request, visitor, place, given, partner, NOT_CONFIRMED)
    try:
        await visitor.services.permissions.GrantPermission(
            given.to(place, command_id, partner_id=partner.partner_id)
        )
    except aio.AioRpcError as error:
        return await _summary(request, visitor, place, given, partner, refusal_of(error))
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
        chargers=await _chargers(visitor, place, given.charger),
    )


async def _for_partner(
    request: Request,
    visitor: Visitor,
    place: Place,
    partner: Partner,
    given: Given | None = None,
    refusal: Refusal | None = None,
) -> Response:
    found = None
    if partner.lookup_key:
        asked = partners_pb2.SearchPartnerRequest(lookup_key=partner.lookup_key)
        try:
            found = await visitor.services.partners.SearchPartner(asked)
        except aio.AioRpcError as error:
            refusal = refusal_of(error)
    given = given or Given(roles=())
    return page(
        request,
        "permissions/new_partner",
        **place.layout,
        refusal=refusal,
        partner=partner,
        found=found,
        given=given,
        offered=await _offered(visitor, place, None if found is None else found.kind),
        chargers=await _chargers(visitor, place, given.charger),
    )


async def _summary(
    request: Request,
    visitor: Visitor,
    place: Place,
    given: Given,
    partner: Partner,
    refusal: Refusal | None = None,
) -> Response:
    return page(
        request,
        "permissions/new_summary",
        **place.layout,
        refusal=refusal,
        given=given,
        partner=partner,
        chargers=await _chargers(visitor, place, given.charger),
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


async def _chargers(visitor: Visitor, place: Place, chosen: Chosen) -> Offered:
    """Return the chargers that a permission may be on instead; none below one charger."""
    if isinstance(place.at, Site):
        return await offered(visitor, place.installation.id, chosen.charger_id)
    return Offered({})
