"""No method of history tells anything before it has asked who may."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from chargekey_common.testing.asking import NobodyMay, assert_every_method_asks
from chargekey_common.testing.grpc import served
from chargekey_history.api import decisions, reports
from chargekey_history.api.service import service
from chargekey_history.projections.past import Past


async def test_every_method_asks_and_tells_nothing_to_who_may_not(
    past: Past, tmp_path: Path
) -> None:
    rules = NobodyMay()
    nobody_is_asked = cast("Any", None)
    async with served(
        service(past, nobody_is_asked),
        tmp_path,
        rules,
        decisions.service(past, nobody_is_asked),
        reports.service(past, nobody_is_asked),
    ) as as_caller:
        await assert_every_method_asks(as_caller, rules.asked)
