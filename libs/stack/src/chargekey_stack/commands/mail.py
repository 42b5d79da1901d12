"""`chargekey mail`: mails caught instead of sent, and which of them a person wants."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from chargekey.notifier.v1 import mails_pb2 as pb
from chargekey_common.caught_mails import caught, caught_mail
from chargekey_stack.answers import Answer, done, instant, table
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.errors import NotSignedInError

app = group("mail", "Mails caught instead of sent, and which of them a person wants.")

Whose = Annotated[str, typer.Argument(metavar="[USER]", help="The user's id; you, without one.")]


@command(app, "list", "chargekey mail list --to ada@example.org")
async def list_(
    client: Client,
    *,
    to: Annotated[str | None, typer.Option("--to", help="Only those to this address.")] = None,
) -> Answer:
    """List the mails that were caught, oldest first; a system of your own sends none."""
    found = await asyncio.to_thread(caught, client.data.mail)
    rows = [
        {"id": each.id, "at": instant(int(each.id)), "to": each.to, "subject": each.subject}
        for each in found
        if to in (None, each.to)
    ]
    return table("mails", rows)


@command(app, "show", "chargekey mail show 1763725200000000000")
async def show(
    client: Client,
    *,
    mail: Annotated[str, typer.Argument(metavar="MAIL", help="The mail's id.")],
) -> Answer:
    """Show a mail that was caught, with its links."""
    found = await asyncio.to_thread(caught_mail, client.data.mail, mail)
    return done(
        f"To: {found.to}\nSubject: {found.subject}\n\n{found.text}",
        id=found.id,
        to=found.to,
        subject=found.subject,
        text=found.text,
    )


@command(app, "choices", "chargekey mail choices")
async def choices(client: Client, *, user: Whose = "") -> Answer:
    """List which mails can be declined, and which are."""
    request = pb.GetMailChoicesRequest(user_id=_whose(client, user))
    found = (await client.mails.GetMailChoices(request)).choices
    rows = [{"choice": choice, "declined": choice in found.declined} for choice in found.offered]
    return table("choices", rows)


@command(app, "choose", "chargekey mail choose --decline reminders --decline lockouts")
async def choose(
    client: Client,
    *,
    user: Whose = "",
    decline: Annotated[
        list[str] | None,
        typer.Option("--decline", metavar="CHOICE", help="No such mails; may be given often."),
    ] = None,
) -> Answer:
    """Decline these mails and no others; without any, get them all."""
    await client.mails.SetMailChoices(
        pb.SetMailChoicesRequest(user_id=_whose(client, user), declined=decline or [])
    )
    return done("Chosen.")


def _whose(client: Client, user: str) -> str:
    """Return the user who is named, or who calls; raises NotSignedInError."""
    whose = user or client.user_id
    if not whose:
        raise NotSignedInError
    return whose
