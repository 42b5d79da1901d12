"""Whether who charges may go on: the token verified again in a running session; pure.

The verdict of the start stands (R23), and what a site lets finish may finish (R12). So of
all that would refuse a start today only that counts which ends sessions there.
"""

from __future__ import annotations

from chargekey_common.published.sessions import Inputs
from chargekey_gateway.decision import Decision, Reason, decide
from chargekey_gateway.sessions.running import RunningSession
from chargekey_gateway.view.entries import Installation

BLOCKS = frozenset(
    {Reason.USER_BLOCKED, Reason.IDENTIFICATION_BLOCKED, Reason.IDENTIFICATION_INVALID}
)
REVOCATIONS = frozenset(
    {
        Reason.NO_PERMISSION,
        Reason.PERMISSION_EXPIRED,
        Reason.IDENTIFICATION_EXPIRED,
        Reason.IDENTIFICATION_UNKNOWN,
        Reason.TYPE_DISABLED,
    }
)


def refusal(session: RunningSession, inputs: Inputs, site: Installation) -> Decision | None:
    """Return what refuses the session now, over `inputs` of now, if anything does.

    What began without a permission, at an open charger or by an operator's word, is ended
    by a block of the whole platform alone.
    """
    decision = decide(inputs)
    if not isinstance(decision, Decision) or decision.accepted:
        return None
    if not session.by_permission and not inputs.user_blocked_everywhere:
        return None
    if decision.reason in BLOCKS:
        return decision if site.on_block == "STOP" else None
    return decision if decision.reason in REVOCATIONS and site.on_revoke == "STOP" else None
