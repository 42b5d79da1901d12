"""`chargekey up`: the whole system, until told to end."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from pathlib import Path

import msgspec
import typer

from chargekey_stack.answers import Answer, show, tell
from chargekey_stack.command import DEFAULT_DATA, Data, Json, example
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.interruption import Interruptible
from chargekey_stack.options import (
    Administrator,
    Gateways,
    KeepHistory,
    NatsPort,
    OcppPort,
    OpenIdClientId,
    OpenIdClientSecretFile,
    OpenIdIssuer,
    OperatorsAnywhere,
    PartnersPort,
    PortalPort,
    Store,
)
from chargekey_stack.ports import Wanted
from chargekey_stack.programs import ADMINISTRATOR_ADDRESS, OpenIdClient
from chargekey_stack.progress import working
from chargekey_stack.system import System

app = typer.Typer()


@app.command("up", epilog=example("chargekey up --data ~/chargekey --ocpp-port 8887"))
def up(
    *,
    ocpp_port: OcppPort = 0,
    gateways: Gateways = 1,
    portal_port: PortalPort = 0,
    partners_port: PartnersPort = 0,
    nats_port: NatsPort = 0,
    store: Store = None,
    operators_anywhere: OperatorsAnywhere = False,
    keep_history: KeepHistory = 0,
    administrator: Administrator = ADMINISTRATOR_ADDRESS,
    openid_issuer: OpenIdIssuer = None,
    openid_client_id: OpenIdClientId = None,
    openid_client_secret_file: OpenIdClientSecretFile = None,
    json: Json = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Run the whole system on this machine; says when it is ready, ends with Ctrl-C."""
    # What starts processes and opens databases is slow to import, and no other command does.
    from chargekey_stack.supervisor import running  # noqa: PLC0415

    system = running(
        DataDirectory(data),
        Wanted(
            ocpp=ocpp_port,
            portal=portal_port,
            partners=partners_port,
            nats=nats_port,
            gateways=gateways,
        ),
        store=store,
        operators_anywhere=operators_anywhere,
        keep_history=keep_history,
        administrator=administrator,
        openid=_client(openid_issuer, openid_client_id, openid_client_secret_file),
        tell=tell,
    )
    asyncio.run(_serve(system, as_json=json))


def _client(issuer: str | None, client_id: str | None, secret: Path | None) -> OpenIdClient | None:
    """Return how this system is registered, if it is; refuses half of it."""
    if issuer is not None and client_id is not None:
        return OpenIdClient(issuer, client_id, secret)
    if (issuer, client_id, secret) != (None, None, None):
        trouble = "--openid-issuer and --openid-client-id go together, with a secret or without"
        raise typer.BadParameter(trouble)
    return None


async def _serve(starting: AbstractAsyncContextManager[System], *, as_json: bool) -> None:
    def ending() -> None:
        # The terminal may be what has gone.
        with suppress(OSError):
            tell("Ending everything.")

    with Interruptible() if as_json else Interruptible(ending):
        async with AsyncExitStack() as running_system:
            with working("Starting everything", shown=not as_json):
                system = await running_system.enter_async_context(starting)
            ready = (
                f"Ready. People open {system.portal} and sign in as {system.administrator}, "
                f"chargers connect to {system.ocpp}/<identity>, partners' programs to "
                f"{system.partners}; Ctrl-C ends everything."
            )
            show(Answer(msgspec.to_builtins(system), ready), as_json=as_json)
            await asyncio.Event().wait()
