"""What people have chargers do, over gRPC: who may, what is told, what comes of it (R12, R22)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nats.aio.client import Client
from structlog.testing import capture_logs

from chargekey.gateway.v1 import commands_pb2 as pb
from chargekey_common.accounts import ADMINISTRATOR, Caller
from chargekey_common.charger_passwords import ChargerPasswords
from chargekey_common.errors import PermissionDeniedError, UnavailableError
from chargekey_common.grpc.client import DEADLINE, remote_error
from chargekey_common.keyed_ids import KeyedIds, classify
from chargekey_common.published import access, identity
from chargekey_common.published.sessions import Inputs, SessionEnded, SessionStarted
from chargekey_common.testing.asking import NobodyMay, assert_every_method_asks
from chargekey_common.testing.bad_input import (
    INVALID,
    MISSING,
    STRANGE,
    UNKNOWN_IDS,
    Changes,
    Door,
    Fields,
    any_changes,
    assert_a_stranger_learns_nothing,
    assert_every_bad_value_is_refused,
    assert_no_message_is_refused,
    assert_nothing_is_an_internal_error,
    bad,
    methods,
)
from chargekey_common.testing.grpc import served
from chargekey_gateway import remote_starts
from chargekey_gateway.api import commands as api
from chargekey_gateway.app_codes import AppCode
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.command_errors import (
    AppMissingError,
    ChargerOfflineError,
    ChargerSilentError,
    StartRefusedError,
)
from chargekey_gateway.commands import (
    AnyCommand,
    ChangeAvailability,
    ChangeSetting,
    ClearCache,
    Command,
    Outcome,
    ReadSettings,
    RemoteStart,
    RemoteStop,
    Reset,
    Result,
    Send,
    Trigger,
    Unlock,
)
from chargekey_gateway.sessions.keys import StartKeys
from chargekey_gateway.sessions.running import Lock, RunningSessions
from chargekey_gateway.view.view import View

SERVICE = pb.DESCRIPTOR.services_by_name["ChargerCommandService"]
SECRET = b"a secret of 24 bytes, so"
NOW = 1_795_000_000 * 10**9
ADA, BOB, PROGRAM = Caller("user:ada"), Caller("user:bob"), Caller("partner:installers")
APP_CODE = "APP:ABCD2345ABCD2345"
SESSION = "2f6c9f1e-0000-4000-8000-000000000001"
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
DONE = Result(outcome=Outcome.ACCEPTED, status="Accepted")
CHARGER = bad(MISSING, "charger_unknown", *UNKNOWN_IDS)
CONNECTOR = bad(INVALID, "connector_malformed", -1, -(2**31))
FIELDS: Fields = {
    "charger_id": CHARGER,
    "session_id": bad(MISSING, "session_unknown", *UNKNOWN_IDS),
    "connector": CONNECTOR,
    "UnlockConnector.connector": [*CONNECTOR, *bad(INVALID, "connector_malformed", 0)],
    "at_once": (),
    "operative": (),
    # Which messages there are, the charger's version says: another one is not supported.
    "message": (),
    "names": bad(INVALID, "setting_malformed", [""], ["a\tb"], ["x" * 204], ["x"] * 51),
    "name": bad(INVALID, "setting_malformed", "", "a\tb", "\x1b[2J", "x" * 204),
    "value": bad(INVALID, "setting_malformed", "\t", "\x1b[2J", "\u202etxet", "x" * 2501),
    # Which actions there are, too.
    "action": (),
    "payload": bad(
        INVALID,
        "payload_invalid",
        "",
        "[]",
        '"#2468"',
        "{",
        "{}{}",
        "NaN",
        '{"a": ' * 50_000,
        '{"a": "' + "x" * 60_000 + '"}',
        *STRANGE,
    ),
}


class Chargers:
    """Stands where chargers are connected: remembers commands, answers as it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, AnyCommand]] = []
        self.disconnected: list[str] = []
        self.result: Result | Exception = DONE
        self.silent = False

    async def carry_out(self, charger_id: str, command: AnyCommand) -> Result:
        self.told.append((charger_id, command))
        if self.silent:
            await asyncio.Event().wait()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    async def disconnect(self, charger_id: str) -> None:
        if isinstance(self.result, Exception):
            raise self.result
        self.disconnected.append(charger_id)


