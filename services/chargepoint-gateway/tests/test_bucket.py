"""A KV bucket in a real nats-server, written by several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
from nats.aio.client import Client

from chargekey_common import jetstream
from chargekey_common.nats_server import NatsServer
from chargekey_common.process import cancel
from chargekey_gateway.bucket import Bucket, declare_bucket

NAME = "WORDS"
SUBJECT = f"$KV.{NAME}.key"


class Word(msgspec.Struct, frozen=True):
    """What is kept."""

    text: str


def meanwhile(server: NatsServer, data: bytes) -> None:
    """Put something there from another connection, while this event loop stands still."""

    async def put() -> None:
        client = await jetstream.connect(server.bus, "other")
        await client.jetstream().publish(SUBJECT, data)
        await client.close()

    with ThreadPoolExecutor() as threads:
        threads.submit(asyncio.run, put()).result()


async def written(
    client: Client, settle: Callable[[str, Word | None], Word | None]
) -> tuple[bytes, list[Word]]:
    """Have the key written; return what is there then, and what was told to be."""
    await declare_bucket(client.jetstream(), NAME, replicas=1)
    stored: list[Word] = []
    bucket = Bucket(
        client, NAME, Word, keys="key", settle=settle, stored=lambda _, word: stored.append(word)
    )
    bucket.write_soon("key")
    task = asyncio.create_task(bucket.run())
    async with asyncio.timeout(30):
        await bucket.idle()
    await cancel(task)
    assert not bucket.is_unwritten("key")
    return (await client.jetstream().get_last_msg(f"KV_{NAME}", SUBJECT)).data or b"", stored


async def test_what_another_puts_there_meanwhile_is_read_first(
    nats_client: Client, nats_server: NatsServer
) -> None:
    seen: list[Word | None] = []

    def settle(_: str, there: Word | None) -> Word:
        seen.append(there)
        if len(seen) == 1:
            meanwhile(nats_server, b'{"text":"theirs"}')
        return Word("ours")

    assert await written(nats_client, settle) == (b'{"text":"ours"}', [Word("ours")])
    assert seen == [None, Word("theirs")]


async def test_what_cannot_be_read_is_nothing_and_is_overwritten(
    nats_client: Client, nats_server: NatsServer
) -> None:
    await declare_bucket(nats_client.jetstream(), NAME, replicas=1)
    meanwhile(nats_server, b"nonsense")
    seen: list[Word | None] = []

    def settle(_: str, there: Word | None) -> Word:
        seen.append(there)
        return Word("ours")

    assert await written(nats_client, settle) == (b'{"text":"ours"}', [Word("ours")])
    assert seen == [None]
