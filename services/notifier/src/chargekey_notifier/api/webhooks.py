"""The gRPC service: where a partner's feed is posted to, and what became of that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from grpc import aio

from chargekey.notifier.v1 import webhooks_pb2 as pb
from chargekey.notifier.v1 import webhooks_pb2_grpc
from chargekey_common import pages
from chargekey_common.grpc.server import Objects, Service, command_context
from chargekey_common.pages import PageTokenMalformedError
from chargekey_common.published.feed import sequence_of
from chargekey_notifier.api.partners import Partners
from chargekey_notifier.errors import CursorMalformedError
from chargekey_notifier.feeds import reading
from chargekey_notifier.feeds.store import Feeds
from chargekey_notifier.reachable import reachable
from chargekey_notifier.webhooks.endpoint import Endpoint, event_names, url
from chargekey_notifier.webhooks.store import Listed, Webhooks

NAME = "chargekey.notifier.v1.WebhookService"
_HIGHEST = 2**63 - 1

Context = aio.ServicerContext[Any, Any]
P = ParamSpec("P")
Result = TypeVar("Result")


class _AboutOne(Protocol):
    webhook_id: str


class WebhookServicer(webhooks_pb2_grpc.WebhookServiceServicer):
    """Every method of webhooks.proto."""

    def __init__(
        self, webhooks: Webhooks, feeds: Feeds, partners: Partners, *, anywhere: bool
    ) -> None:
        self._webhooks = webhooks
        self._feeds = feeds
        self._partners = partners
        self._anywhere = anywhere

    async def CreateWebhook(
        self, request: pb.CreateWebhookRequest, _: Context
    ) -> pb.CreateWebhookResponse:
        there = url(request.url, anywhere=self._anywhere)
        events = event_names(request.events)
        await self._partners.require(request.partner_id)
        ends = await reading.ends(self._feeds, request.partner_id)
        webhook_id, secret = await _stored(
            self._webhooks.create,
            command_context(request),
            partner_id=request.partner_id,
            url=there,
            events=events,
            after=0 if ends is None else ends.last,
        )
        return pb.CreateWebhookResponse(webhook_id=webhook_id, secret=secret)

    async def ChangeWebhook(
        self, request: pb.ChangeWebhookRequest, _: Context
    ) -> pb.ChangeWebhookResponse:
        there = url(request.url, anywhere=self._anywhere) if request.HasField("url") else None
        await _stored(
            self._webhooks.change,
            command_context(request),
            request.webhook_id,
            url=there,
            events=event_names(request.events.names) if request.HasField("events") else None,
            enabled=request.enabled if request.HasField("enabled") else None,
        )
        return pb.ChangeWebhookResponse()

    async def RemoveWebhook(
        self, request: pb.RemoveWebhookRequest, _: Context
    ) -> pb.RemoveWebhookResponse:
        await _stored(self._webhooks.remove, command_context(request), request.webhook_id)
        return pb.RemoveWebhookResponse()

    async def RotateWebhookSecret(
        self, request: pb.RotateWebhookSecretRequest, _: Context
    ) -> pb.RotateWebhookSecretResponse:
        secret = await _stored(self._webhooks.rotate, command_context(request), request.webhook_id)
        return pb.RotateWebhookSecretResponse(secret=secret)

    async def ListWebhooks(
        self, request: pb.ListWebhooksRequest, _: Context
    ) -> pb.ListWebhooksResponse:
        await self._partners.require(request.partner_id)
        found = await _stored(self._webhooks.of, request.partner_id)
        by_id = {each.id: each for each in found}
        page = pages.page(request, by_id, lambda key: _webhook(by_id[key]))
        return pb.ListWebhooksResponse(webhooks=page.entries, next_page_token=page.next_token)

    async def ListWebhookAttempts(
        self, request: pb.ListWebhookAttemptsRequest, _: Context
    ) -> pb.ListWebhookAttemptsResponse:
        size = pages.size(request)
        await _stored(self._webhooks.endpoint, request.webhook_id)  # it must exist
        found = await _stored(
            self._webhooks.attempts, request.webhook_id, before=_place(request), limit=size + 1
        )
        shown = found[:size]
        more = pages.token_of(str(shown[-1].number)) if len(found) > size else ""
        return pb.ListWebhookAttemptsResponse(
            attempts=[_attempt(each) for each in shown], next_page_token=more
        )

    async def ReplayWebhook(
        self, request: pb.ReplayWebhookRequest, _: Context
    ) -> pb.ReplayWebhookResponse:
        after = reading.number_of(request.after)
        partner_id = await _stored(self._webhooks.partner_of, request.webhook_id)
        ends = await reading.ends(self._feeds, partner_id)
        if after > (0 if ends is None else ends.last):
            raise CursorMalformedError
        await _stored(
            self._webhooks.replay, command_context(request), request.webhook_id, after=after
        )
        return pb.ReplayWebhookResponse()

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "CreateWebhook": _partner,
            "ListWebhooks": _partner,
            "ChangeWebhook": self._holder,
            "RemoveWebhook": self._holder,
            "RotateWebhookSecret": self._holder,
            "ListWebhookAttempts": self._holder,
            "ReplayWebhook": self._holder,
        }

    async def _holder(self, request: _AboutOne) -> str:
        return f"partner:{await _stored(self._webhooks.partner_of, request.webhook_id)}"


def service(webhooks: Webhooks, feeds: Feeds, partners: Partners, *, anywhere: bool) -> Service:
    """Return the service, to be served; `anywhere` lets webhooks be called without TLS."""
    servicer = WebhookServicer(webhooks, feeds, partners, anywhere=anywhere)
    return Service(
        NAME,
        webhooks_pb2_grpc.add_WebhookServiceServicer_to_server,
        servicer,
        servicer.objects(),
    )


def _partner(request: pb.CreateWebhookRequest | pb.ListWebhooksRequest) -> str:
    return f"partner:{request.partner_id}"


async def _stored(call: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Ask the tables; raises NotifierUnavailableError where they do not answer."""
    with reachable():
        return await asyncio.to_thread(call, *args, **kwargs)


def _place(request: pb.ListWebhookAttemptsRequest) -> int | None:
    """Return the place in the log that a page begins before; raises PageTokenMalformedError."""
    if not request.page_token:
        return None
    text = pages.anchor(request)
    if not (text.isascii() and text.isdigit()) or int(text[:20]) > _HIGHEST:
        raise PageTokenMalformedError
    return int(text)


def _webhook(endpoint: Endpoint) -> pb.Webhook:
    return pb.Webhook(
        id=endpoint.id,
        partner_id=endpoint.partner_id,
        url=endpoint.url,
        events=endpoint.events,
        enabled=endpoint.disabled_because is None,
        disabled_because=endpoint.disabled_because or "",
        delivered_sequence=sequence_of(endpoint.delivered) if endpoint.delivered else "",
        failing_since=endpoint.failing_since,
        next_attempt_at=endpoint.next_attempt_at,
    )


def _attempt(listed: Listed) -> pb.WebhookAttempt:
    attempt = listed.attempt
    return pb.WebhookAttempt(
        sequence=sequence_of(attempt.sequence),
        event_id=attempt.event_id,
        event=attempt.event,
        at=attempt.at,
        took_ms=attempt.took_ms,
        result=attempt.result,
    )
