"""The gRPC service: where a partner's feed is, and what it holds."""

from __future__ import annotations

from typing import Any

from grpc import aio

from chargekey.notifier.v1 import feeds_pb2 as pb
from chargekey.notifier.v1 import feeds_pb2_grpc
from chargekey_common.grpc.server import Objects, Service
from chargekey_common.published.feed import sequence_of
from chargekey_notifier.api.partners import Partners
from chargekey_notifier.feeds import reading
from chargekey_notifier.feeds.store import Feeds
from chargekey_notifier.nats_door.streams import INBOX_PREFIX

NAME = "chargekey.notifier.v1.FeedService"

Context = aio.ServicerContext[Any, Any]


class FeedServicer(feeds_pb2_grpc.FeedServiceServicer):
    """Every method of feeds.proto."""

    def __init__(self, feeds: Feeds, partners: Partners, *, public_url: str, nats_url: str) -> None:
        self._feeds = feeds
        self._partners = partners
        self._public_url = public_url
        self._nats_url = nats_url

    async def GetFeed(self, request: pb.GetFeedRequest, _: Context) -> pb.GetFeedResponse:
        await self._partners.require(request.partner_id)
        ends = await reading.ends(self._feeds, request.partner_id)
        return pb.GetFeedResponse(
            first_sequence="" if ends is None else sequence_of(ends.first),
            last_sequence="" if ends is None else sequence_of(ends.last),
            events_url=f"{self._public_url}/v1/events",
            nats_url=self._nats_url,
            nats_stream=request.partner_id,
            nats_inbox_prefix=INBOX_PREFIX,
        )

    async def ListFeedEvents(
        self, request: pb.ListFeedEventsRequest, _: Context
    ) -> pb.ListFeedEventsResponse:
        await self._partners.require(request.partner_id)
        found = await reading.page(
            self._feeds, request.partner_id, after=request.after, limit=request.limit
        )
        return pb.ListFeedEventsResponse(
            events=[
                pb.FeedEvent(sequence=sequence_of(each.number), document=each.document)
                for each in found
            ]
        )

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {"GetFeed": _partner, "ListFeedEvents": _partner}


def service(feeds: Feeds, partners: Partners, *, public_url: str, nats_url: str) -> Service:
    """Return the service, to be served."""
    servicer = FeedServicer(feeds, partners, public_url=public_url, nats_url=nats_url)
    return Service(
        NAME, feeds_pb2_grpc.add_FeedServiceServicer_to_server, servicer, servicer.objects()
    )


def _partner(request: pb.GetFeedRequest | pb.ListFeedEventsRequest) -> str:
    return f"partner:{request.partner_id}"
