"""What SESSIONS has told, kept on the bus: a start without a file reads what came since.

An object store with one object, as NATS's own tools know it. A gateway that writes a file puts it
there, as its child has written it, once SESSIONS has gone on by `MANY` since what is there. There
is nothing in it that SESSIONS has not, which is kept for good: sessions as their starts told them
(`Beginning.event`: ids of users, groups and identifications, an operator's reference), keyed hashes
of starts, locks, and who was seen where, by ids; no code and no keyed id. So nobody's erasure has
to reach it.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
from pathlib import Path

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError
from nats.js.errors import NotFoundError as NothingThereError

from chargekey_common.jetstream import RETRY, WRONG_LAST_SEQUENCE, cancellably, ensure_stream
from chargekey_gateway.sessions.stream import STREAM as SESSIONS
from chargekey_gateway.snapshots import Place, Told

BUCKET = "KEPT_SESSIONS"
STREAM = f"OBJ_{BUCKET}"
# Of the form of `Told`: whoever changes that counts it up, and the view's own, too.
VERSION = 1
# Messages of SESSIONS, which a start reads in some ten seconds.
MANY = 1_000_000
CHUNK = 128 * 1024  # bytes, as NATS's own clients have it
# Of what is there, for each message that has come: so it weighs no more than they do.
BYTES_A_MESSAGE = 500
ATTEMPT = 5.0  # seconds for one answer of NATS
# So often it is tried anew while there is a bus: a start can do without.
ATTEMPTS = 5
PATIENCE = 600.0  # seconds for all of it

_OBJECT = "told"
_META = f"$O.{BUCKET}.M.{base64.urlsafe_b64encode(_OBJECT.encode()).decode()}"
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"

log = structlog.get_logger()


class _Of(msgspec.Struct, frozen=True):
    version: int
    sequence: int
    made: str


class _Object(msgspec.Struct, frozen=True):
    """What an object store says of an object; `metadata` is our own part."""

    nuid: str
    size: int
    chunks: int
    digest: str
    metadata: _Of

    @property
    def place(self) -> Place:
        """How far SESSIONS was read for it."""
        return Place(self.metadata.sequence, self.metadata.made)

    @property
    def lasts(self) -> int:
        """For how many messages it is as well to read these."""
        older = self.metadata.version < VERSION
        return 0 if older else max(MANY, self.size // BYTES_A_MESSAGE)


class KeptSessions:
    """Gets what is there, and puts there what is newer; belongs to one event loop.

    Of several that put at once one does, and nothing newer is ever replaced. Whoever reads while
    it is replaced reads what has taken its place.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._js = client.jetstream(timeout=ATTEMPT)

    async def get(self, known: Place | None) -> tuple[Place, Told] | None:
        """Return what is there and where in SESSIONS that is, where much came behind `known`.

        None, and a line in the log, where nothing newer counts, by the same rules as a file; also
        after `ATTEMPTS` that failed, or `PATIENCE` seconds. `known` is of the SESSIONS that there
        is.
        """
        left, trouble = ATTEMPTS, ""
        try:
            async with asyncio.timeout(PATIENCE):
                while left:
                    try:
                        return await self._get(known)
                    except NothingThereError:  # no SESSIONS yet
                        return None
                    except (nats.errors.Error, OSError) as error:
                        # One line a trouble, not one an attempt.
                        if trouble != (trouble := type(error).__name__):
                            log.info("kept_sessions_unread", error=trouble)
                        left -= self._client.is_connected  # without a bus there is no start anyway
                        await asyncio.sleep(RETRY)
        except TimeoutError:
            pass
        log.warning("kept_sessions_unusable", damaged=False)
        return None

    async def wants(self, place: Place) -> bool:
        """Whether SESSIONS has gone on so much up to `place` that it should be kept anew."""
        try:
            return await self._replaceable(place) is not None
        except (nats.errors.Error, OSError) as error:
            log.info("kept_sessions_unknown", error=type(error).__name__)
            return False

    async def put(self, file: Path, place: Place) -> None:
        """Put there what the file says SESSIONS has told up to `place`, where it is still wanted.

        What fails is told in the log, and left to whoever comes next.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                revision = await self._replaceable(place)
                if revision is not None:
                    await self._put(file, place, revision)
        except (nats.errors.Error, OSError) as error:
            if isinstance(error, APIError) and error.err_code == WRONG_LAST_SEQUENCE:
                log.info("kept_sessions_by_another")
            else:
                log.warning("kept_sessions_not_put", error=type(error).__name__)

    async def _get(self, known: Place | None) -> tuple[Place, Told] | None:
        tried = ""
        info = await cancellably(self._js.stream_info(SESSIONS))
        since = _since(info, known)
        if info.state.last_seq - since < MANY:
            return None  # which is read as soon
        while True:
            _, _, there = await self._look()
            if (
                there is None
                or there.metadata.version != VERSION
                or there.place.sequence - since < MANY
            ):
                log.info("kept_sessions_not_there")
                return None
            if there.nuid == tried:
                log.warning("kept_sessions_unusable", damaged=True)
                return None
            told = await self._content(there)
            if told is not None:
                log.info("kept_sessions_read", sequence=there.place.sequence)
                return there.place, told
            tried = there.nuid

    async def _look(self) -> tuple[StreamInfo, int, _Object | None]:
        """Return how SESSIONS is, the revision of what is kept, and that where it is of it."""
        revision, there = 0, None
        try:
            message = await cancellably(self._js.get_last_msg(STREAM, _META))
        except NothingThereError:
            pass
        else:
            revision, there = message.seq or 0, _object(message.data or b"")
        info = await cancellably(self._js.stream_info(SESSIONS))  # not older than what is there
        counts = there is not None and there.place.is_in(info)
        return info, revision, there if counts else None

    async def _replaceable(self, place: Place) -> int | None:
        """Return the revision that may be replaced by what is of `place`, None for none."""
        info, revision, there = await self._look()
        since = _since(info, None if there is None else there.place)
        enough = MANY if there is None else there.lasts
        return revision if place.is_in(info) and place.sequence - since >= enough else None

    async def _put(self, file: Path, place: Place, revision: int) -> None:
        # The first chunk is taken on an empty subject only: who else is as far has begun already.
        # One that was cut off is in the way of nobody who is a little further.
        about = f"{VERSION} {place.made} {place.sequence * 10 // MANY}"
        nuid = hashlib.blake2b(about.encode(), digest_size=16).hexdigest()
        digest = hashlib.sha256()
        first = last = size = chunks = 0
        content = await asyncio.to_thread(file.open, "rb")
        with content:
            while chunk := await asyncio.to_thread(content.read, CHUNK):
                digest.update(chunk)
                last = await self._publish(_chunks(nuid), chunk, last)
                first, size, chunks = first or last, size + len(chunk), chunks + 1
        about_it = {
            "name": _OBJECT,
            "bucket": BUCKET,
            "nuid": nuid,
            "size": size,
            "mtime": dt.datetime.now(dt.UTC).isoformat(),
            "chunks": chunks,
            "digest": _digest(digest.digest()),
            "metadata": {
                "version": str(VERSION),
                "sequence": str(place.sequence),
                "made": str(place.made),
            },
        }
        await self._publish(_META, msgspec.json.encode(about_it), revision, rollup="sub")
        # What it replaces, and whatever was left by those who did not come as far.
        await cancellably(self._js.purge_stream(STREAM, seq=first, subject=_chunks(">")))
        log.info("kept_sessions_put", sequence=place.sequence, size=size)

    async def _publish(self, subject: str, data: bytes, after: int, rollup: str = "") -> int:
        headers = {_EXPECTED: str(after)} | ({"Nats-Rollup": rollup} if rollup else {})
        stored = await cancellably(self._js.publish(subject, data, headers=headers))
        return stored.seq

    async def _content(self, there: _Object) -> Told | None:
        """Return what it says, None where it is not whole."""
        content, sequence = bytearray(), 0
        try:
            # One after the other: a consumer would go on to be sent all of it once nobody waits.
            for _ in range(there.chunks):
                asked = self._js.get_msg(
                    STREAM, seq=sequence + 1, subject=_chunks(there.nuid), next=True
                )
                message = await cancellably(asked)
                sequence = message.seq or 0
                content += message.data or b""
        except NothingThereError:
            return None
        return await asyncio.to_thread(_decoded, content, there.digest)


async def declare_kept_sessions(js: JetStreamContext, *, replicas: int) -> None:
    """Declare the object store or bring it in line: the stream that it is."""
    config = StreamConfig(
        name=STREAM,
        subjects=[_chunks(">"), f"$O.{BUCKET}.M.>"],
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        num_replicas=replicas,
        allow_rollup_hdrs=True,
        allow_direct=False,  # a direct read may come from a replica that is behind
    )
    await ensure_stream(js, config)


def _chunks(nuid: str) -> str:
    return f"$O.{BUCKET}.C.{nuid}"


def _since(info: StreamInfo, place: Place | None) -> int:
    """Return behind which sequence all is to be read, where what is of `place` is known."""
    return (info.config.first_seq or 1) - 1 if place is None else place.sequence


def _object(data: bytes) -> _Object | None:
    try:
        return msgspec.json.decode(data, type=_Object, strict=False)
    except msgspec.DecodeError:  # another's words, or somebody's deletion by hand
        return None


def _decoded(content: bytearray, digest: str) -> Told | None:
    if _digest(hashlib.sha256(content).digest()) != digest:
        return None
    try:
        return msgspec.msgpack.decode(content, type=Told)
    except msgspec.DecodeError:
        return None


def _digest(digest: bytes) -> str:
    return f"SHA-256={base64.urlsafe_b64encode(digest).decode()}"
