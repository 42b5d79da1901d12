"""A decision in the words of OCPP 1.6 §7.24."""

from __future__ import annotations

from collections.abc import Mapping

from chargekey_gateway.decision import Decision, Status
from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp16.messages import AuthorizationStatus, IdTagInfo

# Not by `value`, which costs a search.
_WORDS: Mapping[Status, AuthorizationStatus] = {each: each.value for each in Status}


def id_tag_info(decision: Decision) -> IdTagInfo:
    """Say what was decided, and until when it holds where it ends at all."""
    expiry = decision.valid_until
    return IdTagInfo(
        status=_WORDS[decision.status],
        expiry_date=None if expiry is None else timestamps.write(expiry),
        parent_id_tag=decision.group,
    )
