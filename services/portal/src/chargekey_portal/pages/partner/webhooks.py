"""`/partners/ID/webhooks`: where the partner's feed is posted to, and what became of that."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from grpc import aio

from chargekey.notifier.v1 import webhooks_pb2 as pb
from chargekey_common.published.feed import EVENTS
from chargekey_portal.forms import Text, Ticked
from chargekey_portal.memberships import AtPartner, Membership
from chargekey_portal.mine import MOST, me
from chargekey_portal.refusals import NOT_FOUND, Refusal, RefusedError, refusal_of, why_refused
from chargekey_portal.rendering import page, see
from chargekey_portal.sites import PAGE_SIZE
from chargekey_portal.visitors import SignedIn, Visitor

router = APIRouter()

# Their names, as they are chosen from.
_EVENTS = tuple(each.__name__ for each in EVENTS)


@router.get("/partners/{partner_id}/webhooks")
async def webhooks(
    request: Request, visitor: SignedIn, member: AtPartner, after: str = ""
) -> Response:
    """List them, by pages."""
    asked = pb.ListWebhooksRequest(
        partner_id=member.partner.id, page_size=PAGE_SIZE, page_token=after
    )
    found, user = await asyncio.gather(visitor.services.webhooks.ListWebhooks(asked), me(visitor))
    return page(
        request,
        "partner/webhooks",
        member=member,
        webhooks=found.webhooks,
        next_page=found.next_page_token,
        zone=user.time_zone,
    )


@router.get("/partners/{partner_id}/webhooks/new")
async def ask_for_new(request: Request, member: AtPartner) -> Response:
    """Ask where to post, and what."""
    return _new(request, member)


@router.post("/partners/{partner_id}/webhooks/new")
async def create(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    command_id: Text = "",
    url: Text = "",
    event: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """Post there from now on, and show the secret that signs this once."""
    asked = pb.CreateWebhookRequest(
        command_id=command_id, partner_id=member.partner.id, url=url, events=event or ()
    )
    try:
        created = await visitor.services.webhooks.CreateWebhook(asked)
    except aio.AioRpcError as error:
        return _new(request, member, refusal_of(error), pb.Webhook(url=url, events=event or ()))
    return _secret(request, member, created.webhook_id, created.secret)


@router.get("/partners/{partner_id}/webhooks/{webhook_id}")
async def webhook(
    request: Request, visitor: SignedIn, member: AtPartner, webhook_id: str, after: str = ""
) -> Response:
    """Show how far it has come, and its delivery log by pages."""
    return await _webhook(request, visitor, member, webhook_id, after=after)


@router.post("/partners/{partner_id}/webhooks/{webhook_id}")
async def change(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    webhook_id: str,
    command_id: Text = "",
    url: Text = "",
    event: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """Post elsewhere, or other events; what waits is tried at once."""
    asked = pb.ChangeWebhookRequest(
        command_id=command_id,
        webhook_id=webhook_id,
        url=url,
        events=pb.EventNames(names=event or ()),
    )
    refusal = await why_refused(visitor.services.webhooks.ChangeWebhook(asked))
    if refusal is None:
        return see(_path(member, webhook_id), "saved")
    typed = pb.Webhook(url=url, events=event or ())
    return await _webhook(request, visitor, member, webhook_id, refusal, typed)


@router.post("/partners/{partner_id}/webhooks/{webhook_id}/enabled")
async def set_enabled(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    webhook_id: str,
    command_id: Text = "",
    enabled: Ticked = False,
) -> Response:
    """Go on where it stood, or stop there."""
    asked = pb.ChangeWebhookRequest(command_id=command_id, webhook_id=webhook_id, enabled=enabled)
    refusal = await why_refused(visitor.services.webhooks.ChangeWebhook(asked))
    if refusal is None:
        return see(_path(member, webhook_id), "saved")
    return await _webhook(request, visitor, member, webhook_id, refusal)


@router.post("/partners/{partner_id}/webhooks/{webhook_id}/replay")
async def replay(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    webhook_id: str,
    command_id: Text = "",
    cursor: Text = "",
) -> Response:
    """Post again what comes behind a cursor."""
    asked = pb.ReplayWebhookRequest(
        command_id=command_id, webhook_id=webhook_id, after=cursor.strip()
    )
    refusal = await why_refused(visitor.services.webhooks.ReplayWebhook(asked))
    if refusal is None:
        return see(_path(member, webhook_id), "webhook_replays")
    return await _webhook(request, visitor, member, webhook_id, refusal)


@router.get("/partners/{partner_id}/webhooks/{webhook_id}/secret")
async def ask_to_rotate(request: Request, member: AtPartner, webhook_id: str) -> Response:
    """Ask whether that is meant."""
    return _confirm(request, "partner/webhook_secret", member, webhook_id)


@router.post("/partners/{partner_id}/webhooks/{webhook_id}/secret")
async def rotate_secret(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    webhook_id: str,
    command_id: Text = "",
) -> Response:
    """Sign with another secret, and show it this once."""
    asked = pb.RotateWebhookSecretRequest(command_id=command_id, webhook_id=webhook_id)
    try:
        rotated = await visitor.services.webhooks.RotateWebhookSecret(asked)
    except aio.AioRpcError as error:
        refusal = refusal_of(error)
        return _confirm(request, "partner/webhook_secret", member, webhook_id, refusal)
    return _secret(request, member, webhook_id, rotated.secret)


@router.get("/partners/{partner_id}/webhooks/{webhook_id}/remove")
async def ask_to_remove(request: Request, member: AtPartner, webhook_id: str) -> Response:
    """Ask whether that is meant."""
    return _confirm(request, "partner/webhook_remove", member, webhook_id)


@router.post("/partners/{partner_id}/webhooks/{webhook_id}/remove")
async def remove(
    request: Request,
    visitor: SignedIn,
    member: AtPartner,
    webhook_id: str,
    command_id: Text = "",
) -> Response:
    """Remove it, with its place and its log."""
    asked = pb.RemoveWebhookRequest(command_id=command_id, webhook_id=webhook_id)
    refusal = await why_refused(visitor.services.webhooks.RemoveWebhook(asked))
    if refusal is None:
        return see(f"{member.path}/webhooks", "removed")
    return _confirm(request, "partner/webhook_remove", member, webhook_id, refusal)


def _path(member: Membership, webhook_id: str) -> str:
    return f"{member.path}/webhooks/{webhook_id}"


def _new(
    request: Request,
    member: Membership,
    refusal: Refusal | None = None,
    typed: pb.Webhook | None = None,
) -> Response:
    return page(
        request,
        "partner/webhook_new",
        refusal=refusal,
        member=member,
        typed=typed or pb.Webhook(),
        event_names=_EVENTS,
    )


async def _webhook(
    request: Request,
    visitor: Visitor,
    member: Membership,
    webhook_id: str,
    refusal: Refusal | None = None,
    typed: pb.Webhook | None = None,
    after: str = "",
) -> Response:
    asked = pb.ListWebhooksRequest(partner_id=member.partner.id, page_size=MOST)
    listed = await visitor.services.webhooks.ListWebhooks(asked)
    found = next((each for each in listed.webhooks if each.id == webhook_id), None)
    if found is None:
        raise RefusedError(NOT_FOUND)
    attempts, user = await asyncio.gather(
        visitor.services.webhooks.ListWebhookAttempts(
            pb.ListWebhookAttemptsRequest(
                webhook_id=webhook_id, page_size=PAGE_SIZE, page_token=after
            )
        ),
        me(visitor),
    )
    return page(
        request,
        "partner/webhook",
        refusal=refusal,
        member=member,
        webhook=found,
        typed=typed or found,
        attempts=attempts.attempts,
        next_page=attempts.next_page_token,
        event_names=_EVENTS,
        zone=user.time_zone,
    )


def _secret(request: Request, member: Membership, webhook_id: str, secret: str) -> Response:
    return page(
        request,
        "partner/secret",
        member=member,
        secrets={"id": webhook_id, "secret": secret},
        back=_path(member, webhook_id),
    )


def _confirm(
    request: Request,
    template: str,
    member: Membership,
    webhook_id: str,
    refusal: Refusal | None = None,
) -> Response:
    return page(
        request,
        template,
        refusal=refusal,
        member=member,
        back=_path(member, webhook_id),
    )
