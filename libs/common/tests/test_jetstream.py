"""A connection to NATS: what its ends leave in the log."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import signal
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import (
    BadSubjectError,
    ConnectionClosedError,
    NoRespondersError,
    ProtocolError,
    StaleConnectionError,
)
from nats.errors import TimeoutError as NatsTimeoutError
from structlog.testing import capture_logs

from chargekey_common import jetstream
from chargekey_common.jetstream import Headers, StreamClient, Taken, Taking
from chargekey_common.nats_server import NatsServer
from chargekey_common.testing.waiting import until

from .connections import connections, silence


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
    async with silence() as silent, asyncio.timeout(20):
        connecting = asyncio.create_task(jetstream.connect(silent.bus, "test"))
        await silent.accepted.wait()
        connecting.cancel()
        await asyncio.wait({connecting})
        assert connecting.cancelled()
        await silent.ended.wait()


@pytest.mark.parametrize("lost", [False, True])
async def test_a_connection_that_has_no_time_to_close_leaves_no_socket(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    """Also where it waits already for the end of what it has lost, to connect anew."""
    monkeypatch.setattr(jetstream, "GIVEN_UP", 0.1)
    client = await jetstream.connect(nats_server.bus, "test")
    assert connections(nats_server) == 1
    assert nats_server.process is not None
    # It takes nothing more, so that what waits cannot be written.
    nats_server.process.send_signal(signal.SIGSTOP)
    try:
        for _ in range(20):
            client._transport.write(b"\r\n" * 500_000)  # noqa: SLF001 - as the library does
        if lost:
            await client._process_op_err(StaleConnectionError())  # noqa: SLF001 - as above
            await asyncio.sleep(0)
        await jetstream.close(client)
        await until(lambda: not connections(nats_server))
    finally:
        nats_server.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("there", [True, False])
async def test_a_connection_that_is_closed_while_it_is_made_anew_is_made_no_more(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    """Also where the end meets an attempt's result, which Python 3.11's wait_for returns then."""
    client = await jetstream.connect(nats_server.bus, "test")
    transport: Any = client._transport  # noqa: SLF001 - no other way to meet it
    connect, connecting = transport.connect, asyncio.Event()

    async def met(*where: Any, **how: Any) -> None:
        monkeypatch.undo()
        connecting.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await connect(*where, **how)

    monkeypatch.setattr(transport, "connect", met)
    await asyncio.to_thread(nats_server.stop)
    await connecting.wait()
    if there:
        await asyncio.to_thread(nats_server.start)
    await jetstream.close(client)
    assert client._reconnection_task is not None  # noqa: SLF001 - as above
    assert client._reconnection_task.done()  # noqa: SLF001 - as above
    await until(lambda: not connections(nats_server))


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


class _Listening(StreamClient):
    """A client without a connection: what it hears, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Taken | str] = []
        self._subs[TAKEN] = Taking(self, TAKEN, "taken", self.heard.append)  # type: ignore[assignment]

    async def hear(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            await self._ps.parse(piece)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        if sid == TAKEN:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            self.heard.append(Taken(subject, reply, data, headers or b""))

    async def _process_ping(self) -> None:
        self.heard.append("ping")


TAKEN, THE_LIBRARYS = 7, 8
_BLOCKS = st.sampled_from([b"", b"NATS/1.0\r\n\r\n", b"NATS/1.0 404\r\nmine: MSG a 7 1\r\n\r\n"])
# What looks like the protocol itself among it.
_DATA = st.sampled_from([b"", b"PING\r\n", b"\r\n", b"MSG a 7 1\r\nx\r\n"]) | st.binary(max_size=40)
_MESSAGES = st.tuples(
    st.sampled_from([TAKEN, TAKEN, THE_LIBRARYS]),
    st.builds(Taken, st.just(b"subject"), st.sampled_from([b"", b"$JS.ACK.7"]), _DATA, _BLOCKS),
)


def _as_told(message: tuple[int, Taken] | str) -> bytes:
    if isinstance(message, str):
        return b"PING\r\n"
    sid, told = message
    about = [b"HMSG" if told.headers else b"MSG", told.subject, b"%d" % sid, told.reply]
    if told.headers:
        about.append(b"%d" % len(told.headers))
    about.append(b"%d" % (len(told.headers) + len(told.data)))
    return b"%b\r\n%b%b\r\n" % (b" ".join(filter(None, about)), told.headers, told.data)


@given(
    messages=st.lists(_MESSAGES | st.just("ping"), max_size=12),
    sizes=st.lists(st.integers(1, 20) | st.integers(1, 400), min_size=1, max_size=8),
)
def test_messages_are_the_same_however_they_come_in_pieces(
    messages: list[tuple[int, Taken] | str], sizes: list[int]
) -> None:
    """Those that are taken, those that are the library's, and what else the server says."""
    told = b"".join(map(_as_told, messages))
    pieces, rest = [], io.BytesIO(told)
    for size in itertools.cycle(sizes):
        if not (piece := rest.read(size)):
            break
        pieces.append(piece)
    client = _Listening()
    asyncio.run(client.hear(pieces))
    assert client.heard == [each if isinstance(each, str) else each[1] for each in messages]


@pytest.mark.parametrize("said", [b"MSG\r\n", b"MSG a b c\r\n", b"HMSG a 7 x 1\r\n", b"who\r\n"])
async def test_what_is_no_message_is_the_librarys_to_refuse(said: bytes) -> None:
    with pytest.raises(ProtocolError):
        await _Listening().hear([said])
