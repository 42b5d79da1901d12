"""`chargekey events`: what the streams have published."""

from __future__ import annotations

import shutil
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from chargekey_stack.answers import Answer, cell, instant, nobody_reads
from chargekey_stack.client import Client
from chargekey_stack.command import command
from chargekey_stack.errors import ChoiceUnknownError
from chargekey_stack.interruption import Interruptible
from chargekey_stack.words import completed

if TYPE_CHECKING:
    from chargekey_stack.events import Event

# Nanoseconds since the epoch.
INSTANTS = ("at", "started_at", "ended_at", "valid_until", "until", "expires_at")
STREAMS = ("ACCESS", "IDENTITY", "SESSIONS", "CHARGERS")

app = typer.Typer()


@command(app, "events", "chargekey events --stream ACCESS --follow")
async def events(
    client: Client,
    *,
    stream: Annotated[
        str,
        typer.Option(
            "--stream",
            metavar="STREAMS",
            help=f"As in access,identity; of {', '.join(STREAMS)}. All of them by default.",
            autocompletion=completed([name.lower() for name in STREAMS]),
        ),
    ] = ",".join(STREAMS),
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=0, help="Of those so far, only the newest.")
    ] = None,
) -> Answer | None:
    """Show what was published, the oldest first; with --follow and --json, a document a line."""
    streams = _streams(stream)
    # The broker's client takes its time to import, which other commands need not wait for.
    from chargekey_stack.events import connection, published  # noqa: PLC0415

    with Interruptible():
        async with (
            connection(client.system.nats, client.nats_token) as broker,
            aclosing(published(broker, streams, follow=follow)) as batches,
        ):
            so_far = await anext(batches)
            newest = so_far if limit is None else so_far[len(so_far) - limit :]
            if not follow:
                return _list(newest)
            for event in newest:
                client.show(_line(event))
            async for batch in batches:
                if nobody_reads():
                    return None
                for event in batch:
                    client.show(_line(event))
    return None


def _streams(text: str) -> list[str]:
    """Return the streams' names; raises ChoiceUnknownError, which lists them."""
    names = [word.strip().upper() for word in text.split(",") if word.strip()]
    if not names or not set(names) <= set(STREAMS):
        raise ChoiceUnknownError(", ".join(STREAMS))
    return names


def _list(found: list[Event]) -> Answer:
    document = {"events": [event.document for event in found]}
    return Answer(document, "\n".join(map(_written, found)) or "No events.")


def _line(event: Event) -> Answer:
    return Answer(event.document, _written(event))


def _written(event: Event) -> str:
    """Write an event on one line: time, type, what it is about, what else there is to say."""
    kind, thing = event.about
    more = " ".join(
        f"{name}={instant(value) if name in INSTANTS else cell(value)}"
        for name, value in event.document["data"].items()
        if value != thing and not isinstance(value, dict)
    )
    line = f"{event.time}  {event.name:<27}  {kind:<12} {thing:<36}  {more}"
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else len(line)
    return line[:width].rstrip()
