"""The gate in front of every method, with access's contract as the example service."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chargekey.access.v1 import check_pb2, installations_pb2
from chargekey.access.v1.check_pb2_grpc import (
    CheckServiceServicer,
    add_CheckServiceServicer_to_server,
)
from chargekey.access.v1.installations_pb2_grpc import (
    InstallationServiceServicer,
    InstallationServiceStub,
    add_InstallationServiceServicer_to_server,
)
from chargekey.identity.v1 import sign_in_pb2
from chargekey.identity.v1.sign_in_pb2_grpc import (
    SignInServiceServicer,
    add_SignInServiceServicer_to_server,
)
from chargekey_common import tokens
from chargekey_common.accounts import (
    ADMINISTRATOR,
    NOBODY,
    Caller,
    Signer,
    Verifier,
    make_account,
)
from chargekey_common.errors import (
    ManagedByThirdPartyError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from chargekey_common.grpc import remembered, streams
from chargekey_common.grpc.client import (
    RemoteCheck,
    RemoteError,
    channel,
    issued_keys,
    remote_error,
)
from chargekey_common.grpc.remembered import BRIEFLY, Remembered
from chargekey_common.grpc.requests import TextMalformedError
from chargekey_common.grpc.server import Objects, Server, Service, command_context
from chargekey_common.testing.grpc import Issuer, served
from chargekey_common.testing.waiting import SOON
from chargekey_common.testing.ways import way


class LostError(NotFoundError):
    code = "lost"
    sentence = "It is lost; look elsewhere."


class BusyError(UnavailableError):
    code = "busy"
    sentence = "It is busy; come back after lunch."


class Example:
    """Answers a name according to what it is asked for."""

    async def GetInstallation(
        self, request: installations_pb2.GetInstallationRequest, _: object
    ) -> installations_pb2.GetInstallationResponse:
        match request.installation_id:
            case "lost":
                hint = "Under the sofa?"
                raise LostError(hint)
            case "broken":
                reason = "a secret detail"
                raise RuntimeError(reason)
            case "slow":
                await asyncio.Event().wait()
        return installations_pb2.GetInstallationResponse(
            installation=installations_pb2.Installation(name="Home")
        )

    async def CreateInstallation(
        self, request: installations_pb2.CreateInstallationRequest, _: object
    ) -> installations_pb2.CreateInstallationResponse:
        context = command_context(request)
        return installations_pb2.CreateInstallationResponse(
            installation_id=context.actor, position=context.command_id
        )


class ExampleCheck:
    """Allows to read."""

    async def Check(self, request: check_pb2.CheckRequest, _: object) -> check_pb2.CheckResponse:
        match request.action:
            case "access.Busy":
                raise BusyError
            case "access.Hidden":
                raise RuntimeError
            case "access.Managed":
                managed = ManagedByThirdPartyError("Fast Charge, hello@fast.example")
                return check_pb2.CheckResponse(
                    refusal_code=managed.code, refusal_sentence=str(managed)
                )
        return check_pb2.CheckResponse(allowed=request.action == "access.Read")


OBJECTS: Objects = {
    "GetInstallation": lambda request: f"installation:{request.installation_id}",
    "CreateInstallation": lambda _: "system",
}
SERVICE = Service(
    "chargekey.access.v1.InstallationService",
    lambda servicer, server: add_InstallationServiceServicer_to_server(_complete(servicer), server),
    Example(),
    OBJECTS,
)
CHECK = Service(
    "chargekey.access.v1.CheckService",
    lambda servicer, server: add_CheckServiceServicer_to_server(_complete_check(servicer), server),
    ExampleCheck(),
    {"Check": lambda _: "system"},
)


def _complete(example: Example) -> InstallationServiceServicer:
    class Complete(InstallationServiceServicer):
        GetInstallation = example.GetInstallation  # type: ignore[assignment] # untyped context
        CreateInstallation = example.CreateInstallation  # type: ignore[assignment] # same

    return Complete()  # type: ignore[abstract] # the rest is not called


def _complete_check(example: ExampleCheck) -> CheckServiceServicer:
    class Complete(CheckServiceServicer):
        Check = example.Check  # type: ignore[assignment] # untyped context

    return Complete()  # type: ignore[abstract] # the rest is not called


class Asked:
    """A check that remembers what it was asked and lets one caller do everything."""

    def __init__(self, allowed: Caller = ADMINISTRATOR) -> None:
        self.allowed = allowed
        self.questions: list[tuple[str, str, str]] = []

    async def __call__(self, caller: Caller, action: str, obj: str) -> None:
        self.questions.append((caller, action, obj))
        if caller != self.allowed:
            raise PermissionDeniedError


async def refusal(call: object) -> aio.AioRpcError:
    with pytest.raises(aio.AioRpcError) as refused:
        await call  # type: ignore[misc] # any call
    return refused.value


async def answered_at_last(stub: InstallationServiceStub) -> str:
    """Return a site's name from the first call that is not lost."""
    while True:
        try:
            answer = await stub.GetInstallation(home(), timeout=15)
        except aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        else:
            name: str = answer.installation.name
            return name


