"""NATS JetStream where nats-py has no helper: connecting patiently, atomic batches."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec
import nats.errors
import structlog
from nats.aio.client import DEFAULT_FLUSH_TIMEOUT, Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError as StreamNotFoundError
from nats.js.manager import JetStreamManager
from nats.protocol.command import unsub_cmd
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser
from prometheus_client import Gauge

from chargekey_common.certificates import Newest, Renewed, TlsFiles, no_password
from chargekey_common.errors import CannotRunError
from chargekey_common.process import Lifetime, cancel

if TYPE_CHECKING:
    # Not everybody who is at the bus has settings, which would be a quarter of a start.
    from chargekey_common.settings import ServiceSettings

# Who signs in at the server: our services to the streams that they share, and whoever fills
# partners' feeds to an account in which there is nothing else.
SERVICES = "chargekey"
FEEDS = "feeds"

# Server error codes (nats-server's errors.json).
STREAM_NOT_FOUND = 10059
WRONG_LAST_SEQUENCE = 10071

# What the server's own answer begins with, to whom nobody hears.
NOBODY_HEARS = b"NATS/1.0 503"

# Seconds between pings, and how many may be without an answer: a server that is gone without a
# word is left after a quarter of a minute. By itself the library waits for six of them.
PING_INTERVAL = 5
MOST_PINGS = 2

RETRY = 0.25  # seconds
# Seconds that a connection has to close. nats-py waits for good for the end of one whose TLS
# failed, also before it would connect anew: then it is left there and another one is made.
GIVEN_UP = 1.0

_CONNECTED = Gauge("nats_connected", "Whether a connection to NATS stands.", ["connection"])

Answer = TypeVar("Answer")

log = structlog.get_logger()


class OutMessage(msgspec.Struct, frozen=True):
    """A message of a batch; `expected_subject_sequence` 0 means the subject is still empty."""

    subject: str
    data: bytes
    headers: Mapping[str, str] = {}
    expected_subject_sequence: int | None = None


class BatchRefusedError(Exception):
    """The stream stored nothing of the batch and says why."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{code} {description}")
        self.code = code


class BatchUnansweredError(Exception):
    """No answer in time: the batch may be stored or not; read before going on."""


class Taken(msgspec.Struct, frozen=True, gc=False):
    """A message as it came; `headers` is the whole block, with its first line."""

    subject: bytes
    reply: bytes
    data: bytes
    headers: bytes


