"""`chargekey authorize`: what a charger would be answered, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from chargekey.gateway.v1 import gateway_pb2 as pb
from chargekey_stack.answers import Answer, instant
from chargekey_stack.client import Client
from chargekey_stack.command import command
from chargekey_stack.options import Charger, Code, Type
from chargekey_stack.words import TOKENS, VERDICTS

app = typer.Typer()


@command(app, "authorize", "chargekey authorize --charger CP-1 --code '#2468' --explain")
async def authorize(
    client: Client,
    *,
    charger: Charger,
    code: Code,
    type_: Annotated[
        Type | None, typer.Option("--type", help="What the code is; told from the code without it.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say how the decision was come to.")
    ] = False,
    at_least: Annotated[
        list[str] | None,
        typer.Option(
            "--at-least",
            metavar="POSITION",
            help="A position that the answer must include; may be given more than once.",
        ),
    ] = None,
) -> Answer:
    """Decide as the charger's own question would be, without leaving a trace of it."""
    decision = await client.gateway.Authorize(
        pb.AuthorizeRequest(
            ocpp_identity=charger,
            code=code,
            type=pb.TOKEN_TYPE_UNSPECIFIED if type_ is None else TOKENS.number(type_),
            explain=explain,
            at_least=at_least or (),
        )
    )
    status = VERDICTS.word(decision.status)
    document = {
        "status": status,
        "reason": decision.reason,
        "valid_until": instant(decision.valid_until) if decision.HasField("valid_until") else None,
        "positions": list(decision.positions),
    }
    if explain:
        document["explanation"] = list(decision.explanation)
    return Answer(document, "\n".join((f"{status}: {decision.reason}", *decision.explanation)))
