"""The decision as values: its order, its words, its explanation, its second run."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chargekey_common.published.sessions import (
    AuthorizationRefused,
    Inputs,
    OperatorAnswer,
    SessionStarted,
)
from chargekey_gateway.decision import (
    ASK_OPERATOR,
    OCPP2_STATUS,
    OCPP16_STATUS,
    OPERATOR_REASONS,
    PIN,
    STEPS,
    OperatorsPart,
    Question,
    Reason,
    Status,
    Taken,
    decide,
    decided,
    explain,
    taken,
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
    ({"view_behind": True}, Reason.VIEW_BEHIND),
]


def changed(**changes: Any) -> Inputs:
    return msgspec.structs.replace(ACCEPTABLE, **changes)


def test_nothing_against_it_is_accepted_until_the_earlier_end() -> None:
    decision = decided(ACCEPTABLE)
    assert (decision.status, decision.reason) == (
        Status.ACCEPTED,
        Reason.INSTALLATION_PERMISSION,
    )
    assert (decision.user_id, decision.identification_id) == ("user", "pin")
    assert (decision.permission_id, decision.valid_until) == ("permission", 2_000)


def test_a_permission_on_the_charger_is_named_as_such() -> None:
    assert decided(changed(permission_on="charger")).reason is Reason.CHARGER_PERMISSION


@pytest.mark.parametrize(("changes", "reason"), OBSTACLES)
def test_each_obstacle_alone_decides(changes: dict[str, Any], reason: Reason) -> None:
    decision = decided(changed(**changes))
    assert decision.reason is reason
    assert decision.status is OCPP16_STATUS[reason]


@pytest.mark.parametrize("first", range(len(OBSTACLES)))
def test_of_several_obstacles_the_first_in_the_order_decides(first: int) -> None:
    changes: dict[str, Any] = {}
    for obstacle, _ in reversed(OBSTACLES[first:]):
        changes |= obstacle
    assert decided(changed(**changes)).reason is OBSTACLES[first][1]


def test_nobody_learns_by_a_malformed_pin_whether_pins_are_locked_out() -> None:
    """R14: the lockout answers first, whatever is typed."""
    malformed = changed(locked_out=True, identification_id=None, token_malformed=True)
    assert decided(malformed).reason is Reason.PIN_LOCKED_OUT


def test_a_lockout_of_pins_leaves_cards_usable() -> None:
    """R14."""
    assert decided(changed(locked_out=True, token_type=RFID)).status is Status.ACCEPTED


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("identification_valid_until", Reason.IDENTIFICATION_EXPIRED),
        ("permission_valid_until", Reason.PERMISSION_EXPIRED),
    ],
)
def test_an_end_is_exclusive_to_the_nanosecond(field: str, reason: Reason) -> None:
    """R18."""
    assert decided(changed(**{field: 1_001})).valid_until == 1_001
    assert decided(changed(**{field: 1_000})).reason is reason
    assert decided(changed(**{field: 999})).reason is reason


def test_an_open_charger_accepts_anybody_and_attributes_whom_it_knows() -> None:
    """S3-10."""
    anonymous = decided(Inputs(at=1, authorisation_required=False))
    known = decided(changed(authorisation_required=False, user_blocked=True))
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
    assert lines[-1] == "8. Is the user or the identification blocked? yes: user_blocked"
    assert len(lines) == 8
    assert all(line.endswith("? no") for line in lines[:-1])


def test_the_explanation_of_an_acceptance_has_every_step() -> None:
    lines = explain(ACCEPTABLE)
    assert len(lines) == 14
    assert lines[-1].endswith("yes: installation_permission")


def test_the_steps_are_the_lines_in_words_that_never_change() -> None:
    """For whoever has words of his own for them."""
    questions = [question for question, _, _ in STEPS]
    assert sorted(questions) == sorted(Question)
    assert taken(changed(user_blocked=True)) == (
        *map(Taken, questions[:7]),
        Taken(Question.BLOCKED, Reason.USER_BLOCKED),
    )
    accepted = taken(changed(withdrawn=True))
    assert [each.question for each in accepted] == questions
    assert accepted[-1] == Taken(Question.PERMITTED, Reason.INSTALLATION_PERMISSION, withdrawn=True)


def test_a_recorded_start_is_decided_again_the_same() -> None:
    """ "Why?" months later runs the same function over what was recorded."""
    inputs = changed(positions=("access:0123456789abcdef:7",))
    decision = decided(inputs)
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
    assert decided(again) == decision


@pytest.mark.parametrize(("changes", "reason"), OBSTACLES)
def test_a_recorded_refusal_is_decided_again_the_same(
    changes: dict[str, Any], reason: Reason
) -> None:
    inputs = changed(**changes)
    decision = decided(inputs)
    event = AuthorizationRefused(
        installation_id="site",
        charger_id="charger",
        status=decision.status,
        reason=decision.reason,
        inputs=inputs,
    )
    again = msgspec.json.decode(msgspec.json.encode(event), type=AuthorizationRefused).inputs
    assert again == inputs
    assert decided(again).reason is reason
    assert explain(again) == explain(inputs)


# At a site where an operator decides.
EXTERNAL = msgspec.structs.replace(ACCEPTABLE, managed_externally=True, token_type=RFID)


def answered(status: Any, **changes: Any) -> Inputs:
    """Return the inputs with the operator's answer, of which `changes` may be, too."""
    about = {name: changes.pop(name) for name in ("last_known", "valid_until") if name in changes}
    return msgspec.structs.replace(
        EXTERNAL, operator_answer=OperatorAnswer(status=status, **about), **changes
    )


