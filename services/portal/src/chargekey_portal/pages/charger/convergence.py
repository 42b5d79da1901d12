"""`/chargers/ID/on-the-charger`: how far it has what it should have."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from chargekey.gateway.v1 import convergence_pb2 as pb
from chargekey_portal.live import live
from chargekey_portal.pages.charger.status import head
from chargekey_portal.rendering import page, rendered
from chargekey_portal.sites import AtCharger, Spot
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()


@router.get("/chargers/{charger_id}/on-the-charger")
async def on_the_charger(request: Request, visitor: SignedIn, spot: AtCharger) -> Response:
    """Show it."""
    convergence = await _convergence(visitor, spot)
    return page(request, "charger/on_the_charger", spot=spot, convergence=convergence)


@router.get("/chargers/{charger_id}/on-the-charger/live")
async def live_convergence(request: Request, visitor: SignedIn, spot: AtCharger) -> Response:
    """Send it whenever it is another one."""

    async def look() -> Mapping[str, str]:
        above, convergence = await asyncio.gather(
            head(request, visitor, spot), _convergence(visitor, spot)
        )
        words = {"spot": spot, "convergence": convergence}
        return {**above, "convergence": rendered(request, "charger/convergence", **words)}

    return live(request, look)


async def _convergence(visitor: Visitor, spot: Spot) -> pb.Convergence | None:
    """Return it; None where the gateway has not heard of the charger yet."""
    asked = pb.ListConvergenceRequest(charger_id=spot.charger.id)
    told = (await visitor.services.convergence.ListConvergence(asked)).chargers
    return told[0] if told else None
