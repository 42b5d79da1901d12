"""One event has the same bytes behind each door that is asked: pages, streams, gRPC (F19)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from chargekey.access.v1 import partners_pb2, partners_pb2_grpc
from chargekey.notifier.v1 import feeds_pb2 as pb
from chargekey.notifier.v1 import feeds_pb2_grpc
from chargekey_common.accounts import Caller, service_account
from chargekey_common.asyncapi import sample
from chargekey_common.grpc.server import Service
from chargekey_common.published.feed import EVENTS, ConnectorStatusChanged, sequence_of
from chargekey_common.testing.grpc import served
from chargekey_notifier.api import feeds as feed_service
from chargekey_notifier.api.partners import Partners
from chargekey_notifier.feeds.store import Telling

from .door import AT, VOLT, Context, Door, first, rules

# What separates lines somewhere, and what is escaped or not by taste.
ODD = 'a\r\nb\n\nc\u2028d\x85e\x00 "ø" \\ / <é> 充'


class EveryPartner(partners_pb2_grpc.PartnerServiceServicer):
    async def GetPartner(
        self, request: partners_pb2.GetPartnerRequest, _: Context
    ) -> partners_pb2.GetPartnerResponse:
        return partners_pb2.GetPartnerResponse(partner=partners_pb2.Partner(id=request.partner_id))


async def test_an_event_has_the_same_bytes_in_pages_streams_and_grpc(
    door: Door, tmp_path: Path
) -> None:
    """F19: for every event there is."""
    odd = ConnectorStatusChanged(
        installation_id="home", charger_id="left", connector=1, status=ODD, error_code=ODD
    )
    told = [*map(sample, EVENTS), odd]

    def tell() -> None:
        with door.feeds.telling() as (_, tellings):
            tellings += [Telling(VOLT, f"e{n}", AT, each) for n, each in enumerate(told)]

    await asyncio.to_thread(tell)
    kept = door.documents()
    assert len(kept) == len(told)
    assert json.loads(kept[-1])["data"]["status"] == ODD

    page = await door.get("/v1/events?limit=1000")
    assert page.content == b'{"events":[%b],"next":"%020d"}' % (b",".join(kept), len(kept))
    assert page.json()["events"] == [json.loads(each) for each in kept]

    async with door.stream() as events:
        streamed = await first(events, len(kept))
    assert [each.data for each in streamed] == kept
    assert [each.event for each in streamed] == [type(each).__name__ for each in told]

    partners = Service(
        "chargekey.access.v1.PartnerService",
        partners_pb2_grpc.add_PartnerServiceServicer_to_server,
        EveryPartner(),
        {"GetPartner": lambda request: f"partner:{request.partner_id}"},
    )
    async with served(partners, tmp_path / "access", rules) as to_access:
        known = Partners(to_access(service_account("notifier")))
        service = feed_service.service(
            door.feeds, known, public_url="https://x.test", nats_url="nats://x"
        )
        async with served(service, tmp_path / "grpc", rules) as as_caller:
            feeds = feeds_pb2_grpc.FeedServiceStub(as_caller(Caller(f"partner:{VOLT}")))
            asked = pb.ListFeedEventsRequest(partner_id=VOLT, limit=1000)
            answer = await feeds.ListFeedEvents(asked)
    assert [each.document for each in answer.events] == kept
    assert [each.sequence for each in answer.events] == [
        sequence_of(number) for number in range(1, len(kept) + 1)
    ]
