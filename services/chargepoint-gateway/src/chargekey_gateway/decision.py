"""Who may charge here, and why: one decision for every OCPP version, gRPC and "why".

`decide` runs over `Inputs`, plain values, and nothing else, so a recorded decision
can be made again. Its order is `STEPS`, on one screen; the first step that hits
wins. Where an operator decides and has not been asked, it says so: put his answer
into the inputs and decide again. `accept_at_once` is the same answer for the tap of
every day, straight from the view's entries; whatever it does not accept goes through
`decide`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import msgspec

from chargekey_common.published.sessions import Inputs, OperatorAnswer
from chargekey_gateway.view.entries import NEVER, Charger, Identification

PIN = "PIN"
APP = "APP"


class Status(enum.StrEnum):
    """The verdict, in OCPP 1.6's words (§7.2 AuthorizationStatus)."""

    ACCEPTED = "Accepted"
    BLOCKED = "Blocked"
    EXPIRED = "Expired"
    INVALID = "Invalid"
    CONCURRENT_TX = "ConcurrentTx"


class Reason(enum.StrEnum):
    """Why; a closed set, the same words in API, events, logs and the portal."""

    CHARGER_PERMISSION = "charger_permission"
    INSTALLATION_PERMISSION = "installation_permission"
    OPEN_CHARGER = "open_charger"
    OPERATOR_ACCEPTED = "operator_accepted"
    IDENTIFICATION_UNKNOWN = "identification_unknown"
    IDENTIFICATION_MALFORMED = "identification_malformed"
    IDENTIFICATION_AMBIGUOUS = "identification_ambiguous"
    IDENTIFICATION_INVALID = "identification_invalid"
    TYPE_DISABLED = "type_disabled"
    PIN_LOCKED_OUT = "pin_locked_out"
    OPERATOR_REFUSED = "operator_refused"
    IDENTIFICATION_BLOCKED = "identification_blocked"
    USER_BLOCKED = "user_blocked"
    IDENTIFICATION_EXPIRED = "identification_expired"
    NO_PERMISSION = "no_permission"
    PERMISSION_EXPIRED = "permission_expired"
    OUTSIDE_SCHEDULE = "outside_schedule"
    ALREADY_CHARGING = "already_charging"
    NO_CREDIT = "no_credit"
    CHARGER_UNKNOWN = "charger_unknown"
    VIEW_BEHIND = "view_behind"
    OPERATOR_UNREACHABLE = "operator_unreachable"


# A member of an enumeration costs a search where it is named.
_ACCEPTED, _CHARGER, _INSTALLATION = (
    Status.ACCEPTED,
    Reason.CHARGER_PERMISSION,
    Reason.INSTALLATION_PERMISSION,
)

OCPP16_STATUS = {
    Reason.CHARGER_PERMISSION: Status.ACCEPTED,
    Reason.INSTALLATION_PERMISSION: Status.ACCEPTED,
    Reason.OPEN_CHARGER: Status.ACCEPTED,
    Reason.OPERATOR_ACCEPTED: Status.ACCEPTED,
    Reason.IDENTIFICATION_UNKNOWN: Status.INVALID,
    Reason.IDENTIFICATION_MALFORMED: Status.INVALID,
    Reason.IDENTIFICATION_AMBIGUOUS: Status.INVALID,
    Reason.IDENTIFICATION_INVALID: Status.INVALID,
    Reason.TYPE_DISABLED: Status.INVALID,
    Reason.PIN_LOCKED_OUT: Status.INVALID,
    Reason.OPERATOR_REFUSED: Status.INVALID,
    Reason.IDENTIFICATION_BLOCKED: Status.BLOCKED,
    Reason.USER_BLOCKED: Status.BLOCKED,
    Reason.IDENTIFICATION_EXPIRED: Status.EXPIRED,
    Reason.NO_PERMISSION: Status.INVALID,
    Reason.PERMISSION_EXPIRED: Status.INVALID,
    Reason.OUTSIDE_SCHEDULE: Status.INVALID,
    Reason.ALREADY_CHARGING: Status.CONCURRENT_TX,
    Reason.NO_CREDIT: Status.BLOCKED,
    Reason.CHARGER_UNKNOWN: Status.INVALID,
    Reason.VIEW_BEHIND: Status.INVALID,
    Reason.OPERATOR_UNREACHABLE: Status.INVALID,
}