class Headers(Mapping[str, str]):
    """The headers of a message, of which few are ever looked at.

    As they are written by ourselves and by the server, `Name: value` each; other forms are not
    found. Of several of one name the last one counts.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        """Look into the whole block, with its first line."""
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        """Return the value; raises KeyError."""
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    # Not the base's, which costs twice as much: readers look for two of each message's.
    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, default: str | Answer, /) -> str | Answer: ...
    def get(self, name: str, default: str | Answer | None = None, /) -> str | Answer | None:
        """Return the value, or `default` where there is none of this name."""
        raw, line = self._raw, _line_of(name)
        found = raw.rfind(line)
        if found < 0:
            return default
        start = found + len(line)
        return raw[start : raw.find(b"\r\n", start)].decode("utf-8", "replace")

    def __contains__(self, name: object) -> bool:
        """Whether there is one of this name."""
        return isinstance(name, str) and _line_of(name) in self._raw

    def __iter__(self) -> Iterator[str]:
        """Yield the names, each once."""
        lines = self._raw.split(b"\r\n")[1:]
        return iter(dict.fromkeys(line.partition(b": ")[0].decode() for line in lines if line))

    def __len__(self) -> int:
        """Return how many names there are."""
        return sum(1 for _ in self)


@functools.cache
def _line_of(name: str) -> bytes:
    return f"\r\n{name}: ".encode()


class Bus(msgspec.Struct, frozen=True):
    """Where NATS is, and what it lets this process in with.

    `token`, asked at each connection, tells the password of our users; without it nothing is
    told, for a server that asks for nothing. With `tls` nothing is said in the clear: the
    server has to speak TLS from the first byte on.
    """

    url: str
    token: Callable[[], str] | None = None
    tls: ssl.SSLContext | None = None


def bus(lifetime: Lifetime, settings: ServiceSettings) -> Bus:
    """Return what a service is told of NATS, read again as it changes.

    Raises CannotRunError for files that are unusable, and OSError.
    """
    ca, token = settings.nats_ca_file, settings.nats_token_file
    tls = None if ca is None else _tls(lifetime, ca, settings.tls_files)
    if token is None:
        return Bus(settings.nats_url, None, tls)

    def read() -> str:
        # What is no text is a wrong password, and tried again like one.
        return token.read_text(errors="replace").strip()

    read()  # who has none is told so now, and not at every attempt to connect
    return Bus(settings.nats_url, read, tls)


def _tls(lifetime: Lifetime, ca: Path, own: TlsFiles | None) -> ssl.SSLContext:
    def read() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=ca)
        if own is not None:
            context.load_cert_chain(own.certificate, own.key, password=no_password)
        return context

    paths = (ca,) if own is None else (ca, own.certificate, own.key)
    try:
        renewed = Renewed(paths, read)
    except (ssl.SSLError, ValueError) as error:
        message = "The CA of NATS_CA_FILE, or the certificate or key beside it, is unusable."
        raise CannotRunError(message) from error
    lifetime.own(renewed.run(), "certificates of NATS")
    return Newest(renewed)


class Taking:
    """A subject taken by `StreamClient.take`: little enough to have one for everybody.

    It stands among the library's subscriptions, which sends all of them again when it is
    connected anew, and ends all of them when it is closed.
    """

    __slots__ = ("_client", "_id", "_subject", "taken")

    # What the library looks at of a subscription, beside its subject.
    _queue = ""
    _max_msgs = 0
    _wait_for_msgs_task = None
    _message_iterator = None
    _pending_next_msgs_calls = None

    def __init__(
        self, client: StreamClient, sid: int, subject: str, taken: Callable[[Taken], None]
    ) -> None:
        self._client = client
        self._id = sid
        self._subject = subject
        self.taken = taken

    def arrived(self, message: Taken) -> None:
        """Hand a message over; what goes wrong there is logged."""
        try:
            self.taken(message)
        except Exception:  # would end the reading of this connection, for everybody
            subject = message.subject.decode(errors="replace")
            log.exception("nats_message_failed", subject=subject)

    async def unsubscribe(self) -> None:
        """Take nothing any more, also of what is on its way; idempotent.

        Raises nats' errors.
        """
        await self._client._untake(self._id)  # noqa: SLF001 - the two are one


class _Parser(Parser):
    """The library's, but for messages that somebody takes: each costs a third of its way.

    What else there is goes to the library, with all that has come behind it.
    """

    nc: StreamClient

    def reset(self) -> None:
        """Begin anew, with another connection."""
        super().reset()
        self._missing = 0  # bytes until a message that is taken is whole

    async def parse(self, data: bytes = b"") -> None:
        """Parse what has come, behind what came before and was not whole."""
        if len(data) < self._missing:  # looked at once it is there: it may be long
            self._missing -= len(data)
            self.buf.extend(data)
            return
        if self.state == AWAITING_CONTROL_LINE:
            self._missing = 0
            data = bytes(self.buf) + data
            self.buf.clear()
            start, is_taken = self._take(data)
            data = data[start:]
            if is_taken:
                self.buf.extend(data)
                return
        await super().parse(data)

    def _take(self, data: bytes) -> tuple[int, bool]:
        """Hand over the messages that it begins with, as long as somebody takes them.

        Return where the next stands, and whether it has to wait until it is whole: else it is
        nobody's who takes any.
        """
        subscriptions: Mapping[int, object] = self.nc._subs  # noqa: SLF001 - the client's own part
        start = 0
        while (end := data.find(b"\r\n", start)) >= 0:
            # MSG <subject> <subscription> [reply] <bytes>
            # HMSG <subject> <subscription> [reply] <bytes of headers> <bytes of both>
            line = data[start:end].split(b" ")
            with_headers = line[0] == b"HMSG"
            if not with_headers and line[0] != b"MSG":
                return start, False
            try:
                taking, size = subscriptions.get(int(line[2])), int(line[-1])
                split = int(line[-2]) if with_headers else 0
            except (IndexError, ValueError):
                return start, False
            if not isinstance(taking, Taking):
                return start, False
            begin = end + 2
            after = begin + size
            if after + 2 > len(data):
                self._missing = after + 2 - len(data)
                return start, True
            reply = line[3] if len(line) == 5 + with_headers else b""
            split += begin
            taking.arrived(Taken(line[1], reply, data[split:after], data[begin:split]))
            start = after + 2
        return start, True


class StreamClient(Client):
    """The library's client, which also hands messages over as they come, and asks, at less cost.

    The library's own way costs three times as much: it looks at every letter of every header, and
    has a queue and a task for each subscription, which weigh five KiB.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ps = _Parser(self)
        self._questions: dict[bytes, asyncio.Future[Taken]] = {}  # by where the answers come
        self._inbox = ""
        self._asked = 0

    async def flush(self, timeout: int = DEFAULT_FLUSH_TIMEOUT) -> None:  # noqa: ASYNC109
        """Return once the server has taken what was sent before, subscriptions among it.

        Twice: the library's question goes past what still waits to be written, so that the first
        answer says only that all of that is on its way.
        """
        await super().flush(timeout)
        await super().flush(timeout)

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002 - the library's own
        own, within = asyncio.current_task(), None
        try:
            # The library does so once, and would not hear of one that goes on to connect.
            while (task := self._reconnection_task) not in (None, own) and not task.done():
                await cancel(task)
        except asyncio.CancelledError:
            within = GIVEN_UP  # who has lost patience once will not a second time
            raise
        finally:
            try:
                async with asyncio.timeout(within):
                    await super()._close(status, do_cbs)
            except asyncio.CancelledError:
                self._abort()
                # Who waited for the end of a lost transport with it, and was cancelled, has
                # cancelled that for everybody; nobody means this one then.
                if own and own.cancelling():
                    raise
            except Exception:
                self._abort()
                raise

    def _abort(self) -> None:
        # The library leaves it open where it could not write what waits, or had no time to.
        transport: Any = self._transport
        if transport is not None and transport._io_writer is not None:  # noqa: SLF001 - the library's own
            transport._io_writer.transport.abort()  # noqa: SLF001 - it waits for nobody

    async def take(self, subject: str, taken: Callable[[Taken], None]) -> Taking:
        """Have `taken` called with each message on `subject`, in order; it must not wait.

        Raises nats' errors. Cancelled, nothing is taken.
        """
        if len(subject.split()) != 1:
            raise nats.errors.BadSubjectError
        if self.is_closed:
            raise nats.errors.ConnectionClosedError
        sid = self._sid = self._sid + 1
        taking = Taking(self, sid, subject, taken)
        self._subs[sid] = taking  # type: ignore[assignment] # see there
        try:
            await self._send_subscribe(taking)  # type: ignore[arg-type]
        except asyncio.CancelledError:
            # It waits to be sent, or was, and this goes the same way behind it.
            del self._subs[sid]
            undone = unsub_cmd(sid, 0)
            self._pending.append(undone)
            self._pending_data_size += len(undone)
            raise
        return taking

    async def ask(self, subject: str, question: bytes, within: float) -> bytes:
        """Return the answer of whoever hears `question` there, within so many seconds.

        Raises NoRespondersError where nobody does, TimeoutError and the others of nats' errors.
        """
        if not self._inbox:
            self._inbox = self.new_inbox()
            await self.take(f"{self._inbox}.*", self._answered)
        self._asked += 1
        inbox = f"{self._inbox}.{self._asked}"
        answer: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._questions[inbox.encode()] = answer
        try:
            async with asyncio.timeout(within):
                await self.publish(subject, question, reply=inbox)
                answered = await answer
        except TimeoutError as error:
            raise NatsTimeoutError from error
        finally:
            del self._questions[inbox.encode()]
        if answered.headers.startswith(NOBODY_HEARS):
            raise NoRespondersError
        return answered.data

    def _answered(self, answer: Taken) -> None:
        question = self._questions.get(answer.subject)
        if question is not None and not question.done():
            question.set_result(answer)

    async def _untake(self, sid: int) -> None:
        if self.is_closed:
            raise nats.errors.ConnectionClosedError
        if self._subs.pop(sid, None) is not None:
            # Also while it is away: the subscription itself may wait to be sent.
            await self._send_unsubscribe(sid)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        taking: object = self._subs.get(sid)
        if isinstance(taking, Taking):
            taking.arrived(Taken(subject, reply, data, headers or b""))
        else:
            await super()._process_msg(sid, subject, reply, data, headers)