def home(installation_id: str = "home") -> installations_pb2.GetInstallationRequest:
    return installations_pb2.GetInstallationRequest(installation_id=installation_id)


async def test_every_call_is_checked_with_its_caller_action_and_object(tmp_path: Path) -> None:
    asked = Asked()
    async with served(SERVICE, tmp_path, asked) as as_caller:
        stub = InstallationServiceStub(as_caller(ADMINISTRATOR))
        assert (await stub.GetInstallation(home())).installation.name == "Home"
    assert asked.questions == [(ADMINISTRATOR, "access.GetInstallation", "installation:home")]


async def test_a_caller_who_may_not_is_refused_before_anything_happens(tmp_path: Path) -> None:
    async with served(SERVICE, tmp_path, Asked()) as as_caller:
        stub = InstallationServiceStub(as_caller(Caller("user:somebody")))
        error = await refusal(stub.GetInstallation(home("broken")))
    assert error.code() == grpc.StatusCode.PERMISSION_DENIED
    assert remote_error(error).code == "permission_denied"


async def test_a_call_without_a_token_is_nobodys_and_the_rules_decide(tmp_path: Path) -> None:
    """Who may do it only as somebody is told to sign in."""
    asked = Asked(NOBODY)
    async with served(SERVICE, tmp_path, asked) as as_caller:
        stub = InstallationServiceStub(as_caller(NOBODY))
        assert (await stub.GetInstallation(home())).installation.name == "Home"
        asked.allowed = ADMINISTRATOR
        error = await refusal(stub.GetInstallation(home("broken")))
    assert asked.questions == [
        ("anonymous:nobody", "access.GetInstallation", "system"),
        ("anonymous:nobody", "access.GetInstallation", "system"),
    ]
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED
    assert remote_error(error).code == "unauthenticated"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YTpi", "bearer x", "Bearer x", "Bearer a.b.c"]
)
async def test_a_call_with_a_token_that_is_none_is_not_taken_for_nobodys(
    tmp_path: Path, header: str
) -> None:
    asked = Asked(NOBODY)
    async with served(SERVICE, tmp_path, asked) as as_caller:
        stub = InstallationServiceStub(as_caller(NOBODY))
        error = await refusal(stub.GetInstallation(home(), metadata=(("authorization", header),)))
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED
    assert asked.questions == []


@pytest.mark.parametrize("caller", ["user:anna", "partner:fast-charge"])
async def test_people_and_partners_programs_are_told_by_tokens_of_identity(
    tmp_path: Path, caller: str
) -> None:
    asked = Asked(Caller(caller))
    async with served(SERVICE, tmp_path, asked) as as_caller:
        await InstallationServiceStub(as_caller(Caller(caller))).GetInstallation(home())
    assert asked.questions == [(caller, "access.GetInstallation", "installation:home")]


async def test_a_method_that_is_declared_and_not_built_is_unimplemented(tmp_path: Path) -> None:
    asked = Asked()
    async with served(SERVICE, tmp_path, asked) as as_caller:
        stub = InstallationServiceStub(as_caller(ADMINISTRATOR))
        error = await refusal(
            stub.RenameInstallation(installations_pb2.RenameInstallationRequest())
        )
        nowhere = as_caller(ADMINISTRATOR).unary_unary("/nothing/of/the/kind")
        assert (await refusal(nowhere(b""))).code() == grpc.StatusCode.UNIMPLEMENTED
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED
    assert asked.questions == []


