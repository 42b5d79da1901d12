"""`/decisions/ID`: why a session began, or something was refused."""

from __future__ import annotations

import grpc
import msgspec
from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.history.v1 import decisions_pb2 as pb
from chargekey.identity.v1.identifications_pb2 import DescribedIdentification
from chargekey_portal.names import identifications, names
from chargekey_portal.refusals import RefusedError
from chargekey_portal.rendering import page
from chargekey_portal.sites import Spot, spot
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()

_NOT_HIS = frozenset({grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND})


class Presented(msgspec.Struct, frozen=True):
    """Of what a decision was made from: what kind of identification it was about."""

    token_type: str = ""
    nothing_presented: bool = False


@router.get("/decisions/{decision_id}")
async def decision(request: Request, visitor: SignedIn, decision_id: str) -> Response:
    """Tell it as it was recorded, and whether the same would be decided again."""
    asked = pb.ExplainDecisionRequest(id=decision_id)
    found = await visitor.services.decisions.ExplainDecision(asked)
    again = found.replayed_status, found.replayed_reason
    where = await _where(visitor, found.charger_id)
    return page(
        request,
        "decision",
        decision=found,
        presented=msgspec.json.decode(found.inputs, type=Presented),
        same=again == (found.status, found.reason),
        spot=where,
        identification=await _identification(visitor, where, found),
        names=await names(visitor, found.installation_id, [found.user_id]),
        me=visitor.user_id,
    )


async def _identification(
    visitor: Visitor, where: Spot | None, found: pb.ExplainDecisionResponse
) -> DescribedIdentification | None:
    """Return what it is and whose; None where that is not known, or not the visitor's to know."""
    here = found.installation_id
    # Of a charger that was moved since, what may be known there says nothing of here.
    if where is None or where.installation.id != here:
        return None
    if "identity.DescribeIdentifications" not in where.may:
        return None
    described = await identifications(visitor, here, [found.identification_id])
    return described.get(found.identification_id)


async def _where(visitor: Visitor, charger_id: str) -> Spot | None:
    """Return the charger; None to whom it is nothing any more, who still hears why."""
    try:
        return await spot(charger_id, visitor)
    except RefusedError:
        return None
    except aio.AioRpcError as error:
        if error.code() not in _NOT_HIS:
            raise
        return None
