"""`chargekey up`: the whole system, until told to end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import typer

from chargekey_stack.answers import Answer, show, tell
from chargekey_stack.command import DEFAULT_DATA, Data, Json, example
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.interruption import Interruptible
from chargekey_stack.options import OcppPort
from chargekey_stack.supervisor import running

app = typer.Typer()


@app.command("up", epilog=example("chargekey up --data ~/chargekey --ocpp-port 8887"))
def up(*, ocpp_port: OcppPort = 0, json: Json = False, data: Data = DEFAULT_DATA) -> None:
    """Run the whole system on this machine; says when it is ready, ends with Ctrl-C."""
    asyncio.run(_serve(data, ocpp_port, as_json=json))


async def _serve(data: Path, ocpp_port: int, *, as_json: bool) -> None:
    with Interruptible():
        async with running(DataDirectory(data), ocpp_port=ocpp_port, tell=tell) as system:
            ready = f"Ready. Chargers connect to {system.ocpp}/<identity>; Ctrl-C ends everything."
            show(Answer(msgspec.to_builtins(system), ready), as_json=as_json)
            await asyncio.Event().wait()
