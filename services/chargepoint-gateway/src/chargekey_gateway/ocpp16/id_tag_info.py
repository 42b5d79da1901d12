"""A decision in the words of OCPP 1.6 §7.24."""

from __future__ import annotations

from chargekey_gateway.decision import Decision
from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp16.messages import IdTagInfo


def id_tag_info(decision: Decision) -> IdTagInfo:
    """Say what was decided, and until when it holds where it ends at all."""
    expiry = decision.valid_until
    return IdTagInfo(
        status=decision.status.value,
        expiry_date=None if expiry is None else timestamps.write(expiry),
        parent_id_tag=decision.group,
    )