def test_where_an_operator_decides_it_has_to_be_asked() -> None:
    """R3."""
    assert decide(EXTERNAL) is ASK_OPERATOR
    assert explain(EXTERNAL)[-1] == (
        "3. Does an operator decide here? yes: the operator would be asked"
    )
    assert taken(EXTERNAL)[-1] == Taken(Question.OPERATOR_DECIDES, ASK_OPERATOR)
    with pytest.raises(AssertionError):
        decided(EXTERNAL)


@pytest.mark.parametrize(
    ("status", "reason", "in_16", "in_2"),
    [
        ("ALLOWED", Reason.OPERATOR_ACCEPTED, "Accepted", "Accepted"),
        ("BLOCKED", Reason.IDENTIFICATION_BLOCKED, "Blocked", "Blocked"),
        ("EXPIRED", Reason.IDENTIFICATION_EXPIRED, "Expired", "Expired"),
        ("NO_CREDIT", Reason.NO_CREDIT, "Blocked", "NoCredit"),
        ("NOT_ALLOWED", Reason.OPERATOR_REFUSED, "Invalid", "Invalid"),
        ("UNREACHABLE", Reason.OPERATOR_UNREACHABLE, "Invalid", "Invalid"),
    ],
)
def test_what_the_operator_says_is_the_decision(
    status: str, reason: Reason, in_16: str, in_2: str
) -> None:
    decision = decided(answered(status, permission_id=None, user_blocked=True, type_enabled=False))
    assert (decision.reason, decision.status, OCPP2_STATUS[decision.reason]) == (
        reason,
        in_16,
        in_2,
    )
    assert decision.permission_id is None
    assert set(OPERATOR_REASONS.values()) >= {reason}


def test_what_an_operator_allowed_holds_until_it_said_and_not_a_nanosecond_longer() -> None:
    """R18: not until our identification's end, which it knows nothing of."""
    assert decided(answered("ALLOWED")).valid_until is None
    assert decided(answered("ALLOWED", valid_until=1_001)).valid_until == 1_001
    over = decided(answered("ALLOWED", valid_until=1_000))
    assert (over.reason, over.valid_until) == (Reason.IDENTIFICATION_EXPIRED, None)


def test_what_charges_elsewhere_does_not_start_here_whatever_an_operator_says() -> None:
    """R21: the lock of a known identification counts for starts."""
    decision = decided(answered("ALLOWED", charging_elsewhere=True))
    assert decision.reason is Reason.ALREADY_CHARGING
    assert decision.permission_id is None
    refused = decided(answered("NOT_ALLOWED", charging_elsewhere=True))
    assert refused.reason is Reason.OPERATOR_REFUSED


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"charger_known": False}, Reason.CHARGER_UNKNOWN),
        ({"user_blocked_everywhere": True}, Reason.USER_BLOCKED),
        ({"token_type": PIN}, Reason.OPERATOR_REFUSED),
        ({"token_type": "APP", "identification_status": None}, Reason.OPERATOR_REFUSED),
        ({"token_type": "APP", "identification_status": "BLOCKED"}, Reason.OPERATOR_REFUSED),
        ({"token_malformed": True}, Reason.IDENTIFICATION_MALFORMED),
        ({"nothing_presented": True}, Reason.IDENTIFICATION_UNKNOWN),
    ],
)
def test_some_things_are_known_without_asking_an_operator_and_its_word_changes_nothing(
    changes: dict[str, Any], reason: Reason
) -> None:
    """R13, R17: PINs are told to nobody, and no operator can tell of an app that works no more."""
    inputs = msgspec.structs.replace(EXTERNAL, **changes)
    assert decided(inputs).reason is reason
    assert decided(answered("ALLOWED", **changes)).reason is reason


def test_an_open_charger_of_such_a_site_is_the_operators_too() -> None:
    """R3: who decides, and whether something is presented, are two things."""
    assert decide(msgspec.structs.replace(EXTERNAL, authorisation_required=False)) is ASK_OPERATOR


@pytest.mark.parametrize(
    ("inputs", "part", "said"),
    [
        (answered("NO_CREDIT"), OperatorsPart.SAID, "no_credit (it said NO_CREDIT)"),
        (
            answered("ALLOWED", last_known=True),
            OperatorsPart.SAID_BEFORE,
            "operator_accepted (it was not asked or gave no answer; before, it said ALLOWED)",
        ),
        (
            answered("UNREACHABLE"),
            OperatorsPart.GAVE_NO_ANSWER,
            "operator_unreachable (it gave no answer that counts)",
        ),
        (
            msgspec.structs.replace(EXTERNAL, token_type=PIN),
            OperatorsPart.NEVER_TOLD,
            "operator_refused (it is never told of such a code)",
        ),
    ],
)
def test_the_explanation_says_what_the_operator_said(
    inputs: Inputs, part: OperatorsPart, said: str
) -> None:
    assert explain(inputs)[-1] == f"3. Does an operator decide here? yes: {said}"
    step = Taken(Question.OPERATOR_DECIDES, decided(inputs).reason, part)
    assert taken(inputs)[-1] == step
    again = msgspec.json.decode(msgspec.json.encode(inputs), type=Inputs)
    assert (again, decided(again), explain(again)) == (inputs, decided(inputs), explain(inputs))
