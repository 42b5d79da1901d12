"""`chargekey secrets`: what a cluster has to be given before anything runs there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chargekey_stack.answers import done, show
from chargekey_stack.command import DEFAULT_DATA, Data, Json, example
from chargekey_stack.data_directory import DataDirectory

app = typer.Typer()


@app.command("secrets", epilog=example("chargekey secrets /tmp/secrets --data ~/chargekey-oslo"))
def secrets(
    *,
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Where a directory for each Secret is written."),
    ],
    json: Json = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Write a system's keys and passwords as Secrets for Kubernetes, made where it has none yet.

    Keep the data directory: it has the administrator's key, and the same comes of it again.
    """
    # What makes keys is slow to import, and few commands need it.
    from chargekey_stack import cluster_secrets  # noqa: PLC0415

    cluster_secrets.write(DataDirectory(data), directory)
    answer = done(
        f"The Secrets are in {directory}, a directory each: whoever reads them can do anything.",
        directory=str(directory),
    )
    show(answer, as_json=json)