# OCPP 2.0.1 AuthorizationStatusEnumType says more than 1.6 where 1.6 says Invalid.
OCPP2_STATUS: dict[Reason, str] = {
    **OCPP16_STATUS,
    Reason.IDENTIFICATION_UNKNOWN: "Unknown",
    Reason.NO_PERMISSION: "NotAtThisLocation",
    Reason.PERMISSION_EXPIRED: "NotAtThisLocation",
    Reason.OUTSIDE_SCHEDULE: "NotAtThisTime",
    Reason.NO_CREDIT: "NoCredit",
}


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The answer; `valid_until` is an exclusive end in nanoseconds since the epoch, if any.

    `group` is the token by which chargers know what may stop the session beside what
    began it (R22); who decides adds it, since it is made under a secret. With a `master_pass`
    who may not charge may stop whatever does, and `group` is the charger's for that.
    """

    status: Status
    reason: Reason
    valid_until: int | None = None
    group: str | None = None
    master_pass: bool = False

    @property
    def accepted(self) -> bool:
        """Whether energy may flow."""
        return self.status is _ACCEPTED


class NamedDecision(Decision, frozen=True, gc=False, kw_only=True):
    """A decision with the names of whom and what it was made of."""

    user_id: str | None = None
    identification_id: str | None = None
    permission_id: str | None = None


class AskOperator(msgspec.Struct, frozen=True):
    """No decision yet: it is the operator's, who has not been asked."""


ASK_OPERATOR = AskOperator()

# The operator's words (OCPI 2.2.1 AllowedType) as reasons. That OCPI does not know the token
# (2004) is NOT_ALLOWED: whose it is, is not asked here.
OPERATOR_REASONS = {
    "ALLOWED": Reason.OPERATOR_ACCEPTED,
    "BLOCKED": Reason.IDENTIFICATION_BLOCKED,
    "EXPIRED": Reason.IDENTIFICATION_EXPIRED,
    "NO_CREDIT": Reason.NO_CREDIT,
    "NOT_ALLOWED": Reason.OPERATOR_REFUSED,
    "UNREACHABLE": Reason.OPERATOR_UNREACHABLE,
}


def _charger_unknown(inputs: Inputs) -> Reason | None:
    return None if inputs.charger_known else Reason.CHARGER_UNKNOWN


def _blocked_everywhere(inputs: Inputs) -> Reason | None:
    return Reason.USER_BLOCKED if inputs.user_blocked_everywhere else None


def _operator(inputs: Inputs) -> Reason | AskOperator | None:
    if not inputs.managed_externally:
        return None
    if _not_for_operators(inputs):
        return Reason.OPERATOR_REFUSED
    if inputs.nothing_presented:
        return Reason.IDENTIFICATION_UNKNOWN
    if inputs.token_malformed:
        return Reason.IDENTIFICATION_MALFORMED
    if inputs.operator_answer is None:
        return ASK_OPERATOR
    return _answered(inputs, inputs.operator_answer)


def _not_for_operators(inputs: Inputs) -> bool:
    """Whether an operator can have allowed nobody by it, and so is not asked.

    PINs are known at their own site and to nobody else (R13). Of the portal's "start here as
    me" he is told whose it is, and never the code, which would make him that person (R17);
    that it still works is known here alone.
    """
    if inputs.token_type == APP:
        return inputs.identification_status != "ACTIVE"
    return inputs.token_type == PIN


