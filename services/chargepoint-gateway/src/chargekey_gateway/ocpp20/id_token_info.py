"""A decision in the words of OCPP 2.x IdTokenInfoType."""

from __future__ import annotations

from typing import cast

from chargekey_gateway.decision import OCPP2_STATUS, Decision
from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp20 import id_tokens
from chargekey_gateway.ocpp20.messages import AuthorizationStatus, IdToken, IdTokenInfo


def id_token_info(decision: Decision, presented: IdToken) -> IdTokenInfo:
    """Say what was decided of what was presented, and until when it may be remembered.

    A permission counts at the whole charger, so no EVSEs are named. When it ends a
    session that runs goes on (E05). A master pass is Accepted (C16): its group says for what.
    """
    status = "Accepted" if decision.master_pass else OCPP2_STATUS[decision.reason]
    expiry = decision.valid_until if id_tokens.is_cached(presented) else None
    return IdTokenInfo(
        status=cast("AuthorizationStatus", status),
        cache_expiry_date_time=None if expiry is None else timestamps.write(expiry),
        group_id_token=id_tokens.group(decision.group),
    )
