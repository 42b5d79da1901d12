"""Events that a reaction could not read, set aside in the reacting service's own database.

They wait there in the order they came in, each with those behind it that are about
the same thing, until a version that can read them takes them out again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, LiteralString

import msgspec

from chargekey_common.positions import Position

# Runs a statement in the database's own way: `{table}` is its table of this name, `?`
# a value, and {bytes} its type of bytes. Returns the rows.
Execute = Callable[[LiteralString, Sequence[Any]], Sequence[Sequence[Any]]]

TABLE = "set_aside"
MAKE: LiteralString = """
    CREATE TABLE IF NOT EXISTS {table} (
        reaction TEXT NOT NULL,
        place BIGINT NOT NULL,
        event_id TEXT NOT NULL,
        about TEXT NOT NULL,
        service TEXT NOT NULL,
        generation TEXT NOT NULL,
        number BIGINT NOT NULL,
        subject TEXT NOT NULL,
        headers {bytes} NOT NULL,
        data {bytes} NOT NULL,
        PRIMARY KEY (reaction, event_id))"""
# An event that a refilled stream brings again keeps its place.
_PUT_IN: LiteralString = """
    INSERT INTO {table}
    VALUES (?, (SELECT COALESCE(MAX(place), 0) + 1 FROM {table}), ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING RETURNING event_id"""
_TAKE_OUT: LiteralString = """
    DELETE FROM {table} WHERE reaction = ? AND event_id = ? RETURNING event_id"""
_HOLDS: LiteralString = "SELECT event_id FROM {table} WHERE reaction = ? AND about = ? LIMIT 1"
_HAS: LiteralString = "SELECT event_id FROM {table} WHERE reaction = ? AND event_id = ?"
_WAITING: LiteralString = """
    SELECT event_id, service, generation, number, subject, headers, data FROM {table}
    WHERE reaction = ? ORDER BY place"""


class SetAside(msgspec.Struct, frozen=True):
    """A message as it came, and the reaction that waits for it to be readable."""

    reaction: str
    event_id: str
    position: Position
    subject: str
    headers: Mapping[str, str]
    data: bytes

    @property
    def about(self) -> str:
        """What the event is about: its subject up to the id."""
        return self.subject.rpartition(".")[0]


def put_in(execute: Execute, event: SetAside) -> None:
    """Set the event aside, behind all that its reaction has set aside before."""
    position = event.position
    execute(
        _PUT_IN,
        (
            event.reaction,
            event.event_id,
            event.about,
            position.service,
            position.generation,
            position.number,
            event.subject,
            msgspec.json.encode(event.headers),
            event.data,
        ),
    )


def take_out(execute: Execute, reaction: str, event_id: str) -> bool:
    """Take an event out, or return False where somebody has done so already."""
    return bool(execute(_TAKE_OUT, (reaction, event_id)))


def has(execute: Execute, reaction: str, event_id: str) -> bool:
    """Return whether this event is set aside."""
    return bool(execute(_HAS, (reaction, event_id)))


def holds(execute: Execute, reaction: str, about: str) -> bool:
    """Return whether an event about this is set aside: then no later one may overtake it."""
    return bool(execute(_HOLDS, (reaction, about)))


def waiting(execute: Execute, reaction: str) -> Sequence[SetAside]:
    """Return what the reaction has set aside, in the order it came."""
    return [
        SetAside(
            reaction,
            event_id,
            Position(service, generation, number),
            subject,
            msgspec.json.decode(bytes(headers), type=dict[str, str]),
            bytes(data),
        )
        for event_id, service, generation, number, subject, headers, data in execute(
            _WAITING, (reaction,)
        )
    ]
