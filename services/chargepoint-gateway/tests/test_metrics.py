"""What is counted on the way of a tap, as whoever asks for the metrics reads it."""

from __future__ import annotations

from prometheus_client import REGISTRY

from chargekey_gateway.decision import Reason
from chargekey_gateway.metrics import COUNT_DECISION, count_call


def test_each_decision_is_counted_under_its_status_and_reason() -> None:
    labels = {"decision": "Blocked", "reason": "user_blocked"}
    before = REGISTRY.get_sample_value("authorize_decisions_total", labels)
    assert before is not None, "there from the beginning, so that a rate can be told"
    COUNT_DECISION[Reason.USER_BLOCKED]()
    COUNT_DECISION[Reason.USER_BLOCKED]()
    assert REGISTRY.get_sample_value("authorize_decisions_total", labels) == before + 2


def test_each_call_is_counted_under_its_action_and_what_came_of_it() -> None:
    count_call("OfThisTest", "taken")()
    count_call("OfThisTest", "refused")()
    count_call("OfThisTest", "taken")()
    values = [
        REGISTRY.get_sample_value("ocpp_messages_total", {"action": "OfThisTest", "result": result})
        for result in ("taken", "refused", "failed")
    ]
    assert values == [2, 1, None]
