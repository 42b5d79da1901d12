"""What a gateway keeps of its view while it serves: by a child, beside gRPC and its threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from chargekey.access.v1 import installations_pb2
from chargekey.gateway.v1 import gateway_pb2
from chargekey_common.testing.waiting import until
from chargekey_stack import supervisor
from chargekey_stack.client import connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.programs import Program, programs
from chargekey_stack.supervisor import running

WRITES = 8
OFTEN = {"CHARGEKEY_GATEWAY_SNAPSHOT_INTERVAL": "0.02"}
FAILED = "view_snapshot_failed"


def often(*arguments: Any, **named: Any) -> tuple[Program, ...]:
    """Return the table of processes, with a gateway that need not be waited for."""
    return tuple(
        msgspec.structs.replace(each, environment={**each.environment, **OFTEN})
        if each.name == "gateway"
        else each
        for each in programs(*arguments, **named)
    )


async def test_a_gateway_that_calls_and_is_called_writes_its_view_whenever_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "programs", often)
    data = DataDirectory(tmp_path / "data")
    view, log = data.path / "gateway" / "view", data.log("gateway")

    def is_another_than(before: int | None) -> bool:
        return FAILED in log.read_text() or (view.exists() and view.stat().st_mtime_ns != before)

    async with running(data, tell=print), connected(data) as client:
        before = None
        for number in range(WRITES):
            await client.installations.CreateInstallation(
                installations_pb2.CreateInstallationRequest(
                    name=f"Site {number}", time_zone="Europe/Oslo"
                )
            )
            await client.gateway.ListRunningSessions(gateway_pb2.ListRunningSessionsRequest())
            await until(lambda: is_another_than(before))  # noqa: B023 - waited for here
            assert FAILED not in log.read_text()
            before = view.stat().st_mtime_ns