def _answered(inputs: Inputs, answer: OperatorAnswer) -> Reason:
    reason = OPERATOR_REASONS[answer.status]
    if reason is not Reason.OPERATOR_ACCEPTED:
        return reason
    if _is_over(answer.valid_until, inputs.at):
        return Reason.IDENTIFICATION_EXPIRED
    # He may not know of a session that runs at somebody else's site (R21).
    return _charging(inputs) or reason


def _open(inputs: Inputs) -> Reason | None:
    return None if inputs.authorisation_required else Reason.OPEN_CHARGER


def _type_disabled(inputs: Inputs) -> Reason | None:
    return None if inputs.type_enabled else Reason.TYPE_DISABLED


def _locked_out(inputs: Inputs) -> Reason | None:
    # Only PINs are locked: cards stay usable (R14).
    return Reason.PIN_LOCKED_OUT if inputs.locked_out and inputs.token_type == PIN else None


def _unknown(inputs: Inputs) -> Reason | None:
    if inputs.identification_id is not None:
        return None
    if inputs.token_ambiguous:
        return Reason.IDENTIFICATION_AMBIGUOUS
    malformed = inputs.token_malformed
    return Reason.IDENTIFICATION_MALFORMED if malformed else Reason.IDENTIFICATION_UNKNOWN


def _blocked(inputs: Inputs) -> Reason | None:
    if inputs.user_blocked:
        return Reason.USER_BLOCKED
    return Reason.IDENTIFICATION_BLOCKED if inputs.identification_status == "BLOCKED" else None


def _inactive(inputs: Inputs) -> Reason | None:
    return Reason.IDENTIFICATION_INVALID if inputs.identification_status != "ACTIVE" else None


def _expired(inputs: Inputs) -> Reason | None:
    over = _is_over(inputs.identification_valid_until, inputs.at)
    return Reason.IDENTIFICATION_EXPIRED if over else None


def _not_permitted(inputs: Inputs) -> Reason | None:
    if inputs.permission_id is None or not inputs.user_verified:
        return Reason.NO_PERMISSION
    over = _is_over(inputs.permission_valid_until, inputs.at)
    return Reason.PERMISSION_EXPIRED if over else None


def _charging(inputs: Inputs) -> Reason | None:
    return Reason.ALREADY_CHARGING if inputs.charging_elsewhere else None


def _view_behind(inputs: Inputs) -> Reason | None:
    """Let nobody in by a permission that may have been taken away unheard (O50).

    The last step before that: whom the view refuses hears why. Open chargers and sites where
    an operator decides need no permission, and go on.
    """
    return Reason.VIEW_BEHIND if inputs.view_behind else None


def _permitted(inputs: Inputs) -> Reason:
    if inputs.permission_on == "charger":
        return Reason.CHARGER_PERMISSION
    return Reason.INSTALLATION_PERMISSION


def _is_over(valid_until: int | None, at: int) -> bool:
    return valid_until is not None and at >= valid_until  # an exclusive end


class Question(enum.StrEnum):
    """What a step asks; the same words in every answer, whatever the order of the steps is."""

    CHARGER_UNKNOWN = "charger_unknown"
    USER_BLOCKED_EVERYWHERE = "user_blocked_everywhere"
    OPERATOR_DECIDES = "operator_decides"
    OPEN_CHARGER = "open_charger"
    TYPE_DISABLED = "type_disabled"
    PINS_LOCKED_OUT = "pins_locked_out"
    IDENTIFICATION_UNKNOWN = "identification_unknown"
    BLOCKED = "blocked"
    INACTIVE = "inactive"
    EXPIRED = "expired"
    NO_PERMISSION = "no_permission"
    ALREADY_CHARGING = "already_charging"
    VIEW_BEHIND = "view_behind"
    PERMITTED = "permitted"


