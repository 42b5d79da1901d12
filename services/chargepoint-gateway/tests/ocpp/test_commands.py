"""Commands in every OCPP version: what is sent, what the answer means, what is never sent.

O44: every message is held against the official schema of its action. R12 rests on these:
stops, lists, caches and settings reach the charger as the standard says.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from chargekey_gateway.commands import (
    ANONYMOUS,
    AnyCommand,
    ChangeAvailability,
    ChangeSetting,
    ClearCache,
    Command,
    GetLocalListVersion,
    ListEntry,
    Outcome,
    ReadSettings,
    RemoteStart,
    RemoteStop,
    Reset,
    Result,
    Send,
    SendLocalList,
    Trigger,
    Unlock,
)
from chargekey_gateway.ocpp import schemas

from .ends import (
    ACTIONS,
    DIALECTS,
    NOW,
    PLACES,
    SCHEMAS,
    TWO,
    VERSIONS,
    ChargerEnd,
    judge,
    variable,
)

SECOND = 10**9
ENDS = NOW


def test_every_version_carries_out_every_command() -> None:
    """One vocabulary for all versions."""
    for dialect in DIALECTS.values():
        assert set(dialect.commands) == set(get_args(AnyCommand))


def settings16(**values: str) -> dict[str, Any]:
    return {
        "configurationKey": [
            {"key": key, "readonly": False, "value": value} for key, value in values.items()
        ]
    }


ACCEPTED, REJECTED = {"status": "Accepted"}, {"status": "Rejected"}
YES = Result(outcome=Outcome.ACCEPTED, status="Accepted")
NO = Result(outcome=Outcome.REJECTED, status="Rejected")
NOT_SUPPORTED = Result(outcome=Outcome.NOT_SUPPORTED)
CARD = {"idToken": "04A1B2C3", "type": "ISO14443"}

SPOKEN_16: list[tuple[Command, str, Any, Any, Result]] = [
    (
        RemoteStart(token="app:abcd2345abcd2345", connector=2),
        "RemoteStartTransaction",
        {"idTag": "APP:ABCD2345ABCD2345", "connectorId": 2},
        ACCEPTED,
        YES,
    ),
    (RemoteStart(token="04a1b2c3"), "RemoteStartTransaction", {"idTag": "04A1B2C3"}, REJECTED, NO),
    (
        RemoteStart(token="04a1b2c3", connector=0),
        "RemoteStartTransaction",
        {"idTag": "04A1B2C3"},
        REJECTED,
        NO,
    ),
    (
        RemoteStop(transaction_id=7, ocpp_transaction_id="x"),
        "RemoteStopTransaction",
        {"transactionId": 7},
        ACCEPTED,
        YES,
    ),
    (ClearCache(), "ClearCache", {}, ACCEPTED, YES),
    (ClearCache(), "ClearCache", {}, REJECTED, NO),
    (
        GetLocalListVersion(),
        "GetLocalListVersion",
        {},
        {"listVersion": 0},
        Result(outcome=Outcome.ACCEPTED, version=0),
    ),
    (
        GetLocalListVersion(),
        "GetLocalListVersion",
        {},
        {"listVersion": 12},
        Result(outcome=Outcome.ACCEPTED, version=12),
    ),
    (GetLocalListVersion(), "GetLocalListVersion", {}, {"listVersion": -1}, NOT_SUPPORTED),
    (
        SendLocalList(
            version=3,
            full=False,
            entries=(
                ListEntry(code="04a1b2c3", type="RFID", expires=ENDS, group="home"),
                ListEntry(code="04a1b2c4", type="RFID", status="Blocked"),
            ),
            removed=(ListEntry(code="04a1b2c5", type="RFID"),),
        ),
        "SendLocalList",
        {
            "listVersion": 3,
            "updateType": "Differential",
            "localAuthorizationList": [
                {
                    "idTag": "04A1B2C3",
                    "idTagInfo": {
                        "status": "Accepted",
                        "expiryDate": "2026-11-18T11:06:40.000Z",
                        "parentIdTag": "home",
                    },
                },
                {"idTag": "04A1B2C4", "idTagInfo": {"status": "Blocked"}},
                {"idTag": "04A1B2C5"},
            ],
        },
        ACCEPTED,
        YES,
    ),
    (
        SendLocalList(version=1, full=True),
        "SendLocalList",
        {"listVersion": 1, "updateType": "Full", "localAuthorizationList": []},
        {"status": "Failed"},
        Result(outcome=Outcome.REJECTED, status="Failed"),
    ),
    (
        SendLocalList(
            version=1,
            full=True,
            entries=(ListEntry(code="x" * 21, type="RFID"),),
            removed=(ListEntry(code="x" * 21, type="RFID"),),
        ),
        "SendLocalList",
        {"listVersion": 1, "updateType": "Full", "localAuthorizationList": []},
        {"status": "VersionMismatch"},
        Result(outcome=Outcome.VERSION_MISMATCH, status="VersionMismatch"),
    ),
    (
        SendLocalList(version=1, full=True),
        "SendLocalList",
        {"listVersion": 1, "updateType": "Full", "localAuthorizationList": []},
        {"status": "NotSupported"},
        Result(outcome=Outcome.NOT_SUPPORTED, status="NotSupported"),
    ),
    (
        ReadSettings(names=("LocalPreAuthorize", "Nothing")),
        "GetConfiguration",
        {"key": ["LocalPreAuthorize", "Nothing"]},
        {**settings16(localpreauthorize="true"), "unknownKey": ["Nothing"]},
        Result(outcome=Outcome.ACCEPTED, settings={"LocalPreAuthorize": "true"}),
    ),
    (
        ReadSettings(names=("AuthorizationKey",)),
        "GetConfiguration",
        {"key": ["AuthorizationKey"]},
        {"configurationKey": [{"key": "AuthorizationKey", "readonly": False, "value": "secret"}]},
        Result(outcome=Outcome.ACCEPTED),
    ),
    *(
        (
            ChangeSetting(name="LocalPreAuthorize", value="true", ours=True),
            "ChangeConfiguration",
            {"key": "LocalPreAuthorize", "value": "true"},
            {"status": status},
            Result(outcome=outcome, status=status),
        )
        for status, outcome in (
            ("Accepted", Outcome.ACCEPTED),
            ("RebootRequired", Outcome.REBOOT_REQUIRED),
            ("NotSupported", Outcome.NOT_SUPPORTED),
            ("Rejected", Outcome.REJECTED),
        )
    ),
    (
        Trigger(message="StatusNotification", connector=1),
        "TriggerMessage",
        {"requestedMessage": "StatusNotification", "connectorId": 1},
        ACCEPTED,
        YES,
    ),
    (
        Trigger(message="SignChargePointCertificate", connector=0),
        "ExtendedTriggerMessage",
        {"requestedMessage": "SignChargePointCertificate"},
        {"status": "NotImplemented"},
        Result(outcome=Outcome.NOT_SUPPORTED, status="NotImplemented"),
    ),
    (Reset(), "Reset", {"type": "Soft"}, ACCEPTED, YES),
    (Reset(at_once=True), "Reset", {"type": "Hard"}, REJECTED, NO),
    *(
        (
            Unlock(connector=1),
            "UnlockConnector",
            {"connectorId": 1},
            {"status": status},
            Result(outcome=outcome, status=status),
        )
        for status, outcome in (
            ("Unlocked", Outcome.ACCEPTED),
            ("UnlockFailed", Outcome.REJECTED),
            ("NotSupported", Outcome.NOT_SUPPORTED),
        )
    ),
    (
        ChangeAvailability(operative=False),
        "ChangeAvailability",
        {"connectorId": 0, "type": "Inoperative"},
        {"status": "Scheduled"},
        Result(outcome=Outcome.ACCEPTED, status="Scheduled"),
    ),
    (
        ChangeAvailability(operative=True, connector=2),
        "ChangeAvailability",
        {"connectorId": 2, "type": "Operative"},
        REJECTED,
        NO,
    ),
    (
        Send(action="ExtendedTriggerMessage", payload={"requestedMessage": "Heartbeat"}),
        "ExtendedTriggerMessage",
        {"requestedMessage": "Heartbeat"},
        {"status": "NotImplemented"},
        Result(
            outcome=Outcome.NOT_SUPPORTED,
            status="NotImplemented",
            payload={"status": "NotImplemented"},
        ),
    ),
    (
        Send(action="GetConfiguration", payload={}),
        "GetConfiguration",
        {},
        settings16(AuthorizationKey="secret", Other="1"),
        Result(outcome=Outcome.ACCEPTED, payload=settings16(Other="1")),
    ),
]
SPOKEN_2: list[tuple[Command, str, Any, Any, Result]] = [
    (
        RemoteStart(token="app:abcd2345abcd2345", connector=2, group="home", request_id=9),
        "RequestStartTransaction",
        {
            "idToken": {"idToken": "APP:ABCD2345ABCD2345", "type": "Central"},
            "remoteStartId": 9,
            "evseId": 2,
            "groupIdToken": {"idToken": "home", "type": "Central"},
        },
        ACCEPTED,
        YES,
    ),
    *(
        (
            RemoteStart(token=token, request_id=1),
            "RequestStartTransaction",
            {"idToken": {"idToken": sent, "type": kind}, "remoteStartId": 1},
            REJECTED,
            NO,
        )
        for token, sent, kind in (
            ("04a1b2c3", "04A1B2C3", "ISO14443"),
            ("#2468", "2468", "KeyCode"),
            ("DE8AXC12345678", "DE8AXC12345678", "eMAID"),
            ("vid:aabbccddeeff", "AABBCCDDEEFF", "MacAddress"),
            (ANONYMOUS, "", "NoAuthorization"),
            ("+4915112345678", "+4915112345678", "Central"),
        )
    ),
    (
        RemoteStop(transaction_id=7, ocpp_transaction_id="own id"),
        "RequestStopTransaction",
        {"transactionId": "own id"},
        ACCEPTED,
        YES,
    ),
    (ClearCache(), "ClearCache", {}, REJECTED, NO),
    (
        GetLocalListVersion(),
        "GetLocalListVersion",
        {},
        {"versionNumber": 0},
        Result(outcome=Outcome.ACCEPTED, version=0),
    ),
    (GetLocalListVersion(), "GetLocalListVersion", {}, {"versionNumber": -1}, NOT_SUPPORTED),
    (
        SendLocalList(
            version=3,
            full=False,
            entries=(
                ListEntry(code="04a1b2c3", type="RFID", expires=ENDS, group="home"),
                ListEntry(code="#2468", type="PIN", status="Blocked"),
            ),
            removed=(ListEntry(code="aabbccddeeff", type="VEHICLE_ID"),),
        ),
        "SendLocalList",
        {
            "versionNumber": 3,
            "updateType": "Differential",
            "localAuthorizationList": [
                {
                    "idToken": CARD,
                    "idTokenInfo": {
                        "status": "Accepted",
                        "cacheExpiryDateTime": "2026-11-18T11:06:40.000Z",
                        "groupIdToken": {"idToken": "home", "type": "Central"},
                    },
                },
                {
                    "idToken": {"idToken": "2468", "type": "KeyCode"},
                    "idTokenInfo": {"status": "Blocked"},
                },
                {"idToken": {"idToken": "AABBCCDDEEFF", "type": "MacAddress"}},
            ],
        },
        {"status": "VersionMismatch"},
        Result(outcome=Outcome.VERSION_MISMATCH, status="VersionMismatch"),
    ),
    (
        SendLocalList(version=1, full=True),
        "SendLocalList",
        {"versionNumber": 1, "updateType": "Full"},
        {"status": "Failed"},
        Result(outcome=Outcome.REJECTED, status="Failed"),
    ),
    (
        ReadSettings(
            names=(
                "AuthCtrlr.Enabled",
                "OCPPCommCtrlr.MessageAttempts:TransactionEvent",
                "No:1.Such",
                "SecurityCtrlr.BasicAuthPassword",
                "not a name",
            )
        ),
        "GetVariables",
        {
            "getVariableData": [
                variable("AuthCtrlr.Enabled"),
                variable("OCPPCommCtrlr.MessageAttempts:TransactionEvent"),
                variable("No:1.Such"),
                variable("SecurityCtrlr.BasicAuthPassword"),
            ]
        },
        {
            "getVariableResult": [
                variable("No:1.Such", attributeStatus="UnknownComponent"),
                variable(
                    "SecurityCtrlr.BasicAuthPassword",
                    attributeStatus="Accepted",
                    attributeValue="secret",
                ),
                variable("AUTHCTRLR.enabled", attributeStatus="Accepted", attributeValue="true"),
                variable(
                    "OCPPCommCtrlr.MessageAttempts:TransactionEvent",
                    attributeStatus="Accepted",
                    attributeValue="3",
                ),
                variable("Unasked.For", attributeStatus="Accepted", attributeValue="3"),
            ]
        },
        Result(
            outcome=Outcome.ACCEPTED,
            settings={
                "AuthCtrlr.Enabled": "true",
                "OCPPCommCtrlr.MessageAttempts:TransactionEvent": "3",
            },
        ),
    ),
    *(
        (
            ChangeSetting(name="AuthCtrlr.Enabled", value="false", ours=True),
            "SetVariables",
            {"setVariableData": [variable("AuthCtrlr.Enabled", attributeValue="false")]},
            {"setVariableResult": [variable("AuthCtrlr.Enabled", attributeStatus=status)]},
            Result(outcome=outcome, status=status),
        )
        for status, outcome in (
            ("Accepted", Outcome.ACCEPTED),
            ("RebootRequired", Outcome.REBOOT_REQUIRED),
            ("Rejected", Outcome.REJECTED),
            ("UnknownVariable", Outcome.NOT_SUPPORTED),
            ("UnknownComponent", Outcome.NOT_SUPPORTED),
            ("NotSupportedAttributeType", Outcome.NOT_SUPPORTED),
        )
    ),
    (
        Trigger(message="TransactionEvent", connector=1),
        "TriggerMessage",
        {"requestedMessage": "TransactionEvent", "evse": {"id": 1}},
        ACCEPTED,
        YES,
    ),
    (
        Trigger(message="StatusNotification", connector=2),
        "TriggerMessage",
        {"requestedMessage": "StatusNotification", "evse": {"id": 2, "connectorId": 1}},
        ACCEPTED,
        YES,
    ),
    (
        Reset(),
        "Reset",
        {"type": "OnIdle"},
        {"status": "Scheduled"},
        Result(outcome=Outcome.ACCEPTED, status="Scheduled"),
    ),
    (Reset(at_once=True), "Reset", {"type": "Immediate"}, REJECTED, NO),
    *(
        (
            Unlock(connector=2),
            "UnlockConnector",
            {"evseId": 2, "connectorId": 1},
            {"status": status},
            Result(outcome=outcome, status=status),
        )
        for status, outcome in (
            ("Unlocked", Outcome.ACCEPTED),
            ("UnlockFailed", Outcome.REJECTED),
            ("OngoingAuthorizedTransaction", Outcome.REJECTED),
            ("UnknownConnector", Outcome.REJECTED),
        )
    ),
    (
        ChangeAvailability(operative=False),
        "ChangeAvailability",
        {"operationalStatus": "Inoperative"},
        ACCEPTED,
        YES,
    ),
    (
        ChangeAvailability(operative=True, connector=2),
        "ChangeAvailability",
        {"operationalStatus": "Operative", "evse": {"id": 2}},
        REJECTED,
        NO,
    ),
    (
        Send(action="GetVariables", payload={"getVariableData": [variable("A.B")]}),
        "GetVariables",
        {"getVariableData": [variable("A.B")]},
        {
            "getVariableResult": [
                variable("X.BasicAuthPassword", attributeStatus="Accepted", attributeValue="y"),
                variable("X:1.vpnPassword", attributeStatus="Accepted", attributeValue="z"),
                variable("A.B", attributeStatus="Accepted", attributeValue="1"),
            ]
        },
        Result(
            outcome=Outcome.ACCEPTED,
            payload={
                "getVariableResult": [
                    variable("A.B", attributeStatus="Accepted", attributeValue="1")
                ]
            },
        ),
    ),
]
SPOKEN = [
    *(("1.6", *row) for row in SPOKEN_16),
    *((version, *row) for version in TWO for row in SPOKEN_2),
    (
        "2.1",
        Trigger(message="SignV2G20Certificate"),
        "TriggerMessage",
        {"requestedMessage": "SignV2G20Certificate"},
        ACCEPTED,
        YES,
    ),
]


@pytest.mark.parametrize(("version", "command", "action", "payload", "answer", "result"), SPOKEN)
async def test_a_command_is_said_in_the_words_of_the_version(
    new_end: Callable[..., ChargerEnd],
    version: str,
    command: Command,
    action: str,
    payload: Any,
    answer: Any,
    result: Result,
) -> None:
    """O17, O27, O28, O32, O33, O41: in one spelling, and what each word of an answer means."""
    line = new_end(version)
    assert await line.carry_out(command, answer) == result
    assert line.calls == [(action, payload)]
    if answer:
        judge(version, f"{action}Response.json", answer)


def test_every_command_is_in_that_table_for_every_version() -> None:
    for version in VERSIONS:
        told = {type(command) for spoken, command, *_ in SPOKEN if spoken == version}
        assert told == set(get_args(AnyCommand))


ONE_OF_EACH: list[Command] = [
    RemoteStart(token="04A1B2C3"),
    RemoteStop(transaction_id=1, ocpp_transaction_id="x"),
    ClearCache(),
    GetLocalListVersion(),
    SendLocalList(version=1, full=True),
    ReadSettings(names=("AuthCtrlr.Enabled",)),
    ChangeSetting(name="AuthCtrlr.Enabled", value="true", ours=True),
    Trigger(message="Heartbeat"),
    Reset(),
    Unlock(connector=1),
    ChangeAvailability(operative=True),
    Send(action="ClearCache", payload={}),
]
each_command = pytest.mark.parametrize(
    "command", ONE_OF_EACH, ids=[type(each).__name__ for each in ONE_OF_EACH]
)
each_version = pytest.mark.parametrize("version", VERSIONS)


IN_EVERY_VERSION = {
    "GenericError",
    "InternalError",
    "NotImplemented",
    "NotSupported",
    "PropertyConstraintViolation",
    "ProtocolError",
    "SecurityError",
    "TypeConstraintViolation",
}
OF_TWO = {
    *("FormatViolation", "MessageTypeNotSupported"),
    *("OccurrenceConstraintViolation", "RpcFrameworkError"),
}
# OCPP-J 1.6 §4.2.3 with its misspelling, OCPP-J 2.x §4.3.
CODES = {
    "1.6": {*IN_EVERY_VERSION, "FormationViolation", "OccurenceConstraintViolation"},
    "2.0.1": IN_EVERY_VERSION | OF_TWO,
    "2.1": IN_EVERY_VERSION | OF_TWO,
}
STRANGE_CODES = ("what?", "#2468", "notimplemented", "", "x" * 300)


@each_version
@pytest.mark.parametrize("code", sorted({*CODES["1.6"], *CODES["2.1"], *STRANGE_CODES}))
async def test_why_a_charger_refuses_is_told_in_a_word_of_its_version_and_in_no_other(
    new_end: Callable[..., ChargerEnd], version: str, code: str
) -> None:
    """O8: and never by its description or its details, which may quote what was sent."""
    with capture_logs() as logs:
        result = await new_end(version).carry_out(Unlock(connector=1), code)
    word = code if code in CODES[version] else "GenericError"
    assert result == Result(outcome=Outcome.REFUSED, status=word)
    assert "2468" not in str(logs)


@each_version
@each_command
@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("NotImplemented", Result(outcome=Outcome.REFUSED, status="NotImplemented")),
        ("what?", Result(outcome=Outcome.REFUSED, status="GenericError")),
        (
            {"status": "What?", "versionNumber": "x", "setVariableResult": []},
            Result(outcome=Outcome.MALFORMED),
        ),
        ([], Result(outcome=Outcome.MALFORMED)),
    ],
)
async def test_a_refusal_and_nonsense_are_outcomes(
    new_end: Callable[..., ChargerEnd], version: str, command: Command, answer: Any, result: Result
) -> None:
    lenient = version == "1.6" and isinstance(command, ReadSettings) and isinstance(answer, dict)
    expected = Result(outcome=Outcome.ACCEPTED) if lenient else result
    assert await new_end(version).carry_out(command, answer) == expected


@each_version
@each_command
async def test_silence_and_a_lost_connection_settle(
    new_end: Callable[..., ChargerEnd], version: str, command: Command
) -> None:
    silent = new_end(version, call_timeout=0.01)
    assert await silent.carry_out(command, None) == Result(outcome=Outcome.TIMED_OUT)
    lost = new_end(version)
    lost.connection.lost()
    assert await lost.carry_out(command) == Result(outcome=Outcome.DISCONNECTED)


@pytest.mark.parametrize(
    ("version", "command"),
    [
        ("1.6", RemoteStart(token="x" * 21)),
        ("1.6", Trigger(message="TransactionEvent")),
        *((version, RemoteStop(transaction_id=7)) for version in TWO),
        *((version, Trigger(message="CustomTrigger")) for version in TWO),
        ("2.0.1", Trigger(message="SignV2G20Certificate")),
        *((version, ChangeSetting(name=name, value="1")) for version in TWO for name in "x. .x x."),
    ],
)
async def test_what_a_version_has_no_way_to_say_is_not_sent(
    new_end: Callable[..., ChargerEnd], version: str, command: Command
) -> None:
    assert await new_end(version).carry_out(command) == NOT_SUPPORTED


@each_version
@pytest.mark.parametrize("number", [0, -1])
async def test_a_list_never_has_a_version_that_means_none(
    new_end: Callable[..., ChargerEnd], version: str, number: int
) -> None:
    """O27: 1.6 §5.10, 0 is an empty list, -1 none at all."""
    with pytest.raises(ValueError, match="above 0"):
        await new_end(version).carry_out(SendLocalList(version=number, full=True))


# Settings.


async def test_keys_are_read_one_by_one_where_the_charger_takes_no_more(
    new_end: Callable[..., ChargerEnd],
) -> None:
    """1.6 §9.1.8: GetConfigurationMaxKeys."""
    line = new_end("1.6")
    result = await line.carry_out(
        ReadSettings(names=("A", "B")), "InternalError", settings16(A="1"), {"unknownKey": ["B"]}
    )
    assert result == Result(outcome=Outcome.ACCEPTED, settings={"A": "1"})


@pytest.mark.parametrize("version", TWO)
async def test_variables_are_read_one_by_one_where_the_charger_takes_no_more(
    new_end: Callable[..., ChargerEnd], version: str
) -> None:
    line = new_end(version)
    found = variable("A.B", attributeStatus="Accepted", attributeValue="1")
    unknown = variable("C.D", attributeStatus="UnknownComponent")
    result = await line.carry_out(
        ReadSettings(names=("A.B", "C.D")),
        "OccurrenceConstraintViolation",
        {"getVariableResult": [found]},
        {"getVariableResult": [unknown]},
    )
    assert result == Result(outcome=Outcome.ACCEPTED, settings={"A.B": "1"})


@pytest.mark.parametrize("version", TWO)
async def test_no_name_of_a_variable_asks_nothing(
    new_end: Callable[..., ChargerEnd], version: str
) -> None:
    result = await new_end(version).carry_out(ReadSettings(names=("LocalPreAuthorize",)))
    assert result == Result(outcome=Outcome.ACCEPTED)


@pytest.mark.parametrize(
    ("now", "wanted", "sent"),
    [("1", "2", True), ("2", "2", False), ("2", "1", False), ("2", "x", False), ("", "3", False)],
)
async def test_a_security_profile_is_only_ever_raised(
    new_end: Callable[..., ChargerEnd], now: str, wanted: str, *, sent: bool
) -> None:
    """O15."""
    line = new_end("1.6")
    answers = [settings16(SecurityProfile=now), *([ACCEPTED] if sent else [])]
    result = await line.carry_out(ChangeSetting(name="securityProfile", value=wanted), *answers)
    assert result.outcome is (Outcome.ACCEPTED if sent else Outcome.NOT_FOR_HERE)


async def test_a_charger_that_does_not_tell_its_security_profile_keeps_it(
    new_end: Callable[..., ChargerEnd],
) -> None:
    line = new_end("1.6")
    result = await line.carry_out(ChangeSetting(name="SecurityProfile", value="3"), "InternalError")
    assert result.outcome is Outcome.NOT_FOR_HERE


# Any other action.


@each_version
def test_any_action_of_this_side_may_be_sent(version: str) -> None:
    folder, suffix = PLACES[version]
    for action in ACTIONS[version]:
        assert (SCHEMAS / folder / "schemas" / f"{action}{suffix}.json").is_file()


@each_version
@pytest.mark.parametrize(
    "action",
    ["Authorize", "Heartbeat", "Nonsense", "", "../v21/Reset", "reset", "StatusNotification"],
)
async def test_an_action_that_is_not_for_this_side_is_not_sent(
    new_end: Callable[..., ChargerEnd], version: str, action: str
) -> None:
    result = await new_end(version).carry_out(Send(action=action, payload={}))
    assert result == Result(outcome=Outcome.ACTION_UNKNOWN)


@pytest.mark.parametrize(
    ("version", "action", "payload", "where"),
    [
        ("1.6", "Reset", {}, "$: required type"),
        ("1.6", "Reset", {"type": "#2468"}, '$.type: enum ["Hard", "Soft"]'),
        ("1.6", "Reset", {"type": "Hard", "#2468": 1}, "$: a name that is not known here"),
        ("1.6", "UnlockConnector", {"connectorId": "#2468"}, '$.connectorId: type "integer"'),
        ("1.6", "RemoteStartTransaction", {"idTag": "#" * 21}, "$.idTag: maxLength 20"),
        *(
            (
                version,
                "SetVariables",
                {"setVariableData": [{**variable("A.B"), "attributeValue": 2468}]},
                '$.setVariableData[0].attributeValue: type "string"',
            )
            for version in TWO
        ),
        ("2.1", "AFRRSignal", {"signal": 1}, "$: required timestamp"),
    ],
)
async def test_a_payload_that_is_not_the_standards_is_refused_by_its_place(
    new_end: Callable[..., ChargerEnd], version: str, action: str, payload: Any, where: str
) -> None:
    result = await new_end(version).carry_out(Send(action=action, payload=payload))
    assert result == Result(outcome=Outcome.PAYLOAD_INVALID, where=where)


NAMES = st.text("abcdefQ#2468", min_size=12, max_size=14)
VALUES = st.recursive(
    NAMES | st.none() | st.integers(10**8, 10**9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=5,
)


@each_version
def test_what_is_wrong_is_told_without_what_was_sent(version: str) -> None:
    """R17: a payload may hold codes."""

    @given(
        action=st.sampled_from(sorted(ACTIONS[version])),
        fields=st.sampled_from(["idTag", "idToken", "key", "component", "setVariableData", "evse"]),
        value=VALUES,
        name=NAMES,
    )
    def holds(action: str, fields: str, value: Any, name: str) -> None:
        told = schemas.wrong_request(version, action, {fields: value, name: value})
        assert told
        sent = json.dumps({name: value})
        for word in sent.replace('"', " ").replace(",", " ").split():
            if len(word) >= 8:
                assert word not in told

    holds()


@each_version
async def test_an_answer_that_is_not_the_standards_is_not_handed_back(
    new_end: Callable[..., ChargerEnd], version: str
) -> None:
    with capture_logs() as logs:
        result = await new_end(version).carry_out(
            Send(action="ClearCache", payload={}), {"status": "Accepted", "more": "#2468"}
        )
    assert result == Result(outcome=Outcome.MALFORMED)
    assert "2468" not in str(logs)


@pytest.mark.parametrize(
    ("version", "action", "payload", "answer", "outcome"),
    [
        ("1.6", "GetConfiguration", {}, {"configurationKey": []}, Outcome.ACCEPTED),
        ("1.6", "DataTransfer", {"vendorId": "x"}, {"status": "UnknownVendorId"}, Outcome.REJECTED),
        (
            "1.6",
            "ChangeConfiguration",
            {"key": "a", "value": "b"},
            {"status": "RebootRequired"},
            Outcome.REBOOT_REQUIRED,
        ),
        (
            "2.0.1",
            "GetBaseReport",
            {"requestId": 1, "reportBase": "FullInventory"},
            {"status": "NotSupported"},
            Outcome.NOT_SUPPORTED,
        ),
        (
            "2.1",
            "AFRRSignal",
            {"timestamp": "2026-11-20T10:00:00Z", "signal": 1},
            {"status": "Accepted"},
            Outcome.ACCEPTED,
        ),
    ],
)
async def test_any_other_action_is_sent_and_its_answer_handed_back(
    new_end: Callable[..., ChargerEnd],
    version: str,
    action: str,
    payload: Any,
    answer: Any,
    outcome: Outcome,
) -> None:
    line = new_end(version)
    result = await line.carry_out(Send(action=action, payload=payload), answer)
    assert (result.outcome, result.payload) == (outcome, answer)
    assert line.calls == [(action, payload)]


def test_no_repr_shows_a_code_or_a_setting() -> None:
    """R17: what is told, answered and sent may be secrets, and reprs end up in logs."""
    shown = (
        *ONE_OF_EACH,
        RemoteStart(token="#2468"),
        ListEntry(code="#2468", type="PIN"),
        Send(action="2468", payload={"2468": "2468"}),
        Result(outcome=Outcome.ACCEPTED, status="2468", settings={"2468": ""}, payload={"2468": 1}),
    )
    assert "2468" not in repr(shown)


# Turns: one call at a time, and none is waited for where messages are received.


@each_version
async def test_calls_take_turns_and_crossing_ones_are_refused_or_answered_meanwhile(
    new_end: Callable[..., ChargerEnd], version: str
) -> None:
    """O3: OCPP-J §4.1.1."""
    line = new_end(version)
    line.answers = [None, ACCEPTED]
    first = asyncio.ensure_future(line.connection.carry_out(ClearCache()))
    second = asyncio.ensure_future(line.connection.carry_out(Reset()))
    await asyncio.sleep(0)
    assert [action for action, _ in line.calls] == ["ClearCache"]
    line.connection.lost()
    assert {(await first).outcome, (await second).outcome} == {Outcome.DISCONNECTED}
    assert [action for action, _ in line.calls] == ["ClearCache"]
