"""Telling identity which codes nobody here knows were presented, for scans and "whose is it?".

A bounded queue and one task between the taps and identity, so that neither a slow nor an
absent identity is felt at a charger. Codes are in memory only, and in no log.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import msgspec
import structlog
from grpc import aio
from prometheus_client import Counter

from chargekey.identity.v1 import scans_pb2 as pb
from chargekey.identity.v1 import scans_pb2_grpc
from chargekey_common.grpc.client import AWAY

CAPACITY = 1_000
DEADLINE = 2.0  # seconds for one call
PAUSE = 1.0  # seconds before a call is repeated
ATTEMPTS = 30

_DROPPED = Counter(
    "unknown_codes_dropped_total", "Unknown codes that identity was not told of.", ["why"]
)
_OVERTAKEN, _FULL, _AWAY, _REFUSED = map(_DROPPED.labels, ("overtaken", "full", "away", "refused"))

log = structlog.get_logger()


class UnknownCode(msgspec.Struct, frozen=True):
    """A code that is nobody's; `at` in nanoseconds since the epoch."""

    charger_id: str
    installation_id: str
    code: str
    at: int

    def __repr__(self) -> str:
        """Say where and when, never what."""
        return f"UnknownCode({self.charger_id}, {self.at})"


class UnknownCodes:
    """Tells identity, each code a number of times at most; `run` must be running.

    Of each charger only the newest waits, so that whoever tries out numbers at one does
    not keep a scan at another from its card.
    """

    def __init__(
        self, identity: aio.Channel, *, capacity: int = CAPACITY, pause: float = PAUSE
    ) -> None:
        """Call over `identity`, again after `pause` seconds; hold at most `capacity` codes."""
        self._scans = scans_pb2_grpc.ScanServiceStub(identity)
        self._capacity = capacity
        self._pause = pause
        self._waiting: OrderedDict[str, UnknownCode] = OrderedDict()  # by charger
        self._arrived = asyncio.Event()

    def report(self, unknown: UnknownCode) -> None:
        """Have identity told when possible; returns at once, never raises."""
        if unknown.charger_id in self._waiting:
            _OVERTAKEN.inc()
        elif len(self._waiting) >= self._capacity:
            _FULL.inc()
            return
        self._waiting[unknown.charger_id] = unknown
        self._arrived.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            while self._waiting:
                _, unknown = self._waiting.popitem(last=False)
                await self._tell(unknown)
            self._arrived.clear()
            await self._arrived.wait()

    async def _tell(self, unknown: UnknownCode) -> None:
        request = pb.ReportUnknownCodeRequest(**msgspec.structs.asdict(unknown))
        for _ in range(ATTEMPTS):
            try:
                await self._scans.ReportUnknownCode(request, timeout=DEADLINE)
            except aio.AioRpcError as error:
                if error.code() not in AWAY:
                    _REFUSED.inc()
                    # Its code alone: what it says may be about the code that was presented.
                    log.warning("unknown_code_refused", status=error.code().name)
                    return
            else:
                return
            await asyncio.sleep(self._pause)
        _AWAY.inc()
        log.warning("unknown_code_not_told", charger=unknown.charger_id)
