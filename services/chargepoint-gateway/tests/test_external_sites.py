"""A managed EXTERNAL site, from the charger's message to the operator's answer and the stream."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
import pytest_asyncio
import websockets
from nats.aio.client import Client
from websockets.headers import build_authorization_basic

from chargekey.gateway.v1 import operators_pb2, operators_pb2_grpc
from chargekey_common.accounts import Caller, service_account
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.errors import PermissionDeniedError
from chargekey_common.grpc.client import remote_error
from chargekey_common.keyed_ids import KeyedIds, classify
from chargekey_common.outgoing import Outgoing
from chargekey_common.process import cancel
from chargekey_common.published import access, identity
from chargekey_common.published.sessions import (
    AuthorizationRefused,
    OperatorAnswer,
    SessionStarted,
    StartRefused,
)
from chargekey_common.testing.grpc import served
from chargekey_gateway.api import operators
from chargekey_gateway.api.websocket import OcppServer
from chargekey_gateway.application.operating import Verdict
from chargekey_gateway.command_errors import ChargerUnknownError, OperatorNotDecidingError
from chargekey_gateway.decision import AskOperator, Decision, Reason, Status, decided
from chargekey_gateway.inputs import Presented
from chargekey_gateway.operators.asking import AskingOperators
from chargekey_gateway.operators.last_known import AnswerKeys, LastKnown
from chargekey_gateway.operators.question import Endpoint
from chargekey_gateway.sessions import stream
from chargekey_gateway.sessions.transactions import Phase

from .operators.operator_server import (
    Asked,
    OperatorServer,
    an_operator,
    answer,
    hang_up,
    never,
)
from .replicas import CARD, NOW, OTHERS_CARD, SECRET, Replica, events_of

KEY = "whsec_" + base64.b64encode(b"x" * 24).decode()
APP_CODE = "APP:ABCD2345ABCD2345"
NOBODYS = "DEADBEEF"  # of the operator's own customers, nobody here knows it
BLOCKED = answer(b'{"allowed": "BLOCKED"}')
LONG = 30.0  # seconds: longer than any test, so that no operator is unreachable but by itself


@pytest.fixture
async def volt() -> AsyncIterator[OperatorServer]:
    async with an_operator() as server:
        yield server


def manage(replica: Replica, *, policy: access.OnOperatorTimeout = "DENY") -> None:
    for event in (
        access.OperatorConnected(
            installation_id="site", partner_id="volt", overrides_allowed=False
        ),
        access.AuthenticationTypeSet(installation_id="site", authentication_type="EXTERNAL"),
        access.PoliciesSet(
            installation_id="site",
            on_block="STOP",
            on_revoke="FINISH",
            on_operator_timeout=policy,
            pin_length=4,
        ),
    ):
        replica.view.apply(event)


@contextlib.asynccontextmanager
async def asked_by(client: Client, volt: OperatorServer, *, deadline: float = LONG) -> Any:
    """Yield a gateway that asks volt, and that asks no charger for anything by itself."""

    async def endpoint(_: str) -> Endpoint:
        return Endpoint("WEBHOOK", volt.url, KEY)

    async with Outgoing(deadline=deadline, anywhere=True) as sender:
        asking = AskingOperators(
            endpoint=endpoint,
            sender=sender,
            keys=AnswerKeys(SECRET),
            last_known=LastKnown(client, clock=lambda: NOW),
            clock=lambda: NOW,
            deadline=deadline,
        )
        replica = Replica(client, operators=asking, greeting=3600)
        manage(replica)
        yield replica


@pytest_asyncio.fixture
async def replica(nats_client: Client, volt: OperatorServer) -> AsyncIterator[Replica]:
    await stream.declare(nats_client.jetstream(), now=NOW, replicas=1)
    async with asked_by(nats_client, volt) as replica:
        yield replica


async def tap(replica: Replica, token: str, charger: str = "first") -> Decision:
    decision = replica.gateway.deciding.authorize(replica.charger(charger), token)
    assert not isinstance(decision, Decision)
    return await decision


async def test_the_operator_decides_and_nobody_here_does(
    replica: Replica, volt: OperatorServer
) -> None:
    """R3: its own customers are let in, and a permission is worth nothing."""
    assert (await tap(replica, NOBODYS)).reason is Reason.OPERATOR_ACCEPTED
    volt.behave = answer(b'{"allowed": "NOT_ALLOWED"}')
    refused = await tap(replica, CARD)
    assert (refused.status, refused.reason) == (Status.INVALID, Reason.OPERATOR_REFUSED)
    assert (refused.user_id, refused.permission_id) == ("ada", None)


async def test_a_refused_tap_is_told_with_the_operators_answer(
    replica: Replica, volt: OperatorServer
) -> None:
    volt.behave = BLOCKED
    publishing = asyncio.create_task(replica.gateway.run())
    await tap(replica, CARD)
    async with asyncio.timeout(30):
        await replica.gateway.deciding.idle()
    await cancel(publishing)
    [event] = await events_of(replica.client)
    assert isinstance(event, AuthorizationRefused)
    assert event.inputs.operator_answer == OperatorAnswer(status="BLOCKED")
    assert decided(event.inputs).reason is Reason.IDENTIFICATION_BLOCKED


async def test_nobody_is_waited_for_once_the_operator_has_accepted(replica: Replica) -> None:
    """S3-55: as where the decision is ours."""
    charger, reports = replica.charger(), replica.gateway.reports
    reports.connector_status(charger, connector=1, status="Preparing", error_code="NoError")

    def waiting() -> bool:
        [state] = reports.states([charger], online=["first"])
        return state.connectors[0].waiting_for_authorisation

    assert waiting()
    await tap(replica, NOBODYS)
    assert not waiting()


async def test_a_pin_is_refused_at_once_and_told_to_nobody(
    replica: Replica, volt: OperatorServer
) -> None:
    """R13, R17: nor is a code of the portal that nobody has."""
    for token in ("#9999", "APP:ABCDEFGHIJKLMNOP"):
        decision = replica.gateway.deciding.authorize(replica.charger(), token)
        assert isinstance(decision, Decision)
        assert decision.reason is Reason.OPERATOR_REFUSED
        assert (await replica.start(token=token)).decision.reason is Reason.OPERATOR_REFUSED
    assert volt.asked == []


async def test_of_nothing_presented_nobody_is_asked(replica: Replica, volt: OperatorServer) -> None:
    """O37: nor is it a code that can be nobody's."""
    decision = replica.gateway.deciding.authorize(replica.charger(), "")
    assert isinstance(decision, Decision)
    assert decision.reason is Reason.IDENTIFICATION_UNKNOWN
    assert (await replica.start(token="")).decision.reason is Reason.IDENTIFICATION_UNKNOWN
    assert volt.asked == []


