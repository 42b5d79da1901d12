"""A scan at a charger, as its pages follow it: how far it is, and how much time it has yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from fastapi import Request, Response

from chargekey.identity.v1 import scans_pb2 as pb
from chargekey_portal.live import live
from chargekey_portal.rendering import rendered
from chargekey_portal.visitors import Visitor

_SECOND = 10**9
_OPEN = (pb.SCAN_STATE_WAITING, pb.SCAN_STATE_PRESENT_AGAIN)


async def scan_of(visitor: Visitor, scan_id: str) -> pb.GetScanResponse:
    """Return how far it is."""
    found: pb.GetScanResponse = await visitor.services.scans.GetScan(
        pb.GetScanRequest(scan_id=scan_id)
    )
    return found


def seconds_left(scan: pb.GetScanResponse, clock: Callable[[], int] = time.time_ns) -> int:
    """Return the seconds until it ends, one that has begun counting whole; 0 where it has ended.

    `clock` tells nanoseconds since the epoch.
    """
    if scan.state not in _OPEN:
        return 0
    return max(0, -(-(scan.expires_at - clock()) // _SECOND))


def live_scan(
    request: Request, visitor: Visitor, scan_id: str, template: str, **words: object
) -> Response:
    """Send how far it is, as `templates/<template>.html` says it, and the seconds as they pass."""

    async def look() -> Mapping[str, str]:
        scan = await scan_of(visitor, scan_id)
        left = seconds_left(scan)
        return {
            "scan": rendered(request, template, scan=scan, scan_id=scan_id, **words),
            "time-left": rendered(request, "time_left", seconds=left),
        }

    return live(request, look)
