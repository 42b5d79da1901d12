"""What a permission is on: an installation or one charger, whose pages of permissions are alike."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import Depends, Request

from chargekey.access.v1 import installations_pb2
from chargekey_portal.sites import Site, Spot, site, spot
from chargekey_portal.visitors import SignedIn


class Place(msgspec.Struct, frozen=True):
    """One of the two."""

    at: Site | Spot

    @property
    def path(self) -> str:
        """The address of its pages."""
        return self.at.path

    @property
    def installation(self) -> installations_pb2.Installation:
        """The installation that it is, or that it is of."""
        return self.at.installation

    @property
    def may(self) -> frozenset[str]:
        """What the visitor may do there."""
        return self.at.may

    @property
    def name(self) -> str:
        """What access calls it."""
        if isinstance(self.at, Spot):
            return f"charger:{self.at.charger.id}"
        return f"installation:{self.at.installation.id}"

    @property
    def target(self) -> dict[str, Any]:
        """What a request names it by."""
        if isinstance(self.at, Spot):
            return {"charger_id": self.at.charger.id}
        return {"installation_id": self.at.installation.id}

    @property
    def layout(self) -> dict[str, Any]:
        """What its pages are laid out by."""
        if isinstance(self.at, Spot):
            return {"layout": "charger/layout.html", "spot": self.at, "place": self}
        return {"layout": "installation/layout.html", "site": self.at, "place": self}


async def place(request: Request, visitor: SignedIn) -> Place:
    """Return the installation or charger that the address names."""
    named = request.path_params
    if "charger_id" in named:
        return Place(await spot(named["charger_id"], visitor))
    return Place(await site(named["installation_id"], visitor))


AtPlace = Annotated[Place, Depends(place)]
