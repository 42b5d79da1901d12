"""Ctrl-C for a simulated charger while its start is under way: others see it by then."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.simulator import Version

from .announced import announced
from .running_system import CHARGEKEY
from .test_simulator_behaviour import CARD, PIN, VERSIONS, kinds, listening


@pytest.mark.parametrize("by", ["tap", "remote start"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_ctrl_c_before_a_start_is_answered_ends_in_order_what_was_started(
    tmp_path: Path, version: Version, by: str
) -> None:
    code = ("--code", CARD) if by == "tap" else ()
    command = [
        *(*CHARGEKEY, "simulate", "--ocpp-identity", "CP-1", "--password", "secret"),
        *(*code, "--ocpp", version, "--json", "--data", str(tmp_path)),
    ]
    async with listening(version) as office:
        with announced(DataDirectory(tmp_path), "127.0.0.1:1", ocpp=office.url):
            office.may_answer.clear()
            simulated = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE
            )
            try:
                if by == "remote start":
                    back_end = await office.connections.get()
                    await office.prepared.wait()
                    assert await back_end.remote_start(PIN) == "Accepted"
                await office.until(lambda told: kinds(told) == ["Started"])
                simulated.send_signal(signal.SIGINT)
                office.may_answer.set()
                async with asyncio.timeout(30):
                    out, _ = await simulated.communicate()
            finally:
                if simulated.returncode is None:
                    simulated.kill()
                    await simulated.wait()
    assert simulated.returncode == 0
    seen = json.loads(out)
    assert (seen["status"], seen["stopped"]) == ("Accepted", "Local")
    assert seen["transaction_id"] == office.transactions[-1]["tx"]
    assert kinds(office.transactions)[-1] == "Ended"