class World(msgspec.Struct, frozen=True):
    """The service, with the charger `garage` where Ada may charge and Ada's session there."""

    gateway: Gateway
    chargers: Chargers
    asked: list[tuple[Caller, str, str]]
    doors: dict[Caller, Door]
    good: dict[str, Message]

    async def call(self, method: str, caller: Caller = ADA, **fields: Any) -> Any:
        request = type(self.good[method])(**fields)
        return await self.doors[caller].call(method, request)

    async def refused(self, method: str, caller: Caller = ADA, **fields: Any) -> str:
        request = type(self.good[method])(**fields)
        return remote_error(await self.doors[caller].refusal(method, request)).code

    async def ask_to_start(self, caller: Caller) -> None:
        """Start a session there, whatever comes of it."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            await self.call("StartSession", caller, charger_id="garage")

    def sees(self, *events: Any) -> None:
        for event in events:
            self.gateway.view.apply(event)


def started(session_id: str, user_id: str | None, number: int) -> SessionStarted:
    return SessionStarted(
        installation_id="home",
        charger_id="garage",
        session_id=session_id,
        connector=1,
        started_at=NOW,
        meter_start=0,
        status="Accepted",
        reason="charger_permission",
        inputs=Inputs(at=NOW),
        user_id=user_id,
        identification_id=f"identification-{number}",
        ocpp_transaction_id=f"own-{number}",
    )


@asynccontextmanager
async def a_world(place: Path) -> AsyncIterator[World]:
    view, running = View(), RunningSessions()
    code_class, canonical = classify(APP_CODE)
    for event in (
        access.InstallationCreated(
            installation_id="home", name="", time_zone="UTC", authorisation_required=True
        ),
        access.ChargerAdded(
            charger_id="garage",
            installation_id="home",
            ocpp_identity="CP-1",
            authorisation_override="INHERIT",
            identification_types=("RFID", "APP"),
        ),
        identity.PendingUserAdded(user_id="ada"),
        identity.EmailVerified(user_id="ada"),
        identity.IdentificationKey(
            identification_id="app",
            keyed_id=KeyedIds(SECRET).of(code_class, canonical, "").hex(),
            alias="",
        ),
        identity.IdentificationAdded(
            identification_id="app", user_id="ada", type="APP", status="ACTIVE"
        ),
        access.PermissionGranted(
            permission_id="permission",
            installation_id="home",
            user_id="ada",
            roles=("USER",),
            charger_id="garage",
        ),
    ):
        view.apply(event)
    running.started(1, started(SESSION, "ada", 1))
    gateway = Gateway(
        Client(),
        view=view,
        running=running,
        keyed_ids=KeyedIds(SECRET),
        start_keys=StartKeys(SECRET),
        passwords=ChargerPasswords(SECRET),
        unknown=[].append,
        clock=lambda: NOW,
    )
    chargers = Chargers()
    asked: list[tuple[Caller, str, str]] = []

    async def check(caller: Caller, action: str, obj: str) -> None:
        asked.append((caller, action, obj))
        if caller == PROGRAM:
            raise PermissionDeniedError

    async def app_codes(user_id: str) -> AppCode:
        if user_id != "ada":
            raise AppMissingError
        return AppCode("app", APP_CODE)

    async def ask(charger_id: str, identification_id: str) -> int:
        # What is written where is seen in test_remote_starts.py.
        gateway.remote_starts.hear(charger_id, identification_id, NOW)
        return NOW

    gateway.remote_starts.ask = ask  # type: ignore[method-assign]

    async def end_in_the_books(session_id: str, actor: str) -> None:
        asked.append((Caller(actor), "ended", session_id))

    gateway.charging.end_in_the_books = end_in_the_books  # type: ignore[method-assign]
    good: list[Message] = [
        pb.StartSessionRequest(charger_id="garage", connector=1),
        pb.StopSessionRequest(session_id=SESSION),
        pb.EndSessionRequest(session_id=SESSION),
        pb.ResetChargerRequest(charger_id="garage", at_once=True),
        pb.DisconnectChargerRequest(charger_id="garage"),
        pb.UnlockConnectorRequest(charger_id="garage", connector=1),
        pb.ChangeAvailabilityRequest(charger_id="garage", operative=True),
        pb.TriggerMessageRequest(charger_id="garage", message="Heartbeat"),
        pb.ClearCacheRequest(charger_id="garage"),
        pb.GetChargerSettingsRequest(charger_id="garage", names=["LocalPreAuthorize"]),
        pb.ChangeChargerSettingRequest(charger_id="garage", name="A", value="b"),
        pb.SendActionRequest(charger_id="garage", action="ClearCache", payload="{}"),
    ]
    async with served(api.service(gateway, chargers, app_codes), place, check) as as_caller:
        yield World(
            gateway,
            chargers,
            asked,
            {each: Door(SERVICE, as_caller(each)) for each in (ADA, BOB, PROGRAM, ADMINISTRATOR)},
            {each.DESCRIPTOR.name.removesuffix("Request"): each for each in good},
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as running:
        yield running


COMMANDS: list[tuple[str, dict[str, Any], Command]] = [
    (
        "StopSession",
        {"session_id": SESSION},
        RemoteStop(transaction_id=1, ocpp_transaction_id="own-1"),
    ),
    ("ResetCharger", {}, Reset()),
    ("ResetCharger", {"at_once": True}, Reset(at_once=True)),
    ("UnlockConnector", {"connector": 2}, Unlock(connector=2)),
    ("ChangeAvailability", {"operative": False}, ChangeAvailability(operative=False)),
    (
        "ChangeAvailability",
        {"operative": True, "connector": 2},
        ChangeAvailability(operative=True, connector=2),
    ),
    ("TriggerMessage", {"message": "Heartbeat"}, Trigger(message="Heartbeat")),
    ("TriggerMessage", {"message": "x", "connector": 1}, Trigger(message="x", connector=1)),
    ("ClearCache", {}, ClearCache()),
    ("ChangeChargerSetting", {"name": "A", "value": ""}, ChangeSetting(name="A", value="")),
    (
        "SendAction",
        {"action": "GetLog", "payload": '{"a": [1]}'},
        Send(action="GetLog", payload={"a": [1]}),
    ),
]


@pytest.mark.parametrize(("method", "fields", "command"), COMMANDS)
@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.REFUSED])
async def test_a_call_is_a_command_and_its_outcome_is_told(
    world: World, method: str, fields: dict[str, Any], command: Command, outcome: Outcome
) -> None:
    world.chargers.result = Result(outcome=outcome, status="Word")
    about = {} if "session_id" in fields else {"charger_id": "garage"}
    answer = await world.call(method, **about, **fields)
    assert (answer.outcome.outcome, answer.outcome.status) == (outcome, "Word")
    assert world.chargers.told == [("garage", command)]


async def test_the_answer_to_any_other_action_is_handed_back(world: World) -> None:
    world.chargers.result = Result(outcome=Outcome.ACCEPTED, payload={"status": "Accepted"})
    answer = await world.call("SendAction", charger_id="garage", action="GetLog", payload="{}")
    assert json.loads(answer.payload) == {"status": "Accepted"}


async def test_settings_are_told_by_their_names(world: World) -> None:
    world.chargers.result = Result(outcome=Outcome.ACCEPTED, settings={"B": "2", "A": "1"})
    answer = await world.call("GetChargerSettings", charger_id="garage", names=["B", "A"])
    assert [(each.name, each.value) for each in answer.settings] == [("A", "1"), ("B", "2")]
    assert world.chargers.told == [("garage", ReadSettings(names=("B", "A")))]


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (Result(outcome=Outcome.REFUSED, status="NotSupported"), "It answered: NotSupported."),
        (Result(outcome=Outcome.MALFORMED), ", or others."),
    ],
)
async def test_settings_that_are_not_told_come_with_the_chargers_word(
    world: World, result: Result, words: str
) -> None:
    world.chargers.result = result
    error = await world.doors[ADA].refusal("GetChargerSettings", world.good["GetChargerSettings"])
    assert remote_error(error).code == "settings_not_told"
    assert remote_error(error).message.endswith(words)


async def test_who_is_disconnected_is_so_wherever_it_is(world: World) -> None:
    """O9."""
    await world.call("DisconnectCharger", charger_id="garage")
    assert world.chargers.disconnected == ["garage"]
    assert world.asked == [(ADA, "gateway.DisconnectCharger", "charger:garage")]
    world.chargers.result = ChargerOfflineError()
    assert await world.refused("DisconnectCharger", charger_id="garage") == "charger_offline"


@pytest.mark.parametrize(
    ("result", "status", "code"),
    [
        (ChargerOfflineError(), PRECONDITION, "charger_offline"),
        (Result(outcome=Outcome.DISCONNECTED), PRECONDITION, "charger_offline"),
        (Result(outcome=Outcome.TIMED_OUT), grpc.StatusCode.UNAVAILABLE, "charger_silent"),
        (
            Result(outcome=Outcome.TOO_MANY_QUEUED),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "charger_busy",
        ),
        (Result(outcome=Outcome.ACTION_UNKNOWN), INVALID, "action_unknown"),
        (
            Result(outcome=Outcome.NOT_FOR_HERE, instead="Read them there."),
            PRECONDITION,
            "action_not_for_here",
        ),
        (Result(outcome=Outcome.PAYLOAD_INVALID, where="$.x: enum"), INVALID, "payload_invalid"),
    ],
)
async def test_what_was_not_answered_or_not_sent_is_an_error_by_name(
    world: World, result: Result | Exception, status: grpc.StatusCode, code: str
) -> None:
    world.chargers.result = result
    error = await world.doors[ADA].refusal("SendAction", world.good["SendAction"])
    assert (error.code(), remote_error(error).code) == (status, code)
    if code == "payload_invalid":
        assert remote_error(error).message.endswith("Correct $.x: enum.")
    if code == "action_not_for_here":
        assert remote_error(error).message.endswith(" Read them there.")


async def test_a_charger_that_never_answers_is_silent_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "DEADLINE", 0.01)

    async def never(_: str, __: AnyCommand) -> Result:
        await asyncio.Event().wait()
        return DONE

    monkeypatch.setattr(world.chargers, "carry_out", never)
    assert await world.refused("ClearCache", charger_id="garage") == "charger_silent"


# Starting here as oneself.


async def test_who_may_charge_starts_with_his_own_code_and_it_is_told_nowhere(
    world: World,
) -> None:
    """S3-12, R10, R17: decided as if it were presented at the charger."""
    with capture_logs() as logs:
        answer = await world.call("StartSession", charger_id="garage", connector=1)
        await world.call("StartSession", charger_id="garage")
    assert answer.outcome.outcome == "accepted"
    (_, first), (_, second) = world.chargers.told
    assert isinstance(first, RemoteStart)
    assert isinstance(second, RemoteStart)
    assert (first.token, first.connector) == (APP_CODE, 1)
    assert (first.identification_id, first.asked_at) == ("app", NOW)
    assert second.connector is None
    assert 0 < first.request_id < 2**31
    assert first.request_id != second.request_id
    assert APP_CODE not in str(answer) + str(logs)


REFUSALS = {
    "user_blocked": [identity.UserBlocked(user_id="ada")],
    "identification_blocked": [
        identity.IdentificationStatusChanged(
            identification_id="app", user_id="ada", status="BLOCKED"
        )
    ],
    "type_disabled": [
        access.IdentificationTypesSet(
            charger_id="garage", installation_id="home", identification_types=("RFID",)
        )
    ],
    "no_permission": [
        access.PermissionRevoked(permission_id="permission", installation_id="home", user_id="ada")
    ],
}


@pytest.mark.parametrize("reason", REFUSALS)
async def test_who_may_not_charge_is_told_why_and_what_to_do(world: World, reason: str) -> None:
    world.sees(*REFUSALS[reason])
    error = await world.doors[ADA].refusal("StartSession", world.good["StartSession"])
    assert (error.code(), remote_error(error).code) == (PRECONDITION, reason)
    assert ";" in remote_error(error).message
    assert world.chargers.told == []


async def test_what_cannot_be_made_durable_is_told_to_no_charger(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would have a code that counts nowhere, or no longer once it is elsewhere."""
    monkeypatch.setattr(remote_starts, "WITHIN", 0.01)
    del world.gateway.remote_starts.ask  # type: ignore[method-assign]
    error = await world.doors[ADA].refusal("StartSession", world.good["StartSession"])
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert world.chargers.told == []


