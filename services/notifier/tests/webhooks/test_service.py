"""Webhooks over gRPC, with a real sender behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from grpc import aio

from chargekey.access.v1 import partners_pb2, partners_pb2_grpc
from chargekey.notifier.v1 import webhooks_pb2 as pb
from chargekey.notifier.v1.webhooks_pb2_grpc import WebhookServiceStub
from chargekey_common.accounts import Caller
from chargekey_common.errors import PermissionDeniedError, UnavailableError
from chargekey_common.grpc.client import remote_error
from chargekey_common.grpc.server import Service
from chargekey_common.published.feed import sequence_of
from chargekey_common.testing.asking import NobodyMay, assert_every_method_asks
from chargekey_common.testing.grpc import served, stubs
from chargekey_common.testing.waiting import until
from chargekey_notifier.api import webhooks as webhook_service
from chargekey_notifier.api.partners import Partners

from .endpoint_server import an_endpoint, answer, in_turn
from .world import OFFLINE, REQUIRED, VOLT, World, a_world, command

MANAGER, MEMBER = Caller("user:manager"), Caller("user:member")
READS = {"notifier.ListWebhooks", "notifier.ListWebhookAttempts"}


class Access(partners_pb2_grpc.PartnerServiceServicer):
    """Knows every partner, unless it is away."""

    def __init__(self) -> None:
        self.away = False

    async def GetPartner(
        self, request: partners_pb2.GetPartnerRequest, _: aio.ServicerContext[Any, Any]
    ) -> partners_pb2.GetPartnerResponse:
        if self.away:
            raise UnavailableError
        return partners_pb2.GetPartnerResponse(partner=partners_pb2.Partner(id=request.partner_id))


async def may(caller: Caller, action: str, obj: str) -> None:
    """Let Volt's manager do everything with what is Volt's, and its members read."""
    if action == "access.GetPartner":
        return
    if obj != f"partner:{VOLT}" or caller not in (MANAGER, MEMBER):
        raise PermissionDeniedError
    if caller == MEMBER and action not in READS:
        raise PermissionDeniedError


class Running(msgspec.Struct, frozen=True):
    """A world that is served and sends."""

    world: World
    access: Access
    manager: Any
    member: Any


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    access = Access()
    of_access = Service(
        "chargekey.access.v1.PartnerService",
        partners_pb2_grpc.add_PartnerServiceServicer_to_server,
        access,
        {"GetPartner": lambda request: f"partner:{request.partner_id}"},
    )
    with a_world(tmp_path) as world:
        async with served(of_access, tmp_path / "access", may) as to_access, world.sending():
            service = webhook_service.service(
                world.webhooks, world.feeds, Partners(to_access(MANAGER)), anywhere=True
            )
            async with served(service, tmp_path / "notifier", may) as as_caller:
                manager, member = (
                    stubs(as_caller(each), WebhookServiceStub) for each in (MANAGER, MEMBER)
                )
                yield Running(world, access, manager, member)


async def test_a_webhook_from_its_beginning_to_its_end(running: Running) -> None:
    world, manager = running.world, running.manager
    world.tell(REQUIRED)
    async with an_endpoint() as endpoint:
        endpoint.behave = in_turn([answer(500, body=b"secret of theirs")], then=answer())
        request = pb.CreateWebhookRequest(
            command_id="c1", partner_id=VOLT, url=endpoint.url, events=["ChargerDisconnected"]
        )
        created = await manager.CreateWebhook(request)
        world.tell(REQUIRED, OFFLINE)
        # Late, and answered as the first time.
        assert await manager.CreateWebhook(request) == created
        await until(lambda: endpoint.posted)
        await until(lambda: world.now(created.webhook_id).failures)
        listing = pb.ListWebhooksRequest(partner_id=VOLT)
        [listed] = (await running.member.ListWebhooks(listing)).webhooks
        [failed] = [
            each.attempt for each in world.webhooks.attempts(listed.id, before=None, limit=9)
        ]
        assert listed == pb.Webhook(
            id=created.webhook_id,
            partner_id=VOLT,
            url=endpoint.url,
            events=["ChargerDisconnected"],
            enabled=True,
            delivered_sequence=sequence_of(1),
            failing_since=failed.at,
            next_attempt_at=world.now(listed.id).next_attempt_at,
        )
        about = {"webhook_id": listed.id}
        await manager.ChangeWebhook(pb.ChangeWebhookRequest(**about, events=pb.EventNames()))
        await endpoint.has(3, 2, 3)
        await until(lambda: world.now(listed.id).delivered == 3)
        await manager.ChangeWebhook(pb.ChangeWebhookRequest(**about, enabled=False))
        [listed] = (await manager.ListWebhooks(listing)).webhooks
        assert (listed.enabled, listed.disabled_because) == (False, "by_hand")
        assert (list(listed.events), listed.url) == ([], endpoint.url)
        rotated = await manager.RotateWebhookSecret(pb.RotateWebhookSecretRequest(**about))
        assert rotated.secret.startswith("whsec_")
        assert rotated.secret != created.secret
        await manager.ReplayWebhook(pb.ReplayWebhookRequest(**about))
        await manager.ChangeWebhook(pb.ChangeWebhookRequest(**about, enabled=True))
        await endpoint.has(3, 2, 3, 1, 2, 3)
        removal = pb.RemoveWebhookRequest(command_id="c2", **about)
        for _ in range(2):
            await manager.RemoveWebhook(removal)
        assert not (await manager.ListWebhooks(listing)).webhooks
        with pytest.raises(aio.AioRpcError) as refused:
            await manager.ListWebhookAttempts(pb.ListWebhookAttemptsRequest(**about))
        assert remote_error(refused.value).code == "webhook_unknown"


async def test_attempts_are_told_in_pages_the_newest_first(running: Running) -> None:
    """F29."""
    world = running.world
    async with an_endpoint() as endpoint:
        endpoint.behave = in_turn([answer(202), answer(410)], then=answer())
        webhook_id = world.create(endpoint.url)
        world.tell(REQUIRED, OFFLINE)
        await until(lambda: world.now(webhook_id).disabled_because == "gone")
        world.webhooks.change(command(), webhook_id, enabled=True)
        await until(lambda: world.now(webhook_id).delivered == 2)
    request = pb.ListWebhookAttemptsRequest(webhook_id=webhook_id, page_size=2)
    first = await running.member.ListWebhookAttempts(request)
    request.page_token = first.next_page_token
    rest = await running.member.ListWebhookAttempts(request)
    assert rest.next_page_token == ""
    told = [(each.sequence, each.event, each.result) for each in (*first.attempts, *rest.attempts)]
    assert told == [
        (sequence_of(2), "ChargerDisconnected", "delivered"),
        (sequence_of(2), "ChargerDisconnected", "http_410"),
        (sequence_of(1), "AuthorisationRequiredSet", "delivered"),
    ]
    assert [each.event_id for each in rest.attempts] == [world.feeds.read(VOLT)[0].id]


async def test_members_read_and_only_who_manages_the_partner_changes(running: Running) -> None:
    webhook_id = running.world.create("http://127.0.0.1:1/")
    for refused in (
        running.member.CreateWebhook(pb.CreateWebhookRequest(partner_id=VOLT, url="http://x/")),
        running.member.RemoveWebhook(pb.RemoveWebhookRequest(webhook_id=webhook_id)),
        running.member.ListWebhooks(pb.ListWebhooksRequest(partner_id="watt")),
    ):
        with pytest.raises(aio.AioRpcError) as error:
            await refused
        assert remote_error(error.value).code == "permission_denied"
    found = await running.member.ListWebhooks(pb.ListWebhooksRequest(partner_id=VOLT))
    assert [each.id for each in found.webhooks] == [webhook_id]


async def test_nothing_is_made_while_nobody_knows_whether_there_is_such_a_partner(
    running: Running,
) -> None:
    running.access.away = True
    with pytest.raises(aio.AioRpcError) as error:
        await running.manager.CreateWebhook(
            pb.CreateWebhookRequest(partner_id=VOLT, url="http://127.0.0.1/")
        )
    assert remote_error(error.value).code == "unavailable"
    assert list(running.world.webhooks.of(VOLT)) == []


async def test_every_method_asks_and_tells_nothing_to_who_may_not(tmp_path: Path) -> None:
    rules = NobodyMay()
    with a_world(tmp_path) as world:
        webhook_id = world.create("http://127.0.0.1:1/")
        asked: Any = None
        service = webhook_service.service(world.webhooks, world.feeds, asked, anywhere=True)
        about = {"webhook_id": webhook_id}
        async with served(service, tmp_path, rules) as as_caller:
            await assert_every_method_asks(
                as_caller,
                rules.asked,
                pb.ChangeWebhookRequest(**about),
                pb.RemoveWebhookRequest(**about),
                pb.RotateWebhookSecretRequest(**about),
                pb.ListWebhookAttemptsRequest(**about),
                pb.ReplayWebhookRequest(**about),
            )
    assert {obj for caller, _, obj in rules.asked if caller != "anonymous:nobody"} >= {
        f"partner:{VOLT}"
    }