async def test_of_start_here_as_me_the_operator_is_told_who_and_never_the_code(
    replica: Replica, volt: OperatorServer
) -> None:
    """R17: whoever knew the code would be that person. Once it works no more nobody is asked."""
    code_class, canonical = classify(APP_CODE)
    view, key = replica.view, KeyedIds(SECRET).of(code_class, canonical, "").hex()
    view.apply(identity.IdentificationKey(identification_id="app", keyed_id=key))
    view.apply(
        identity.IdentificationAdded(
            identification_id="app", user_id="ada", type="APP", status="ACTIVE"
        )
    )
    unasked = replica.gateway.deciding.authorize(replica.charger(), APP_CODE)
    assert isinstance(unasked, Decision)
    assert unasked.reason is Reason.OPERATOR_REFUSED
    assert volt.asked == []
    replica.gateway.remote_starts.hear("first", "app", NOW)
    assert (await tap(replica, APP_CODE)).reason is Reason.OPERATOR_ACCEPTED
    assert (await replica.start(token=APP_CODE)).decision.accepted
    [asked] = volt.asked
    assert asked.said["token"] == {"code": "app", "type": "APP"}
    assert asked.said["user_id"] == "ada"
    view.apply(
        identity.IdentificationStatusChanged(
            identification_id="app", user_id="ada", status="BLOCKED"
        )
    )
    refused = replica.gateway.deciding.authorize(replica.charger(), APP_CODE)
    assert isinstance(refused, Decision)
    assert refused.reason is Reason.OPERATOR_REFUSED
    assert volt.asked == [asked]
    assert APP_CODE.encode() not in asked.body


