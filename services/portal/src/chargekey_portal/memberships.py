"""What every page below a partner has: the partner itself, and what its visitor may do there."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from fastapi import Depends

from chargekey.access.v1 import partners_pb2
from chargekey_portal.visitors import SignedIn

# What the pages of a partner offer to whom may.
_ACTIONS = (
    "access.ChangePartner",
    "access.RotateLookupKey",
    "access.AddPartnerMember",
    "access.SetDecisionEndpoint",
    "identity.ListPartnerCredentials",
    "notifier.CreateWebhook",
    "notifier.ConnectOcpi",
)


class Membership(msgspec.Struct, frozen=True):
    """A partner, and what its visitor may do for it."""

    partner: partners_pb2.Partner
    may: frozenset[str]

    @property
    def path(self) -> str:
        """The address of its pages."""
        return f"/partners/{self.partner.id}"

    @property
    def manages(self) -> bool:
        """Whether he manages it, and so what is asked for in its name."""
        return "access.ChangePartner" in self.may

    @property
    def operates(self) -> bool:
        """Whether it is a payment operator, which can be asked who may charge."""
        return self.partner.kind == partners_pb2.PARTNER_KIND_PAYMENT_OPERATOR


async def membership(partner_id: str, visitor: SignedIn) -> Membership:
    """Return the partner that the address names."""
    asked = partners_pb2.GetPartnerRequest(partner_id=partner_id)
    found, may = await asyncio.gather(
        visitor.services.partners.GetPartner(asked),
        visitor.may(f"partner:{partner_id}", *_ACTIONS),
    )
    return Membership(found.partner, may)


AtPartner = Annotated[Membership, Depends(membership)]
