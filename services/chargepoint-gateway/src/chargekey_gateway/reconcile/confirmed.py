"""What chargers have confirmed, durably and on every replica: a record a charger in a KV bucket.

Kept in memory, and written behind. Whoever has the connection writes; where another replica
did meanwhile, its word counts and the charger is looked at again. A record that is lost
means that the charger is asked, and sent everything, again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from nats.aio.client import Client
from nats.js import JetStreamContext

from chargekey_common.follower import Message
from chargekey_gateway.bucket import Bucket, declare_bucket
from chargekey_gateway.reconcile.charger_settings import Limits, stopping_group
from chargekey_gateway.view.entries import Charger

BUCKET = "CHARGERS_CONFIRMED"
STREAM = f"KV_{BUCKET}"
# Of a longer list only its version is remembered, and it is replaced rather than changed: a
# message of NATS has a megabyte at most.
MOST_REMEMBERED = 8_000


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one charger has confirmed; times in nanoseconds since the epoch.

    `list_digest` is of the wish that `list_version` fulfils, empty while it does not;
    `list_content` its marks by identification, None where nobody knows them.
    `list_wanted` counts who belonged into it, `list_entries` who is in it. Without
    `list_supported` the charger never said. `cache_cleared_as_of`: whom it accepted before
    something was taken from somebody then, it has forgotten. `settings` is the digest of the
    settings it was last told, whatever it took of them, since it booted; `master_pass` the group
    whose cards it lets stop sessions and begin none, empty where it knows no such group.
    `boot_missing` from its first connection to its first boot.
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
    master_pass: str = ""
    boot_missing: bool = False


NOTHING = Record()


class Confirmed:
    """The records of all chargers; belongs to one event loop.

    `run` must be running, and a Follower of `STREAM` must be handing its messages to
    `follow`.
    """

    def __init__(self, client: Client) -> None:
        """Write over `client`."""
        self._bucket = Bucket(
            client, BUCKET, Record, keys=r"[\w-]+", settle=self._settle, stored=self._stored
        )
        self._records: dict[str, Record] = {}
        self._told: dict[str, Record] = {}  # as the bucket last had them
        self._overtaken: list[Callable[[str], None]] = []

    def of(self, charger_id: str) -> Record:
        """Return what the charger has confirmed."""
        return self._records.get(charger_id, NOTHING)

    def knows_master_pass(self, charger: Charger) -> bool:
        """Whether the charger lets whoever is in its site's group stop, and begin nothing (C16).

        Nowhere where the site wants none, whatever the charger was told before.
        """
        group = stopping_group(charger)
        return bool(group) and self.of(charger.id).master_pass == group

    def put(self, charger_id: str, record: Record) -> None:
        """Know it at once, and have it written."""
        content = record.list_content
        if content is not None and len(content) > MOST_REMEMBERED:
            record = msgspec.structs.replace(record, list_content=None)
        if record != self.of(charger_id):
            self._records[charger_id] = record
            self._bucket.write_soon(charger_id)

    def change(self, charger_id: str, **changes: object) -> Record:
        """Put its record with these fields changed, and return that."""
        record = msgspec.structs.replace(self.of(charger_id), **changes)
        self.put(charger_id, record)
        return record

    def forget_list(self, charger_id: str) -> None:
        """Know that nobody knows which list the charger has."""
        self.change(charger_id, list_digest="", list_content=None)

    def on_overtaken(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the charger of which another replica wrote what is not known here.

        Also of those that nothing is written of here: whoever has the connection decides.
        """
        self._overtaken.append(listener)

    async def follow(self, messages: Sequence[Message]) -> None:
        """Take in what is in the bucket; what a Follower of `STREAM` calls."""
        for charger_id, there in self._bucket.read(messages):
            if not self._bucket.is_unwritten(charger_id):
                self._adopt(charger_id, there or NOTHING)

    def tell_again(self) -> None:
        """Have all that is known written into a bucket that was lost."""
        self._told.clear()
        for charger_id in self._records:
            self._bucket.write_soon(charger_id)

    async def idle(self) -> None:
        """Return once everything put here is in the bucket."""
        await self._bucket.idle()

    async def run(self) -> None:
        """Write until cancelled."""
        await self._bucket.run()

    def _adopt(self, charger_id: str, record: Record) -> None:
        known = self.of(charger_id)
        if record == known:
            self._told[charger_id] = known  # not a copy: its list may be that of many
            return
        self._told[charger_id] = self._records[charger_id] = record
        for listener in self._overtaken:
            listener(charger_id)

    def _settle(self, charger_id: str, there: Record | None) -> Record | None:
        """Write what is known, unless somebody else did since it was read."""
        record = self.of(charger_id)
        if there is not None and there not in (record, self._told.get(charger_id)):
            # Another replica's word. It has, or had, the connection.
            self._adopt(charger_id, there)
            return None
        if there == record:
            self._stored(charger_id, record)
            return None
        return record

    def _stored(self, charger_id: str, record: Record) -> None:
        self._told[charger_id] = record


async def declare_confirmed(js: JetStreamContext, *, replicas: int) -> None:
    """Declare the bucket or bring it in line: the stream that a KV bucket is."""
    await declare_bucket(js, BUCKET, replicas=replicas)
