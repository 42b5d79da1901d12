"""Whoever asks too often is told when to ask again."""

from __future__ import annotations

import pytest

from chargekey_notifier.errors import TooManyRequestsError
from chargekey_notifier.rates import Rates


def test_one_too_many_is_refused_with_when_to_try_again() -> None:
    counted = Rates(most=1, within=60, clock=lambda: 1000.0)
    counted.spend("volt")
    counted.spend("watt")
    with pytest.raises(TooManyRequestsError, match="in 60 seconds\\.") as refused:
        counted.spend("volt")
    assert refused.value.seconds == 60