async def test_nobody_is_asked_for_an_answer_that_nobody_awaits(
    replica: Replica, volt: OperatorServer
) -> None:
    replica.gateway.deciding.authorize(replica.charger(), CARD)
    assert volt.asked == []


async def test_a_dry_run_asks_nobody_and_says_so(replica: Replica, volt: OperatorServer) -> None:
    run = replica.gateway.deciding.dry_run(replica.charger(), CARD)
    assert isinstance(run.decision, AskOperator)
    assert run.explanation[-1].endswith("yes: the operator would be asked")
    assert volt.asked == []


async def test_a_start_is_recorded_with_the_operators_answer_and_replays_to_the_same(
    replica: Replica, volt: OperatorServer
) -> None:
    started = await replica.start(token=NOBODYS, connector=2)
    assert started.decision.reason is Reason.OPERATOR_ACCEPTED
    [asked] = volt.asked
    assert asked.said["connector"] == 2
    assert asked.said["stage"] == "start"
    [event] = await events_of(replica.client)
    assert isinstance(event, SessionStarted)
    assert event.inputs.operator_answer == OperatorAnswer(status="ALLOWED", reference="ref-1")
    again = msgspec.json.decode(msgspec.json.encode(event), type=SessionStarted)
    assert decided(again.inputs).reason is Reason.OPERATOR_ACCEPTED


async def test_a_start_sent_again_keeps_id_and_verdict_and_the_operator_is_not_asked_again(
    replica: Replica, volt: OperatorServer
) -> None:
    """R23."""
    for meter, behave, reason in (
        (1, volt.behave, Reason.OPERATOR_ACCEPTED),
        (2, BLOCKED, Reason.IDENTIFICATION_BLOCKED),
    ):
        volt.behave = behave
        asked = len(volt.asked)
        started = await replica.start(token=NOBODYS, meter_start=meter)
        assert started.decision.reason is reason
        # The operator has changed its mind since, or gone.
        volt.behave = never
        assert await replica.start(token=NOBODYS, meter_start=meter) == started
        other = Replica(replica.client)  # another process, which can ask nobody
        manage(other)
        assert await other.start(token=NOBODYS, meter_start=meter) == started
        assert len(volt.asked) == asked + 1


async def test_a_start_after_a_tap_needs_no_second_question(
    replica: Replica, volt: OperatorServer
) -> None:
    await tap(replica, NOBODYS)
    assert (await replica.start(token=NOBODYS)).decision.accepted
    assert len(volt.asked) == 1


async def test_what_charges_already_does_not_start_again_whatever_the_operator_says(
    replica: Replica,
) -> None:
    """R21."""
    assert (await replica.start("first", token=CARD)).decision.accepted
    second = await replica.start("second", token=CARD)
    assert second.decision.status is Status.CONCURRENT_TX


async def test_a_start_at_an_operator_that_says_nothing_is_refused_and_recorded(
    nats_client: Client, volt: OperatorServer
) -> None:
    await stream.declare(nats_client.jetstream(), now=NOW, replicas=1)
    volt.behave = never
    async with asked_by(nats_client, volt, deadline=0.1) as replica:
        started = await replica.start(token=CARD)
    assert started.decision.reason is Reason.OPERATOR_UNREACHABLE
    [event] = await events_of(nats_client)
    assert isinstance(event, StartRefused)
    assert event.inputs.operator_answer == OperatorAnswer(status="UNREACHABLE")


