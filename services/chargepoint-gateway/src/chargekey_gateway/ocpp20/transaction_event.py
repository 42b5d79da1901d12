"""TransactionEvent: a transaction began, went on or ended."""

from __future__ import annotations

import structlog

from chargekey_gateway.decision import Decision
from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20 import id_tokens, readings
from chargekey_gateway.ocpp20.command_messages import AcceptedOrRejected, RequestStopTransaction
from chargekey_gateway.ocpp20.id_token_info import id_token_info
from chargekey_gateway.ocpp20.messages import (
    Evse,
    IdToken,
    TransactionEvent,
    TransactionEventResponse,
)
from chargekey_gateway.sessions.transactions import Phase, TransactionMessage

log = structlog.get_logger()

STOPS = "StopAuthorized"
UNKNOWN_EVSE = 0
REASONS = frozenset(
    {
        "DeAuthorized",
        "EmergencyStop",
        "EnergyLimitReached",
        "EVDisconnected",
        "GroundFault",
        "ImmediateReset",
        "Local",
        "LocalOutOfCredit",
        "MasterPass",
        "Other",
        "OvercurrentFault",
        "PowerLoss",
        "PowerQuality",
        "Reboot",
        "Remote",
        "ReqEnergyTransferRejected",
        "SOCLimitReached",
        "StoppedByEV",
        "TimeLimitReached",
        "Timeout",
    }
)


async def answer(peer: Peer, request: TransactionEvent) -> TransactionEventResponse:
    """Answer every one (E01 to E15), once it is durable.

    Until then the charger gets an InternalError and sends it again. A verdict is told
    where a token was presented, and nowhere else.
    """
    presented = request.id_token
    decision = await peer.gateway.transacting.take(peer.charger, _message(peer, request))
    if presented is None:
        return TransactionEventResponse()
    if decision is None and id_tokens.read(presented) is id_tokens.NOTHING:
        decision = await _of_nothing(peer)
    info = None if decision is None else id_token_info(decision, presented)
    return TransactionEventResponse(id_token_info=info)


def stop_if_refused(
    peer: Peer, request: TransactionEvent, response: TransactionEventResponse
) -> None:
    """Stop what was begun with a token that is not accepted.

    Left to itself one charger stops, another only withholds the energy: that depends on
    its TxCtrlr.StopTxOnInvalidId and its vendor (E05). One that was under way when a token
    was refused goes on: a stranger's card must not end it.
    """
    info = response.id_token_info
    if request.event_type == "Started" and info is not None and info.status != "Accepted":
        peer.call(
            RequestStopTransaction(transaction_id=request.transaction_info.transaction_id),
            AcceptedOrRejected,
        )


def _message(peer: Peer, request: TransactionEvent) -> TransactionMessage:
    phase = Phase(request.event_type)
    presented = _presented(request.id_token)
    reason = request.transaction_info.stopped_reason
    return TransactionMessage(
        phase=phase,
        transaction=request.transaction_info.transaction_id,
        number=request.seq_no,
        at=_at(peer, request.timestamp),
        connector=_evse(request.evse),
        token=None if presented is None else presented.token,
        announced=None if presented is None else presented.announced,
        stops=presented is not None and request.trigger_reason == STOPS,
        offline=request.offline,
        meter=readings.register(request.meter_value),
        meter_began=readings.register_at_begin(request.meter_value),
        power=readings.power(request.meter_value),
        reason=reason if reason in REASONS else "Other",
    )


def _presented(token: IdToken | None) -> id_tokens.Presented | None:
    """Return what was presented, if anything was."""
    presented = id_tokens.NOTHING if token is None else id_tokens.read(token)
    return None if presented is id_tokens.NOTHING else presented


def _evse(evse: Evse | None) -> int:
    return UNKNOWN_EVSE if evse is None else evse.id


def _at(peer: Peer, timestamp: str) -> int:
    """Return when it happened; it is now, where the charger's word for it cannot be read."""
    try:
        return timestamps.parse(timestamp)
    except timestamps.TimestampUnreadableError as error:
        log.warning("transaction_event_without_time", charger=peer.charger.id, code=error.code)
        return peer.now()


async def _of_nothing(peer: Peer) -> Decision:
    """Decide of nobody, as at an Authorize."""
    nothing = id_tokens.NOTHING
    decision = peer.gateway.deciding.authorize(peer.charger, nothing.token, nothing.announced)
    return decision if isinstance(decision, Decision) else await decision