async def test_who_charges_already_starts_nothing_more(world: World) -> None:
    """R21."""
    world.gateway.running.locked("app", Lock(7, held=True))
    assert await world.refused("StartSession", charger_id="garage") == "already_charging"
    world.gateway.running.locked("app", Lock(8, held=False))
    await world.call("StartSession", charger_id="garage")


@pytest.mark.parametrize(
    ("caller", "code"), [(ADMINISTRATOR, "not_a_person"), (BOB, "app_missing")]
)
async def test_only_people_with_an_account_start_from_here(
    world: World, caller: Caller, code: str
) -> None:
    assert await world.refused("StartSession", caller, charger_id="garage") == code
    assert world.chargers.told == []


def test_every_reason_of_a_refusal_has_a_sentence_of_its_own_or_says_no() -> None:
    assert str(StartRefusedError.because("something new")) == "You may not charge here."
    assert StartRefusedError.because("something new").code == "something new"


# Who is asked about.


async def test_ones_own_session_is_asked_about_as_ones_own(world: World) -> None:
    """R22: whoever began it may stop it, and else who looks after the charger."""
    await world.call("StopSession", ADA, session_id=SESSION)
    await world.call("StopSession", BOB, session_id=SESSION)
    await world.call("EndSession", ADA, session_id=SESSION)
    await world.call("EndSession", BOB, session_id=SESSION)
    assert world.asked == [
        (ADA, "gateway.StopSession", "user:ada"),
        (BOB, "gateway.StopSession", "charger:garage"),
        (ADA, "gateway.EndSession", "user:ada"),
        (ADA, "ended", SESSION),
        (BOB, "gateway.EndSession", "charger:garage"),
        (BOB, "ended", SESSION),
    ]