async def test_a_transaction_of_ocpp_2_asks_the_operator_too(
    replica: Replica, volt: OperatorServer
) -> None:
    decision = await replica.take(Phase.STARTED, token=NOBODYS)
    assert decision is not None
    assert decision.reason is Reason.OPERATOR_ACCEPTED
    assert [asked.said["stage"] for asked in volt.asked] == ["start"]
    for _ in range(2):  # late in a transaction, and sent again
        late = await replica.take(Phase.UPDATED, number=20, token=NOBODYS, transaction="tx3")
        assert late is not None
        assert late.reason is Reason.OPERATOR_ACCEPTED
    assert [asked.said["stage"] for asked in volt.asked] == ["start", "start"]
    volt.behave = BLOCKED
    # Whose code nobody knows here is known by it alone; another one is somebody else's.
    for number, token, reason in (
        (1, NOBODYS, Reason.OPERATOR_ACCEPTED),
        (2, "DEADBEEE", Reason.IDENTIFICATION_BLOCKED),
    ):
        presented = await replica.take(Phase.UPDATED, number=number, token=token)
        assert presented is not None
        assert presented.reason is reason
    assert [asked.said["stage"] for asked in volt.asked] == ["start", "start", "authorize"]
    refused = await replica.take(Phase.STARTED, token=OTHERS_CARD, transaction="tx2", connector=2)
    assert refused is not None
    assert refused.reason is Reason.IDENTIFICATION_BLOCKED


