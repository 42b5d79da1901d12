"""What a data directory tells of a system that is elsewhere, or not there at all."""

from __future__ import annotations

from contextlib import AbstractContextManager

import msgspec

from chargekey_common.accounts import ADMINISTRATOR
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.system import System

SERVICES = ("access", "identity", "gateway", "history", "notifier")


def announced(
    data: DataDirectory, address: str, *, ocpp: str | None = None
) -> AbstractContextManager[None]:
    """Let the directory say, for the length of the block, that its system is at `address`."""
    data.account(ADMINISTRATOR)
    for each in (data.secrets, data.system_file.parent):
        each.mkdir(exist_ok=True)
    system = System(
        ocpp=ocpp or f"ws://{address}/ocpp",
        portal=f"http://{address}",
        administrator="somebody@chargekey.example",
        partners=f"http://{address}",
        nats=f"nats://{address}",
        grpc=dict.fromkeys(SERVICES, address),
        data=str(data.path),
    )
    return data.announced(msgspec.json.encode(system))