@pytest.mark.parametrize(
    "result",
    [
        DONE,
        Result(outcome=Outcome.REJECTED),
        ChargerOfflineError(),
        ChargerSilentError(),
        UnavailableError(),
    ],
)
async def test_what_is_ended_in_the_books_is_to_stop_where_the_charger_is_there(
    world: World, result: Result | Exception
) -> None:
    """R12, R21: else he could charge on, and elsewhere with the same card. Ended it is anyway."""
    world.chargers.result = result
    await world.call("EndSession", ADA, session_id=SESSION)
    stop = RemoteStop(transaction_id=1, ocpp_transaction_id="own-1")
    assert world.chargers.told == [("garage", stop)]
    assert world.asked[-1] == (ADA, "ended", SESSION)


async def test_a_charger_that_is_silent_does_not_keep_its_session_in_the_books(
    world: World,
) -> None:
    """R21: it is asked to stop, and not for as long as whoever ends it waits."""
    world.chargers.silent = True
    request = pb.EndSessionRequest(session_id=SESSION)
    await world.doors[ADA].call("EndSession", request, timeout=DEADLINE)
    assert world.asked[-1] == (ADA, "ended", SESSION)


OPEN = access.AuthorisationRequiredSet(installation_id="home", authorisation_required=False)
BY_OPERATOR = access.AuthenticationTypeSet(installation_id="home", authentication_type="EXTERNAL")
AWAY = access.ChargerMoved(charger_id="garage", installation_id="work", from_installation_id="home")