# The decision, in its order.
STEPS: tuple[tuple[Question, str, Callable[[Inputs], Reason | AskOperator | None]], ...] = (
    (Question.CHARGER_UNKNOWN, "Is the charger unknown?", _charger_unknown),
    (
        Question.USER_BLOCKED_EVERYWHERE,
        "Is the user blocked on the whole platform?",
        _blocked_everywhere,
    ),
    (Question.OPERATOR_DECIDES, "Does an operator decide here?", _operator),
    (Question.OPEN_CHARGER, "May anybody charge here?", _open),
    (
        Question.TYPE_DISABLED,
        "Is this type of identification switched off here?",
        _type_disabled,
    ),
    (
        Question.PINS_LOCKED_OUT,
        "Is this charger locked to PINs after too many wrong ones?",
        _locked_out,
    ),
    (Question.IDENTIFICATION_UNKNOWN, "Is the identification unknown?", _unknown),
    (Question.BLOCKED, "Is the user or the identification blocked?", _blocked),
    (Question.INACTIVE, "Is the identification not active?", _inactive),
    (Question.EXPIRED, "Has the identification expired?", _expired),
    (
        Question.NO_PERMISSION,
        "Is there no permission to charge here, or has it ended?",
        _not_permitted,
    ),
    (Question.ALREADY_CHARGING, "Is it charging elsewhere already?", _charging),
    (
        Question.VIEW_BEHIND,
        "Has the view not been heard to be complete for longer than the site allows?",
        _view_behind,
    ),
    (Question.PERMITTED, "Nothing is against it?", _permitted),
)


def decide(inputs: Inputs) -> NamedDecision | AskOperator:
    """Decide; pure, the same inputs always give the same decision.

    AskOperator where it is an operator's decision and the inputs do not have his answer.
    """
    for _, _, step in STEPS:
        reason = step(inputs)
        if reason is not None:
            return reason if isinstance(reason, AskOperator) else _decision(inputs, reason)
    raise AssertionError  # pragma: no cover - the last step always answers


def decided(inputs: Inputs) -> NamedDecision:
    """Decide over inputs that leave nobody to be asked, as recorded ones do."""
    decision = decide(inputs)
    if isinstance(decision, AskOperator):
        message = "the operator has to be asked first"
        raise AssertionError(message)  # noqa: TRY004 - not of the inputs' type, but of their making
    return decision


class OperatorsPart(enum.StrEnum):
    """What an operator that decides had to do with its step."""

    SAID = "said"
    SAID_BEFORE = "said_before"
    GAVE_NO_ANSWER = "gave_no_answer"
    NEVER_TOLD = "never_told"


class Taken(msgspec.Struct, frozen=True):
    """A step of a decision: with a `reason` the one that hit, and the last.

    Or with the need to ask the operator, who then has no part in it yet. `withdrawn` tells
    that it let somebody in, as of then, who is let in no more.
    """

    question: Question
    reason: Reason | AskOperator | None = None
    operator: OperatorsPart | None = None
    withdrawn: bool = False


def taken(inputs: Inputs) -> tuple[Taken, ...]:
    """Return the steps by which `decide` came to its answer."""
    found = []
    for question, _, step in STEPS:
        reason = step(inputs)
        if isinstance(reason, Reason):
            part = _operators_part(inputs) if question is Question.OPERATOR_DECIDES else None
            found.append(Taken(question, reason, part, _is_withdrawn(inputs, reason)))
        else:
            found.append(Taken(question, reason))
        if reason is not None:
            break
    return tuple(found)


def explain(inputs: Inputs) -> tuple[str, ...]:
    """Say how `decide` came to its answer: one line a step, the last is the one that hit."""
    return tuple(
        f"{number}. {text} {_said(inputs, each)}"
        for number, ((_, text, _), each) in enumerate(
            zip(STEPS, taken(inputs), strict=False), start=1
        )
    )


def may_only_stop(decision: Decision, *, looks_after: bool) -> bool:
    """Tell whether who may not charge may stop what does: he `looks_after` the place (R22).

    And has nothing else against him: what he presents is in order.
    """
    return looks_after and decision.reason in {Reason.NO_PERMISSION, Reason.PERMISSION_EXPIRED}


