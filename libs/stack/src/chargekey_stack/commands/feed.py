"""`chargekey feed`: what a partner is told, and where its programs read it."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from chargekey.notifier.v1 import feeds_pb2 as pb
from chargekey_stack.answers import Answer, cell, fields, nobody_reads
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.interruption import Interruptible
from chargekey_stack.options import PartnerArgument

# Seconds until it is asked again what has come.
PAUSE = 1.0

app = group("feed", "What a partner is told of the sites it has access to.")


@command(app, "show", "chargekey feed show 2c9e...")
async def show(client: Client, *, partner: PartnerArgument) -> Answer:
    """Show where a partner's programs read its feed, and from which cursor to which it goes."""
    found = await client.feeds.GetFeed(pb.GetFeedRequest(partner_id=partner))
    told = pb.GetFeedResponse.DESCRIPTOR.fields
    return fields({each.name: getattr(found, each.name) or None for each in told})


@command(app, "events", "chargekey feed events 2c9e... --follow")
async def events(
    client: Client,
    *,
    partner: PartnerArgument,
    after: Annotated[
        str,
        typer.Option("--after", metavar="CURSOR", help="Only what comes behind this sequence."),
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, help="At most so many; a page with --follow.")
    ] = 100,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with what comes, until Ctrl-C.")
    ] = False,
) -> Answer | None:
    """Show what a partner is told, the oldest first; --follow and --json: a document a line."""
    request = pb.ListFeedEventsRequest(partner_id=partner, after=after, limit=limit)
    if not follow:
        return _list((await client.feeds.ListFeedEvents(request)).events)
    with Interruptible():
        while not nobody_reads():
            found = (await client.feeds.ListFeedEvents(request)).events
            for each in found:
                client.show(_line(each))
                request.after = each.sequence
            if not found:
                await asyncio.sleep(PAUSE)
    return None


def _list(found: Sequence[pb.FeedEvent]) -> Answer:
    lines = list(map(_line, found))
    next_cursor = found[-1].sequence if found else None
    return Answer(
        {"events": [each.document for each in lines], "next": next_cursor},
        "\n".join(each.sentence for each in lines) or "No events.",
    )


def _line(event: pb.FeedEvent) -> Answer:
    """Write an event on one line: cursor, time, name, what else there is to say."""
    document = msgspec.json.decode(event.document)
    name = document["type"].rpartition(".")[2]
    more = " ".join(f"{key}={cell(value)}" for key, value in document["data"].items())
    line = f"{event.sequence}  {document['time']}  {name:<27}  {more}"
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else len(line)
    return Answer(document, line[:width].rstrip())
