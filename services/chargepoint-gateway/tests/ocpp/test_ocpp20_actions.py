"""OCPP 2.0.1 and 2.1, action by action; what is sent is judged by the official schemas (O44)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from structlog.testing import capture_logs

from chargekey_common.keyed_ids import CodeClass
from chargekey_common.published.chargers import SecurityEventReported
from chargekey_gateway.decision import OCPP2_STATUS, OCPP16_STATUS, Decision, Reason, Status
from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp20 import id_tokens, readings
from chargekey_gateway.ocpp20.messages import IdToken, MeterValue
from chargekey_gateway.sessions.transactions import Phase, TransactionMessage

if TYPE_CHECKING:
    from .conftest import GatewayInMemory, Line

NOW = 1_795_000_000_123_456_789
NOW_WRITTEN = "2026-11-18T11:06:40.123Z"
AT = "2026-11-20T10:00:00Z"
BOOT = {"chargingStation": {"vendorName": "V", "model": "M"}, "reason": "PowerUp"}


@pytest.fixture(params=["2.0.1", "2.1"])
def line(request: pytest.FixtureRequest, new_line: Callable[..., Line]) -> Line:
    return new_line(request.param)


def token(code: str, kind: str = "ISO14443") -> dict[str, Any]:
    return {"idToken": code, "type": kind}


def event(phase: str = "Started", **more: Any) -> dict[str, Any]:
    return {
        "eventType": phase,
        "timestamp": AT,
        "triggerReason": "Authorized",
        "seqNo": 0,
        "transactionInfo": {"transactionId": "theirs"},
        **more,
    }


# Tokens.


@pytest.mark.parametrize(
    ("code", "kind", "read", "announced"),
    [
        ("04A1B2C3", "ISO14443", "04A1B2C3", None),
        ("04a1b2c3", "Central", "04a1b2c3", None),
        ("04A1B2C3", "ISO15693", "04A1B2C3", None),
        ("12345678", "ISO14443", "12345678", None),
        ("1234", "KeyCode", "#1234", CodeClass.PIN),
        ("1234", "KEYCODE", "#1234", CodeClass.PIN),
        ("12345678", "KeyCode", "#12345678", CodeClass.PIN),
        ("#1234", "KeyCode", "#1234", CodeClass.PIN),
        ("#1234", "Central", "#1234", None),
        ("12a4", "KeyCode", "12a4", CodeClass.PIN),
        ("١٢٣٤", "KeyCode", "١٢٣٤", CodeClass.PIN),
        ("", "KeyCode", "", CodeClass.PIN),
        ("NL-TNM-012345678", "eMAID", "NL-TNM-012345678", None),
        ("VID:001122334455", "MacAddress", "VID:001122334455", None),
        ("WVWZZZ1JZXW000001", "VIN", "WVWZZZ1JZXW000001", None),
        ("x", "DirectPayment", "x", None),
        ("", "NoAuthorization", "", None),
        ("whatever", "NoAuthorization", "", None),
    ],
)
def test_what_is_presented_follows_from_its_spelling_but_for_key_codes(
    code: str, kind: str, read: str, announced: CodeClass | None
) -> None:
    """O35, O36."""
    presented = id_tokens.read(IdToken(id_token=code, type=kind))
    assert (presented.token, presented.announced) == (read, announced)
    assert (presented is id_tokens.NOTHING) is (kind == "NoAuthorization")
    assert "1234" not in repr(presented)


# Authorize.


async def test_a_good_token_is_accepted_without_an_end(line: Line) -> None:
    answer = line.at_once("Authorize", {"idToken": token("card")})
    assert answer[2] == {"idTokenInfo": {"status": "Accepted"}}


async def test_a_pin_is_known_without_its_hash_and_its_end_is_when_to_forget_it(line: Line) -> None:
    """O36, O38."""
    info = line.at_once("Authorize", {"idToken": token("2468", "KeyCode")})[2]["idTokenInfo"]
    assert info == {"status": "Accepted", "cacheExpiryDateTime": "2026-11-18T11:06:41.123Z"}


async def test_what_is_made_for_one_time_is_not_to_be_remembered(
    line: Line, gateway: GatewayInMemory
) -> None:
    """O38."""
    gateway.decisions["CARD"] = msgspec.structs.replace(
        gateway.decisions["CARD"], valid_until=NOW + 10**9
    )
    once = line.at_once("Authorize", {"idToken": token("card", "Central")})[2]["idTokenInfo"]
    assert once == {"status": "Accepted"}
    card = line.at_once("Authorize", {"idToken": token("card")})[2]["idTokenInfo"]
    assert "cacheExpiryDateTime" in card


async def test_the_group_is_told_as_a_central_token(line: Line, gateway: GatewayInMemory) -> None:
    """O26, R22."""
    gateway.decisions["CARD"] = msgspec.structs.replace(gateway.decisions["CARD"], group="G-1")
    info = line.at_once("Authorize", {"idToken": token("card")})[2]["idTokenInfo"]
    assert info["groupIdToken"] == {"idToken": "G-1", "type": "Central"}


@pytest.mark.parametrize("reason", Reason)
async def test_every_reason_has_the_word_of_its_table(
    line: Line, gateway: GatewayInMemory, reason: Reason
) -> None:
    """O18, O43: ConcurrentTx is an answer to a start only."""
    gateway.decisions["CARD"] = Decision(OCPP16_STATUS[reason], reason)
    answer = line.at_once("Authorize", {"idToken": token("card")})
    word = OCPP2_STATUS[reason]
    # There is no transaction yet.
    expected = "Accepted" if word == "ConcurrentTx" else word
    assert answer[2] == {"idTokenInfo": {"status": expected}}
    started = await line.in_time("TransactionEvent", event(idToken=token("card")))
    assert started[2] == {"idTokenInfo": {"status": word}}


async def test_an_operator_is_waited_for_and_others_overtake(
    line: Line, gateway: GatewayInMemory
) -> None:
    answered = asyncio.Event()
    decision = gateway.decisions["CARD"]

    async def ask() -> Decision:
        await answered.wait()
        return decision

    gateway.decisions["SLOW"] = ask()  # type: ignore[assignment] # what an operator decides
    slow = line.ask("Authorize", {"idToken": token("slow")})
    assert line.answer_to(slow) is None
    assert line.at_once("Authorize", {"idToken": token("card")})[0] == 3
    answered.set()
    assert (await line.answered(slow))[2] == {"idTokenInfo": {"status": "Accepted"}}


@pytest.mark.parametrize(("accepted", "word"), [(True, "Accepted"), (False, "Unknown")])
async def test_nothing_presented_is_accepted_where_nothing_is_needed_and_else_unknown(
    line: Line, gateway: GatewayInMemory, *, accepted: bool, word: str
) -> None:
    """O37, C02."""
    status, reason = (
        (Status.ACCEPTED, Reason.OPEN_CHARGER)
        if accepted
        else (Status.INVALID, Reason.IDENTIFICATION_UNKNOWN)
    )
    gateway.decisions[""] = Decision(status, reason, NOW)
    nothing = token("", "NoAuthorization")
    answer = line.at_once("Authorize", {"idToken": nothing})
    assert answer[2] == {"idTokenInfo": {"status": word}}
    answer = await line.in_time("TransactionEvent", event(idToken=nothing))
    assert answer[2] == {"idTokenInfo": {"status": word}}
    assert [message.token for message in gateway.messages] == [None]


@pytest.mark.parametrize(
    "certified",
    [
        {"certificate": "x"},
        {
            "iso15118CertificateHashData": [
                {
                    "hashAlgorithm": "SHA256",
                    "issuerNameHash": "x",
                    "issuerKeyHash": "x",
                    "serialNumber": "x",
                    "responderURL": "x",
                }
            ]
        },
    ],
)
async def test_no_contract_certificate_is_vouched_for(
    line: Line, certified: dict[str, Any]
) -> None:
    """C07."""
    answer = line.at_once("Authorize", {"idToken": token("card", "eMAID"), **certified})
    assert answer[2]["certificateStatus"] == "NoCertificateAvailable"


@pytest.mark.parametrize(("version", "longest"), [("2.0.1", 36), ("2.1", 255)])
async def test_tokens_have_a_longest_length_and_any_type(
    new_line: Callable[..., Line], version: str, longest: int
) -> None:
    line = new_line(version)
    assert line.at_once("Authorize", {"idToken": token("x" * longest, "EVCCID")})[0] == 3
    for wrong in (token("x" * (longest + 1)), token("x", "y" * 21)):
        answer = line.at_once("Authorize", {"idToken": wrong})
        assert answer[2] == "PropertyConstraintViolation"
    assert line.at_once("Authorize", {"idToken": {"idToken": "x"}})[2] == (
        "OccurrenceConstraintViolation"
    )


# TransactionEvent.


async def test_a_start_is_passed_on_whole(line: Line, gateway: GatewayInMemory) -> None:
    """O40."""
    started = event(
        seqNo=7,
        offline=True,
        evse={"id": 2, "connectorId": 1},
        idToken=token("2468", "KeyCode"),
        meterValue=[
            {
                "timestamp": AT,
                "sampledValue": [
                    {"value": 1.5, "unitOfMeasure": {"unit": "kWh"}},
                    {
                        "value": 7,
                        "measurand": "Power.Active.Import",
                        "unitOfMeasure": {"unit": "kW"},
                    },
                ],
            }
        ],
    )
    answer = await line.in_time("TransactionEvent", started)
    assert answer[2]["idTokenInfo"]["status"] == "Accepted"
    assert gateway.messages == [
        TransactionMessage(
            phase=Phase.STARTED,
            transaction="theirs",
            number=7,
            at=timestamps.parse(AT),
            connector=2,
            token="#2468",
            announced=CodeClass.PIN,
            offline=True,
            meter=1500,
            power=7000,
        )
    ]
    assert line.calls() == []


async def test_what_nobody_is_presented_with_gets_no_verdict(
    line: Line, gateway: GatewayInMemory
) -> None:
    """Not at an open charger either, where there is one to be had."""
    gateway.chargers["CP/1 ä"].authorisation_override = "NOT_REQUIRED"
    for phase in ("Started", "Updated", "Ended"):
        answer = await line.in_time("TransactionEvent", event(phase, seqNo=1))
        assert answer[2] == {}
    assert [message.token for message in gateway.messages] == [None] * 3


@pytest.mark.parametrize(
    ("phase", "trigger", "stops"),
    [
        ("Started", "Authorized", False),
        ("Updated", "Authorized", False),
        ("Updated", "StopAuthorized", True),
        ("Ended", "StopAuthorized", True),
        ("Ended", "EVDeparted", False),  # it may be the first word of who began it (R23)
    ],
)
async def test_who_stops_is_told_from_who_starts(
    line: Line, gateway: GatewayInMemory, phase: str, trigger: str, *, stops: bool
) -> None:
    """E07."""
    told = event(phase, triggerReason=trigger, idToken=token("card"))
    assert (await line.in_time("TransactionEvent", told))[0] == 3
    assert [message.stops for message in gateway.messages] == [stops]


@pytest.mark.parametrize(
    ("strange", "passed_on"),
    [
        ({"timestamp": "yesterday"}, {"at": NOW}),
        ({"triggerReason": "Vendor.Reason"}, {"stops": False}),
        ({"seqNo": -1}, {"number": -1}),
        ({"meterValue": []}, {"meter": None, "power": None}),
        ({"reservationId": "x", "cableMaxCurrent": [], "new": {}}, {"meter": None}),
        (
            {"transactionInfo": {"transactionId": "t", "stoppedReason": "Vendor"}},
            {"reason": "Other"},
        ),
        ({"transactionInfo": {"transactionId": "t"}}, {"reason": "Local"}),
        (
            {"transactionInfo": {"transactionId": "t", "stoppedReason": "MasterPass"}},
            {"reason": "MasterPass"},
        ),
        ({"evse": {"id": 0}}, {"connector": 0}),
        ({}, {"connector": 0}),
    ],
)
async def test_an_event_is_never_refused_over_what_it_can_do_without(
    line: Line, gateway: GatewayInMemory, strange: dict[str, Any], passed_on: dict[str, Any]
) -> None:
    """O39, E13: a refused one would be sent again for a day, and hold up all that follow."""
    assert (await line.in_time("TransactionEvent", event("Updated", **strange)))[0] == 3
    (message,) = gateway.messages
    assert passed_on.items() <= msgspec.structs.asdict(message).items()


async def test_an_event_that_cannot_be_made_durable_is_to_be_sent_again(
    line: Line, gateway: GatewayInMemory, unavailable: Exception
) -> None:
    """O23."""
    gateway.error = unavailable
    for phase in ("Started", "Updated", "Ended"):
        answer = await line.in_time("TransactionEvent", event(phase, idToken=token("card")))
        assert (answer[0], answer[2]) == (4, "InternalError")
    assert line.calls() == []


async def test_events_are_taken_in_their_order(line: Line, gateway: GatewayInMemory) -> None:
    gateway.go_on.clear()
    first = line.ask("TransactionEvent", event(idToken=token("card")))
    last = line.ask("TransactionEvent", event("Ended", seqNo=1))
    assert line.at_once("Authorize", {"idToken": token("card")})[0] == 3  # may overtake
    assert (line.answer_to(first), line.answer_to(last)) == (None, None)
    gateway.go_on.set()
    await line.answered(last)
    assert [message.number for message in gateway.messages] == [0, 1]
    ids = [frame[1] for frame in line.sent if frame[1] in {first, last}]
    assert ids == [first, last]


async def test_a_call_with_the_id_of_one_being_handled_is_not_handled_twice(
    line: Line, gateway: GatewayInMemory
) -> None:
    """O4."""
    gateway.go_on.clear()
    line.say([2, "same", "TransactionEvent", event(idToken=token("card"))])
    await gateway.reached.wait()
    line.say([2, "same", "TransactionEvent", event("Ended", seqNo=1)])
    line.say([2, "same", "Authorize", {"idToken": token("card")}])
    gateway.go_on.set()
    await line.answered("same")
    await line.in_time("TransactionEvent", event("Updated", seqNo=2))
    assert [frame[0] for frame in line.sent if frame[1] == "same"] == [3]
    assert [message.number for message in gateway.messages] == [0, 2]


async def test_what_is_begun_with_a_refused_token_is_stopped_once_that_is_told(line: Line) -> None:
    """O25, E05: left to itself one charger stops, another only withholds the energy."""
    answer = await line.in_time("TransactionEvent", event(idToken=token("blocked")))
    assert line.sent[-2] is answer
    assert line.sent[-1][2:] == ["RequestStopTransaction", {"transactionId": "theirs"}]


@pytest.mark.parametrize("phase", ["Updated", "Ended"])
async def test_a_strangers_card_ends_nothing_that_is_under_way(line: Line, phase: str) -> None:
    answer = await line.in_time("TransactionEvent", event(phase, idToken=token("blocked")))
    assert answer[2]["idTokenInfo"]["status"] != "Accepted"
    assert line.calls() == []


# What the meter says.


def metered(*sampled: dict[str, Any], at: str = AT) -> MeterValue:
    return msgspec.convert({"timestamp": at, "sampledValue": sampled}, MeterValue)


POWER = {"measurand": "Power.Active.Import"}


@pytest.mark.parametrize(
    ("values", "register", "power"),
    [
        ([], None, None),
        ([metered({"value": 12.4})], 12, None),
        ([metered({"value": 12.6, "unitOfMeasure": {"unit": "Wh", "multiplier": 3}})], 12600, None),
        ([metered({"value": 0.3, "unitOfMeasure": {"unit": "kWh", "multiplier": 1}})], 3000, None),
        ([metered({"value": 5, "location": "Inlet"})], None, None),
        ([metered({"value": 5, "measurand": "Energy.Active.Export.Register"})], None, None),
        ([metered({"value": 1}, at=AT), metered({"value": 2}, at="2026-11-20T10:00:01Z")], 2, None),
        ([metered({"value": 2}, at="2026-11-20T10:00:01Z"), metered({"value": 1}, at=AT)], 2, None),
        ([metered({"value": 2}, at=AT), metered({"value": 1}, at="no time")], 2, None),
        ([metered({"value": 2}), metered({"value": 1, **POWER}, at="2026-11-20T10:00:01Z")], 2, 1),
        (
            [metered(*({"value": 2, "phase": phase, **POWER} for phase in ("L1", "L2-N", "L3")))],
            None,
            6,
        ),
        ([metered({"value": 2, "phase": "L1", **POWER}, {"value": 9, **POWER})], None, 9),
        ([metered({"value": 400, "phase": "L1-L2", **POWER})], None, None),
        (
            [metered({"value": 5, **POWER, "unitOfMeasure": {"unit": "W", "multiplier": -1}})],
            None,
            0,
        ),
        ([metered({"value": 1, "unitOfMeasure": {"multiplier": 400}})], None, None),
        ([metered({"value": 1, "unitOfMeasure": {"multiplier": 15}})], 10**15, None),
        ([metered({"value": 9e15, "unitOfMeasure": {"multiplier": 3}})], None, None),
        ([metered({"value": -5})], -5, None),
        ([metered({"value": 1e18})], None, None),
        ([metered({"value": -(10**30), "unitOfMeasure": {"multiplier": 15}})], None, None),
        ([metered({"value": 1e308, "phase": "L1"}, {"value": -1e308, "phase": "L2"})], 0, None),
    ],
)
def test_of_all_that_is_metered_register_and_power_are_read(
    values: list[MeterValue], register: int | None, power: int | None
) -> None:
    assert (readings.register(values), readings.power(values)) == (register, power)


def test_what_the_register_was_at_the_beginning_may_come_with_the_end() -> None:
    begin, end = {"context": "Transaction.Begin"}, {"context": "Transaction.End"}
    later = "2026-11-20T10:00:01Z"
    whole = [metered({"value": 900, **end}, at=later), metered({"value": 100, **begin})]
    assert (readings.register(whole), readings.register_at_begin(whole)) == (900, 100)
    assert (
        readings.register_at_begin([metered({"value": 900}, {"value": 2, **POWER, **begin})])
        is None
    )


# The rest.


async def test_boot_is_accepted_and_the_charger_told_to_keep_what_it_cannot_deliver(
    new_line: Callable[..., Line], gateway: GatewayInMemory, line: Line
) -> None:
    """O22."""
    line = new_line(line.version, heartbeat_interval=123)
    answer = line.at_once("BootNotification", BOOT)
    assert answer[2] == {"status": "Accepted", "currentTime": NOW_WRITTEN, "interval": 123}
    assert gateway.told == [("booted", "charger-1", "V", "M", None)]
    for name, value in (("MessageAttempts", "133"), ("MessageAttemptInterval", "10")):
        call = line.calls()[-1]
        assert call[2:] == [
            "SetVariables",
            {
                "setVariableData": [
                    {
                        "attributeValue": value,
                        "component": {"name": "OCPPCommCtrlr"},
                        "variable": {"name": name, "instance": "TransactionEvent"},
                    }
                ]
            },
        ]
        line.say([4, call[1], "NotSupported", "", {}])  # whatever the charger says
    assert len(line.calls()) == 2


async def test_heartbeat_tells_the_time(line: Line) -> None:
    assert line.at_once("Heartbeat", {})[2] == {"currentTime": NOW_WRITTEN}


@pytest.mark.parametrize("status", ["Available", "Occupied", "Reserved", "Unavailable", "Faulted"])
async def test_a_status_is_an_evses_and_comes_in_two_ways(
    line: Line, gateway: GatewayInMemory, status: str
) -> None:
    """G01."""
    notified = {"timestamp": AT, "connectorStatus": status, "evseId": 2, "connectorId": 1}
    assert line.at_once("StatusNotification", notified)[2] == {}
    for component in (
        {"name": "Connector", "evse": {"id": 2, "connectorId": 1}},
        {"name": "EVSE", "evse": {"id": 2}},
        {"name": "chargingstation"},
    ):
        assert line.at_once("NotifyEvent", notify(component, status))[2] == {}
    plug, whole = (("status", "charger-1", 2, number, status, "") for number in (1, 0))
    assert gateway.told == [plug, plug, whole, ("status", "charger-1", 0, 0, status, "")]


def notify(
    component: dict[str, Any], value: str, variable: str = "AvailabilityState"
) -> dict[str, Any]:
    data = {
        "eventId": 1,
        "timestamp": AT,
        "trigger": "Delta",
        "actualValue": value,
        "eventNotificationType": "HardWiredNotification",
        "component": component,
        "variable": {"name": variable},
    }
    return {"generatedAt": AT, "seqNo": 0, "eventData": [data]}


@pytest.mark.parametrize(
    "other",
    [
        notify({"name": "Connector", "evse": {"id": 1}}, "true", "Problem"),
        notify({"name": "Connector", "evse": {"id": 1}}, "Melted"),
        notify({"name": "TokenReader", "evse": {"id": 1}}, "Faulted"),
    ],
)
async def test_other_events_change_no_state(
    line: Line, gateway: GatewayInMemory, other: dict[str, Any]
) -> None:
    assert line.at_once("NotifyEvent", other)[2] == {}
    assert gateway.told == []


async def test_a_security_event_is_told_without_what_may_be_secret(
    line: Line, gateway: GatewayInMemory
) -> None:
    told = {"type": "InvalidFirmwareSignature", "timestamp": AT, "techInfo": "#2468"}
    assert line.at_once("SecurityEventNotification", told)[2] == {}
    assert gateway.events == [
        SecurityEventReported(
            charger_id="charger-1",
            installation_id="site",
            kind="InvalidFirmwareSignature",
            seen_by="CHARGER",
        )
    ]


HASHES = {
    "hashAlgorithm": "SHA256",
    "issuerNameHash": "n",
    "issuerKeyHash": "k",
    "serialNumber": "s",
}


@pytest.mark.parametrize(
    ("action", "payload", "expected"),
    [
        ("DataTransfer", {"vendorId": "v", "data": [1]}, {"status": "UnknownVendorId"}),
        ("SignCertificate", {"csr": "x"}, {"status": "Rejected"}),
        (
            "Get15118EVCertificate",
            {"iso15118SchemaVersion": "x", "action": "Install", "exiRequest": "x"},
            {"status": "Failed", "exiResponse": ""},
        ),
        (
            "GetCertificateStatus",
            {"ocspRequestData": {**HASHES, "responderURL": "x"}},
            {"status": "Failed"},
        ),
        (
            "NotifyEVChargingNeeds",
            {"evseId": 1, "chargingNeeds": {"requestedEnergyTransfer": "DC"}},
            {"status": "Rejected"},
        ),
        (
            "NotifyEVChargingSchedule",
            {"evseId": 1, "timeBase": AT, "chargingSchedule": {}},
            {"status": "Accepted"},
        ),
    ],
)
async def test_what_is_not_done_here_is_said_so(
    line: Line, action: str, payload: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert line.at_once(action, payload)[2] == expected


@pytest.mark.parametrize(
    ("action", "payload", "expected"),
    [
        (
            "GetCertificateChainStatus",
            {
                "certificateStatusRequests": [
                    {"certificateHashData": HASHES, "source": "OCSP", "urls": ["x"]}
                ]
            },
            {
                "certificateStatus": [
                    {
                        "certificateHashData": HASHES,
                        "source": "OCSP",
                        "status": "Failed",
                        "nextUpdate": NOW_WRITTEN,
                    }
                ]
            },
        ),
        (
            "OpenPeriodicEventStream",
            {"constantStreamData": {"id": 1, "params": {}, "variableMonitoringId": 1}},
            {"status": "Rejected"},
        ),
        ("PullDynamicScheduleUpdate", {"chargingProfileId": 1}, {"status": "Rejected"}),
        (
            "VatNumberValidation",
            {"vatNumber": "NL1", "evseId": 2},
            {"status": "Rejected", "vatNumber": "NL1", "evseId": 2},
        ),
        (
            "NotifySettlement",
            {"pspRef": "x", "status": "Settled", "settlementAmount": 1, "settlementTime": AT},
            {},
        ),
    ],
)
async def test_what_is_new_in_2_1_and_not_done_here_is_said_so(
    new_line: Callable[..., Line], action: str, payload: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert new_line("2.1").at_once(action, payload)[2] == expected
    assert new_line("2.0.1").at_once(action, payload)[2] == "NotImplemented"


# Frames.


@pytest.mark.parametrize(
    ("frame", "message_id", "code"),
    [
        ('[2,"7","Authorize",{"idToken":{}', "7", "FormatViolation"),
        ('[2,"7","Authorize"]', "7", "RpcFrameworkError"),
        ('[2,"7","Authorize",{},{}]', "7", "RpcFrameworkError"),
        ('[2,"7",5,{}]', "7", "RpcFrameworkError"),
        ('[2,7,"Authorize",{}]', "-1", "RpcFrameworkError"),
        ('[2,"","Authorize",{}]', "-1", "RpcFrameworkError"),
        ('[2,null,"Authorize",{}]', "-1", "RpcFrameworkError"),
        (f'[2,"{"x" * 37}","Authorize",{{}}]', "-1", "RpcFrameworkError"),
        ("[2]", "-1", "RpcFrameworkError"),
        ('[2,"7","Authorize",[]]', "7", "FormatViolation"),
        ('[2,"7","Authorize",null]', "7", "FormatViolation"),
        ('[2,"7","Authorize",{}]', "7", "OccurrenceConstraintViolation"),
        (
            '[2,"7","NotifyEvent",{"generatedAt":"","seqNo":0,"eventData":[]}]',
            "7",
            "OccurrenceConstraintViolation",
        ),
        ('[2,"7","Authorize",{"idToken":5}]', "7", "TypeConstraintViolation"),
        ('[2,"7","Reset",{}]', "7", "NotSupported"),
        ('[2,"7","Nonsense",{}]', "7", "NotImplemented"),
        ('[2,"7","NotifyPeriodicEventStream",{}]', "7", None),
    ],
)
async def test_every_call_is_answered_even_one_without_a_readable_id(
    line: Line, frame: str, message_id: str, code: str | None
) -> None:
    """O6, O7, O8."""
    line.say(frame)
    in_2_0_1 = line.version == "2.0.1"
    expected = code or ("NotImplemented" if in_2_0_1 else "NotSupported")
    ((kind, answered, said, _, details),) = line.sent
    assert (kind, answered, said, details) == (4, message_id, expected, {})


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '[3,"nobody asked",{}]',
        "[3,7,{}]",
        '[4,"nobody asked","x","",{}]',
        '[4,null,"x","",{}]',
        '[5,"nobody answered","FormatViolation","",{}]',
        "[5]",
        '[6,"1","NotifyPeriodicEventStream",{"id":1,"pending":0,"basetime":"","data":[]}]',
        '[6,"1","Authorize",{"idToken":{"idToken":"card","type":"Central"}}]',
        '[6,"1","Nonsense",{}]',
        "[6,1]",
        '[7,"1","A",{}]',
        '[99,"1","A",{}]',
    ],
)
async def test_what_is_no_call_is_never_answered_and_ends_nothing(
    line: Line, gateway: GatewayInMemory, frame: str
) -> None:
    """O5: in 2.1 a SEND least of all."""
    line.say(frame)
    assert (line.sent, line.closes, gateway.told) == ([], [], [])
    assert line.at_once("Heartbeat", {})[0] == 3


@pytest.mark.parametrize(
    ("version", "logged"),
    [
        ("1.6", "ocpp_message_ignored"),
        ("2.0.1", "ocpp_message_ignored"),
        ("2.1", "ocpp_result_refused"),
    ],
)
async def test_an_answer_that_a_charger_cannot_read_is_told_where_it_can_say_so(
    new_line: Callable[..., Line], version: str, logged: str
) -> None:
    """O5: CALLRESULTERROR is a message of 2.1, and nothing to any other version."""
    line = new_line(version)
    with capture_logs() as logs:
        line.say([5, "1", "FormatViolation", "#2468", {"#2468": 1}])
    assert [each["event"] for each in logs] == [logged]
    assert "2468" not in str(logs)
    assert line.sent == []
