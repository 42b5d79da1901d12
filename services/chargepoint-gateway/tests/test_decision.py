"""The decision as values: its order, its words, its explanation, its second run."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chargekey_common.published.sessions import AuthorizationRefused, Inputs, SessionStarted
from chargekey_gateway.decision import (
    OCPP2_STATUS,
    OCPP16_STATUS,
    PIN,
    Reason,
    Status,
    decide,
    explain,
)

RFID = "RFID"

ACCEPTABLE = Inputs(
    at=1_000,
    token_type=PIN,
    identification_id="pin",
    identification_status="ACTIVE",
    identification_valid_until=2_000,
    user_id="user",
    permission_id="permission",
    permission_on="installation",
    permission_valid_until=3_000,
)

# Every obstacle in the order of the decision: what makes it true, and the reason then.
OBSTACLES: list[tuple[dict[str, Any], Reason]] = [
    ({"charger_known": False}, Reason.CHARGER_UNKNOWN),
    ({"user_blocked_everywhere": True}, Reason.USER_BLOCKED),
    ({"authorisation_required": False}, Reason.OPEN_CHARGER),
    ({"type_enabled": False}, Reason.TYPE_DISABLED),
    ({"locked_out": True}, Reason.PIN_LOCKED_OUT),
    ({"identification_id": None, "token_malformed": True}, Reason.IDENTIFICATION_MALFORMED),
    ({"identification_id": None}, Reason.IDENTIFICATION_UNKNOWN),
    ({"user_blocked": True}, Reason.USER_BLOCKED),
    ({"identification_status": "BLOCKED"}, Reason.IDENTIFICATION_BLOCKED),
    ({"identification_status": "INACTIVE"}, Reason.IDENTIFICATION_INVALID),
    ({"identification_valid_until": 1_000}, Reason.IDENTIFICATION_EXPIRED),
    ({"permission_id": None}, Reason.NO_PERMISSION),
    ({"permission_valid_until": 1_000}, Reason.PERMISSION_EXPIRED),
    ({"charging_elsewhere": True}, Reason.ALREADY_CHARGING),
]


def changed(**changes: Any) -> Inputs:
    return msgspec.structs.replace(ACCEPTABLE, **changes)


def test_nothing_against_it_is_accepted_until_the_earlier_end() -> None:
    decision = decide(ACCEPTABLE)
    assert (decision.status, decision.reason) == (
        Status.ACCEPTED,
        Reason.INSTALLATION_PERMISSION,
    )
    assert (decision.user_id, decision.identification_id) == ("user", "pin")
    assert (decision.permission_id, decision.valid_until) == ("permission", 2_000)


def test_a_permission_on_the_charger_is_named_as_such() -> None:
    assert decide(changed(permission_on="charger")).reason is Reason.CHARGER_PERMISSION


@pytest.mark.parametrize(("changes", "reason"), OBSTACLES)
def test_each_obstacle_alone_decides(changes: dict[str, Any], reason: Reason) -> None:
    decision = decide(changed(**changes))
    assert decision.reason is reason
    assert decision.status is OCPP16_STATUS[reason]


@pytest.mark.parametrize("first", range(len(OBSTACLES)))
def test_of_several_obstacles_the_first_in_the_order_decides(first: int) -> None:
    changes: dict[str, Any] = {}
    for obstacle, _ in reversed(OBSTACLES[first:]):
        changes |= obstacle
    assert decide(changed(**changes)).reason is OBSTACLES[first][1]


def test_nobody_learns_by_a_malformed_pin_whether_pins_are_locked_out() -> None:
    """R14: the lockout answers first, whatever is typed."""
    malformed = changed(locked_out=True, identification_id=None, token_malformed=True)
    assert decide(malformed).reason is Reason.PIN_LOCKED_OUT


def test_a_lockout_of_pins_leaves_cards_usable() -> None:
    """R14."""
    assert decide(changed(locked_out=True, token_type=RFID)).status is Status.ACCEPTED


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("identification_valid_until", Reason.IDENTIFICATION_EXPIRED),
        ("permission_valid_until", Reason.PERMISSION_EXPIRED),
    ],
)
def test_an_end_is_exclusive_to_the_nanosecond(field: str, reason: Reason) -> None:
    """R18."""
    assert decide(changed(**{field: 1_001})).valid_until == 1_001
    assert decide(changed(**{field: 1_000})).reason is reason
    assert decide(changed(**{field: 999})).reason is reason


def test_an_open_charger_accepts_anybody_and_attributes_whom_it_knows() -> None:
    """S3-10."""
    anonymous = decide(Inputs(at=1, authorisation_required=False))
    known = decide(changed(authorisation_required=False, user_blocked=True))
    assert (anonymous.reason, anonymous.user_id) == (Reason.OPEN_CHARGER, None)
    assert (known.reason, known.user_id) == (Reason.OPEN_CHARGER, "user")
    assert known.permission_id is None
    assert known.valid_until is None


def test_every_reason_has_a_status_of_both_protocols() -> None:
    assert set(OCPP16_STATUS) == set(OCPP2_STATUS) == set(Reason)
    assert set(OCPP16_STATUS.values()) == set(Status)
    assert {reason: OCPP2_STATUS[reason] for reason in Reason} | {
        Reason.IDENTIFICATION_UNKNOWN: "Unknown",
        Reason.NO_PERMISSION: "NotAtThisLocation",
        Reason.PERMISSION_EXPIRED: "NotAtThisLocation",
        Reason.OUTSIDE_SCHEDULE: "NotAtThisTime",
        Reason.NO_CREDIT: "NoCredit",
    } == OCPP2_STATUS


def test_the_explanation_ends_with_the_step_that_hit() -> None:
    lines = explain(changed(user_blocked=True))
    assert lines[-1] == "7. Is the user or the identification blocked? yes: user_blocked"
    assert len(lines) == 7
    assert all(line.endswith("? no") for line in lines[:-1])


def test_the_explanation_of_an_acceptance_has_every_step() -> None:
    lines = explain(ACCEPTABLE)
    assert len(lines) == 12
    assert lines[-1].endswith("yes: installation_permission")


def test_a_recorded_start_is_decided_again_the_same() -> None:
    """ "Why?" months later runs the same function over what was recorded."""
    inputs = changed(positions=("access:0123456789abcdef:7",))
    decision = decide(inputs)
    event = SessionStarted(
        installation_id="site",
        charger_id="charger",
        session_id="session",
        connector=1,
        started_at=1_000,
        meter_start=0,
        status=decision.status,
        reason=decision.reason,
        inputs=inputs,
    )
    again = msgspec.json.decode(msgspec.json.encode(event), type=SessionStarted).inputs
    assert again == inputs
    assert decide(again) == decision


@pytest.mark.parametrize(("changes", "reason"), OBSTACLES)
def test_a_recorded_refusal_is_decided_again_the_same(
    changes: dict[str, Any], reason: Reason
) -> None:
    inputs = changed(**changes)
    decision = decide(inputs)
    event = AuthorizationRefused(
        installation_id="site",
        charger_id="charger",
        status=decision.status,
        reason=decision.reason,
        inputs=inputs,
    )
    again = msgspec.json.decode(msgspec.json.encode(event), type=AuthorizationRefused).inputs
    assert again == inputs
    assert decide(again).reason is reason
    assert explain(again) == explain(inputs)
