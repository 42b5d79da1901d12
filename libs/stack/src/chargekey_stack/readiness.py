"""Whether a process serves yet: its `/readyz`, its gRPC health, its SMTP greeting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from grpc import aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from chargekey_stack.programs import Program

# Whoever starts is asked seldom enough that asking slows no start.
POLL = 0.1
ATTEMPT = 2.0


async def wait_until_ready(program: Program) -> None:
    """Return once everything the program serves is ready; the caller bounds the wait."""
    if program.smtp is not None:
        await _until(_greets, program.smtp)
    if program.health is not None:
        await _until(_is_ready, program.health)
    if program.grpc is not None:
        # Of several that share it one answers: each by itself is what its /readyz says.
        await _until(_is_serving, program.grpc)


async def _until(probe: Callable[[str], Awaitable[bool]], address: str) -> None:
    while True:
        try:
            async with asyncio.timeout(ATTEMPT):
                if await probe(address):
                    return
        except (OSError, TimeoutError, aio.AioRpcError):
            pass  # not yet
        await asyncio.sleep(POLL)


async def _greets(address: str) -> bool:
    return (await _exchange(address, b"")).startswith(b"220 ")


async def _is_ready(address: str) -> bool:
    answer = await _exchange(address, b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return answer.split(b" ")[1:2] == [b"200"]


async def _is_serving(address: str) -> bool:
    async with aio.insecure_channel(address) as channel:
        answer = await HealthStub(channel).Check(HealthCheckRequest())  # type: ignore[attr-defined] # untyped there
    return bool(answer.status == HealthCheckResponse.SERVING)


async def _exchange(address: str, request: bytes) -> bytes:
    """Send `request` and return the first line that comes back."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        await writer.drain()
        return await reader.readline()
    finally:
        writer.close()
