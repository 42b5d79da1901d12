"""Asking a charger something it answers with a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

import msgspec

from chargekey_gateway.commands import Outcome, Result
from chargekey_gateway.ocpp.dialect import Peer


class _WithStatus(Protocol):
    @property
    def status(self) -> str:
        """The charger's word."""


_Answer = TypeVar("_Answer", bound=_WithStatus)


async def ask(
    peer: Peer,
    request: msgspec.Struct,
    response: type[_Answer],
    meaning: Mapping[str, Outcome],
) -> Result:
    """Send `request`; `meaning` tells what each status of the response comes to."""
    answer = await peer.call(request, response)
    if isinstance(answer, Outcome):
        return Result(outcome=answer)
    return Result(outcome=meaning[answer.status], status=answer.status)
