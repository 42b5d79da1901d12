"""`chargekey ocpi`: connections with payment operators by OCPI 2.2.1."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chargekey.notifier.v1 import ocpi_pb2 as pb
from chargekey_stack.answers import Answer, Document, done
from chargekey_stack.client import Client
from chargekey_stack.command import command, group
from chargekey_stack.errors import FileUnreadableError
from chargekey_stack.options import PartnerArgument

app = group("ocpi", "Connections with payment operators by OCPI 2.2.1.")


@command(app, "offer", "chargekey ocpi offer 2c9e...")
async def offer(client: Client, *, partner: PartnerArgument) -> Answer:
    """Let an operator register here: what it needs for that is shown this once."""
    offered = await client.ocpi.OfferOcpi(pb.OfferOcpiRequest(partner_id=partner))
    return done(
        f"Offered at {offered.versions_url} with the token {offered.token}",
        versions_url=offered.versions_url,
        token=offered.token,
    )


@command(
    app,
    "connect",
    "chargekey ocpi connect 2c9e... --url https://volt.example/ocpi/versions --token-file token",
)
async def connect(
    client: Client,
    *,
    partner: PartnerArgument,
    url: Annotated[str, typer.Option("--url", help="Where the operator's OCPI versions are.")],
    token_file: Annotated[
        Path,
        typer.Option("--token-file", help="The file with the token that it gave for that."),
    ],
) -> Answer:
    """Register at an operator, which has told where and with which token."""
    try:
        token = token_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FileUnreadableError(getattr(error, "strerror", None) or "") from None
    await client.ocpi.ConnectOcpi(
        pb.ConnectOcpiRequest(partner_id=partner, versions_url=url, token=token)
    )
    return done("Connected.")


@command(app, "show", "chargekey ocpi show 2c9e...")
async def show(client: Client, *, partner: PartnerArgument) -> Answer:
    """Show what there is between an operator and us."""
    request = pb.GetOcpiConnectionRequest(partner_id=partner)
    found = await client.ocpi.GetOcpiConnection(request)
    document: Document = {
        "state": found.state or "none",
        "versions_url": found.versions_url,
        "country_code": found.country_code,
        "party_id": found.party_id,
        "modules": list(found.modules),
        "tokens_encoded": found.tokens_encoded,
        "tokens": found.tokens,
    }
    return Answer(document, "\n".join(f"{name}: {value}" for name, value in document.items()))


@command(app, "disconnect", "chargekey ocpi disconnect 2c9e...")
async def disconnect(client: Client, *, partner: PartnerArgument) -> Answer:
    """Tell an operator that it is over, and forget what it said."""
    await client.ocpi.DisconnectOcpi(pb.DisconnectOcpiRequest(partner_id=partner))
    return done("Disconnected.")


@command(app, "pull", "chargekey ocpi pull 2c9e...")
async def pull(client: Client, *, partner: PartnerArgument) -> Answer:
    """Fetch an operator's tokens now, as happens by itself every day."""
    pulled = await client.ocpi.PullOcpiTokens(pb.PullOcpiTokensRequest(partner_id=partner))
    return done(f"{pulled.tokens} tokens are known.", tokens=pulled.tokens)
