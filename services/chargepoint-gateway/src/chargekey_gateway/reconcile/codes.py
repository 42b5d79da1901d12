"""Readable codes, asked of identity for the moment in which a list is sent."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Mapping
from typing import Protocol

import structlog
from grpc import aio

from chargekey.identity.v1 import codes_pb2 as pb
from chargekey.identity.v1 import codes_pb2_grpc
from chargekey_common.errors import UnavailableError
from chargekey_common.grpc.client import AWAY

MOST = 1_000  # identifications in one call
DEADLINE = 5.0  # seconds for one call
AT_ONCE = 4  # calls: a site of a thousand chargers must not keep identity from its people

log = structlog.get_logger()


class CodesUnavailableError(UnavailableError):
    """Identity cannot be asked right now, or does not answer this."""

    code = "codes_unavailable"
    sentence = "The codes for the charger's list cannot be read now; it is tried again."


class Codes(Protocol):
    """Who tells readable codes."""

    async def read(
        self, charger_id: str, identification_ids: Iterable[str], /
    ) -> Mapping[str, str]:
        """Return those that can be read, for one charger's list; CodesUnavailableError."""


class _NobodyTells:
    async def read(self, _: str, __: Iterable[str]) -> Mapping[str, str]:
        """Raise: lists that have entries wait."""
        raise CodesUnavailableError


NOBODY_TELLS: Codes = _NobodyTells()


class IdentityCodes:
    """Asks identity, which records every call. Nothing is kept."""

    def __init__(self, identity: aio.Channel) -> None:
        """Call over `identity`."""
        self._codes = codes_pb2_grpc.CodeServiceStub(identity)
        self._room = asyncio.Semaphore(AT_ONCE)

    async def read(self, charger_id: str, identification_ids: Iterable[str]) -> Mapping[str, str]:
        """Return those that can be read; raises CodesUnavailableError."""
        found: dict[str, str] = {}
        several = iter(identification_ids)
        while some := tuple(itertools.islice(several, MOST)):
            request = pb.RevealLocalListCodesRequest(charger_id=charger_id, identification_ids=some)
            try:
                async with self._room:
                    answer = await self._codes.RevealLocalListCodes(request, timeout=DEADLINE)
            except aio.AioRpcError as error:
                if error.code() not in AWAY:
                    # Its code alone: what it says may be about codes.
                    log.warning("codes_refused", charger=charger_id, status=error.code().name)
                raise CodesUnavailableError from None
            found |= {each.identification_id: each.code for each in answer.codes}
        return found