def _operators_part(inputs: Inputs) -> OperatorsPart:
    answer = inputs.operator_answer
    if answer is None:
        return OperatorsPart.NEVER_TOLD
    if answer.status == "UNREACHABLE":
        return OperatorsPart.GAVE_NO_ANSWER
    return OperatorsPart.SAID_BEFORE if answer.last_known else OperatorsPart.SAID


def _said(inputs: Inputs, step: Taken) -> str:
    if step.reason is None:
        return "no"
    if isinstance(step.reason, AskOperator):
        return "yes: the operator would be asked"
    word = "" if inputs.operator_answer is None else inputs.operator_answer.status
    part = {
        None: "",
        OperatorsPart.SAID: f" (it said {word})",
        OperatorsPart.SAID_BEFORE: (
            f" (it was not asked or gave no answer; before, it said {word})"
        ),
        OperatorsPart.GAVE_NO_ANSWER: " (it gave no answer that counts)",
        OperatorsPart.NEVER_TOLD: " (it is never told of such a code)",
    }[step.operator]
    return f"yes: {step.reason}{part}" + (" (as of then; not any more)" if step.withdrawn else "")


PERMITTED = frozenset({Reason.CHARGER_PERMISSION, Reason.INSTALLATION_PERMISSION})
# A PIN that is refused for these is a guess (R14).
GUESSED = frozenset({Reason.IDENTIFICATION_UNKNOWN, Reason.IDENTIFICATION_MALFORMED})
# From the step that asks for a permission on, the decision names the one it found.
BY_PERMISSION = PERMITTED | {
    Reason.PERMISSION_EXPIRED,
    Reason.ALREADY_CHARGING,
    Reason.VIEW_BEHIND,
}


def _decision(inputs: Inputs, reason: Reason) -> NamedDecision:
    valid_until = None
    if reason in PERMITTED:
        ends = (inputs.identification_valid_until, inputs.permission_valid_until)
        valid_until = min((end for end in ends if end is not None), default=None)
    elif reason is Reason.OPERATOR_ACCEPTED and inputs.operator_answer is not None:
        valid_until = inputs.operator_answer.valid_until
    if _is_withdrawn(inputs, reason):
        # A charger that keeps this answer must not go by it again.
        valid_until = inputs.at if valid_until is None else min(valid_until, inputs.at)
    return NamedDecision(
        status=OCPP16_STATUS[reason],
        reason=reason,
        user_id=inputs.user_id,
        identification_id=inputs.identification_id,
        permission_id=permission_named(inputs, reason),
        valid_until=valid_until,
    )


def _is_withdrawn(inputs: Inputs, reason: Reason) -> bool:
    """Whether this lets somebody in who is let in no more."""
    return inputs.withdrawn and OCPP16_STATUS[reason] is Status.ACCEPTED


def permission_named(inputs: Inputs, reason: Reason) -> str | None:
    """Return the permission that a decision for this reason names; an operator has none."""
    if inputs.managed_externally or reason not in BY_PERMISSION:
        return None
    return inputs.permission_id


def accept_at_once(
    charger: Charger, identification: Identification, at: int, group: str | None = None
) -> Decision | None:
    """Accept as `decide` would, at a charger without a lockout, or return None to ask `decide`.

    Never refuses: refusals are rarer and owe an explanation. Names nobody: who that is and by
    which permission is asked afterwards, if at all, and of `decide`.
    """
    terms = identification.terms
    deadline = terms.deadline
    if at >= deadline or terms.type not in charger.by_permission:
        return None
    here = charger.installation
    for right in identification.rights:
        target = right.target
        if target is charger or target is here:
            # Rights are ranked: the first that fits ends last.
            ends = right.ends
            if at >= ends:
                return None
            if deadline < ends:  # noqa: PLR1730 - a call of min() costs more than the rest of this
                ends = deadline
            return Decision(
                _ACCEPTED,
                _CHARGER if right.on_charger else _INSTALLATION,
                None if ends == NEVER else ends,
                group,
            )
    return None