async def connect(bus: Bus, name: str, *, user: str = SERVICES) -> StreamClient:
    """Connect, waiting quietly for a server that is not there yet, for as long as it takes.

    `user` says whose streams these are.
    """
    trouble = ""
    while True:
        _CONNECTED.labels(name).set(0)
        client = StreamClient()
        try:
            await made(client, _connect(client, bus, name, user))
        except (OSError, nats.errors.Error) as error:
            # One line a trouble, not one an attempt.
            if trouble != (trouble := type(error).__name__):
                log.info("nats_unreachable", error=trouble)
            await asyncio.sleep(RETRY)
        except asyncio.CancelledError:
            _forget(name)  # which a client that had not begun has not been told
            raise
        else:
            _CONNECTED.labels(name).set(1)
            return client


async def made(client: Client, connecting: Awaitable[None]) -> None:
    """Return once `client` is connected, which is what `connecting` does, or raise what that does.

    Whoever is cancelled meanwhile leaves no connection behind that nobody owns.
    """
    connected = asyncio.ensure_future(connecting)
    try:
        await asyncio.wait({connected})
        connected.result()
    except BaseException:
        try:
            await _give_up(connected)
        finally:
            await close(client)
        raise


async def _connect(client: Client, bus: Bus, name: str, user: str) -> None:
    is_made = False

    async def on_error(error: Exception) -> None:
        log.debug("nats_error", error=type(error).__name__)
        if bus.tls is not None and not is_made:
            raise error  # see GIVEN_UP

    async def on_disconnected() -> None:
        if not client.is_closed:  # as it is when this side has ended it
            _CONNECTED.labels(name).set(0)
            log.warning("nats_disconnected")

    async def on_reconnected() -> None:
        _CONNECTED.labels(name).set(1)
        log.info("nats_reconnected")

    await client.connect(
        bus.url,
        name=name,
        user=None if bus.token is None else user,
        password=bus.token,
        tls=bus.tls,
        tls_handshake_first=bus.tls is not None,
        error_cb=on_error,
        disconnected_cb=on_disconnected,
        reconnected_cb=on_reconnected,
        max_reconnect_attempts=-1,
        reconnect_time_wait=RETRY,  # type: ignore[arg-type] # seconds, also parts of one
        ping_interval=PING_INTERVAL,
        max_outstanding_pings=MOST_PINGS,
    )
    is_made = True


