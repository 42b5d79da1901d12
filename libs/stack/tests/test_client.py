"""What the client of the command line does beyond its calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from chargekey.identity.v1 import users_pb2 as pb
from chargekey.identity.v1 import users_pb2_grpc
from chargekey_stack import client as module
from chargekey_stack.client import Client, connected
from chargekey_stack.data_directory import DataDirectory

from .announced import announced


class SlowPermissions(users_pb2_grpc.UserServiceServicer):
    """Adds somebody at once, whose permission is there when he is asked for the fourth time."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def AddLocalUser(
        self, request: pb.AddLocalUserRequest, context: aio.ServicerContext[Any, Any]
    ) -> pb.AddLocalUserResponse:
        self.asked.append(request.command_id)
        if len(self.asked) == 2:  # what it asks itself is away for a moment
            await context.abort(grpc.StatusCode.UNAVAILABLE)
        pending = len(self.asked) < 4
        return pb.AddLocalUserResponse(
            user_id="ada", access_position="" if pending else "access:1:1", pending=pending
        )


@asynccontextmanager
async def asking(identity: SlowPermissions, data: Path) -> AsyncIterator[Client]:
    server = aio.server()
    users_pb2_grpc.add_UserServiceServicer_to_server(identity, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        with announced(DataDirectory(data), address):
            async with connected(DataDirectory(data)) as client:
                yield client
    finally:
        await server.stop(None)


async def test_who_is_added_may_charge_when_it_is_told(tmp_path: Path) -> None:
    """S0-10: by one and the same command, however often it has to be asked."""
    identity = SlowPermissions()
    async with asking(identity, tmp_path) as client:
        added = await client.add_local_user(pb.AddLocalUserRequest(first_name="Ada"))
    assert (added.user_id, added.access_position, added.pending) == ("ada", "access:1:1", False)
    assert len(identity.asked) == 4
    assert len(set(identity.asked)) == 1
    assert identity.asked[0]


async def test_who_is_added_and_may_not_charge_for_long_is_told_to_be_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PERMISSION_FOLLOWS", 0)
    identity = SlowPermissions()
    async with asking(identity, tmp_path) as client:
        added = await client.add_local_user(pb.AddLocalUserRequest(command_id="mine"))
    assert (added.user_id, added.pending, identity.asked) == ("ada", True, ["mine"])