async def test_whoever_was_given_something_there_asks_about_himself_and_hears_why_not(
    world: World,
) -> None:
    """R12: access tells one who is blocked, or whose permission has ended, that he may not."""
    world.sees(
        access.PermissionGranted(
            permission_id="bobs", installation_id="home", user_id="bob", roles=("USER",)
        )
    )
    for caller in (ADA, BOB, ADMINISTRATOR):
        await world.ask_to_start(caller)
    world.sees(access.UserBlockedAtInstallation(installation_id="home", user_id="ada"))
    assert await world.refused("StartSession", charger_id="garage") == "user_blocked"
    assert world.asked == [
        (ADA, "gateway.StartSession", "user:ada"),
        (BOB, "gateway.StartSession", "user:bob"),
        (ADMINISTRATOR, "gateway.StartSession", "charger:garage"),
        (ADA, "gateway.StartSession", "user:ada"),
    ]


@pytest.mark.parametrize("event", [OPEN, BY_OPERATOR, AWAY])
async def test_where_a_permission_is_not_what_decides_access_says_who_may_start(
    world: World, event: Any
) -> None:
    """Anybody charges at an open charger, and nobody starts it from afar who is not of the site."""
    world.sees(event)
    await world.ask_to_start(ADA)
    assert world.asked == [(ADA, "gateway.StartSession", "charger:garage")]


