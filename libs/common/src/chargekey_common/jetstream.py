"""NATS JetStream where nats-py has no helper: connecting patiently, atomic batches."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError as StreamNotFoundError
from nats.js.manager import JetStreamManager

from chargekey_common.process import cancel

# Who signs in at the server: our services to the streams that they share, and whoever fills
# partners' feeds to an account in which there is nothing else.
SERVICES = "chargekey"
FEEDS = "feeds"

# Server error codes (nats-server's errors.json).
STREAM_NOT_FOUND = 10059
WRONG_LAST_SEQUENCE = 10071

# Seconds between pings, and how many may be without an answer: a server that is gone without a
# word is left after a quarter of a minute. By itself the library waits for six of them.
PING_INTERVAL = 5
MOST_PINGS = 2

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


async def connect(url: str, name: str, *, token: str | None = None, user: str = SERVICES) -> Client:
    """Connect, waiting quietly for a server that is not there yet, for as long as it takes.

    The token is the password of `user`, which says whose streams these are; without one
    nothing is told, for a server that asks for nothing.
    """

    async def on_error(error: Exception) -> None:
        log.debug("nats_error", error=type(error).__name__)

    async def on_disconnected() -> None:
        if not client.is_closed:  # as it is when this side has ended it
            log.warning("nats_disconnected")

    async def on_reconnected() -> None:
        log.info("nats_reconnected")

    while True:
        client = Client()
        connecting = asyncio.ensure_future(
            client.connect(
                url,
                name=name,
                user=None if token is None else user,
                password=token,
                error_cb=on_error,
                disconnected_cb=on_disconnected,
                reconnected_cb=on_reconnected,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.25,  # type: ignore[arg-type] # seconds, also parts of one
                ping_interval=PING_INTERVAL,
                max_outstanding_pings=MOST_PINGS,
            )
        )
        try:
            await asyncio.wait({connecting})
            connecting.result()
        except (OSError, NatsTimeoutError, nats.errors.NoServersError) as error:
            log.info("nats_unreachable", error=type(error).__name__)
            await asyncio.sleep(0.25)
        except asyncio.CancelledError:
            # It may have its socket by now, which it closes for nobody.
            await cancel(connecting)
            await close(client)
            raise
        else:
            return client


async def close(client: Client) -> None:
    """Close a connection, also one that is lost; what still waits there is dropped."""
    try:
        await client.close()
    except (RuntimeError, TypeError, OSError, nats.errors.Error) as error:
        # nats-py writes what waits to the transport it has lost, which uvloop's refuses
        # with RuntimeError, and asyncio's from Python 3.12 on with TypeError.
        log.debug("nats_closed_without_flush", error=type(error).__name__)


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
    message only. Raises BatchRefusedError when nothing was stored, and
    BatchUnansweredError when nobody can tell.
    """
    if not messages:
        reason = "a batch holds at least one message"
        raise ValueError(reason)
    last = _headers(messages[-1], batch_id, len(messages)) | {"Nats-Batch-Commit": "1"}
    first = last if len(messages) == 1 else _headers(messages[0], batch_id, 1)
    if expected_last_sequence is not None:
        first["Nats-Expected-Last-Sequence"] = str(expected_last_sequence)
    try:
        for number, message in enumerate(messages[:-1], start=1):
            headers = first if number == 1 else _headers(message, batch_id, number)
            await client.publish(message.subject, message.data, headers=headers)
        answer = await client.request(
            messages[-1].subject, messages[-1].data, timeout=timeout, headers=last
        )
    except NoRespondersError as error:
        raise BatchRefusedError(503, "no stream or no leader") from error
    except (NatsTimeoutError, nats.errors.ConnectionClosedError, OSError) as error:
        raise BatchUnansweredError from error
    return _sequence(answer.data)


def _headers(message: OutMessage, batch_id: str, number: int) -> dict[str, str]:
    headers = {**message.headers, "Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(number)}
    if message.expected_subject_sequence is not None:
        headers["Nats-Expected-Last-Subject-Sequence"] = str(message.expected_subject_sequence)
    return headers


def _sequence(answer: bytes) -> int:
    acknowledgement: dict[str, Any] = msgspec.json.decode(answer)
    error = acknowledgement.get("error")
    if error is not None:
        raise BatchRefusedError(error.get("err_code", 0), error.get("description", ""))
    return int(acknowledgement["seq"])