class Charger:
    """A charger of OCPP 1.6 over a real socket."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._id = 0

    async def send(self, action: str, **payload: Any) -> str:
        self._id += 1
        await self._socket.send(json.dumps([2, f"id-{self._id}", action, payload]))
        return f"id-{self._id}"

    async def next_answer(self) -> tuple[str, dict[str, Any]]:
        while True:
            frame = json.loads(await self._socket.recv())
            if frame[0] == 3:
                return frame[1], frame[2]


Connect = Callable[[str], Awaitable[Charger]]


@pytest.fixture
async def connect(replica: Replica) -> AsyncIterator[Connect]:
    passwords = ChargerPasswords(SECRET)
    for name in ("first", "second", "open"):
        replica.view.apply(
            access.ChargerCredential(
                charger_id=name, password_hash=passwords.hash(name, "a long enough password")
            )
        )
    # Of another site, where nobody has to be asked.
    replica.view.apply(
        access.ChargerMoved(
            charger_id="second", installation_id="elsewhere", from_installation_id="site"
        )
    )
    replica.view.apply(
        access.PermissionGranted(
            installation_id="elsewhere", permission_id="there", user_id="ada", roles=("USER",)
        )
    )
    server = OcppServer(replica.gateway)
    await server.start("127.0.0.1:0")
    async with contextlib.AsyncExitStack() as opened:

        async def connected(name: str) -> Charger:
            socket = websockets.connect(
                f"ws://127.0.0.1:{server.port}/ocpp/{name}",
                proxy=None,
                subprotocols=["ocpp1.6"],  # type: ignore[list-item]
                additional_headers={
                    "Authorization": build_authorization_basic(name, "a long enough password")
                },
            )
            return Charger(await opened.enter_async_context(socket))

        yield connected
    await server.stop()


async def test_over_ocpp_16_the_operator_is_asked_and_the_charger_told(
    connect: Connect, volt: OperatorServer
) -> None:
    charger = await connect("first")
    await charger.send("Authorize", idTag=NOBODYS)
    assert await charger.next_answer() == ("id-1", {"idTagInfo": {"status": "Accepted"}})
    await charger.send(
        "StartTransaction",
        connectorId=1,
        idTag=NOBODYS,
        meterStart=0,
        timestamp="2027-01-15T08:00:00Z",
    )
    _, started = await charger.next_answer()
    assert started["idTagInfo"] == {"status": "Accepted"}
    assert len(volt.asked) == 1
    volt.behave = answer(b'{"allowed": "NO_CREDIT"}')
    await charger.send("Authorize", idTag=OTHERS_CARD)
    assert await charger.next_answer() == ("id-3", {"idTagInfo": {"status": "Blocked"}})


async def test_while_an_operator_thinks_its_chargers_and_others_go_on(
    connect: Connect, volt: OperatorServer
) -> None:
    """What is asked later at a charger is answered before, and other sites notice nothing."""
    seen = asyncio.Event()

    async def thinks(question: Asked, writer: asyncio.StreamWriter) -> None:
        await seen.wait()
        await hang_up(question, writer)

    volt.behave = thinks
    waiting, other = await connect("first"), await connect("second")
    asked = await waiting.send("Authorize", idTag=NOBODYS)
    await volt.has_been_asked(1)
    await waiting.send("Heartbeat")
    heartbeat, _ = await waiting.next_answer()
    assert heartbeat == "id-2"
    await other.send("Authorize", idTag=CARD)
    _, accepted = await other.next_answer()
    assert accepted["idTagInfo"]["status"] == "Accepted"
    seen.set()
    late, refused = await waiting.next_answer()
    assert (late, refused["idTagInfo"]["status"]) == (asked, "Invalid")


async def test_a_charger_that_piles_up_questions_is_refused_the_rest(
    connect: Connect, volt: OperatorServer
) -> None:
    """And no question that is never asked is left behind."""
    volt.behave = never
    charger = await connect("first")
    for _ in range(40):
        await charger.send("Authorize", idTag=NOBODYS)
    await charger.send("Heartbeat")
    async with asyncio.timeout(30):
        while (await charger.next_answer())[0] != "id-41":
            pass
    assert len(volt.asked) < 40


@pytest.mark.parametrize(("whitelist", "asked"), [("ALWAYS", False), ("NEVER", True)])
async def test_what_the_operator_has_told_is_let_in_by_what_its_token_is_known_by(
    replica: Replica, volt: OperatorServer, tmp_path: Path, whitelist: str, asked: bool
) -> None:
    """P50: whether there is a question or not."""
    volt.behave = answer(b'{"allowed": "ALLOWED"}')

    async def anybody(*_: object) -> None:
        pass

    token = operators_pb2.OperatorToken(
        uid=CARD, valid=True, whitelist=whitelist, last_updated=NOW, reference="known-by"
    )
    request = operators_pb2.RememberTokensRequest(partner_id="volt", tokens=[token])
    server = OcppServer(replica.gateway)
    async with served(operators.service(replica.gateway, server), tmp_path, anybody) as as_caller:
        stub = operators_pb2_grpc.OperatorServiceStub(as_caller(service_account("notifier")))
        await stub.RememberTokens(request, timeout=20)
        assert (await tap(replica, CARD)).reason is Reason.OPERATOR_ACCEPTED
        charger, deciding = replica.charger("first"), replica.gateway.deciding
        presented = Presented(CARD, classify(CARD)[0], None)
        inputs = deciding.inputs(charger, presented, NOW)
        inputs = await deciding.with_answer(charger, presented, inputs, connector=1)
        assert inputs.operator_answer == OperatorAnswer(
            status="ALLOWED", reference="known-by", last_known=not asked
        )
        assert bool(volt.asked) == asked
        for broken in ("x" * 37, "a\nb"):
            request.tokens[0].reference = broken
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.RememberTokens(request, timeout=20)
            assert remote_error(raised.value).code == "tokens_malformed"


async def test_what_the_operator_starts_begins_without_a_question_and_with_its_reference(
    replica: Replica, volt: OperatorServer, tmp_path: Path
) -> None:
    """P11: by gRPC to a charger over a real socket; nobody else's, and nothing it may not have."""
    hashed = ChargerPasswords(SECRET).hash("first", "a long enough password")
    replica.view.apply(access.ChargerCredential(charger_id="first", password_hash=hashed))
    server = OcppServer(replica.gateway)
    await server.start("127.0.0.1:0")
    url = f"ws://127.0.0.1:{server.port}/ocpp/first"
    authorization = build_authorization_basic("first", "a long enough password")

    async def only_the_notifier(caller: Caller, _: str, obj: str) -> None:
        if (caller, obj) != (service_account("notifier"), "partner:volt"):
            raise PermissionDeniedError

    async with (
        served(
            operators.service(replica.gateway, server), tmp_path, only_the_notifier
        ) as as_caller,
        websockets.connect(
            url,
            proxy=None,
            subprotocols=["ocpp1.6"],  # type: ignore[list-item]
            additional_headers={"Authorization": authorization},
        ) as socket,
    ):
        stub = operators_pb2_grpc.OperatorServiceStub(as_caller(service_account("notifier")))
        start = operators_pb2.StartForOperatorRequest(
            partner_id="volt",
            installation_id="site",
            charger_id="first",
            connector=1,
            token=NOBODYS,
            authorization_reference="volt-77",
        )
        answering = asyncio.ensure_future(stub.StartForOperator(start, timeout=20))
        frame = json.loads(await socket.recv())
        assert frame[2:] == ["RemoteStartTransaction", {"idTag": NOBODYS, "connectorId": 1}]
        await socket.send(json.dumps([3, frame[1], {"status": "Accepted"}]))
        assert (await answering).outcome.outcome == "accepted"
        charger = Charger(socket)
        begun = {
            "connectorId": 1,
            "idTag": NOBODYS,
            "meterStart": 0,
            "timestamp": "2027-01-15T08:00:00Z",
        }
        await charger.send("StartTransaction", **begun)
        _, answer = await charger.next_answer()
        assert answer["idTagInfo"]["status"] == "Accepted"
        assert not volt.asked
        (session,) = replica.running.of_charger("first")
        beginning = replica.running.beginning(session.transaction_id)
        assert beginning is not None
        said = beginning.event.inputs.operator_answer
        assert said == OperatorAnswer(status="ALLOWED", reference="volt-77")

        async def refused(call: Any) -> str:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call
            return remote_error(raised.value).code

        for changed, code in (
            ({"installation_id": "elsewhere"}, "charger_unknown"),
            ({"charger_id": "none"}, "charger_unknown"),
            ({"charger_id": ""}, "charger_unknown"),
            ({"token": "#1234"}, "operator_refused"),
            ({"token": APP_CODE}, "operator_refused"),
            ({"token": ""}, "tokens_malformed"),
            ({"connector": -1}, "connector_malformed"),
            ({"authorization_reference": "x" * 37}, "authorization_reference_malformed"),
        ):
            other = operators_pb2.StartForOperatorRequest()
            other.CopyFrom(start)
            for name, value in changed.items():
                setattr(other, name, value)
            assert await refused(stub.StartForOperator(other, timeout=20)) == code
        watt = operators_pb2.StopForOperatorRequest(
            partner_id="volt", session_id=session.session_id
        )
        stopping = asyncio.ensure_future(stub.StopForOperator(watt, timeout=20))
        frame = json.loads(await socket.recv())
        assert frame[2] == "RemoteStopTransaction"
        await socket.send(json.dumps([3, frame[1], {"status": "Accepted"}]))
        assert (await stopping).outcome.outcome == "accepted"
        # At a site that is not the operator's any more.
        replica.view.apply(
            access.AuthenticationTypeSet(installation_id="site", authentication_type="NATIVE")
        )
        assert await refused(stub.StartForOperator(start, timeout=20)) == "operator_not_deciding"
        replica.view.apply(access.OperatorDisconnected(installation_id="site", partner_id="volt"))
        assert await refused(stub.StopForOperator(watt, timeout=20)) == "session_unknown"
        assert await refused(stub.StartForOperator(start, timeout=20)) == "charger_unknown"
        unlock = operators_pb2.UnlockForOperatorRequest(
            partner_id="volt", installation_id="site", charger_id="first", connector=1
        )
        assert await refused(stub.UnlockForOperator(unlock, timeout=20)) == "charger_unknown"
    await server.stop()


