"""The audit of one service's store and stream, served beside the service itself."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import nats.errors
from grpc import aio
from nats.js.errors import NotFoundError as NothingThereError

from chargekey.audit.v1 import audit_pb2 as pb
from chargekey.audit.v1 import audit_pb2_grpc
from chargekey_common import jetstream, pages
from chargekey_common.audit.changes import Change, Changes
from chargekey_common.audit.comparison import (
    Comparison,
    DifferedError,
    Difference,
    StreamMadeAgainError,
)
from chargekey_common.errors import InvalidArgumentError, UnavailableError
from chargekey_common.eventstore.records import Record
from chargekey_common.eventstore.store import EventStore
from chargekey_common.follower import Follower, Message
from chargekey_common.grpc.server import SYSTEM, Service
from chargekey_common.jetstream import Bus, StreamClient
from chargekey_common.pages import PageTokenMalformedError
from chargekey_common.positions import MalformedPositionError, Position
from chargekey_common.process import cancel
from chargekey_common.relay import Publication

NAME = "chargekey.audit.v1.AuditService"
# Seconds between two words about how far it has come.
TELL = 0.2
# Seconds without any message until it is given up.
PATIENCE = 10.0

_ID = "[A-Za-z0-9_-]{1,64}"
_OBJECT = re.compile(
    rf"(installation|charger|permission|partner|user):{_ID}|user:{_ID}/installation:{_ID}"
)


class AuditInterruptedError(UnavailableError):
    """NATS went away, or the stream was made anew."""

    code = "audit_interrupted"
    sentence = "The stream could not be read to its end; try again in a moment."


class ObjectMalformedError(InvalidArgumentError):
    """Not the name of anything that changes are about."""

    code = "object_malformed"
    sentence = "Name an installation, a charger, a permission, a partner or a user by its id."


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """Every method of audit.proto, on a connection of its own: the relay's is not held up."""

    def __init__(
        self,
        store: EventStore,
        publish: Callable[[Record], Publication],
        bus: Bus,
        changes: Changes,
    ) -> None:
        self._store = store
        self._publish = publish
        self._bus = bus
        self._changes = changes

    async def ListChanges(  # noqa: N802 - its name is the protocol's
        self, request: pb.ListChangesRequest, _: aio.ServicerContext[Any, Any]
    ) -> pb.ListChangesResponse:
        """List them, as the proto says."""
        size, before = pages.size(request), self._before(request)
        await self._changes.catch_up()
        found = await asyncio.to_thread(self._changes.of, request.object, size + 1, before=before)
        more = len(found) > size
        return pb.ListChangesResponse(
            changes=map(_change, found[:size]),
            next_page_token=str(found[size - 1].position) if more else "",
        )

    def _before(self, request: pb.ListChangesRequest) -> int | None:
        if not request.page_token:
            return None
        try:
            asked = Position.parse(request.page_token)
        except MalformedPositionError:
            raise PageTokenMalformedError from None
        # Of a store that was restored since, the numbers stand for others.
        if asked != self._store.position(asked.number):
            raise PageTokenMalformedError
        return asked.number

    async def Verify(  # noqa: N802 - its name is the protocol's
        self, _: pb.VerifyRequest, __: aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.VerifyResponse]:
        """Compare, as the proto says."""
        async with _connected(self._bus, self._store.service) as client:
            verification = _Verification(self._store, self._publish, client)
            async for told in verification.run():
                yield told


def service(
    store: EventStore,
    publish: Callable[[Record], Publication],
    bus: Bus,
    changes: Changes,
) -> Service:
    """Return the service, to be served beside the store's own; somebody runs the `changes`."""
    servicer = AuditServicer(store, publish, bus, changes)
    return Service(
        NAME,
        audit_pb2_grpc.add_AuditServiceServicer_to_server,
        servicer,
        {"Verify": lambda _: SYSTEM, "ListChanges": _object},
    )


def _object(request: pb.ListChangesRequest) -> str:
    if _OBJECT.fullmatch(request.object) is None:
        raise ObjectMalformedError
    return request.object


def _change(change: Change) -> pb.Change:
    return pb.Change(
        id=change.id,
        position=str(change.position),
        at=change.at,
        actor=change.actor,
        cause=change.cause,
        event=change.event,
        subject_id=change.subject_id,
        fields=change.fields,
    )


@asynccontextmanager
async def _connected(bus: Bus, service: str) -> AsyncIterator[StreamClient]:
    try:
        async with asyncio.timeout(PATIENCE):
            client = await jetstream.connect(bus, f"{service}-audit")
    except TimeoutError:
        raise AuditInterruptedError from None
    try:
        yield client
    except (StreamMadeAgainError, nats.errors.Error, OSError) as error:
        raise AuditInterruptedError from error
    finally:
        await jetstream.close(client)


class _Verification:
    """One comparison, from the stream's first message to its last."""

    def __init__(
        self, store: EventStore, publish: Callable[[Record], Publication], client: StreamClient
    ) -> None:
        self._store = store
        self._stream = store.service.upper()
        self._client = client
        self._comparison = Comparison(store, publish)
        # Held while messages are compared on their thread.
        self._comparing = asyncio.Lock()
        self._heard = time.monotonic()

    async def run(self) -> AsyncIterator[pb.VerifyResponse]:
        """Tell how far it has come, and the result last."""
        difference: Difference | None = None
        behind = 0
        try:
            async for progress in self._compare():
                yield pb.VerifyResponse(progress=progress)
            behind = await asyncio.to_thread(self._comparison.finish)
        except DifferedError as error:
            difference = error.difference
        yield pb.VerifyResponse(
            result=pb.Result(
                stream=self._stream,
                records=self._comparison.records,
                behind=behind,
                difference=None if difference is None else _difference(difference),
            )
        )

    async def _compare(self) -> AsyncIterator[pb.Progress]:
        try:
            info = await self._client.jetstream(timeout=5).stream_info(self._stream)
        except NothingThereError:
            return  # the relay has yet to make it
        follower = Follower(self._client, self._stream, self._take, made=str(info.created))
        following = asyncio.create_task(follower.run())
        caught_up = asyncio.create_task(follower.caught_up.wait())
        try:
            while not caught_up.done():
                yield await self._progress()
                await asyncio.wait(
                    {following, caught_up}, timeout=TELL, return_when=asyncio.FIRST_COMPLETED
                )
                if following.done():
                    await following
                if time.monotonic() - self._heard > PATIENCE:
                    raise AuditInterruptedError
            async with self._comparing:
                following.cancel()
        finally:
            await cancel(following, caught_up)
        if not following.cancelled():
            following.result()  # of the batch that was waited for, which may have differed

    async def _take(self, batch: Sequence[Message]) -> None:
        async with self._comparing:
            await asyncio.to_thread(self._comparison.take, batch)
        self._heard = time.monotonic()

    async def _progress(self) -> pb.Progress:
        end = await asyncio.to_thread(self._store.end)
        return pb.Progress(number=self._comparison.number, end=end)


def _difference(difference: Difference) -> pb.Difference:
    return pb.Difference(
        position="" if difference.position is None else str(difference.position),
        sequence=difference.sequence,
        code=difference.code,
        message=difference.sentence,
    )
