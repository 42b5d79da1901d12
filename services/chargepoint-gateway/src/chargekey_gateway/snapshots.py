"""What a gateway knows in a file, so that one that starts again reads only what came since.

Written by a forked child, which has the view as it was at one moment, while taps go on. A file
that is of another version, or not whole, is not read: then the streams are, from their
beginnings. What the file says is never more than they did: it is at a position of each.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import os
import signal
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec
import structlog
from nats.js.api import StreamInfo
from prometheus_client import Gauge

from chargekey_common import whole_files
from chargekey_gateway.reconcile.seen import SavedSeen
from chargekey_gateway.sessions.running import SavedSessions
from chargekey_gateway.sessions.stream import STREAM as SESSIONS
from chargekey_gateway.view.saved import VERSION, SavedView
from chargekey_gateway.view.view import SERVICES, View

_MAGIC = b"chargekey view %d\n"
_CHECKSUM = hashlib.blake2b().digest_size
# So that who taps meanwhile comes first.
_NICENESS = 10
# Of a stream that only counts on while the view stays what it is, so many messages are read again
# in a second.
_READ_SOON = 20_000

_WRITTEN = Gauge(
    "view_snapshot_timestamp_seconds", "When the view was last written to its file, or read."
)

_OF_VIEW = frozenset(service.upper() for service in SERVICES)

log = structlog.get_logger()


class Place(msgspec.Struct, frozen=True, array_like=True):
    """How far a stream was read, and when it was made, as its Follower says both."""

    sequence: int
    made: str | None

    def is_in(self, info: StreamInfo) -> bool:
        """Whether that is still the stream that was read so far, and whole.

        What is known of another one has an end that nobody tells any more.
        """
        return self.made == str(info.created) and self.sequence <= info.state.last_seq


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What the stream of sessions has told."""

    sessions: SavedSessions
    seen: SavedSeen


class Sharing(Protocol):
    """Where what was told is kept for all gateways, too."""

    async def wants(self, place: Place) -> bool:
        """Whether it should have what was told up to `place`."""

    async def put(self, file: Path, place: Place) -> None:
        """Have what the file says was told up to `place`; never raises for want of a bus."""


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """The view and sessions, and how far the streams were read that tell of them, by their names.

    Nothing of sessions where their stream is to be read from its beginning.
    """

    places: dict[str, Place]
    view: SavedView
    told: Told | None = None


def write(file: Path, snapshot: Snapshot) -> None:
    """Write it whole or not at all, for its owner alone; raises OSError."""
    content = msgspec.msgpack.encode(snapshot)
    whole_files.write(file, _MAGIC % VERSION + hashlib.blake2b(content).digest() + content)


def read(file: Path) -> Snapshot | None:
    """Return what was written; None, and a line in the log, where nothing can be read."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("view_snapshot_unreadable", error=error.strerror)
        return None
    magic = _MAGIC % VERSION
    start = len(magic) + _CHECKSUM
    body = memoryview(content)[start:]
    if not content.startswith(magic):
        log.warning("view_snapshot_of_another_version", version=VERSION)
        return None
    if hashlib.blake2b(body).digest() != content[len(magic) : start]:
        log.warning("view_snapshot_damaged")
        return None
    # None of it is garbage: looking for some would take most of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        snapshot = msgspec.msgpack.decode(body, type=Snapshot)
    finally:
        if collects:
            gc.enable()
    _WRITTEN.set(file.stat().st_mtime)
    return snapshot


class Snapshots:
    """Writes the view now and then, where anything has changed."""

    def __init__(
        self,
        file: Path,
        view: View,
        places: Callable[[], Mapping[str, Place]],
        interval: float,
        told: Callable[[], Told | None] = lambda: None,
        sharing: Sharing | None = None,
    ) -> None:
        """Write to `file` every `interval` seconds; `places` tells how far view and `told` are.

        `sharing` gets what was told from a file beside, there for as long as that takes.
        Belong to a view that has yet to read on from what the file says: what is to be forgotten
        then, too, is kept no longer.
        """
        self._file = file
        self._view = view
        self._places = places
        self._interval = interval
        self._told = told
        self._sharing = sharing
        # Of ids alone, which the stream keeps for good: nothing in it is to be forgotten.
        self._beside = file.with_name(f"{file.name}.told")
        self._written: Mapping[str, Place] = {}
        self._forgotten = 0
        view.on_forgotten(self._remove)
        # What is left of a child that was killed as it wrote, and nobody will have forget.
        for each in (whole_files.unfinished(file), *self._shared_files):
            _unlink(each)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            await self.write()

    async def write(self) -> None:
        """Write what is known now; return once it is in the file, or could not be put there."""
        if not self._has_changed_much:
            return
        sharing = self._sharing
        place = self._places().get(SESSIONS)
        if sharing is None or place is None or not await sharing.wants(place):
            await self._write()
            return
        try:
            if await self._write(beside=True):
                await sharing.put(self._beside, self._written[SESSIONS])
        finally:
            for each in self._shared_files:
                _unlink(each)

    async def _write(self, *, beside: bool = False) -> bool:
        """Have a child write, what was told `beside`, too; return whether it is there."""
        places, forgotten = self._places(), self._forgotten
        child = self._fork(beside=beside)
        try:
            _, status = await asyncio.to_thread(os.waitpid, child, 0)
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            raise
        if forgotten != self._forgotten:
            self._remove()  # what was forgotten meanwhile is in it
            return False
        if status:
            log.warning("view_snapshot_failed", status=os.waitstatus_to_exitcode(status))
            return False
        self._written = places
        _WRITTEN.set(time.time())
        return True

    def _remove(self) -> None:
        """Keep nothing that was to be forgotten; what there is else is written in its time."""
        self._forgotten += 1
        self._written = {}
        for each in (self._file, whole_files.unfinished(self._file)):
            _unlink(each)

    def write_at_the_end(self) -> None:
        """Write what is known, and have everybody wait for it: nobody taps here any more."""
        if not self._has_changed:
            return
        try:
            write(self._file, self._snapshot())
        except OSError as error:
            log.warning("view_snapshot_failed", error=error.strerror)

    @property
    def _has_changed(self) -> bool:
        return self._places() != self._written and self._view.whole

    @property
    def _has_changed_much(self) -> bool:
        """Whether the view is another one, or much has been told beside it."""
        places, written = self._places(), self._written
        return self._view.whole and any(
            stream not in written
            or written[stream].made != place.made
            or place.sequence - written[stream].sequence
            >= (1 if stream in _OF_VIEW else _READ_SOON)
            for stream, place in places.items()
        )

    def _snapshot(self) -> Snapshot:
        return Snapshot(dict(self._places()), self._view.saved(), self._told())

    @property
    def _shared_files(self) -> tuple[Path, Path]:
        return self._beside, whole_files.unfinished(self._beside)

    def _fork(self, *, beside: bool) -> int:
        with warnings.catch_warnings():
            # Of locks that other threads may hold: the child takes none of theirs.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child:
            return child
        status = 1
        try:
            # Else connections that the parent closes would stay open until this is done.
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            os.nice(_NICENESS)
            gc.disable()
            snapshot = self._snapshot()
            write(self._file, snapshot)
            if beside:
                # Without it the view is kept, too; who hands it on tells that it is missing.
                with contextlib.suppress(OSError):
                    whole_files.write(self._beside, msgspec.msgpack.encode(snapshot.told))
            status = 0
        except OSError as error:
            status = error.errno or 1
        finally:
            os._exit(status)


def _unlink(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        log.error("view_snapshot_not_removed", error=error.strerror)  # noqa: TRY400 - no more to tell
