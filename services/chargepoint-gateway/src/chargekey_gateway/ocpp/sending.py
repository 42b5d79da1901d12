"""Sending any action of a version, once its payload has the standard's form."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from chargekey_gateway.commands import Outcome, Result, Send
from chargekey_gateway.ocpp import schemas
from chargekey_gateway.ocpp.asking import meaning
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp.not_for_here import Judge

log = structlog.get_logger()


class Sending:
    """What may be sent in one version, and how it is judged."""

    def __init__(
        self,
        version: str,
        *,
        judges: Mapping[str, Judge],
        told: Callable[[str, dict[str, Any]], dict[str, Any]],
    ) -> None:
        """Send the actions that `judges` has, if its judge lets it; tell of an answer `told`."""
        self._version = version
        self._judges = judges
        self._told = told

    async def send(self, peer: Peer, command: Send) -> Result:
        """Send it; an answer that is not as the standard has it is MALFORMED and not told."""
        action, payload = command.action, command.payload
        judge = self._judges.get(action)
        if judge is None:
            return Result(outcome=Outcome.ACTION_UNKNOWN)
        wrong = await asyncio.to_thread(schemas.wrong_request, self._version, action, payload)
        if wrong:
            return Result(outcome=Outcome.PAYLOAD_INVALID, where=wrong)
        if why := judge(payload):
            return Result(outcome=Outcome.NOT_FOR_HERE, instead=why)
        answer = await peer.call(payload, dict[str, Any], action=action)
        if isinstance(answer, Result):
            return answer
        wrong = await asyncio.to_thread(schemas.wrong_response, self._version, action, answer)
        if wrong:
            log.warning("ocpp_answer_malformed", charger=peer.charger.id, action=action)
            return Result(outcome=Outcome.MALFORMED)
        status = answer.get("status", "")
        return Result(
            outcome=meaning(status),
            status=status,
            payload=self._told(action, answer),
        )
