"""Whoever taps while a stream pours in, and while the view is written to its file."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import uvloop

from benchmarks import streams
from benchmarks.apart import apart
from benchmarks.bus import nats_server
from benchmarks.figures import ROUNDS, Figure, alone, at_most, compared
from benchmarks.population import KEYED_IDS, Population
from benchmarks.views import filled
from chargekey_common import jetstream
from chargekey_common.follower import Follower
from chargekey_common.jetstream import Bus
from chargekey_common.published import access
from chargekey_gateway.decision import accept_at_once
from chargekey_gateway.lookup import Lookup
from chargekey_gateway.main import settle
from chargekey_gateway.snapshots import Place, Snapshots
from chargekey_gateway.view.view import View

AT = 1_700_000_000_000_000_000
_NEWS = access.PartnerCreated(partner_id="figures", name="Figures", kind="SERVICE_PARTNER")
KNOWN = Population.of(1_000_000)
# Cards of other people, of whom the stream tells.
POURED = 300_000
EVERY = 0.001  # seconds between two taps


def figures() -> Iterator[Figure]:
    """Measure how late the latest tap is answered of one every millisecond."""
    with nats_server(sync="2m") as server, tempfile.TemporaryDirectory() as directory:
        asyncio.run(streams.declare(server))
        told = streams.told(Population.of(POURED), "identity")
        streams.publish(server, "identity", islice(told, POURED))
        measured = apart(_measured, server.port, server.token, Path(directory) / "view")
    idle, poured, rates, written = measured
    yield compared(
        "worst tap while a stream pours in, 1,000,000 identifications",
        list(zip(poured, idle, strict=True)),
        unit="ms",
        against="nothing else to do",
    )
    yield alone("messages read a second meanwhile", rates, unit="1/s")
    yield alone(
        "worst tap while the view is written to its file",
        written,
        unit="ms",
        against="a forked child writes",
        goal=at_most(100),
    )


Measured = tuple[list[float], list[float], list[float], list[float]]


def _measured(port: int, token: str, file: Path) -> Measured:
    view = filled(KNOWN)
    settle()
    return uvloop.run(_rounds(view, Bus(f"nats://127.0.0.1:{port}", lambda: token), file))


async def _rounds(view: View, bus: Bus, file: Path) -> Measured:
    idle, poured, rates, written = [], [], [], []
    client = await jetstream.connect(bus, "figures")
    for number in range(ROUNDS):
        idle.append(await _worst(view, partial(asyncio.sleep, 2)))
        other = View()
        loop = asyncio.get_running_loop()
        began = loop.time()
        poured.append(await _worst(view, partial(_poured, client, other)))
        rates.append(POURED * 3 / 2 / (loop.time() - began))
        view.handle(streams.message("access", number + 1, _NEWS))
        snapshots = Snapshots(file, view, lambda: {"IDENTITY": Place(0, None)}, interval=1)
        written.append(await _worst(view, snapshots.write))
    await client.close()
    return idle, poured, rates, written


async def _worst(view: View, work: Callable[[], Awaitable[object]]) -> float:
    """Return how many milliseconds late the latest tap was answered while this is done."""
    look_up = Lookup(view, KEYED_IDS)
    charger = view.charger(KNOWN.charger_id(KNOWN.charger_of(7)))
    if charger is None:
        raise LookupError
    loop = asyncio.get_running_loop()
    doing = asyncio.ensure_future(work())
    worst = 0.0
    due = loop.time()
    while not doing.done():
        due = max(due + EVERY, loop.time())
        await asyncio.sleep(due - loop.time())
        known = look_up(charger, KNOWN.card(7)).identification
        if known is None or accept_at_once(charger, known, AT) is None:
            raise LookupError
        worst = max(worst, loop.time() - due)
    await doing
    return worst * 1000


async def _poured(client: jetstream.StreamClient, view: View) -> None:
    follower = Follower(client, "IDENTITY", view.follow)
    reading = asyncio.create_task(follower.run())
    await follower.caught_up.wait()
    reading.cancel()
    await asyncio.wait({reading})