async def _give_up(connecting: asyncio.Future[None]) -> None:
    try:
        await cancel(connecting)
    finally:
        if not connecting.cancelled():
            connecting.exception()  # which nobody else asks for


async def close(client: Client) -> None:
    """Close a connection, also one that is lost; what still waits there is dropped."""
    try:
        async with asyncio.timeout(GIVEN_UP):
            await client.close()
    except (RuntimeError, TypeError, OSError, nats.errors.Error) as error:
        # nats-py writes what waits to the transport it has lost, which uvloop's refuses
        # with RuntimeError, and asyncio's from Python 3.12 on with TypeError.
        log.debug("nats_closed_without_flush", error=type(error).__name__)
    finally:
        # Not when nats-py says so, which it does not where it could not flush.
        _forget(client.options.get("name"))


def _forget(name: str | None) -> None:
    with contextlib.suppress(KeyError):
        _CONNECTED.remove(name)


async def cancellably(asking: Coroutine[Any, Any, Answer]) -> Answer:
    """Return what `asking` comes to; cancelled, it ends, whatever nats-py makes of that.

    In a task of its own: Python 3.11's wait_for, which nats-py waits with, swallows a
    cancellation that meets a result, and whoever asks again and again would go on for good.
    """
    task = asyncio.ensure_future(asking)
    try:
        await asyncio.wait({task})
    finally:
        task.cancel()
    return task.result()


