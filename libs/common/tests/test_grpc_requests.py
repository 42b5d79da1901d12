"""What arrives in place of a request, and what is said of things that are not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from chargekey.access.v1 import chargers_pb2 as pb
from chargekey.gateway.v1 import gateway_pb2
from chargekey_common.accounts import ADMINISTRATOR, Caller, Verifier
from chargekey_common.errors import NotFoundError, PermissionDeniedError
from chargekey_common.grpc.client import remote_error
from chargekey_common.grpc.server import Server, Service
from chargekey_common.testing.grpc import Issuer, served

NAME = "chargekey.example.v1.Example"
STRANGER = Caller("user:somebody")


class LostError(NotFoundError):
    code = "lost"
    sentence = "There is no such thing."


class Example:
    """Answers with the OCPP identity it was asked about: once, or more than once."""

    async def Get(self, request: pb.GetChargerRequest, _: object) -> bytes:
        return request.ocpp_identity.encode()

    async def Watch(self, request: pb.GetChargerRequest, _: object) -> AsyncIterator[bytes]:
        yield request.ocpp_identity.encode()

    async def Authorize(self, request: gateway_pb2.AuthorizeRequest, _: object) -> bytes:
        return request.code.encode()


def _add(example: Example, server: aio.Server) -> None:
    by_charger = pb.GetChargerRequest.FromString
    unary = grpc.unary_unary_rpc_method_handler
    methods: dict[str, Any] = {
        "Get": unary(example.Get, by_charger),
        "Watch": grpc.unary_stream_rpc_method_handler(example.Watch, by_charger),
        "Authorize": unary(example.Authorize, gateway_pb2.AuthorizeRequest.FromString),
    }
    server.add_registered_method_handlers(NAME, methods)


async def _object(request: pb.GetChargerRequest) -> str:
    await asyncio.sleep(0)
    if request.charger_id == "lost":
        raise LostError
    return f"charger:{request.charger_id}"


EXAMPLE = Service(
    NAME,
    _add,
    Example(),
    {"Get": _object, "Watch": _object, "Authorize": lambda _: "system"},
)


async def only_administrators(caller: Caller, _: str, __: str) -> None:
    if caller != ADMINISTRATOR:
        raise PermissionDeniedError


async def answer(channel: aio.Channel, method: str, data: bytes) -> bytes:
    if method != "Watch":
        return await channel.unary_unary(f"/{NAME}/{method}")(data)
    [heard] = [each async for each in channel.unary_stream(f"/{NAME}/{method}")(data)]
    return heard


async def refusal(
    channel: aio.Channel, method: str, data: bytes
) -> tuple[grpc.StatusCode, str, str]:
    with pytest.raises(aio.AioRpcError) as refused:
        await answer(channel, method, data)
    said = remote_error(refused.value)
    return refused.value.code(), said.code, said.message


@pytest.mark.parametrize("method", ["Get", "Watch"])
@pytest.mark.parametrize("data", [b"\xff", b"{}", b"\x12\x02\xff\xfe", b"\x12\x03\xed\xa0\x80"])
async def test_what_is_no_message_is_the_callers_mistake(
    tmp_path: Path, method: str, data: bytes
) -> None:
    """Text that is no UTF-8, half a surrogate pair among it, is no message."""
    async with served(EXAMPLE, tmp_path, only_administrators) as as_caller:
        status, code, _ = await refusal(as_caller(ADMINISTRATOR), method, data)
    assert (status, code) == (grpc.StatusCode.INVALID_ARGUMENT, "request_malformed")


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Get", pb.GetChargerRequest(ocpp_identity="CP\0")),
        ("Watch", pb.GetChargerRequest(charger_id="\0")),
        ("Authorize", gateway_pb2.AuthorizeRequest(code="#1234", at_least=["access", "a\0"])),
    ],
)
async def test_a_text_with_nul_is_refused_before_any_store_sees_it(
    tmp_path: Path, method: str, request_: pb.GetChargerRequest
) -> None:
    async with served(EXAMPLE, tmp_path, only_administrators) as as_caller:
        data = request_.SerializeToString()
        status, code, _ = await refusal(as_caller(ADMINISTRATOR), method, data)
    assert (status, code) == (grpc.StatusCode.INVALID_ARGUMENT, "text_malformed")


async def test_any_other_text_arrives_as_it_was_sent(tmp_path: Path) -> None:
    async with served(EXAMPLE, tmp_path, only_administrators) as as_caller:
        for text in ("", "CP-1", "\u202e\u200b\t", "x" * 10_000, "🔌"):
            for method in ("Get", "Watch"):
                data = pb.GetChargerRequest(ocpp_identity=text).SerializeToString()
                assert await answer(as_caller(ADMINISTRATOR), method, data) == text.encode()
        request = gateway_pb2.AuthorizeRequest(code="#1", type=2, explain=True, at_least=["a"] * 3)  # type: ignore[arg-type] # a number of the enum
        assert await answer(as_caller(ADMINISTRATOR), "Authorize", request.SerializeToString())


@pytest.mark.parametrize("method", ["Get", "Watch"])
async def test_only_who_may_everywhere_hears_that_a_thing_is_not_there(
    tmp_path: Path, method: str
) -> None:
    """Everybody else hears the same of it as of a thing that is there."""
    async with served(EXAMPLE, tmp_path, only_administrators) as as_caller:
        lost, there = (
            pb.GetChargerRequest(charger_id=name).SerializeToString() for name in ("lost", "there")
        )
        missing = await refusal(as_caller(ADMINISTRATOR), method, lost)
        assert missing == (grpc.StatusCode.NOT_FOUND, "lost", LostError.sentence)
        denied = await refusal(as_caller(STRANGER), method, there)
        assert denied[:2] == (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")
        assert await refusal(as_caller(STRANGER), method, lost) == denied


async def test_who_is_nobody_is_told_nothing_of_what_he_sent(tmp_path: Path) -> None:
    server = Server(EXAMPLE, Verifier(tmp_path, Issuer().keys()), only_administrators)
    port = await server.start("127.0.0.1:0")
    async with aio.insecure_channel(f"127.0.0.1:{port}") as anonymous:
        status, _, _ = await refusal(anonymous, "Get", b"\xff")
    await server.stop(grace=0)
    assert status == grpc.StatusCode.UNAUTHENTICATED
