"""A gRPC service served for one test, called as whoever the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from grpc import aio

from chargekey_common.accounts import ADMINISTRATOR, Caller, Signer, Verifier, make_account
from chargekey_common.grpc.client import channel
from chargekey_common.grpc.server import Check, Server, Service


@asynccontextmanager
async def served(
    service: Service, directory: Path, check: Check, *beside: Service
) -> AsyncIterator[Callable[[Caller], aio.Channel]]:
    """Serve on a free port; yield a maker of channels, which are closed afterwards."""
    keys, accounts = directory / "keys", directory / "accounts"
    make_account(ADMINISTRATOR, keys=keys, accounts=accounts)
    server = Server(service, Verifier(accounts), check, *beside)
    port = await server.start("127.0.0.1:0")
    await server.ready()
    opened: list[aio.Channel] = []

    def as_caller(caller: Caller = ADMINISTRATOR) -> aio.Channel:
        signer = Signer.from_file(make_account(caller, keys=keys, accounts=accounts))
        opened.append(channel(f"127.0.0.1:{port}", signer))
        return opened[-1]

    try:
        yield as_caller
    finally:
        for each in opened:
            await each.close()
        await server.stop(grace=0)
