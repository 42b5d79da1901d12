"""No method of access does anything before it has asked who may."""

from __future__ import annotations

from pathlib import Path

from chargekey.access.v1 import chargers_pb2
from chargekey.audit.v1 import audit_pb2
from chargekey_access.published import publication
from chargekey_common.audit import service as audit
from chargekey_common.audit.changes import Changes
from chargekey_common.jetstream import Bus
from chargekey_common.testing.asking import NobodyMay, assert_every_method_asks
from chargekey_common.testing.grpc import served

from .conftest import Access, services


async def test_every_method_asks_and_stores_nothing_for_who_may_not(
    access: Access, tmp_path: Path
) -> None:
    """S3-6, S3-31, S3-43."""
    end = access.store.position()
    rules = NobodyMay()
    nowhere = Bus("nats://127.0.0.1:1")
    changes = Changes(access.store, publication)
    async with (
        services(access, tmp_path) as built,
        served(
            audit.service(access.store, publication, nowhere, changes), tmp_path, rules, *built
        ) as as_caller,
    ):
        await assert_every_method_asks(
            as_caller,
            rules.asked,
            chargers_pb2.GetChargerRequest(charger_id="none"),  # by one of its names
            audit_pb2.ListChangesRequest(object="installation:none"),
        )
    assert access.store.position() == end
