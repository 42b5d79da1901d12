"""What stores, streams and files hold, read past the services."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import nats.errors
from eventsourcing.persistence import Notification
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from chargekey_common import jetstream
from chargekey_common.positions import Position
from chargekey_common.published.envelope import POSITION_HEADER, RECORD_HEADER
from chargekey_common.relay import record_hash
from chargekey_stack.data_directory import DataDirectory

PRIVATE = ("access.v1.credential.", "identity.v1.key.")

Rows = Sequence[tuple[int, str]]
"""Of each event its number and the hash of its record, in order."""


def contents(directory: Path) -> dict[str, bytes]:
    """Return what every file below holds; one that goes meanwhile holds nothing."""
    found = {}
    for folder, _, names in os.walk(directory, onerror=_pass_over_gone):
        for file in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):
                if file.is_file():
                    found[str(file)] = file.read_bytes()
    return found


def _pass_over_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def stored(data: DataDirectory, service: str) -> Rows:
    """Return what the service's store holds; the service may be running."""
    return [(each.id, record_hash(each)) for each in notifications(data, service)]


def notifications(data: DataDirectory, service: str) -> Sequence[Notification]:
    """Return the rows of the service's store."""
    file = data.path / service / f"{service}.db"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT rowid, originator_id, originator_version, topic, state"
            " FROM stored_events ORDER BY rowid"
        ).fetchall()
    return [
        Notification(
            id=number,
            originator_id=originator,
            originator_version=version,
            topic=topic,
            state=state,
        )
        for number, originator, version, topic, state in rows
    ]


async def streamed(data: DataDirectory, nats_url: str, service: str) -> Rows:
    """Return what the service's stream holds."""
    return [
        (Position.parse(headers[POSITION_HEADER]).number, headers[RECORD_HEADER])
        for message in await messages(data, nats_url, service.upper())
        if not (message.subject or "").startswith(PRIVATE) and (headers := message.headers or {})
    ]


async def messages(data: DataDirectory, nats_url: str, stream: str) -> Sequence[RawStreamMsg]:
    """Return every message of a stream; none while there is no stream."""
    token = data.token("nats_token").read_text()
    client = await jetstream.connect(jetstream.Bus(nats_url, lambda: token), "records")
    try:
        js = client.jetstream()
        try:
            state = (await js.stream_info(stream)).state
        except nats.errors.Error:
            return []
        found = []
        for sequence in range(state.first_seq, state.last_seq + 1):
            try:
                found.append(await js.get_msg(stream, seq=sequence))
            except NotFoundError:
                continue  # securely deleted
        return found
    finally:
        await client.close()
