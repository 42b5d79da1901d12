"""`/chargers/ID/decisions`: who was refused there, who started, and what would happen."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import APIRouter, Form, Request, Response
from grpc import aio

from chargekey.gateway.v1 import gateway_pb2
from chargekey.history.v1 import history_pb2 as pb
from chargekey_portal.forms import Text
from chargekey_portal.names import names
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page
from chargekey_portal.sites import PAGE_SIZE, AtCharger, Spot
from chargekey_portal.visitors import SignedIn

router = APIRouter()

# What OCPP says of each of the gateway's verdicts.
_STATUSES = {
    gateway_pb2.AUTHORIZATION_STATUS_ACCEPTED: "Accepted",
    gateway_pb2.AUTHORIZATION_STATUS_BLOCKED: "Blocked",
    gateway_pb2.AUTHORIZATION_STATUS_EXPIRED: "Expired",
    gateway_pb2.AUTHORIZATION_STATUS_INVALID: "Invalid",
    gateway_pb2.AUTHORIZATION_STATUS_CONCURRENT_TX: "ConcurrentTx",
}


@router.get("/chargers/{charger_id}/decisions")
async def refusals(
    request: Request, visitor: SignedIn, spot: AtCharger, after: str = ""
) -> Response:
    """List what was refused; to a driver, what was refused to him."""
    everybody = "history.ListRefusals" in spot.may
    asked = pb.ListRefusalsRequest(
        page_size=PAGE_SIZE, page_token=after, **_of(visitor, spot, everybody=everybody)
    )
    found = await visitor.services.history.ListRefusals(asked)
    return page(
        request,
        "charger/refusals",
        spot=spot,
        refusals=found.refusals,
        names=await names(visitor, spot.installation.id, (each.user_id for each in found.refusals)),
        me=visitor.user_id,
        everybody=everybody,
        next_page=found.next_page_token,
    )


@router.get("/chargers/{charger_id}/decisions/starts")
async def starts(request: Request, visitor: SignedIn, spot: AtCharger, after: str = "") -> Response:
    """List the sessions that began; to a driver, his own."""
    everybody = "history.ListSessions" in spot.may
    asked = pb.ListSessionsRequest(
        page_size=PAGE_SIZE, page_token=after, **_of(visitor, spot, everybody=everybody)
    )
    found = await visitor.services.history.ListSessions(asked)
    return page(
        request,
        "charger/starts",
        spot=spot,
        sessions=found.sessions,
        names=await names(visitor, spot.installation.id, (each.user_id for each in found.sessions)),
        me=visitor.user_id,
        everybody=everybody,
        next_page=found.next_page_token,
    )


@router.get("/chargers/{charger_id}/decisions/dry-run")
async def ask_for_code(request: Request, spot: AtCharger) -> Response:
    """Ask what would be presented."""
    return _dry_run(request, spot)


@router.post("/chargers/{charger_id}/decisions/dry-run")
async def dry_run(
    request: Request,
    visitor: SignedIn,
    spot: AtCharger,
    code: Text = "",
    type_: Annotated[int, Form(alias="type", ge=0, le=2)] = 0,
) -> Response:
    """Say what the charger would be answered, and leave no trace of it: nor of the code."""
    asked = gateway_pb2.AuthorizeRequest(
        charger_id=spot.charger.id,
        code=code,
        type=cast("gateway_pb2.TokenType.ValueType", type_),
        explain=True,
    )
    try:
        answer = await visitor.services.gateway.Authorize(asked)
    except aio.AioRpcError as error:
        return _dry_run(request, spot, refusal_of(error), type_=type_)
    return _dry_run(request, spot, answer=answer, type_=type_)


def _of(visitor: SignedIn, spot: Spot, *, everybody: bool) -> dict[str, Any]:
    """Return whose past at the charger it is: everybody's, or one's own."""
    here = {"charger_id": spot.charger.id}
    return here if everybody else {**here, "user_id": visitor.user_id}


def _dry_run(
    request: Request,
    spot: Spot,
    refusal: Refusal | None = None,
    *,
    answer: gateway_pb2.AuthorizeResponse | None = None,
    type_: int = gateway_pb2.TOKEN_TYPE_UNSPECIFIED,
) -> Response:
    spot.require("gateway.Authorize")
    return page(
        request,
        "charger/dry_run",
        refusal=refusal,
        spot=spot,
        answer=answer,
        verdict="" if answer is None else _STATUSES.get(answer.status, ""),
        type=type_,
    )