async def test_a_session_that_has_ended_is_unknown(world: World) -> None:
    world.gateway.running.ended(
        2,
        SessionEnded(
            installation_id="home",
            charger_id="garage",
            session_id=SESSION,
            transaction_id=1,
            connector=1,
            ended_at=NOW,
            meter_stop=0,
            reason="Local",
        ),
    )
    assert await world.refused("StopSession", session_id=SESSION) == "session_unknown"


async def test_every_method_asks_and_tells_nothing_to_who_may_not(tmp_path: Path) -> None:
    """S0-3."""
    rules = NobodyMay()
    async with a_world(tmp_path) as world:
        chargers = Chargers()

        async def app_codes(_: str) -> AppCode:
            return AppCode("app", APP_CODE)

        service = api.service(world.gateway, chargers, app_codes)
        place = tmp_path / "asking"
        place.mkdir()
        async with served(service, place, rules) as as_caller:
            await assert_every_method_asks(
                as_caller,
                rules.asked,
                pb.StopSessionRequest(session_id=SESSION),
                pb.EndSessionRequest(session_id=SESSION),
            )
        assert chargers.told == []


@pytest.mark.parametrize("method", methods(SERVICE))
async def test_what_cannot_be_is_refused_by_name_without_an_echo_and_tells_no_charger(
    world: World, method: str
) -> None:
    """The rest of the request is right: without the bad value it is done."""
    await assert_every_bad_value_is_refused(world.doors[ADA], world.good[method], FIELDS)
    await assert_no_message_is_refused(world.doors[ADA], method)
    assert world.chargers.told == []
    await world.doors[ADA].call(method, world.good[method])


@pytest.mark.parametrize("method", methods(SERVICE))
async def test_a_stranger_cannot_tell_what_exists_from_what_does_not(
    world: World, method: str
) -> None:
    await assert_a_stranger_learns_nothing(world.doors[PROGRAM], world.good[method])


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(any_changes(SERVICE), min_size=20, max_size=40))
def test_nothing_that_can_be_sent_is_an_internal_error(sent: list[tuple[str, Changes]]) -> None:
    async def example(place: Path) -> None:
        async with a_world(place) as world:
            await assert_nothing_is_an_internal_error(world.doors[ADA], world.good, sent)

    with tempfile.TemporaryDirectory() as place:
        asyncio.run(example(Path(place)))
