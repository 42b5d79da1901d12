"""`chargekey webhook`: where a partner's feed is posted to, and what became of that."""

from __future__ import annotations

from typing import Annotated

import typer

from chargekey.notifier.v1 import webhooks_pb2 as pb
from chargekey_common.pages import every
from chargekey_stack.answers import Answer, Document, done, instant, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.errors import NothingToChangeError
from chargekey_stack.options import Before, Limit, PartnerArgument
from chargekey_stack.paging import newest

app = group("webhook", "Where a partner's feed is posted to, and what became of that.")

WebhookArgument = Annotated[str, typer.Argument(metavar="WEBHOOK", help="The webhook's id.")]
Events = Annotated[
    str | None,
    typer.Option(
        "--events",
        metavar="EVENTS",
        help="Which events, as in SessionStarted,SessionEnded; all of them without it.",
    ),
]


@command(app, "add", "chargekey webhook add 2c9e... --url https://volt.example/chargekey")
async def add(
    client: Client,
    *,
    partner: PartnerArgument,
    url: Annotated[str, typer.Option("--url", help="An https address.")],
    events: Events = None,
) -> Answer:
    """Post a partner's feed there, from now on; the secret that signs is shown this once."""
    created = await client.webhooks.CreateWebhook(
        pb.CreateWebhookRequest(partner_id=partner, url=url, events=_names(events or ""))
    )
    return done(
        f"Added {created.webhook_id} with the secret {created.secret}",
        id=created.webhook_id,
        secret=created.secret,
    )


@command(app, "list", "chargekey webhook list 2c9e...")
async def list_(client: Client, *, partner: PartnerArgument) -> Answer:
    """List a partner's webhooks: how far each has come, and since when it fails."""
    request = pb.ListWebhooksRequest(partner_id=partner)
    found = await every(client.webhooks.ListWebhooks, request, "webhooks")
    return table("webhooks", [_document(each) for each in found])


@command(app, "change", "chargekey webhook change 77b0... --events SessionStarted,SessionEnded")
async def change(
    client: Client,
    *,
    webhook: WebhookArgument,
    url: Annotated[str | None, typer.Option("--url", help="An https address.")] = None,
    events: Annotated[
        str | None,
        typer.Option("--events", metavar="EVENTS", help="Which events; '' for all of them."),
    ] = None,
) -> Answer:
    """Change what is given and leave the rest; what waits is tried at once."""
    if url is events is None:
        raise NothingToChangeError
    names = None if events is None else pb.EventNames(names=_names(events))
    await client.webhooks.ChangeWebhook(
        pb.ChangeWebhookRequest(webhook_id=webhook, url=url, events=names)
    )
    return done("Changed.")


@command(app, "enable", "chargekey webhook enable 77b0...")
async def enable(client: Client, *, webhook: WebhookArgument) -> Answer:
    """Go on where it stood, at once."""
    await client.webhooks.ChangeWebhook(pb.ChangeWebhookRequest(webhook_id=webhook, enabled=True))
    return done("Enabled.")


@command(app, "disable", "chargekey webhook disable 77b0...")
async def disable(client: Client, *, webhook: WebhookArgument) -> Answer:
    """Post there no more; its place is kept."""
    await client.webhooks.ChangeWebhook(pb.ChangeWebhookRequest(webhook_id=webhook, enabled=False))
    return done("Disabled.")


@command(app, "remove", "chargekey webhook remove 77b0...")
async def remove(client: Client, *, webhook: WebhookArgument) -> Answer:
    """Remove a webhook, with its place and its log."""
    await client.webhooks.RemoveWebhook(pb.RemoveWebhookRequest(webhook_id=webhook))
    return done("Removed.")


@command(app, "rotate", "chargekey webhook rotate 77b0...")
async def rotate(client: Client, *, webhook: WebhookArgument) -> Answer:
    """Make another secret, shown this once; the one before signs beside it for a day."""
    rotated = await client.webhooks.RotateWebhookSecret(
        pb.RotateWebhookSecretRequest(webhook_id=webhook)
    )
    return done(f"The secret is {rotated.secret}", secret=rotated.secret)


@command(app, "attempts", "chargekey webhook attempts 77b0... --limit 20")
async def attempts(
    client: Client, *, webhook: WebhookArgument, limit: Limit = 100, before: Before = ""
) -> Answer:
    """List what was posted in the last thirty days, the newest first, and what became of it."""
    request = pb.ListWebhookAttemptsRequest(webhook_id=webhook, page_token=before)
    found, cursor = await newest(client.webhooks.ListWebhookAttempts, request, "attempts", limit)
    rows = [
        {
            "at": instant(each.at),
            "result": each.result,
            "took_ms": each.took_ms,
            "event": each.event,
            "sequence": each.sequence,
            "event_id": each.event_id,
        }
        for each in found
    ]
    return table("attempts", rows, cursor=cursor)


@command(app, "replay", "chargekey webhook replay 77b0... --after 00000000000000000041")
async def replay(
    client: Client,
    *,
    webhook: WebhookArgument,
    after: Annotated[
        str,
        typer.Option(
            "--after", metavar="SEQUENCE", help="The event to go on behind; without it, the oldest."
        ),
    ] = "",
) -> Answer:
    """Post again what comes behind an event, in order and with the same ids, then go on.

    A later one than it stood at leaves out those between.
    """
    await client.webhooks.ReplayWebhook(pb.ReplayWebhookRequest(webhook_id=webhook, after=after))
    return done("It goes on from there.")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _document(webhook: pb.Webhook) -> Document:
    since = instant(webhook.failing_since) if webhook.HasField("failing_since") else None
    again = instant(webhook.next_attempt_at) if webhook.HasField("next_attempt_at") else None
    return {
        "id": webhook.id,
        "url": webhook.url,
        "events": list(webhook.events),
        "enabled": webhook.enabled,
        "disabled_because": webhook.disabled_because or None,
        "delivered_sequence": webhook.delivered_sequence or None,
        "failing_since": since,
        "next_attempt_at": again,
    }
