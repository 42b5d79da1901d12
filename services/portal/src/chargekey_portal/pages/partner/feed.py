"""`/partners/ID/feed`: what the partner is told of its sites, and where its programs read it."""

from __future__ import annotations

import asyncio
from datetime import datetime

import msgspec
from fastapi import APIRouter, Request, Response
from grpc import aio

from chargekey.notifier.v1 import feeds_pb2 as pb
from chargekey_portal.memberships import AtPartner
from chargekey_portal.mine import me
from chargekey_portal.refusals import Refusal, refusal_of
from chargekey_portal.rendering import page
from chargekey_portal.sites import PAGE_SIZE
from chargekey_portal.visitors import SignedIn
from chargekey_portal.words import NANOSECONDS

router = APIRouter()


class Told(msgspec.Struct, frozen=True):
    """An event of the feed as a page shows it; `at` in nanoseconds since the epoch."""

    sequence: str
    name: str
    at: int
    data: str


class _Document(msgspec.Struct, frozen=True):
    type: str
    time: datetime
    data: msgspec.Raw


@router.get("/partners/{partner_id}/feed")
async def feed(
    request: Request, visitor: SignedIn, member: AtPartner, after: str | None = None
) -> Response:
    """Show where it is read, and its newest events or those behind a cursor."""
    partner_id = member.partner.id
    found, user = await asyncio.gather(
        visitor.services.feeds.GetFeed(pb.GetFeedRequest(partner_id=partner_id)), me(visitor)
    )
    behind = _newest(found) if after is None else after.strip()
    asked = pb.ListFeedEventsRequest(partner_id=partner_id, after=behind, limit=PAGE_SIZE)
    refusal: Refusal | None = None
    events: list[Told] = []
    try:
        listed = await visitor.services.feeds.ListFeedEvents(asked)
        events = [_told(each) for each in listed.events]
    except aio.AioRpcError as error:
        refusal = refusal_of(error)
    return page(
        request,
        "partner/feed",
        refusal=refusal,
        member=member,
        feed=found,
        events=events,
        after=after or "",
        next_page=events[-1].sequence if len(events) == PAGE_SIZE else "",
        zone=user.time_zone,
    )


def _newest(found: pb.GetFeedResponse) -> str:
    """Return the cursor with a page of events behind it at the most; empty for the oldest."""
    first, last = int(found.first_sequence or 0), int(found.last_sequence or 0)
    behind = last - PAGE_SIZE
    return str(behind).zfill(len(found.last_sequence)) if behind > first else ""


def _told(event: pb.FeedEvent) -> Told:
    document = msgspec.json.decode(event.document, type=_Document)
    return Told(
        sequence=event.sequence,
        name=document.type.rpartition(".")[2],
        at=int(document.time.timestamp() * NANOSECONDS),
        data=msgspec.json.format(bytes(document.data)).decode(),
    )