async def test_an_error_of_the_tree_arrives_with_code_sentence_and_status(tmp_path: Path) -> None:
    async with served(SERVICE, tmp_path, Asked()) as as_caller:
        error = await refusal(
            InstallationServiceStub(as_caller(ADMINISTRATOR)).GetInstallation(home("lost"))
        )
    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert remote_error(error).code == "lost"
    assert remote_error(error).message == "It is lost; look elsewhere. Under the sofa?"


async def test_an_unforeseen_error_says_nothing_of_itself(tmp_path: Path) -> None:
    async with served(SERVICE, tmp_path, Asked()) as as_caller:
        error = await refusal(
            InstallationServiceStub(as_caller(ADMINISTRATOR)).GetInstallation(home("broken"))
        )
    assert error.code() == grpc.StatusCode.INTERNAL
    assert "secret" not in (error.details() or "")


async def test_a_call_ends_at_its_deadline(tmp_path: Path) -> None:
    async with served(SERVICE, tmp_path, Asked()) as as_caller:
        stub = InstallationServiceStub(as_caller(ADMINISTRATOR))
        error = await refusal(stub.GetInstallation(home("slow"), timeout=0.2))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_host_that_is_gone_without_a_word_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing says that its connections are dead; by itself the library asks them for minutes."""
    monkeypatch.setattr("chargekey_common.grpc.client.PING_EVERY", 200)
    monkeypatch.setattr("chargekey_common.grpc.client.PING_ANSWER", 2000)
    monkeypatch.setattr("chargekey_common.grpc.server.LEAST_PING_INTERVAL", 50)
    signer = Signer.from_file(
        make_account(ADMINISTRATOR, keys=tmp_path / "keys", accounts=tmp_path / "accounts")
    )
    server = Server(SERVICE, Verifier(tmp_path / "accounts", Issuer().keys()), Asked())
    port = await server.start("127.0.0.1:0")
    try:
        await server.ready()
        async with way(port) as there, channel(f"127.0.0.1:{there.port}", signer) as asked:
            stub = InstallationServiceStub(asked)
            assert (await stub.GetInstallation(home())).installation.name == "Home"
            there.lose()
            async with asyncio.timeout(20):
                lost = await refusal(stub.GetInstallation(home(), timeout=15))
                assert lost.code() is grpc.StatusCode.UNAVAILABLE
                # A call that met the connection while it was closed is lost with it.
                assert await answered_at_last(stub) == "Home"
    finally:
        await server.stop(grace=0)


async def test_a_command_without_an_id_gets_one_and_keeps_the_one_it_has(tmp_path: Path) -> None:
    async with served(SERVICE, tmp_path, Asked()) as as_caller:
        stub = InstallationServiceStub(as_caller(ADMINISTRATOR))
        given = await stub.CreateInstallation(
            installations_pb2.CreateInstallationRequest(command_id="mine")
        )
        made = [
            (await stub.CreateInstallation(installations_pb2.CreateInstallationRequest())).position
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
    server = Server(SERVICE, Verifier(tmp_path, Issuer().keys()), Asked())
    port = await server.start("127.0.0.1:0")
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE.name):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    await server.stop(grace=0)


async def test_another_service_asks_access_and_is_refused_when_access_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By itself it would be patient for longer than it may take here.
    monkeypatch.setitem(RemoteCheck.__init__.__kwdefaults__, "patience", 60)
    async with served(CHECK, tmp_path, Asked()) as as_caller:
        check = RemoteCheck(as_caller(ADMINISTRATOR))
        await check(Caller("user:u"), "access.Read", "system")
        with pytest.raises(PermissionDeniedError):
            await check(Caller("user:u"), "access.Write", "system")
    async with aio.insecure_channel("127.0.0.1:1") as nowhere:
        began = time.monotonic()
        with pytest.raises(UnavailableError) as refused:
            await RemoteCheck(nowhere, patience=0.3)(Caller("user:u"), "access.Read", "system")
    assert time.monotonic() - began < 20
    assert (refused.value.code, str(refused.value)) == (
        UnavailableError.code,
        UnavailableError.sentence,
    )


async def test_whom_to_ask_at_a_managed_site_is_passed_on_as_access_said_it(
    tmp_path: Path,
) -> None:
    """R3, S3-8."""
    async with served(CHECK, tmp_path, Asked()) as as_caller:
        check = RemoteCheck(as_caller(ADMINISTRATOR))
        with pytest.raises(ManagedByThirdPartyError, match=r"hello@fast\.example$") as refused:
            await check(Caller("user:u"), "access.Managed", "installation:home")
        assert refused.value.code == "managed_by_third_party"

        async def ask(*_: str) -> None:
            await check(Caller("user:u"), "access.Managed", "installation:home")

        async with served(SERVICE, tmp_path, ask) as to_example:
            error = await refusal(
                InstallationServiceStub(to_example(ADMINISTRATOR)).GetInstallation(home())
            )
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert remote_error(error) == RemoteError(refused.value.code, str(refused.value))


class SmallSignIn(SignInServiceServicer):
    """Tells its keys, or anything else."""

    def __init__(self, jwks: str) -> None:
        self.jwks = jwks

    async def GetKeys(
        self, _: sign_in_pb2.GetKeysRequest, __: object
    ) -> sign_in_pb2.GetKeysResponse:
        if not self.jwks:
            raise RuntimeError
        return sign_in_pb2.GetKeysResponse(jwks=self.jwks)


async def test_a_service_asks_identity_for_its_keys_and_bears_its_absence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chargekey_common.grpc.client.KEYS_DEADLINE", 30)
    issuer = Issuer()
    small = SmallSignIn(json.dumps({"keys": [issuer.jwk()]}))
    keys = Service(
        "chargekey.identity.v1.SignInService",
        add_SignInServiceServicer_to_server,
        small,
        {"GetKeys": lambda _: "system"},
    )
    async with served(keys, tmp_path, Asked()) as as_caller:
        verifier = Verifier(tmp_path, issued_keys(as_caller(ADMINISTRATOR)))
        assert await verifier.verify(issuer.token(Caller("user:u"))) == "user:u"
        small.jwks = ""
        with pytest.raises(UnavailableError):
            await issued_keys(as_caller(ADMINISTRATOR)).key(issuer.kid)
    assert await verifier.verify(issuer.token(Caller("user:another"))) == "user:another"
    async with aio.insecure_channel("127.0.0.1:1") as nowhere:
        with pytest.raises(UnavailableError):
            await issued_keys(nowhere).key(issuer.kid)


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
                server = Server(CHECK, Verifier(accounts, Issuer().keys()), Asked())
                await server.start(address)
                try:
                    await asked
                finally:
                    await server.stop(grace=0)


async def test_a_question_whose_connection_ends_under_it_is_asked_again(tmp_path: Path) -> None:
    """Access was killed while it was asked; while that goes on there is no answer."""
    endings = 1

    class Ending(CheckServiceServicer):
        async def Check(self, _: check_pb2.CheckRequest, context: Any) -> check_pb2.CheckResponse:
            nonlocal endings
            endings -= 1
            if endings >= 0:
                # As the library says it, without a reason of access' own.
                await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            return check_pb2.CheckResponse(allowed=True)

    server = aio.server()
    add_CheckServiceServicer_to_server(Ending(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    key = make_account(ADMINISTRATOR, keys=tmp_path / "keys", accounts=tmp_path / "accounts")
    try:
        async with channel(f"127.0.0.1:{port}", Signer.from_file(key)) as access:
            await RemoteCheck(access, patience=20)(Caller("user:u"), "access.Read", "system")
            endings = 1000
            with pytest.raises(UnavailableError):
                await RemoteCheck(access, patience=3)(Caller("user:u"), "access.Read", "system")
    finally:
        await server.stop(grace=0)
    assert 0 < endings < 999


async def test_what_access_says_of_itself_is_passed_on_in_its_words(tmp_path: Path) -> None:
    """Its store is away, say: better than that a part of the system does not answer."""
    async with served(CHECK, tmp_path, Asked()) as as_caller:
        check = RemoteCheck(as_caller(ADMINISTRATOR))
        with pytest.raises(UnavailableError) as refused:
            await check(Caller("user:u"), "access.Busy", "system")
        with pytest.raises(aio.AioRpcError):
            await check(Caller("user:u"), "access.Hidden", "system")
    assert (refused.value.code, str(refused.value)) == (BusyError.code, BusyError.sentence)


async def test_a_method_that_nobody_thought_about_is_not_served(tmp_path: Path) -> None:
    forgetful = Service(
        SERVICE.name, SERVICE.add, SERVICE.servicer, {"CreateInstallation": lambda _: "system"}
    )
    with pytest.raises(TypeError, match="GetInstallation"):
        Server(forgetful, Verifier(tmp_path, Issuer().keys()), Asked())


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
            match request:
                case b"lost":
                    raise LostError
                case b"broken":
                    reason = "a secret detail"
                    raise RuntimeError(reason)
                case b"\0":
                    raise TextMalformedError
            yield request


def _add_streaming(streaming: Streaming, server: aio.Server) -> None:
    methods = {
        "Watch": grpc.unary_stream_rpc_method_handler(streaming.Watch),
        "Chat": grpc.stream_stream_rpc_method_handler(streaming.Chat),
    }
    server.add_registered_method_handlers("chargekey.example.v1.Example", methods)


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
        error, heard = await stream_refusal(watch(b"slow", timeout=5.0))
        assert (error.code(), heard) == (grpc.StatusCode.DEADLINE_EXCEEDED, [b"slow"])
        stranger = as_caller(Caller("user:somebody")).unary_stream(method)
        error, heard = await stream_refusal(stranger(b"hello"))
        assert (error.code(), heard) == (grpc.StatusCode.PERMISSION_DENIED, [])


async def test_services_beside_each_other_are_all_served_and_healthy(tmp_path: Path) -> None:
    async with served(SERVICE, tmp_path, Asked(), STREAMS) as as_caller:
        channel = as_caller(ADMINISTRATOR)
        assert (await InstallationServiceStub(channel).GetInstallation(home())).installation.name
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=STREAMS.name))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


CHAT = "/chargekey.example.v1.Example/Chat"


async def test_a_stream_of_requests_is_guarded_before_the_first_is_read(tmp_path: Path) -> None:
    asked = Asked()
    async with served(SERVICE, tmp_path, asked, STREAMS) as as_caller:
        chat = as_caller(ADMINISTRATOR).stream_stream(CHAT)(iter([b"a", b"b", b"c"]))
        assert [answer async for answer in chat] == [b"a", b"b", b"c"]
        assert asked.questions == [(ADMINISTRATOR, "example.Chat", "system")]
        for caller, status in (
            (Caller("user:somebody"), grpc.StatusCode.PERMISSION_DENIED),
            (NOBODY, grpc.StatusCode.UNAUTHENTICATED),
        ):
            error, heard = await stream_refusal(as_caller(caller).stream_stream(CHAT)())
            assert (error.code(), heard) == (status, [])


@pytest.mark.parametrize(
    ("sent", "code"), [(b"lost", "lost"), (b"broken", "internal"), (b"\0", "text_malformed")]
)
async def test_an_error_ends_a_stream_of_requests_by_name_behind_its_answers(
    tmp_path: Path, sent: bytes, code: str
) -> None:
    async with served(SERVICE, tmp_path, Asked(), STREAMS) as as_caller:
        chat = as_caller(ADMINISTRATOR).stream_stream(CHAT)(iter([b"a", sent]))
        error, heard = await stream_refusal(chat)
    assert (remote_error(error).code, heard) == (code, [b"a"])
    assert "a secret" not in str(error)


async def test_a_stream_of_requests_ends_when_its_token_expires(tmp_path: Path) -> None:
    """While it waits for a request; what was asked before is answered."""
    issuer, anna = Issuer(), Caller("user:anna")
    server = Server(STREAMS, Verifier(tmp_path, issuer.keys()), Asked(anna))
    port = await server.start("127.0.0.1:0")
    async with aio.insecure_channel(f"127.0.0.1:{port}") as client:
        await client.channel_ready()
        old = time.time() - tokens.LIFETIME - tokens.LEEWAY + 5
        metadata = (("authorization", f"Bearer {issuer.token(anna, now=old)}"),)
        chat = client.stream_stream(CHAT)(metadata=metadata)
        await chat.write(b"a")
        error, heard = await stream_refusal(chat)
    await server.stop(grace=0)
    assert (remote_error(error).code, heard) == ("unauthenticated", [b"a"])


async def test_a_stream_on_which_nothing_is_asked_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = streams.Requests._look  # noqa: SLF001 - nobody is told when it looks
    answered = asyncio.Event()

    def look_once_answered(self: streams.Requests) -> None:
        # Until then a request may be on its way for longer than that.
        if answered.is_set():
            look(self)
        else:
            self._looking = self._loop.call_later(SOON, look_once_answered, self)

    monkeypatch.setattr(streams, "LONGEST_PAUSE", 0.1)
    monkeypatch.setattr(streams.Requests, "_look", look_once_answered)
    async with served(SERVICE, tmp_path, Asked(), STREAMS) as as_caller:
        chat = as_caller(ADMINISTRATOR).stream_stream(CHAT)()
        await chat.write(b"a")
        assert await chat.read() == b"a"
        answered.set()
        error, heard = await stream_refusal(chat)
    assert (remote_error(error).code, heard) == ("stream_idle", [])
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_streams_of_requests_end_by_name_when_their_server_does(tmp_path: Path) -> None:
    """At once, though nobody closes them, and long before the time that calls have."""
    keys, accounts = tmp_path / "keys", tmp_path / "accounts"
    key = make_account(ADMINISTRATOR, keys=keys, accounts=accounts)
    server = Server(STREAMS, Verifier(accounts, Issuer().keys()), Asked())
    port = await server.start("127.0.0.1:0")
    async with channel(f"127.0.0.1:{port}", Signer.from_file(key)) as client:
        chat = client.stream_stream(CHAT)()
        await chat.write(b"a")
        assert await chat.read() == b"a"
        ending = asyncio.create_task(server.stop(grace=60))
        error, heard = await stream_refusal(chat)
        async with asyncio.timeout(5):
            await ending
    assert (remote_error(error).code, heard) == ("server_ending", [])
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_who_does_not_take_his_answers_is_not_asked_for_more(tmp_path: Path) -> None:
    """What he sends waits at his side: a stream holds no more than its windows do."""
    sent = 0

    async def requests() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            yield b"x" * 10_000
            sent += 1

    async with served(SERVICE, tmp_path, Asked(), STREAMS) as as_caller:
        client = as_caller(ADMINISTRATOR)
        chat = client.stream_stream(CHAT)(requests())
        # Who takes his answers is given them meanwhile.
        heard = [each async for each in client.stream_stream(CHAT)(iter([b"a"] * 3_000))]
        chat.cancel()
    assert len(heard) == 3_000
    assert 0 < sent < 5_000


async def test_a_yes_of_the_rules_is_remembered_for_a_moment_where_a_service_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no other answer; each caller's and each object's apart."""
    monkeypatch.setattr(remembered, "BRIEFLY", 60)
    asked = Asked()
    brief = Service(SERVICE.name, SERVICE.add, SERVICE.servicer, OBJECTS, frozenset(OBJECTS))
    async with served(brief, tmp_path, asked) as as_caller:
        stub = InstallationServiceStub(as_caller(ADMINISTRATOR))
        for installation_id in ("home", "home", "office"):
            await stub.GetInstallation(home(installation_id))
        objects = [each[2] for each in asked.questions]
        assert objects == ["installation:home", "installation:office"]
        other = InstallationServiceStub(as_caller(Caller("user:somebody")))
        for _ in range(2):
            error = await refusal(other.GetInstallation(home()))
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert len(asked.questions) == 4


async def test_what_is_remembered_is_asked_again_in_time() -> None:
    now = 0.0
    asked = Asked()
    check = Remembered(asked, lambda: now)
    for later, questions in ((0.0, 1), (BRIEFLY - 0.01, 1), (BRIEFLY, 2)):
        now = later
        await check(ADMINISTRATOR, "a.B", "system")
        assert len(asked.questions) == questions
    asked.allowed = NOBODY
    now += BRIEFLY
    with pytest.raises(PermissionDeniedError):
        await check(ADMINISTRATOR, "a.B", "system")


async def test_no_more_is_remembered_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "CAPACITY", 2)
    asked = Asked()
    check = Remembered(asked, lambda: 0.0)
    for obj in ("a", "b", "c", "c", "a"):
        await check(ADMINISTRATOR, "a.B", obj)
    assert [each[2] for each in asked.questions] == ["a", "b", "c", "a"]


async def test_a_stream_that_nobody_thought_about_is_not_served_either(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Watch"):
        Server(_streaming("Chat"), Verifier(tmp_path, Issuer().keys()), Asked())
