"""Requests to addresses that others have chosen; the gateway's tests have its guard."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest

from chargekey_common.host_names import AT_ONCE, Names
from chargekey_common.outgoing import Outgoing, Request
from chargekey_common.testing.waiting import until


async def test_one_partners_slow_names_are_no_trouble_of_anothers() -> None:
    """F33: `asker` is whose a name is, also where many are being sent at once."""
    go_on, asked = threading.Event(), set[str]()

    def look_up(host: str, _port: None, **_: Any) -> Sequence[Any]:
        asked.add(host)
        if host.startswith("slow"):
            go_on.wait(30)
        raise socket.gaierror

    async with Outgoing(deadline=30, anywhere=True, names=Names(look_up)) as outgoing:

        async def send(host: str, asker: str) -> None:
            with pytest.raises(httpx2.ConnectError):
                await outgoing.send(Request(f"http://{host}/", {}), asker=asker)

        slow = [asyncio.create_task(send(f"slow{number}", "volt")) for number in range(2 * AT_ONCE)]
        await until(lambda: bool(asked))
        async with asyncio.timeout(30):
            await send("watt", "watt")
        assert "watt" in asked
        assert not any(each.done() for each in slow)
        go_on.set()
        await asyncio.gather(*slow)
