"""The steps of a decision, as every answer that explains one tells them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chargekey.gateway.v1 import decisions_pb2 as pb
from chargekey_gateway.decision import AskOperator, Taken

# In place of a reason: the operator of the site would be asked, and is not by this question.
OPERATOR_DECIDES = "operator_decides"


def told(steps: Iterable[Taken]) -> Sequence[pb.DecisionStep]:
    """Return them as messages."""
    return [
        pb.DecisionStep(
            question=each.question,
            reason=OPERATOR_DECIDES if isinstance(each.reason, AskOperator) else each.reason or "",
            operator=each.operator or "",
            withdrawn=each.withdrawn,
        )
        for each in steps
    ]
