"""How much time a scan has yet, as its page says it."""

from __future__ import annotations

import pytest

from chargekey.identity.v1 import scans_pb2 as pb
from chargekey_portal.scanning import seconds_left

NOW = 1_800_000_000 * 10**9


@pytest.mark.parametrize(
    ("nanoseconds", "seconds"),
    [(60 * 10**9, 60), (59 * 10**9 + 1, 60), (1, 1), (0, 0), (-(10**9), 0)],
)
@pytest.mark.parametrize("state", [pb.SCAN_STATE_WAITING, pb.SCAN_STATE_PRESENT_AGAIN])
def test_a_second_that_has_begun_counts_whole_and_none_is_less_than_none(
    state: pb.ScanState.ValueType, nanoseconds: int, seconds: int
) -> None:
    scan = pb.GetScanResponse(state=state, expires_at=NOW + nanoseconds)
    assert seconds_left(scan, lambda: NOW) == seconds


@pytest.mark.parametrize(
    "state",
    [
        pb.SCAN_STATE_ADDED,
        pb.SCAN_STATE_EXPIRED,
        pb.SCAN_STATE_CANCELLED,
        pb.SCAN_STATE_REFUSED,
    ],
)
def test_what_has_ended_waits_no_longer(state: pb.ScanState.ValueType) -> None:
    scan = pb.GetScanResponse(state=state, expires_at=NOW + 10**9)
    assert seconds_left(scan, lambda: NOW) == 0
