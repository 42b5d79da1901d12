"""The gate in front of every method, with access's contract as the example service."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chargekey.access.v1 import access_pb2 as pb
from chargekey.access.v1.access_pb2_grpc import (
    AccessServiceServicer,
    AccessServiceStub,
    add_AccessServiceServicer_to_server,
)
from chargekey_common.accounts import ADMINISTRATOR, Caller, Signer, Verifier, make_account
from chargekey_common.errors import NotFoundError, PermissionDeniedError, UnavailableError
from chargekey_common.grpc.client import RemoteCheck, channel, remote_error
from chargekey_common.grpc.server import Objects, Server, Service, command_context
from chargekey_common.testing.grpc import served

METHODS = [name for name in vars(AccessServiceServicer) if name[0].isupper()]


class LostError(NotFoundError):
    code = "lost"
    sentence = "It is lost; look elsewhere."


class BusyError(UnavailableError):
    code = "busy"
    sentence = "It is busy; come back after lunch."


class Example:
    """Answers a name according to what it is asked for."""

    async def GetInstallation(
        self, request: pb.GetInstallationRequest, _: object
    ) -> pb.GetInstallationResponse:
        match request.installation_id:
            case "lost":
                hint = "Under the sofa?"
                raise LostError(hint)
            case "broken":
                reason = "a secret detail"
                raise RuntimeError(reason)
            case "slow":
                await asyncio.Event().wait()
        return pb.GetInstallationResponse(installation=pb.Installation(name="Home"))

    async def CreateInstallation(
        self, request: pb.CreateInstallationRequest, _: object
    ) -> pb.CreateInstallationResponse:
        context = command_context(request)
        return pb.CreateInstallationResponse(
            installation_id=context.actor, position=context.command_id
        )

    async def Check(self, request: pb.CheckRequest, _: object) -> pb.CheckResponse:
        match request.action:
            case "access.Busy":
                raise BusyError
            case "access.Hidden":
                raise RuntimeError
        return pb.CheckResponse(allowed=request.action == "access.Read")


OBJECTS: Objects = {
    "GetInstallation": lambda request: f"installation:{request.installation_id}",
    "CreateInstallation": lambda _: "system",
    "Check": lambda _: "system",
}
SERVICE = Service(
    "chargekey.access.v1.AccessService",
    lambda servicer, server: add_AccessServiceServicer_to_server(_complete(servicer), server),
    Example(),
    OBJECTS,
)


def _complete(example: Example) -> AccessServiceServicer:
    class Complete(AccessServiceServicer):
        GetInstallation = example.GetInstallation  # type: ignore[assignment] # untyped context
        CreateInstallation = example.CreateInstallation  # type: ignore[assignment] # same
        Check = example.Check  # type: ignore[assignment] # same

    return Complete()


class Asked:
    """A check that remembers what it was asked and refuses strangers."""

    def __init__(self) -> None:
        self.questions: list[tuple[str, str, str]] = []

    async def __call__(self, caller: Caller, action: str, obj: str) -> None:
        self.questions.append((caller, action, obj))
        if caller != ADMINISTRATOR:
            raise PermissionDeniedError


async def refusal(call: object) -> aio.AioRpcError:
    with pytest.raises(aio.AioRpcError) as refused:
        await call  # type: ignore[misc] # any call
    return refused.value


def home(installation_id: str = "home") -> pb.GetInstallationRequest:
    return pb.GetInstallationRequest(installation_id=installation_id)


async def test_every_call_is_checked_with_its_caller_action_and_object(tmp_path: Path) -> None:
    asked = Asked()
    async with served(SERVICE, tmp_path, asked) as as_caller:
        stub = AccessServiceStub(as_caller(ADMINISTRATOR))
        assert (await stub.GetInstallation(home())).installation.name == "Home"
    assert asked.questions == [(ADMINISTRATOR, "access.GetInstallation", "installation:home")]


async def test_a_caller_who_may_not_is_refused_before_anything_happens(tmp_path: Path) -> None:
    async with served(SERVICE, tmp_path, Asked()) as as_caller:
        stub = AccessServiceStub(as_caller(Caller("user:somebody")))
        error = await refusal(stub.GetInstallation(home("broken")))
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED
    assert remote_error(error).code == "permission_denied"


async def test_a_call_without_a_caller_is_refused(tmp_path: Path) -> None:
    server = Server(SERVICE, Verifier(tmp_path), Asked())
    port = await server.start("127.0.0.1:0")
    async with aio.insecure_channel(f"127.0.0.1:{port}") as anonymous:
        error = await refusal(AccessServiceStub(anonymous).GetInstallation(home()))
    await server.stop(grace=0)
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_an_error_of_the_tree_arrives_with_code_sentence_and_status(tmp_path: Path) -> None:
    async with served(SERVICE, tmp_path, Asked()) as as_caller:
        error = await refusal(
            AccessServiceStub(as_caller(ADMINISTRATOR)).GetInstallation(home("lost"))
        )
    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert remote_error(error).code == "lost"
    assert remote_error(error).message == "It is lost; look elsewhere. Under the sofa?"


async def test_an_unforeseen_error_says_nothing_of_itself(tmp_path: Path) -> None:
    async with served(SERVICE, tmp_path, Asked()) as as_caller:
        error = await refusal(
            AccessServiceStub(as_caller(ADMINISTRATOR)).GetInstallation(home("broken"))
        )
    assert error.code() == grpc.StatusCode.INTERNAL
    assert "secret" not in (error.details() or "")


async def test_a_call_ends_at_its_deadline(tmp_path: Path) -> None:
    async with served(SERVICE, tmp_path, Asked()) as as_caller:
        stub = AccessServiceStub(as_caller(ADMINISTRATOR))
        error = await refusal(stub.GetInstallation(home("slow"), timeout=0.2))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_command_without_an_id_gets_one_and_keeps_the_one_it_has(tmp_path: Path) -> None:
    async with served(SERVICE, tmp_path, Asked()) as as_caller:
        stub = AccessServiceStub(as_caller(ADMINISTRATOR))
        given = await stub.CreateInstallation(pb.CreateInstallationRequest(command_id="mine"))
        made = [
            (await stub.CreateInstallation(pb.CreateInstallationRequest())).position
            for _ in range(2)
        ]
    assert (given.installation_id, given.position) == (ADMINISTRATOR, "mine")
    assert len({*made, ""}) == 3


async def test_health_is_open_to_everybody(tmp_path: Path) -> None:
    async with served(SERVICE, tmp_path, Asked()) as as_caller:
        health = health_pb2_grpc.HealthStub(as_caller(Caller("user:somebody")))
        answer = await health.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_server_is_not_healthy_before_it_is_ready(tmp_path: Path) -> None:
    server = Server(SERVICE, Verifier(tmp_path), Asked())
    port = await server.start("127.0.0.1:0")
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE.name):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    await server.stop(grace=0)


async def test_another_service_asks_access_and_is_refused_when_access_is_away(
    tmp_path: Path,
) -> None:
    async with served(SERVICE, tmp_path, Asked()) as as_caller:
        check = RemoteCheck(as_caller(ADMINISTRATOR))
        await check(Caller("user:u"), "access.Read", "system")
        with pytest.raises(PermissionDeniedError):
            await check(Caller("user:u"), "access.Write", "system")
    async with aio.insecure_channel("127.0.0.1:1") as nowhere:
        began = time.monotonic()
        with pytest.raises(UnavailableError) as refused:
            await RemoteCheck(nowhere, patience=0.3)(Caller("user:u"), "access.Read", "system")
    assert time.monotonic() - began < 2
    assert (refused.value.code, str(refused.value)) == (
        UnavailableError.code,
        UnavailableError.sentence,
    )


async def test_access_that_starts_again_is_waited_for(tmp_path: Path) -> None:
    """A call right after access was killed is answered once it is back."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
        accounts = tmp_path / "accounts"
        key = make_account(ADMINISTRATOR, keys=tmp_path / "keys", accounts=accounts)
        async with channel(address, Signer.from_file(key)) as access:
            check = RemoteCheck(access, patience=20)
            for _ in range(2):
                asked = asyncio.create_task(check(Caller("user:u"), "access.Read", "system"))
                state = access.get_state(try_to_connect=True)
                while state is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                    await access.wait_for_state_change(state)
                    state = access.get_state(try_to_connect=True)
                assert not asked.done()
                server = Server(SERVICE, Verifier(accounts), Asked())
                await server.start(address)
                await asked
                await server.stop(grace=0)


