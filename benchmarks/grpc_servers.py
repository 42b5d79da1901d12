"""What is asked by gRPC, in processes of their own: the gateway's server, a near-empty one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
import uvloop
from google.protobuf.message import Message
from grpc import aio
from nats.aio.client import Client

from benchmarks.population import KEYED_IDS, Population
from benchmarks.views import filled
from chargekey.access.v1 import check_pb2
from chargekey.gateway.v1 import gateway_pb2 as pb
from chargekey_common.accounts import Signer, Verifier, make_account, service_account
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.grpc.client import RemoteCheck, channel
from chargekey_common.grpc.server import Server
from chargekey_common.tokens import KeySet
from chargekey_gateway.api.service import service
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import RunningSessions
from chargekey_gateway.unknown_codes import UnknownCode

POPULATION = Population.of(20_000, chargers=100)
_SECRET = b"a secret for figures only"
_LISTEN = "127.0.0.1:0"

Serve = Callable[..., Awaitable[int]]


async def allowing() -> int:
    """Serve in access's place, letting everybody do everything; return the port."""

    async def check(_: check_pb2.CheckRequest, __: object) -> check_pb2.CheckResponse:
        return check_pb2.CheckResponse(allowed=True)

    return await _served("chargekey.access.v1.CheckService", "Check", check, check_pb2.CheckRequest)


async def empty(answer: bytes) -> int:
    """Serve the near-empty handler that always answers this; return the port."""
    told = pb.AuthorizeResponse.FromString(answer)

    async def authorize(_: pb.AuthorizeRequest, __: object) -> pb.AuthorizeResponse:
        return told

    return await _served(
        "chargekey.gateway.v1.GatewayService", "Authorize", authorize, pb.AuthorizeRequest
    )


async def product(access_port: int, jwk: dict[str, object]) -> int:
    """Serve the gateway's service as it is, over a view of POPULATION, and return the port.

    People and programs are known by `jwk`; access is asked at `access_port`.
    """

    async def fetch() -> str:
        return json.dumps({"keys": [jwk]})

    gateway = Gateway(
        Client(),
        view=filled(POPULATION),
        running=RunningSessions(),
        keyed_ids=KEYED_IDS,
        start_keys=StartKeys(_SECRET),
        passwords=ChargerPasswords(_SECRET),
        unknown=_nobodys,
        clock=time.time_ns,
    )
    with tempfile.TemporaryDirectory() as place:
        account = service_account("gateway")
        key = make_account(account, keys=Path(place), accounts=Path(place))
        signer = Signer.from_file(key)
    access = channel(f"127.0.0.1:{access_port}", signer)
    verifier = Verifier(Path("/nonexistent"), KeySet(fetch))
    server = Server(service(gateway, OcppServer(gateway)), verifier, RemoteCheck(access))
    _KEPT.append(server)
    port = await server.start(_LISTEN)
    await server.ready()
    return port


@contextlib.contextmanager
def running(serve: Serve, *arguments: object) -> Iterator[int]:
    """Serve in a process of its own, and yield the port."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_run, args=(there, serve, arguments), daemon=True)
    process.start()
    there.close()
    try:
        yield here.recv()
    finally:
        process.kill()
        process.join()


def _nobodys(_: UnknownCode) -> None:
    """Tell nobody of it."""


# Servers that nobody refers to are stopped.
_KEPT: list[object] = []


def _run(told: Connection, serve: Serve, arguments: tuple[object, ...]) -> None:
    async def live() -> None:
        told.send(await serve(*arguments))
        await asyncio.Event().wait()

    uvloop.run(live())


async def _served(
    service: str,
    method: str,
    answer: Callable[[Any, object], Awaitable[Message]],
    request: type[Message],
) -> int:
    server = aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(
        answer,
        request.FromString,
        lambda told: told.SerializeToString(),
    )
    # As generated code does it.
    server.add_registered_method_handlers(service, {method: handler})
    port = server.add_insecure_port(_LISTEN)
    await server.start()
    _KEPT.append(server)
    return port
