"""PINs are given, used, refused, changed and revealed, and then looked for everywhere (R17)."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from chargekey.identity.v1 import identifications_pb2 as pb
from chargekey_stack.client import connected
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.simulator import simulated_charger
from chargekey_stack.supervisor import running

from .garage import CHARGER, authorize, create_garage, eventually, refusals, sessions
from .records import contents

# Long enough not to turn up by chance in a position, a time or a random id.
FIRST, SECOND, UNKNOWN = "#83520417", "#61974508", "#27406193"


def disguises(pin: str) -> Iterator[bytes]:
    """Yield what a PIN looks like as text, in hex, and in base64 wherever it begins."""
    digits = pin.removeprefix("#").encode()
    yield digits
    yield digits.hex().encode()
    yield digits.hex().upper().encode()
    for before in range(3):
        encoded = base64.b64encode(b"#" * before + digits)
        # The first and last characters also depend on the neighbours.
        yield encoded[(before * 8 + 5) // 6 : (before + len(digits)) * 8 // 6]


def metrics() -> dict[str, bytes]:
    """Return what every service tells Prometheus, by the address it does it at."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            environment = (process / "environ").read_bytes() if parent == os.getpid() else b""
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended while we looked
        for address in re.findall(rb"_HEALTH_ADDRESS=([0-9.:]+)", environment):
            url = f"http://{address.decode()}/metrics"
            with urllib.request.urlopen(url, timeout=5) as answer:
                found[url] = answer.read()
    return found


async def test_a_pin_is_in_no_file_no_log_no_stream_and_no_metric(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "data")
    async with running(data, tell=print) as system, connected(data) as client:
        garage = await create_garage(client, FIRST)
        await authorize(client, FIRST, *garage.positions)
        async with simulated_charger(system.ocpp, CHARGER, garage.password) as charger:
            await charger.boot()
            assert await charger.authorize(FIRST) == "Accepted"
            await charger.start(FIRST)
            await charger.stop()
            assert await charger.authorize(UNKNOWN) == "Invalid"
            changed = await client.identifications.ChangeIdentification(
                pb.ChangeIdentificationRequest(
                    identification_id=garage.identification_id, code=SECOND
                )
            )
            await authorize(client, SECOND, changed.position)
            assert await charger.authorize(SECOND) == "Accepted"
            assert await charger.authorize(FIRST) == "Invalid"
        revealed = await client.identifications.RevealCode(
            pb.RevealCodeRequest(identification_id=garage.identification_id)
        )
        assert revealed.code == SECOND
        await eventually(lambda: sessions(client), bool)
        await eventually(lambda: refusals(client), lambda found: len(found) > 1)
        # Write-ahead logs are gone when all has ended.
        running_still = await asyncio.to_thread(contents, data.path)
        told = await asyncio.to_thread(metrics)
        assert len(told) == len(("access", "identity", "gateway", "history", "notifier", "portal"))
    everything = {f"running {name}": held for name, held in running_still.items()}
    everything |= told | await asyncio.to_thread(contents, data.path)
    for kind in (".db", ".db-wal", ".blk", ".log", "/metrics"):
        assert any(name.endswith(kind) for name in everything)
    for pin in (FIRST, SECOND, UNKNOWN):
        for disguise in disguises(pin):
            assert [name for name, content in everything.items() if disguise in content] == []


def test_a_pin_would_be_found_in_each_disguise() -> None:
    for content in (b"code=#83520417", b"#83520417".hex().encode()):
        assert any(disguise in content for disguise in disguises(FIRST))
    for before in range(6):
        encoded = base64.b64encode(b"x" * before + FIRST.encode() + b"yz")
        assert any(disguise in encoded for disguise in disguises(FIRST))