async def test_what_access_says_of_itself_is_passed_on_in_its_words(tmp_path: Path) -> None:
    """Its store is away, say: better than that a part of the system does not answer."""
    async with served(SERVICE, tmp_path, Asked()) as as_caller:
        check = RemoteCheck(as_caller(ADMINISTRATOR))
        with pytest.raises(UnavailableError) as refused:
            await check(Caller("user:u"), "access.Busy", "system")
        with pytest.raises(aio.AioRpcError):
            await check(Caller("user:u"), "access.Hidden", "system")
    assert (refused.value.code, str(refused.value)) == (BusyError.code, BusyError.sentence)


async def test_a_method_that_nobody_thought_about_is_not_served(tmp_path: Path) -> None:
    forgetful = Service(SERVICE.name, SERVICE.add, SERVICE.servicer, {"Check": lambda _: "system"})
    with pytest.raises(TypeError, match="GetInstallation"):
        Server(forgetful, Verifier(tmp_path), Asked())


class Streaming:
    """A service that answers more than once, and one that is asked more than once."""

    async def Watch(self, request: bytes, _: object) -> AsyncIterator[bytes]:
        yield request
        if request == b"lost":
            raise LostError
        if request == b"slow":
            await asyncio.Event().wait()
        yield request

    async def Chat(self, requests: AsyncIterator[bytes], _: object) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request


