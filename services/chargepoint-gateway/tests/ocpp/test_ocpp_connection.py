"""One connection without a socket: what is answered when, and what is called after what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from chargekey_gateway.commands import Outcome, RemoteStop, Result
from chargekey_gateway.ocpp16.messages import (
    RemoteStopTransaction,
    RemoteStopTransactionResponse,
)

if TYPE_CHECKING:
    from .conftest import GatewayInMemory, Line

BOOT = {"chargePointVendor": "V", "chargePointModel": "M"}
START = {
    "connectorId": 1,
    "idTag": "card",
    "meterStart": 5,
    "timestamp": "2026-11-20T10:00:00Z",
}
FIELDS = [
    "chargePointModel",
    "chargePointVendor",
    "connectorId",
    "errorCode",
    "idTag",
    "meterValue",
    "sampledValue",
    "status",
    "timestamp",
    "value",
]
STOP = {"transactionId": 1001, "meterStop": 9, "timestamp": "2026-11-20T11:00:00Z"}


def stop_call(line: Line, number: int) -> asyncio.Future[Any]:
    return line.connection.call(
        RemoteStopTransaction(transaction_id=number), RemoteStopTransactionResponse
    )


# Errors, spelt as OCPP-J 1.6 spells them.


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("Nonsense", {}, "NotImplemented"),
        ("authorize", {"idTag": "x"}, "NotImplemented"),
        ("Reset", {"type": "Soft"}, "NotSupported"),
        ("Authorize", [], "FormationViolation"),
        ("Authorize", None, "FormationViolation"),
        ("Authorize", "x", "FormationViolation"),
        ("Authorize", {}, "OccurenceConstraintViolation"),
        ("Authorize", {"idTag": 5}, "TypeConstraintViolation"),
        ("Authorize", {"idTag": "x" * 21}, "PropertyConstraintViolation"),
        ("StartTransaction", {**START, "connectorId": 0}, "PropertyConstraintViolation"),
        ("StartTransaction", {**START, "meterStart": 1.5}, "TypeConstraintViolation"),
        ("StartTransaction", {**START, "meterStart": 10**400}, "PropertyConstraintViolation"),
        ("LogStatusNotification", {"status": "secret"}, "PropertyConstraintViolation"),
    ],
)
async def test_a_wrong_call_is_refused_by_name(
    line: Line, action: str, payload: object, code: str
) -> None:
    """O7, O8."""
    answer = line.at_once(action, payload)
    assert (answer[0], answer[2], answer[4]) == (4, code, {})


@pytest.mark.parametrize("action", ["#2468-action", "Authorize", "LogStatusNotification"])
async def test_an_error_never_echoes_what_was_sent(line: Line, action: str) -> None:
    """O8."""
    with capture_logs() as logs:
        line.at_once(action, {"status": "#2468-secret", "idTag": "#2468-and-far-too-long"})
    assert b"2468" not in line.raw[-1]
    assert "2468" not in str(logs)


async def test_a_broken_call_is_answered_where_its_id_can_be_read(line: Line) -> None:
    line.say('[2,"7","Authorize",{"idTag":"x"}')
    assert line.sent == [[4, "7", "FormationViolation", line.sent[0][3], {}]]


@pytest.mark.parametrize("message", ["", "[]", "nonsense", '[9,"1","A",{}]', '[5,"1",{}]', "[6]"])
async def test_what_is_nothing_is_ignored(line: Line, message: str) -> None:
    """O5."""
    line.say(message)
    assert (line.sent, line.closes) == ([], [])
    assert line.at_once("Heartbeat", {})[0] == 3


@pytest.mark.parametrize(
    ("message", "code"),
    [(b'"\xff"', 1007), (b"[" * 40 + b"]" * 40, 1008), (b" " * 65_537, 1009)],
)
async def test_what_no_charger_sends_closes(line: Line, message: bytes, code: int) -> None:
    """O10."""
    line.say(message)
    assert [closed for closed, _ in line.closes] == [code]


@settings(max_examples=300)
@given(
    action=st.sampled_from(["Authorize", "BootNotification", "MeterValues", "StatusNotification"]),
    payload=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=25),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(FIELDS),
                inner,
            )
        ),
        max_leaves=10,
    ),
)
def test_every_readable_call_gets_exactly_one_answer(
    on_a_line: Callable[[Callable[[Line], Awaitable[None]]], None], action: str, payload: object
) -> None:
    async def exchange(line: Line) -> None:
        answer = line.at_once(action, payload)
        assert answer[0] in {3, 4}
        assert not line.closes

    on_a_line(exchange)


# Handlers.


async def test_a_failing_handler_is_an_internal_error_and_nothing_else(
    line: Line, gateway: GatewayInMemory
) -> None:
    gateway.error = ValueError("cannot handle #2468")
    with capture_logs() as logs:
        answer = line.at_once("Authorize", {"idTag": "#2468"})
    assert answer[2] == "InternalError"
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == [
        "ocpp_handler_failed"
    ]
    assert "2468" not in str(logs)
    assert "2468" not in str(line.sent)
    gateway.error = None
    assert line.at_once("Authorize", {"idTag": "card"})[0] == 3
    assert not line.closes


async def test_a_failing_transaction_handler_does_not_hold_up_the_next(
    line: Line, gateway: GatewayInMemory
) -> None:
    gateway.error = RuntimeError("#2468")
    assert (await line.in_time("StartTransaction", START))[2] == "InternalError"
    gateway.error = None
    assert (await line.in_time("StartTransaction", START))[0] == 3


async def test_transaction_messages_keep_their_order_and_authorize_overtakes(
    line: Line, gateway: GatewayInMemory
) -> None:
    gateway.go_on.clear()
    start = line.ask("StartTransaction", START)
    stop = line.ask("StopTransaction", STOP)
    await gateway.reached.wait()
    assert line.at_once("Authorize", {"idTag": "card"})[0] == 3
    assert line.answer_to(start) is None
    gateway.go_on.set()
    await line.answered(stop)
    assert [frame[1] for frame in line.sent[-2:]] == [start, stop]
    assert [what[0] for what in gateway.told] == ["authorize", "start", "end"]


async def test_a_call_with_the_id_of_one_being_handled_is_ignored(
    line: Line, gateway: GatewayInMemory
) -> None:
    """O4."""
    gateway.go_on.clear()
    line.say([2, "same", "StartTransaction", START])
    await gateway.reached.wait()
    line.say([2, "same", "StartTransaction", {**START, "connectorId": 2}])
    line.say([2, "same", "Authorize", {"idTag": "card"}])
    gateway.go_on.set()
    await line.answered("same")
    await line.in_time("StartTransaction", START)
    assert [frame[0] for frame in line.sent if frame[1] == "same"] == [3]
    assert len(gateway.starts) == 1


async def test_an_id_used_again_later_is_a_new_call(line: Line) -> None:
    line.say([2, "same", "Heartbeat", {}])
    line.say([2, "same", "Heartbeat", {}])
    assert [frame[:2] for frame in line.sent] == [[3, "same"], [3, "same"]]


async def test_more_pending_calls_than_the_bound_are_refused(
    new_line: Callable[..., Line], gateway: GatewayInMemory
) -> None:
    line = new_line(pending_calls=3)
    gateway.go_on.clear()
    asked = [line.ask("StartTransaction", {**START, "meterStart": n}) for n in range(5)]
    assert [line.answer_to(message_id) is None for message_id in asked] == [True] * 3 + [False] * 2
    assert line.answer_to(asked[3])[2] == "InternalError"
    gateway.go_on.set()
    assert [(await line.answered(message_id))[0] for message_id in asked] == [3, 3, 3, 4, 4]
    assert (await line.in_time("StartTransaction", START))[0] == 3


# Calls of ours.


async def test_one_call_is_outstanding_and_the_next_waits_for_its_answer(line: Line) -> None:
    """O3."""
    first, second = stop_call(line, 1), stop_call(line, 2)
    assert [call[3] for call in line.calls()] == [{"transactionId": 1}]
    line.say([3, line.calls()[0][1], {"status": "Accepted"}])
    assert [call[3] for call in line.calls()] == [{"transactionId": 1}, {"transactionId": 2}]
    line.say([3, line.calls()[1][1], {"status": "Rejected"}])
    assert ((await first).status, (await second).status) == ("Accepted", "Rejected")


async def test_crossing_calls_are_both_answered(line: Line) -> None:
    """O3."""
    ours = stop_call(line, 1)
    assert line.at_once("Heartbeat", {})[0] == 3
    start = await line.in_time("StartTransaction", START)
    assert start[0] == 3
    line.say([3, line.calls()[0][1], {"status": "Accepted"}])
    assert (await ours).status == "Accepted"


async def test_an_answer_to_nothing_is_ignored(line: Line) -> None:
    """O5."""
    line.say([3, "unknown", {}])
    line.say([4, "unknown", "GenericError", "", {}])
    ours = stop_call(line, 1)
    line.say([3, "unknown", {"status": "Accepted"}])
    assert not ours.done()


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (
            [4, None, "NotSupported", "#2468", {"#2468": 1}],
            Result(outcome=Outcome.REFUSED, status="NotSupported"),
        ),
        ([4, None], Result(outcome=Outcome.REFUSED, status="GenericError")),
        ([3, None, {"status": "Perhaps"}], Result(outcome=Outcome.MALFORMED)),
        ([3, None, []], Result(outcome=Outcome.MALFORMED)),
    ],
)
async def test_a_useless_answer_is_a_value_and_the_next_call_goes_out(
    line: Line, answer: list[Any], result: Result
) -> None:
    ours = stop_call(line, 1)
    stop_call(line, 2)
    line.say([answer[0], line.calls()[0][1], *answer[2:]])
    assert await ours == result
    assert len(line.calls()) == 2


async def test_an_unanswered_call_times_out_and_lets_the_next_go(
    new_line: Callable[..., Line],
) -> None:
    line = new_line(call_timeout=0.01)
    first, second = stop_call(line, 1), stop_call(line, 2)
    assert await first == Result(outcome=Outcome.TIMED_OUT)
    assert len(line.calls()) == 2
    line.say([3, line.calls()[0][1], {"status": "Accepted"}])  # too late
    assert not second.done()
    line.say([3, line.calls()[1][1], {"status": "Accepted"}])
    assert (await second).status == "Accepted"


async def test_a_charger_that_never_answers_is_closed(new_line: Callable[..., Line]) -> None:
    """O11."""
    line = new_line(call_timeout=0.01, unanswered_calls=2)
    await stop_call(line, 1)
    assert not line.closes
    await stop_call(line, 2)
    assert line.closes == [(1008, "calls are not answered")]


async def test_an_answer_forgives_the_unanswered_ones_before(new_line: Callable[..., Line]) -> None:
    line = new_line(call_timeout=0.01, unanswered_calls=2)
    await stop_call(line, 1)
    answered = stop_call(line, 2)
    line.say([4, line.calls()[-1][1], "GenericError", "", {}])
    await answered
    await stop_call(line, 3)
    assert not line.closes


async def test_calls_that_nobody_waits_for_any_more_are_not_sent(line: Line) -> None:
    stop_call(line, 1)
    stop_call(line, 2).cancel()
    stop_call(line, 3)
    line.say([3, line.calls()[0][1], {"status": "Accepted"}])
    assert [call[3]["transactionId"] for call in line.calls()] == [1, 3]


async def test_too_many_queued_calls_are_not_queued(new_line: Callable[..., Line]) -> None:
    line = new_line(queued_calls=1)
    stop_call(line, 1)
    stop_call(line, 2)
    assert await stop_call(line, 3) == Result(outcome=Outcome.TOO_MANY_QUEUED)


async def test_remote_stop_is_true_only_when_the_charger_accepts(line: Line) -> None:
    for answer, accepted in (
        ([3, None, {"status": "Accepted"}], True),
        ([3, None, {"status": "Rejected"}], False),
        ([4, None, "NotSupported", "", {}], False),
    ):
        task = asyncio.ensure_future(line.connection.carry_out(RemoteStop(transaction_id=7)))
        await asyncio.sleep(0)  # let the task get as far as its call
        assert line.calls()[-1][2:] == ["RemoteStopTransaction", {"transactionId": 7}]
        line.say([answer[0], line.calls()[-1][1], *answer[2:]])
        assert (await task).accepted is accepted
    assert line.connection.version == "1.6"


async def test_our_message_ids_are_fresh(line: Line) -> None:
    """O4."""
    for number in range(5):
        stop_call(line, number)
        line.say([3, line.calls()[-1][1], {"status": "Accepted"}])
    assert len({call[1] for call in line.calls()}) == 5


# The end.


async def test_losing_the_connection_ends_what_waits_and_lets_a_start_finish(
    line: Line, gateway: GatewayInMemory
) -> None:
    ours, queued = stop_call(line, 1), stop_call(line, 2)
    gateway.go_on.clear()
    line.ask("StartTransaction", START)
    line.ask("StopTransaction", STOP)
    await gateway.reached.wait()
    task = line.connection.lost()
    gone = Result(outcome=Outcome.DISCONNECTED)
    assert (await ours, await queued, await stop_call(line, 3)) == (gone, gone, gone)
    gateway.go_on.set()
    await task
    assert len(gateway.starts) == 1
    assert gateway.ends == []  # never begun: the charger sends it again
    assert [frame[0] for frame in line.sent] == [2]
    line.say([2, "late", "Heartbeat", {}])
    assert len(line.sent) == 1


async def test_an_idle_connection_holds_no_task(line: Line) -> None:
    await line.in_time("StartTransaction", START)
    await asyncio.sleep(0)  # the task ends after its answer
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_calls_may_come_before_the_boot_notification(line: Line) -> None:
    """A charger that only lost its connection does not boot again (OCPP 1.6 §4.2)."""
    assert not line.connection.heard
    assert line.at_once("Heartbeat", {})[0] == 3
    assert line.connection.heard


async def test_configuration_follows_the_boot_answer(line: Line) -> None:
    line.ask("BootNotification", BOOT)
    assert [frame[0] for frame in line.sent] == [3, 2]
