"""No method of identity does anything before it has asked who may."""

from __future__ import annotations

from pathlib import Path

from chargekey_common.testing.asking import assert_every_method_asks

from .conftest import Identity, serving


async def test_every_method_asks_and_stores_nothing_for_who_may_not(
    identity: Identity, tmp_path: Path
) -> None:
    """S0-3, S3-6."""
    end = identity.store.position()
    # The small access lets in only whom a test has given something to.
    async with serving(identity, tmp_path) as (as_caller, access):
        await assert_every_method_asks(as_caller, access.asked)
    assert identity.store.position() == end
