"""What chargers have confirmed, durably and on every replica: a record a charger in a KV bucket.

Kept in memory, and written behind by compare-and-set. Whoever has the connection writes;
where another replica did meanwhile, its word counts and the charger is looked at again. A
record that is lost means that the charger is asked, and sent everything, again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import APIError
from nats.js.errors import NotFoundError as NothingThereError

from chargekey_common.follower import Message
from chargekey_common.jetstream import STREAM_NOT_FOUND, WRONG_LAST_SEQUENCE, ensure_stream
from chargekey_gateway.reconcile.charger_settings import Limits

BUCKET = "CHARGERS_CONFIRMED"
STREAM = f"KV_{BUCKET}"
_PREFIX = f"$KV.{BUCKET}."
ATTEMPT = 2.0  # seconds for one answer of NATS
PAUSES = (0.05, 0.25, 1.0)  # seconds before a write is tried again; the last one repeats
# Of a longer list only its version is remembered, and it is replaced rather than changed: a
# message of NATS has a megabyte at most.
MOST_REMEMBERED = 8_000

log = structlog.get_logger()


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one charger has confirmed; times in nanoseconds since the epoch.

    `list_digest` is of the wish that `list_version` fulfils, empty while it does not;
    `list_content` its marks by identification, None where nobody knows them.
    `list_wanted` counts who belonged into it, `list_entries` who is in it. Without
    `list_supported` the charger never said. `cache_cleared_as_of`: whom it accepted before
    something was taken from somebody then, it has forgotten. `settings` is the digest of the
    settings it was last told, whatever it took of them, since it booted.
    """

    version: str = ""
    list_supported: bool | None = None
    list_version: int = 0
    list_digest: str = ""
    list_content: dict[str, str] | None = None
    list_entries: int = 0
    list_wanted: int = 0
    limits: Limits = Limits()
    cache_cleared_as_of: int = 0
    settings: str = ""
    reboot_required: bool = False
    converged_at: int | None = None


NOTHING = Record()


class Confirmed:
    """The records of all chargers; belongs to one event loop.

    `run` must be running, and a Follower of `STREAM` must be handing its messages to
    `follow`.
    """

    def __init__(self, client: Client) -> None:
        """Write over `client`."""
        self._client = client
        self._js = client.jetstream(timeout=ATTEMPT)
        self._records: dict[str, Record] = {}
        self._told: dict[str, Record] = {}  # as the bucket last had them
        self._unwritten: dict[str, None] = {}  # a set that keeps its order
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._overtaken: list[Callable[[str], None]] = []

    def of(self, charger_id: str) -> Record:
        """Return what the charger has confirmed."""
        return self._records.get(charger_id, NOTHING)

    def put(self, charger_id: str, record: Record) -> None:
        """Know it at once, and have it written."""
        content = record.list_content
        if content is not None and len(content) > MOST_REMEMBERED:
            record = msgspec.structs.replace(record, list_content=None)
        if record != self.of(charger_id):
            self._records[charger_id] = record
            self._write_soon(charger_id)

    def on_overtaken(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the charger of which another replica wrote what is not known here.

        Also of those that nothing is written of here: whoever has the connection decides.
        """
        self._overtaken.append(listener)

    async def follow(self, messages: Sequence[Message]) -> None:
        """Take in what is in the bucket; what a Follower of `STREAM` calls."""
        for message in messages:
            charger_id = message.subject.removeprefix(_PREFIX)
            record = _read(message.data)
            if charger_id not in self._unwritten:
                self._adopt(charger_id, record)

    def tell_again(self) -> None:
        """Have all that is known written into a bucket that was lost."""
        self._told.clear()
        for charger_id in self._records:
            self._write_soon(charger_id)

    async def idle(self) -> None:
        """Return once everything put here is in the bucket."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            while self._unwritten:
                await self._insist(next(iter(self._unwritten)))
            self._idle.set()
            self._arrived.clear()
            await self._arrived.wait()

    def _write_soon(self, charger_id: str) -> None:
        self._unwritten[charger_id] = None
        self._idle.clear()
        self._arrived.set()

    def _adopt(self, charger_id: str, record: Record) -> None:
        self._told[charger_id] = record
        if record != self.of(charger_id):
            self._records[charger_id] = record
            for listener in self._overtaken:
                listener(charger_id)

    async def _insist(self, charger_id: str) -> None:
        """Write what is known of the charger, for as long as it takes."""
        failures = 0
        while True:
            try:
                if self._client.is_connected:
                    await self._write(charger_id)
                    return
            except (nats.errors.Error, OSError) as error:
                if isinstance(error, APIError) and error.err_code == WRONG_LAST_SEQUENCE:
                    continue  # another replica was there first: read and go on at once
                log.info("confirmed_write_repeated", error=type(error).__name__)
            await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
            failures += 1

    async def _write(self, charger_id: str) -> None:
        """Put what is known into the bucket, unless somebody else did since it was read."""
        subject = _PREFIX + charger_id
        revision, there = 0, None
        try:
            message = await self._js.get_last_msg(STREAM, subject)  # the leader's
        except NothingThereError as error:
            if error.err_code == STREAM_NOT_FOUND:
                raise
        else:
            revision, there = message.seq or 0, _read(message.data or b"")
        record = self.of(charger_id)
        if there not in (None, record, self._told.get(charger_id)):
            # Another replica's word. It has, or had, the connection.
            del self._unwritten[charger_id]
            self._adopt(charger_id, there)
            return
        if there != record:
            await self._js.publish(
                subject,
                msgspec.json.encode(record),
                headers={"Nats-Expected-Last-Subject-Sequence": str(revision)},
            )
        self._told[charger_id] = record
        if self.of(charger_id) == record:  # nothing was confirmed meanwhile
            del self._unwritten[charger_id]


async def declare_confirmed(js: JetStreamContext, *, replicas: int) -> None:
    """Declare the bucket or bring it in line: the stream that a KV bucket is."""
    config = StreamConfig(
        name=STREAM,
        subjects=[f"{_PREFIX}>"],
        max_msgs_per_subject=1,
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        num_replicas=replicas,
        deny_delete=True,
        allow_rollup_hdrs=True,
        allow_direct=False,  # a direct read may come from a replica that is behind
    )
    await ensure_stream(js, config)


def _read(data: bytes) -> Record:
    """Return what stands there; somebody's deletion by hand, or another's words, is nothing."""
    try:
        return msgspec.json.decode(data, type=Record)
    except msgspec.DecodeError:
        return NOTHING