def _add_streaming(streaming: Streaming, server: aio.Server) -> None:
    methods = {
        "Watch": grpc.unary_stream_rpc_method_handler(streaming.Watch),
        "Chat": grpc.stream_stream_rpc_method_handler(streaming.Chat),
    }
    handler = grpc.method_handlers_generic_handler("chargekey.example.v1.Example", methods)
    server.add_generic_rpc_handlers((handler,))


def _streaming(*methods: str) -> Service:
    objects: Objects = {method: lambda _: "system" for method in methods}
    return Service("chargekey.example.v1.Example", _add_streaming, Streaming(), objects)


STREAMS = _streaming("Watch", "Chat")


async def stream_refusal(call: Any) -> tuple[aio.AioRpcError, list[bytes]]:
    heard: list[bytes] = []

    async def listen() -> None:
        async for answer in call:
            heard.append(answer)  # noqa: PERF401 - what was heard before the refusal counts

    with pytest.raises(aio.AioRpcError) as refused:
        await listen()
    return refused.value, heard


async def test_a_stream_of_answers_is_guarded_like_any_call(tmp_path: Path) -> None:
    asked = Asked()
    method = "/chargekey.example.v1.Example/Watch"
    async with served(SERVICE, tmp_path, asked, STREAMS) as as_caller:
        watch = as_caller(ADMINISTRATOR).unary_stream(method)
        assert [answer async for answer in watch(b"hello")] == [b"hello"] * 2
        assert asked.questions == [(ADMINISTRATOR, "example.Watch", "system")]
        error, heard = await stream_refusal(watch(b"lost"))
        assert (remote_error(error).code, heard) == ("lost", [b"lost"])
        error, heard = await stream_refusal(watch(b"slow", timeout=0.2))
        assert (error.code(), heard) == (grpc.StatusCode.DEADLINE_EXCEEDED, [b"slow"])
        stranger = as_caller(Caller("user:somebody")).unary_stream(method)
        error, heard = await stream_refusal(stranger(b"hello"))
        assert (error.code(), heard) == (grpc.StatusCode.PERMISSION_DENIED, [])


async def test_services_beside_each_other_are_all_served_and_healthy(tmp_path: Path) -> None:
    async with served(SERVICE, tmp_path, Asked(), STREAMS) as as_caller:
        channel = as_caller(ADMINISTRATOR)
        assert (await AccessServiceStub(channel).GetInstallation(home())).installation.name
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=STREAMS.name))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_stream_of_requests_is_not_served_past_the_gate(tmp_path: Path) -> None:
    server = Server(STREAMS, Verifier(tmp_path), Asked())
    port = await server.start("127.0.0.1:0")
    async with aio.insecure_channel(f"127.0.0.1:{port}") as anonymous:
        chat = anonymous.stream_stream("/chargekey.example.v1.Example/Chat")
        error, _ = await stream_refusal(chat(iter([b""])))
    await server.stop(grace=0)
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_stream_that_nobody_thought_about_is_not_served_either(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Watch"):
        Server(_streaming("Chat"), Verifier(tmp_path), Asked())
