"""A gateway that knows who has booted: whatever else it knows of him by then."""

from __future__ import annotations

import asyncio

from nats.aio.client import Client

from chargekey_common.process import cancel

from .reconcile.conftest import StandardCharger
from .replicas import Replica


async def test_a_charger_is_missing_its_boot_from_its_first_connection_to_its_boot() -> None:
    """O11: and not again, at its next connection."""
    gateway = (replica := Replica(Client())).gateway
    charger = replica.charger()
    first = StandardCharger(charger)
    assert not gateway.boots.missing(charger)
    gateway.connected(first)
    assert gateway.boots.missing(charger)
    gateway.disconnected(first)
    again = StandardCharger(charger)
    gateway.connected(again)
    assert gateway.boots.missing(charger)
    gateway.reports.booted(charger, vendor="V", model="M", firmware_version=None)
    assert not gateway.boots.missing(charger)
    gateway.disconnected(again)
    gateway.connected(again)
    assert not gateway.boots.missing(charger)
    running = asyncio.create_task(gateway.run())
    await asyncio.sleep(0)
    await cancel(running)