async def ensure_stream(js: JetStreamManager, config: StreamConfig) -> None:
    """Declare a stream, or bring the present one in line. Only its one owner calls this."""
    if config.name is None:
        message = "a stream has a name"
        raise ValueError(message)
    try:
        await js.stream_info(config.name)
    except StreamNotFoundError:
        await js.add_stream(config)
    else:
        await js.update_stream(config)


async def publish_atomically(
    client: Client,
    messages: Sequence[OutMessage],
    *,
    batch_id: str,
    expected_last_sequence: int | None = None,
    timeout: float = 5.0,  # noqa: ASYNC109 - handed to the request that waits
) -> int:
    """Store all of `messages` or none, one behind the other; return the last one's sequence.

    The sequence that the stream is expected to end at is told with the first
    message only. A single message is told as one: the server makes files for every
    batch, which takes it ten times as long. Raises BatchRefusedError when nothing was stored, and
    BatchUnansweredError when nobody can tell.
    """
    if not messages:
        reason = "a batch holds at least one message"
        raise ValueError(reason)
    if len(messages) == 1:
        first = last = _headers(messages[0])
    else:
        first = _headers(messages[0]) | _place(batch_id, 1)
        last = _headers(messages[-1]) | _place(batch_id, len(messages)) | {"Nats-Batch-Commit": "1"}
    if expected_last_sequence is not None:
        first["Nats-Expected-Last-Sequence"] = str(expected_last_sequence)
    try:
        for number, message in enumerate(messages[:-1], start=1):
            headers = first if number == 1 else _headers(message) | _place(batch_id, number)
            await client.publish(message.subject, message.data, headers=headers)
        answer = await client.request(
            messages[-1].subject, messages[-1].data, timeout=timeout, headers=last
        )
    except NoRespondersError as error:
        raise BatchRefusedError(503, "no stream or no leader") from error
    except (NatsTimeoutError, nats.errors.ConnectionClosedError, OSError) as error:
        raise BatchUnansweredError from error
    return _sequence(answer.data)


def _place(batch_id: str, number: int) -> dict[str, str]:
    return {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(number)}


def _headers(message: OutMessage) -> dict[str, str]:
    headers = dict(message.headers)
    if message.expected_subject_sequence is not None:
        headers["Nats-Expected-Last-Subject-Sequence"] = str(message.expected_subject_sequence)
    return headers


def _sequence(answer: bytes) -> int:
    acknowledgement: dict[str, Any] = msgspec.json.decode(answer)
    error = acknowledgement.get("error")
    if error is not None:
        raise BatchRefusedError(error.get("err_code", 0), error.get("description", ""))
    return int(acknowledgement["seq"])