async def test_an_operator_hears_whose_cards_may_charge_where_permissions_decide(
    replica: Replica, volt: OperatorServer
) -> None:
    """P10: at its own sites, of no PIN and no app, and nothing is told of it."""
    operating = replica.gateway.operating
    chargers = operating.chargers("volt", "site", ["first"])
    with pytest.raises(OperatorNotDecidingError):
        operating.authorize(chargers, CARD)
    replica.view.apply(
        access.AuthenticationTypeSet(installation_id="site", authentication_type="NATIVE")
    )
    verdict = operating.authorize(chargers, CARD)
    assert (verdict.allowed, verdict.charger_ids) == ("ALLOWED", ["first"])
    assert verdict.identification_id
    for unknown in (NOBODYS, "#1234", APP_CODE):
        assert operating.authorize(chargers, unknown) == Verdict()
    replica.view.apply(identity.UserBlocked(user_id="ada", installation_id=None))
    assert operating.authorize(chargers, CARD).allowed == "BLOCKED"
    for partner_id, installation_id, charger_ids in (
        ("watt", "site", ["first"]),
        ("volt", "nowhere", []),
        ("volt", "site", ["first", "none"]),
    ):
        with pytest.raises(ChargerUnknownError):
            operating.chargers(partner_id, installation_id, charger_ids)
    assert not volt.asked


