"""The ledger of erasures: who was erased, where no backup of a database reaches.

A database that is restored from a backup knows nothing of erasures since, and of nobody
who was erased that he was. So each tombstone of the key ring is written to a stream of
its own, ERASURES, a message without content on a subject that names the user; and at
every start, before anybody is answered, whoever stands there is erased again. An erasure
is answered once it stands there, or as pending. A stream that was lost is filled again
from the tombstones.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Set as AbstractSet

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.api import Header, StorageType, StreamConfig
from nats.js.errors import APIError

from chargekey_common.eventstore.store import StoreUnavailableError
from chargekey_common.jetstream import WRONG_LAST_SEQUENCE, ensure_stream
from chargekey_common.process import set_within
from chargekey_identity.tables.keyring import KeyRing

STREAM = "ERASURES"
SUBJECT = "erasures.v1.user."
# Seconds between looks for what other replicas have destroyed, and for a stream made again.
POLL = 2.0
RETRY = 0.25
ANSWER = 5.0
# The bus or the database is away: both come back.
_PASSING = (StoreUnavailableError, nats.errors.Error, OSError)

log = structlog.get_logger()


class _State(msgspec.Struct):
    subjects: dict[str, int] = {}


class _Info(msgspec.Struct):
    """What the server tells of a stream; it names so many subjects at a time."""

    state: _State
    total: int = 0


class Written:
    """Who is known to stand there, to be waited for; for one loop."""

    def __init__(self) -> None:
        self.users: set[str] = set()
        self._added = asyncio.Event()

    def add(self, *users: str) -> None:
        """Take in that these stand there."""
        self.users.update(users)
        self._added.set()
        self._added = asyncio.Event()

    async def has(self, user_id: str, *, within: float) -> bool:
        """Wait up to `within` seconds for a user to stand there; return whether he does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while user_id not in self.users:
                    await self._added.wait()
        return user_id in self.users


class Ledger:
    """Reads it at the start, and keeps it up with the tombstones from then on."""

    def __init__(
        self, client: Client, keyring: KeyRing, written: Written, *, replicas: int = 1
    ) -> None:
        self._client = client
        self._js = client.jetstream(timeout=ANSWER)
        self._keyring = keyring
        self._written = written
        self._replicas = replicas
        self._made = ""
        # The key ring's number as of when all its tombstones stood there.
        self._upto: int | None = None
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        keyring.on_destroyed(self._wake)

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._woken.set)

    async def read(self) -> AbstractSet[str]:
        """Return everybody who stands there; waits for as long as the bus is away."""
        while True:
            try:
                await self._look()
            except _PASSING as error:
                log.info("ledger_waits", error=type(error).__name__)
                await asyncio.sleep(RETRY)
            else:
                return frozenset(self._written.users)

    async def run(self) -> None:
        """Write every tombstone that it lacks, until cancelled."""
        while True:
            self._woken.clear()
            try:
                await self._look()
                await self._keep_up()
            except _PASSING as error:
                log.info("ledger_waits", error=type(error).__name__)
                await asyncio.sleep(RETRY)
                continue
            await set_within(self._woken, POLL)

    async def _keep_up(self) -> None:
        """Read the tombstones where there are others than the last time, and write those."""
        # Before them, so that what is destroyed meanwhile is looked for once more.
        number = await asyncio.to_thread(self._keyring.destructions)
        if number == self._upto:
            return
        for user_id in await asyncio.to_thread(self._keyring.destroyed) - self._written.users:
            await self._write(user_id)
        self._upto = number

    async def _look(self) -> None:
        """Declare the stream, and learn what stands in one that is not the one known."""
        await ensure_stream(
            self._js,
            StreamConfig(
                name=STREAM,
                subjects=[f"{SUBJECT}*"],
                storage=StorageType.FILE,
                num_replicas=self._replicas,
                deny_delete=True,
                deny_purge=True,
            ),
        )
        made = str((await self._js.stream_info(STREAM)).created)
        if made != self._made:
            found = await self._names()
            self._written.users.clear()
            self._written.add(*found)
            self._upto = None
            self._made = made

    async def _names(self) -> set[str]:
        found: set[str] = set()
        while True:
            asked = msgspec.json.encode({"subjects_filter": f"{SUBJECT}*", "offset": len(found)})
            answer = await self._client.request(
                f"$JS.API.STREAM.INFO.{STREAM}", asked, timeout=ANSWER
            )
            told = msgspec.json.decode(answer.data, type=_Info)
            found |= {subject.removeprefix(SUBJECT) for subject in told.state.subjects}
            if len(found) >= told.total:
                return found

    async def _write(self, user_id: str) -> None:
        try:
            # The first time alone: replicas may come with the same one.
            headers = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: "0"}
            await self._js.publish(f"{SUBJECT}{user_id}", stream=STREAM, headers=headers)
        except APIError as error:
            if error.err_code != WRONG_LAST_SEQUENCE:
                raise
        self._written.add(user_id)
