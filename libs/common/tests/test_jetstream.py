"""A connection to NATS: what its ends leave in the log."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import BadSubjectError, ConnectionClosedError, NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from structlog.testing import capture_logs

from chargekey_common import jetstream
from chargekey_common.jetstream import Headers, Taken
from chargekey_common.nats_server import NatsServer
from chargekey_common.testing.waiting import until


def _warnings(logs: list[structlog.typing.EventDict]) -> list[str]:
    return [line["event"] for line in logs if line["log_level"] == "warning"]


async def test_closing_a_connection_is_no_reason_to_warn(nats_server: NatsServer) -> None:
    with capture_logs() as logs:
        client = await jetstream.connect(nats_server.bus, "test")
        await jetstream.close(client)
    assert client.is_closed
    assert _warnings(logs) == []


async def test_losing_a_connection_is_one_and_closing_it_then_is_no_second(
    nats_server: NatsServer,
) -> None:
    with capture_logs() as logs:
        client = await jetstream.connect(nats_server.bus, "test")
        await asyncio.to_thread(nats_server.stop)
        async with asyncio.timeout(20):
            while not _warnings(logs):
                await asyncio.sleep(0.01)
        await jetstream.close(client)
    assert _warnings(logs) == ["nats_disconnected"]


async def test_a_connection_that_is_given_up_while_it_is_made_leaves_no_socket() -> None:
    accepted, ended = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()
        ended.set()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server, asyncio.timeout(20):
        port = server.sockets[0].getsockname()[1]
        bus = jetstream.Bus(f"nats://127.0.0.1:{port}")
        connecting = asyncio.create_task(jetstream.connect(bus, "test"))
        await accepted.wait()
        connecting.cancel()
        await asyncio.wait({connecting})
        assert connecting.cancelled()
        await ended.wait()


NAMES = st.sampled_from(("ce-id", "ce-type", "Nats-Sequence", "Chargekey-Position"))

VALUES = st.text(alphabet="a:/-1 \u00e9", max_size=12).map(str.strip)


@settings(max_examples=500)
@given(
    pairs=st.lists(st.tuples(NAMES, st.text(alphabet="a:/-1 \u00e9", max_size=12).map(str.strip)))
)
def test_headers_are_read_as_the_library_reads_them(pairs: list[tuple[str, str]]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in pairs).encode()
    read = Headers(b"NATS/1.0\r\n" + lines + b"\r\n")
    assert read == dict(pairs) == Client._parse_header_lines(lines)  # noqa: SLF001 - its reading
    assert "none" not in read
    assert read.get("none", "nothing") == "nothing"
    assert len(read) == len(dict(pairs))


def test_a_message_without_headers_has_none() -> None:
    assert not Headers(b"")
    assert Headers(b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 5\r\n\r\n") == {
        "Nats-Pending-Messages": "5"
    }


async def test_messages_are_handed_over_as_they_come_until_the_subscription_ends(
    nats_server: NatsServer,
) -> None:
    client = await jetstream.connect(nats_server.bus, "test")
    try:
        taken: list[Taken] = []
        subscription = await client.take("mine.*", taken.append)
        await client.publish("mine.first", b"1", headers={"ce-id": "one"})
        await client.publish("mine.second", b"2", reply="there")
        await client.flush()
        await until(lambda: len(taken) == 2)
        assert [(each.subject, each.data, each.reply) for each in taken] == [
            (b"mine.first", b"1", b""),
            (b"mine.second", b"2", b"there"),
        ]
        assert dict(Headers(taken[0].headers)) == {"ce-id": "one"}
        # Whoever subscribes as usual is told as usual, at the same time.
        usual = await client.subscribe("mine.*")
        await subscription.unsubscribe()
        await client.publish("mine.third", b"3")
        assert (await usual.next_msg(20)).data == b"3"
        assert len(taken) == 2
    finally:
        await jetstream.close(client)


async def test_what_was_flushed_is_there_for_everybody(nats_server: NatsServer) -> None:
    """A question that comes right after is heard; of a thousand, some came before."""
    async with contextlib.AsyncExitStack() as stack:
        asking, hearing = [await jetstream.connect(nats_server.bus, "test") for _ in range(2)]
        for client in (asking, hearing):
            stack.push_async_callback(jetstream.close, client)
        for number in range(1000):
            await hearing.subscribe(f"question.{number}", cb=_answer)
            await hearing.flush()
            assert (await asking.request(f"question.{number}", timeout=5)).data == b"heard"


async def _answer(message: Msg) -> None:
    await message.respond(b"heard")


async def test_what_is_taken_is_taken_again_after_the_server_was_gone(
    nats_server: NatsServer,
) -> None:
    client = await jetstream.connect(nats_server.bus, "test")
    try:
        taken: list[Taken] = []
        kept, given_up, ended = [
            await client.take(subject, taken.append) for subject in ("kept", "given_up", "ended")
        ]
        await ended.unsubscribe()
        await asyncio.to_thread(nats_server.stop)
        await until(lambda: not client.is_connected)
        await given_up.unsubscribe()
        await client.take("new", taken.append)
        await asyncio.to_thread(nats_server.start)
        await until(lambda: client.is_connected)
        for subject in ("kept", "given_up", "ended", "new"):
            await client.publish(subject, subject.encode())
        await client.flush()
        assert [each.data for each in taken] == [b"kept", b"new"]
        await kept.unsubscribe()
        await kept.unsubscribe()
        await client.publish("kept")
        await client.flush()
        assert len(taken) == 2
    finally:
        await jetstream.close(client)
    with pytest.raises(ConnectionClosedError):
        await client.take("kept", taken.append)
    with pytest.raises(ConnectionClosedError):
        await kept.unsubscribe()


@pytest.mark.parametrize("subject", ["", " ", "a b", "a\r\nPUB b 0"])
async def test_what_would_be_more_than_a_subject_is_not_taken(
    nats_server: NatsServer, subject: str
) -> None:
    client = await jetstream.connect(nats_server.bus, "test")
    try:
        with pytest.raises(BadSubjectError):
            await client.take(subject, print)
    finally:
        await jetstream.close(client)


async def test_a_subject_that_is_taken_has_no_task(nats_server: NatsServer) -> None:
    """Whoever has one for everybody has few KiB for each."""
    client = await jetstream.connect(nats_server.bus, "test")
    try:
        before = asyncio.all_tasks()
        for number in range(100):
            await client.take(f"of.{number}", print)
        await client.flush()
        assert asyncio.all_tasks() == before
    finally:
        await jetstream.close(client)


async def test_a_question_is_answered_by_nobody_too_late_or_in_time(
    nats_server: NatsServer,
) -> None:
    client = await jetstream.connect(nats_server.bus, "test")
    try:
        with pytest.raises(NoRespondersError):
            await client.ask("question", b"", 20)

        asked: list[Taken] = []
        await client.take("question", asked.append)
        with pytest.raises(NatsTimeoutError):
            await client.ask("question", b"first", 0.05)
        asking = [asyncio.create_task(client.ask("question", each, 20)) for each in (b"2", b"3")]
        await until(lambda: len(asked) == 3)
        for each in reversed(asked):  # the first of them is not waited for any more
            await client.publish(each.reply.decode(), b"to " + each.data, headers={"ce-id": "1"})
            await client.publish(each.reply.decode(), b"said twice")
        assert await asyncio.gather(*asking) == [b"to 2", b"to 3"]
    finally:
        await jetstream.close(client)


async def test_a_message_that_cannot_be_handled_ends_nobodys_reading(
    nats_server: NatsServer,
) -> None:
    client = await jetstream.connect(nats_server.bus, "test")
    taken: list[bytes] = []

    def take(message: Taken) -> None:
        taken.append(message.data)
        if message.data == b"bad":
            raise ValueError

    try:
        await client.take("mine", take)
        with capture_logs() as logs:
            for data in (b"bad", b"good"):
                await client.publish("mine", data)
            await until(lambda: taken == [b"bad", b"good"])
        assert [line["event"] for line in logs] == ["nats_message_failed"]
        assert client.stats["reconnects"] == 0
    finally:
        await jetstream.close(client)
