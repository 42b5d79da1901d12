"""A partner's feed by NATS on a running system."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import nats

from chargekey_common import jetstream

from .running_system import RunningSystem


async def pulled(with_it: dict[str, Any], secret: str, number: int) -> list[Any]:
    """Return the next events, acknowledged, as an operator's program would get them."""
    client = await nats.connect(
        with_it["url"],
        user=with_it["user"],
        password=secret,
        inbox_prefix=with_it["inbox_prefix"].encode(),
        allow_reconnect=False,
        # Who may come in, the server asks two services.
        connect_timeout=30,
    )
    js = client.jetstream()
    feed = await js.pull_subscribe_bind(with_it["consumer"], stream=with_it["stream"])
    found = []
    while len(found) < number:
        for message in await feed.fetch(number - len(found), timeout=30):
            await message.ack_sync()
            found.append(json.loads(message.data))
    await client.close()
    return found


async def no_consumer_is_left(system: RunningSystem, stream: str) -> None:
    token = (system.data / "secrets" / "nats_token").read_text()
    url = system.ready["nats"]
    bus = jetstream.Bus(url, lambda: token)
    client = await jetstream.connect(bus, "test", user=jetstream.FEEDS)
    async with asyncio.timeout(30):
        while await client.jetstream().consumers_info(stream):
            await asyncio.sleep(0.01)
    await client.close()


def test_a_credential_pulls_its_partners_feed_until_it_is_revoked(system: RunningSystem) -> None:
    """F10, F14: with what the command line says, and the events it shows."""
    run = system.chargekey
    named = ("--name", "Nats AS", "--kind", "payment-operator", "--contact", "a@nats.example")
    partner = run("partner", "create", *named)
    site = run("installation", "create", "--name", "Nats", "--time-zone", "Europe/Oslo")["id"]
    there = ("--installation", site, "--roles", "service")
    run("permission", "grant", *there, "--partner", partner["lookup_key"])
    made = run("partner", "credentials", "issue", partner["id"], "--label", "nats")
    with_it = run("partner", "credentials", "nats", partner["id"], made["id"])
    found = asyncio.run(pulled(with_it, made["secret"], 1))
    found += asyncio.run(pulled(with_it, made["secret"], 1))
    assert found[0]["type"] == "chargekey.feed.v1.AccessStarted"
    assert run("feed", "events", partner["id"])["events"][:2] == found
    run("partner", "credentials", "revoke", made["id"])
    asyncio.run(no_consumer_is_left(system, with_it["stream"]))