async def test_an_operator_hears_nothing_of_people_who_hold_nothing_at_its_site(
    replica: Replica, volt: OperatorServer
) -> None:
    """P15: also where everybody may charge; of who holds something on another charger neither."""
    operating = replica.gateway.operating
    replica.view.apply(
        access.AuthenticationTypeSet(installation_id="site", authentication_type="NATIVE")
    )
    chargers = operating.chargers("volt", "site", ["first"])
    stranger = "04AABBCC"
    key = KeyedIds(SECRET).of_token(stranger, "site")[1].hex()
    replica.view.apply(identity.IdentificationKey(identification_id="hers", keyed_id=key))
    replica.view.apply(
        identity.IdentificationAdded(
            identification_id="hers", user_id="cleo", type="RFID", status="ACTIVE"
        )
    )
    assert operating.authorize(chargers, stranger) == Verdict()
    replica.view.apply(identity.UserBlocked(user_id="cleo", installation_id=None))
    assert operating.authorize(chargers, stranger) == Verdict()
    replica.view.apply(identity.UserUnblocked(user_id="cleo", installation_id=None))
    replica.view.apply(
        access.AuthorisationRequiredSet(installation_id="site", authorisation_required=False)
    )
    assert operating.authorize(chargers, stranger) == Verdict()
    replica.view.apply(
        access.AuthorisationRequiredSet(installation_id="site", authorisation_required=True)
    )
    given = access.PermissionGranted(
        permission_id="cleos",
        user_id="cleo",
        roles=("USER",),
        installation_id="site",
        charger_id="second",
    )
    replica.view.apply(given)
    assert operating.authorize(chargers, stranger) == Verdict()
    replica.view.apply(msgspec.structs.replace(given, permission_id="more", charger_id="first"))
    assert operating.authorize(chargers, stranger).allowed == "ALLOWED"
    replica.view.apply(
        access.PermissionRevoked(
            permission_id="more", user_id="cleo", installation_id="site", charger_id="first"
        )
    )
    assert operating.authorize(chargers, stranger).allowed == "NOT_ALLOWED"
    assert not volt.asked
