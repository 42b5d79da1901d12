"""`chargekey demo`: the main story, in some seconds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from chargekey_stack.command import Json, example

app = typer.Typer()


@app.command("demo", epilog=example("chargekey demo"))
def demo(
    *,
    json: Json = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="Keep everything in DIR; by default nothing is kept."
        ),
    ] = None,
) -> None:
    """Show the main story on a system of its own: a PIN opens a session, a block stops it."""
    # The simulator takes as long to import as all the rest, which other commands need not wait for.
    from chargekey_stack.demo import run  # noqa: PLC0415

    if not asyncio.run(run(data, as_json=json)):
        raise typer.Abort
