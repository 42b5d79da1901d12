"""OCPP 1.6, action by action; every message sent is judged by the official schemas (O44)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from chargekey_common.published.chargers import SecurityEventReported
from chargekey_gateway.decision import Decision, Reason, Status
from chargekey_gateway.ocpp import redelivery, timestamps

if TYPE_CHECKING:
    from .conftest import GatewayInMemory, Line

NOW_WRITTEN = "2026-11-18T11:06:40.123Z"
START = {
    "connectorId": 1,
    "idTag": "card",
    "meterStart": 5,
    "timestamp": "2026-11-20T10:00:00+01:00",
}
STOP = {"transactionId": 1001, "meterStop": 9, "timestamp": "2026-11-20T11:00:00Z"}


# BootNotification, Heartbeat.


async def test_boot_is_accepted_with_time_and_interval(
    new_line: Callable[..., Line], gateway: GatewayInMemory
) -> None:
    line = new_line(heartbeat_interval=123)
    answer = line.at_once(
        "BootNotification",
        {"chargePointVendor": "V", "chargePointModel": "M", "firmwareVersion": "1", "new": [1]},
    )
    assert answer[2] == {"status": "Accepted", "currentTime": NOW_WRITTEN, "interval": 123}
    assert gateway.told == [("booted", "charger-1", "V", "M", "1")]


@pytest.mark.parametrize(
    "answer",
    [
        [3, None, {"status": "Accepted"}],
        [3, None, {"status": "RebootRequired"}],
        [3, None, {"status": "NotSupported"}],
        [3, None, {"status": "What?"}],
        [4, None, "NotImplemented", "", {}],
    ],
)
async def test_attempts_and_interval_are_set_after_boot_whatever_the_charger_says(
    line: Line, answer: list[Any]
) -> None:
    """O22."""
    line.at_once("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
    line.say([answer[0], line.calls()[0][1], *answer[2:]])
    line.say([answer[0], line.calls()[1][1], *answer[2:]])
    assert [call[2:] for call in line.calls()] == [
        ["ChangeConfiguration", {"key": "TransactionMessageAttempts", "value": "133"}],
        ["ChangeConfiguration", {"key": "TransactionMessageRetryInterval", "value": "10"}],
    ]
    assert line.at_once("Heartbeat", {})[2] == {"currentTime": NOW_WRITTEN}


def test_a_start_is_kept_for_a_day() -> None:
    """O22, §3.7.1: the wait before the n-th repetition is n times the interval."""
    waits = [redelivery.INTERVAL * n for n in range(1, redelivery.ATTEMPTS)]
    assert 24 * 3600 <= sum(waits) <= 25 * 3600
    assert redelivery.ATTEMPTS < 256


# Authorize.


async def test_a_good_id_tag_is_accepted_without_an_end(line: Line) -> None:
    assert line.at_once("Authorize", {"idTag": "card"})[2] == {"idTagInfo": {"status": "Accepted"}}


async def test_an_end_is_passed_on_as_the_expiry_date(line: Line) -> None:
    """O38."""
    info = line.at_once("Authorize", {"idTag": "#2468"})[2]["idTagInfo"]
    assert info == {"status": "Accepted", "expiryDate": "2026-11-18T11:06:41.123Z"}


async def test_the_group_is_told_as_the_parent(line: Line, gateway: GatewayInMemory) -> None:
    """O26, R22: in the answer to a tap and to a start."""
    gateway.decisions["CARD"] = msgspec.structs.replace(gateway.decisions["CARD"], group="G-1")
    info = {"status": "Accepted", "parentIdTag": "G-1"}
    assert line.at_once("Authorize", {"idTag": "card"})[2] == {"idTagInfo": info}
    assert (await line.in_time("StartTransaction", START))[2]["idTagInfo"] == info


async def test_a_start_is_judged_anew_and_not_by_its_tap(
    line: Line, gateway: GatewayInMemory
) -> None:
    """O19, §4.8: the card was blocked in between."""
    assert line.at_once("Authorize", {"idTag": "card"})[2]["idTagInfo"]["status"] == "Accepted"
    gateway.decisions["CARD"] = gateway.decisions["BLOCKED"]
    answer = await line.in_time("StartTransaction", START)
    assert answer[2] == {"transactionId": 1001, "idTagInfo": {"status": "Blocked"}}


@pytest.mark.parametrize("spelling", ["card", "CARD", "cArD"])
async def test_id_tags_are_case_insensitive(line: Line, spelling: str) -> None:
    """O17."""
    assert line.at_once("Authorize", {"idTag": spelling})[2]["idTagInfo"]["status"] == "Accepted"


@pytest.mark.parametrize(
    ("tag", "status"),
    [("blocked", "Blocked"), ("expired", "Expired"), ("nobody", "Invalid"), ("", "Invalid")],
)
async def test_a_refused_id_tag_is_told_why(line: Line, tag: str, status: str) -> None:
    assert line.at_once("Authorize", {"idTag": tag})[2] == {"idTagInfo": {"status": status}}


async def test_concurrent_tx_is_never_an_answer_to_authorize(line: Line) -> None:
    """O18."""
    assert line.at_once("Authorize", {"idTag": "busy"})[2]["idTagInfo"]["status"] == "Accepted"


async def test_20_characters_are_the_longest_id_tag(line: Line, gateway: GatewayInMemory) -> None:
    assert line.at_once("Authorize", {"idTag": "x" * 20})[0] == 3
    assert line.at_once("Authorize", {"idTag": "x" * 21})[2] == "PropertyConstraintViolation"
    assert len(gateway.told) == 1


# StartTransaction.


async def test_a_start_is_answered_with_id_and_verdict(
    line: Line, gateway: GatewayInMemory
) -> None:
    """O19."""
    answer = await line.in_time("StartTransaction", START)
    assert answer[2] == {"transactionId": 1001, "idTagInfo": {"status": "Accepted"}}
    (key,) = gateway.starts
    assert key == ("charger-1", 1, "card", timestamps.parse("2026-11-20T09:00:00Z"), 5)
    assert line.calls() == []


async def test_a_start_sent_again_has_the_same_id_and_verdict(line: Line) -> None:
    """O21, R23: with a new message id, as chargers do after a reboot."""
    first = await line.in_time("StartTransaction", START)
    again = await line.in_time("StartTransaction", START)
    assert first[1] != again[1]
    assert first[2] == again[2]


@pytest.mark.parametrize(
    ("tag", "status"),
    [
        ("blocked", "Blocked"),
        ("expired", "Expired"),
        ("nobody", "Invalid"),
        ("busy", "ConcurrentTx"),
    ],
)
async def test_a_refused_start_has_an_id_and_is_then_stopped(
    line: Line, tag: str, status: str
) -> None:
    """O18, O19, O25."""
    answer = await line.in_time("StartTransaction", {**START, "idTag": tag})
    assert answer[2] == {"transactionId": 1001, "idTagInfo": {"status": status}}
    assert line.sent[-2] is answer  # the charger knows the id before it is told to stop
    assert line.sent[-1][2:] == ["RemoteStopTransaction", {"transactionId": 1001}]


async def test_a_start_that_cannot_be_made_durable_is_an_internal_error(
    line: Line, gateway: GatewayInMemory, unavailable: Exception
) -> None:
    """O23."""
    gateway.error = unavailable
    assert (await line.in_time("StartTransaction", START))[2] == "InternalError"
    assert line.calls() == []
    gateway.error = None
    assert (await line.in_time("StartTransaction", START))[2]["transactionId"] == 1001


@pytest.mark.parametrize("timestamp", ["", "yesterday", "2026-13-01T00:00:00Z", "9" * 5000])
async def test_a_start_at_no_time_is_passed_on_by_what_was_told_of_it(
    line: Line, gateway: GatewayInMemory, timestamp: str
) -> None:
    """O19, O39: a charger without a clock has starts too, and sends each until it is answered."""
    for _ in range(2):
        answer = await line.in_time("StartTransaction", {**START, "timestamp": timestamp})
        assert answer[2]["transactionId"] == 1001
    assert list(gateway.starts) == [("charger-1", 1, "card", timestamp, 5)]


# StopTransaction.


async def test_a_stop_is_passed_on(line: Line, gateway: GatewayInMemory) -> None:
    stop = {
        **STOP,
        "idTag": "card",
        "reason": "EVDisconnected",
        "transactionData": [{"timestamp": "2026-11-20T11:00:00Z", "sampledValue": []}],
    }
    assert (await line.in_time("StopTransaction", stop))[2] == {}
    assert gateway.ends == [
        {
            "charger": "charger-1",
            "transaction_id": 1001,
            "token": "card",
            "ended_at": timestamps.parse("2026-11-20T11:00:00Z"),
            "meter_stop": 9,
            "reason": "EVDisconnected",
        }
    ]


@pytest.mark.parametrize("transaction_id", [-1, 0, 42, -(2**31), 2**40])
async def test_a_stop_of_an_unknown_transaction_is_answered_as_if_valid(
    line: Line, gateway: GatewayInMemory, transaction_id: int
) -> None:
    """O20."""
    answer = await line.in_time("StopTransaction", {**STOP, "transactionId": transaction_id})
    assert answer[0] == 3
    assert gateway.ends[0]["transaction_id"] == transaction_id


@pytest.mark.parametrize(
    ("strange", "passed_on"),
    [
        ({"reason": "VendorSpecific"}, {"reason": "Other"}),
        ({}, {"reason": "Local", "token": None}),
        ({"idTag": "x" * 21}, {"token": None}),
        ({"idTag": ""}, {"token": None}),
        ({"timestamp": "yesterday"}, {"ended_at": 1_795_000_000_123_456_789}),
        ({"meterStop": 9.7}, {"meter_stop": 9}),
        ({"transactionData": "broken"}, {"transaction_id": 1001}),
    ],
)
async def test_a_stop_is_never_refused_over_what_it_can_do_without(
    line: Line, gateway: GatewayInMemory, strange: dict[str, Any], passed_on: dict[str, Any]
) -> None:
    """O24, §4.10: a refused stop would be sent again for a day, and hold up all that follow."""
    assert (await line.in_time("StopTransaction", {**STOP, **strange}))[0] == 3
    assert passed_on.items() <= gateway.ends[0].items()


async def test_a_stop_that_cannot_be_made_durable_is_to_be_sent_again(
    line: Line, gateway: GatewayInMemory, unavailable: Exception
) -> None:
    """O23."""
    gateway.error = unavailable
    assert (await line.in_time("StopTransaction", STOP))[2] == "InternalError"


# The rest.


async def test_a_status_is_passed_on(line: Line, gateway: GatewayInMemory) -> None:
    """O31."""
    status = {"connectorId": 0, "errorCode": "LocalListConflict", "status": "Available"}
    assert line.at_once("StatusNotification", status)[2] == {}
    assert gateway.told == [("status", "charger-1", 0, 0, "Available", "LocalListConflict")]


async def test_a_security_event_is_told_without_what_may_be_secret(
    line: Line, gateway: GatewayInMemory
) -> None:
    told = {"type": "InvalidFirmwareSignature", "timestamp": "", "techInfo": "#2468"}
    assert line.at_once("SecurityEventNotification", told)[2] == {}
    assert gateway.events == [
        SecurityEventReported(
            charger_id="charger-1",
            installation_id="site",
            kind="InvalidFirmwareSignature",
            seen_by="CHARGER",
        )
    ]


async def test_meter_values_of_any_vendor_are_acknowledged(line: Line) -> None:
    value = {"value": 12.5, "measurand": "Vendor.Measurand", "unit": "Celcius"}
    payload = {
        "connectorId": 1,
        "transactionId": -1,
        "meterValue": [{"timestamp": "", "sampledValue": [value]}],
    }
    assert line.at_once("MeterValues", payload)[2] == {}


async def test_no_vendor_is_known(line: Line) -> None:
    assert line.at_once("DataTransfer", {"vendorId": "v"})[2] == {"status": "UnknownVendorId"}


async def test_certificates_are_not_signed(line: Line) -> None:
    assert line.at_once("SignCertificate", {"csr": "x"})[2] == {"status": "Rejected"}


async def test_all_verdicts_are_words_of_the_schema(line: Line, gateway: GatewayInMemory) -> None:
    for status in Status:
        gateway.decisions["CARD"] = Decision(status, Reason.NO_PERMISSION, 2**62)
        line.at_once("Authorize", {"idTag": "card"})
        answer = await line.in_time("StartTransaction", {**START, "connectorId": 3})
        assert answer[2]["idTagInfo"]["expiryDate"].endswith("Z")
        gateway.starts.clear()
