"""`/api/v1/feeds/docs`: what partners' feeds tell, event by event."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from chargekey_common.asyncapi import contract
from chargekey_portal.pages.feed_contract import events
from chargekey_portal.rendering import document, page

router = APIRouter()

_CONTRACT = contract()
_EVENTS = events(_CONTRACT)


@router.api_route("/api/v1/feeds/docs", methods=["GET", "HEAD"])
async def feeds(request: Request) -> Response:
    """Show the contract for people."""
    return page(request, "feeds", contract=_CONTRACT, events=_EVENTS)


@router.api_route("/api/v1/feeds/asyncapi.json", methods=["GET", "HEAD"])
async def feeds_contract() -> Response:
    """Tell it for programs."""
    return document(_CONTRACT)
