"""What the feeds are made from: sites, who holds what there, and which partner is told of it.

Held in memory and written in rows of the feeds' own database, in the transaction of what is
told by it. Rows are values; what is changed is noted until it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from chargekey_common.published.access import (
    AuthenticationType,
    IdentificationType,
    OnOperatorTimeout,
    Override,
    Role,
    RunningSessions,
)
from chargekey_common.published.identity import IdentificationStatus


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A thing with the id it is found by among its kind."""

    id: str


class Bookmark(Row, frozen=True, kw_only=True):
    """How far a stream has been read: `id` is its name.

    `generation` and `number` are the position in the store behind the stream, where there is
    one. `newest` is the latest time of an event, `again_until` the one up to which a stream
    without positions is being told again.
    """

    made: str | None = None
    sequence: int = 0
    generation: str = ""
    number: int = 0
    newest: int = 0
    again_until: int = 0


class Site(Row, frozen=True, kw_only=True):
    """What access told of an installation; what it starts with is not told."""

    authorisation_required: bool = True
    authentication_type: AuthenticationType = "NATIVE"
    on_block: RunningSessions = "STOP"
    on_revoke: RunningSessions = "FINISH"
    on_operator_timeout: OnOperatorTimeout = "DENY"
    managed_by: str | None = None
    overrides_allowed: bool = False


class Charger(Row, frozen=True, kw_only=True):
    """What access told of a charger."""

    installation_id: str
    ocpp_identity: str
    authorisation_override: Override
    identification_types: tuple[IdentificationType, ...]


class Connection(Row, frozen=True, kw_only=True):
    """What a charger, `id`, told of itself; `ocpp_version` while it is online."""

    ocpp_version: str | None = None
    connectors: Mapping[int, tuple[str, str]] = {}


class Permission(Row, frozen=True, kw_only=True):
    """What a user holds at a site, or at one charger of it."""

    installation_id: str
    charger_id: str | None = None
    user_id: str
    roles: tuple[Role, ...]
    valid_until: int | None = None


class SiteBlock(Row, frozen=True, kw_only=True):
    """A user who is refused at a site, by that."""

    installation_id: str
    user_id: str


class UserBlock(Row, frozen=True, kw_only=True):
    """A user who is refused with everything, at his one site or everywhere, by identity."""

    user_id: str
    installation_id: str | None = None


class Identification(Row, frozen=True, kw_only=True):
    """What a user presents; at one site only, where one is named."""

    user_id: str
    type: IdentificationType
    status: IdentificationStatus
    installation_id: str | None = None
    valid_until: int | None = None


class Session(Row, frozen=True, kw_only=True):
    """A session that runs, as its start was told; see `SessionStarted`."""

    installation_id: str
    charger_id: str
    connector: int
    started_at: int
    reason: str
    user_id: str | None = None
    identification_id: str | None = None
    meter_start: int | None = None
    offline: bool = False
    authorization_reference: str | None = None
    by_operator: bool = False


class Scope(Row, frozen=True, kw_only=True):
    """A partner's access to a site, or to one charger of it, by the permission of this id.

    It began at `since` and ends at `ends`. Once it is taken, `ended_by` is the id that its end
    will be told under, and it stays for what is in `awaits`: sessions that ran then, the only
    ones that are still told of. An access that stays and shows sessions no longer awaits those
    it has shown, too.
    """

    partner_id: str
    installation_id: str
    charger_id: str | None = None
    roles: tuple[Role, ...]
    since: int
    ends: int | None = None
    ended_by: str | None = None
    awaits: tuple[str, ...] = ()


class Mention(Row, frozen=True, kw_only=True):
    """A user whose id a partner has been told."""

    partner_id: str
    user_id: str


AnyRow = TypeVar("AnyRow", bound=Row)


class Rows(Generic[AnyRow]):
    """The rows of one kind by their ids, and by the fields in `by`; remembers what changes."""

    def __init__(self, kind: str, form: type[AnyRow], *by: str, stream: str = "") -> None:
        """Keep what `stream` alone tells, if it is that of a store."""
        self.kind = kind
        self.stream = stream
        self.form = form
        self.changed: dict[str, None] = {}
        self._rows: dict[str, AnyRow] = {}
        self._by: dict[str, dict[Any, set[str]]] = {field: {} for field in by}

    def get(self, row_id: str) -> AnyRow | None:
        """Return the row of this id."""
        return self._rows.get(row_id)

    def where(self, field: str, value: str) -> Sequence[AnyRow]:
        """Return the rows with this value, in the order of their ids: of every replay, too."""
        return [self._rows[row_id] for row_id in sorted(self._by[field].get(value, ()))]

    def __iter__(self) -> Iterator[AnyRow]:
        return iter(list(self._rows.values()))

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, row: AnyRow) -> None:
        """Have the row, in place of the one of its id."""
        before = self._rows.get(row.id)
        if before == row:
            return
        self._rows[row.id] = row
        self.changed[row.id] = None
        for field, listed in self._by.items():
            value = getattr(row, field)
            if before is not None and getattr(before, field) != value:
                self._unlist(before, field)
            listed.setdefault(value, set()).add(row.id)

    def drop(self, row_id: str) -> AnyRow | None:
        """Have no row of this id any more; return the one there was."""
        row = self._rows.pop(row_id, None)
        if row is not None:
            self.changed[row_id] = None
            for field in self._by:
                self._unlist(row, field)
        return row

    def _unlist(self, row: AnyRow, field: str) -> None:
        listed = self._by[field]
        value = getattr(row, field)
        listed[value].remove(row.id)
        if not listed[value]:
            del listed[value]


class Memory:
    """All of it. Not thread-safe."""

    def __init__(self) -> None:
        self.bookmarks = Rows("bookmark", Bookmark)
        self.sites = Rows("site", Site, stream="ACCESS")
        self.chargers = Rows("charger", Charger, "installation_id", stream="ACCESS")
        self.connections = Rows("connection", Connection)
        self.permissions = Rows(
            "permission", Permission, "installation_id", "user_id", stream="ACCESS"
        )
        self.site_blocks = Rows("site_block", SiteBlock, "user_id", stream="ACCESS")
        self.user_blocks = Rows("user_block", UserBlock, "user_id", stream="IDENTITY")
        self.identifications = Rows("identification", Identification, "user_id", stream="IDENTITY")
        self.sessions = Rows("session", Session, "charger_id", "installation_id")
        self.scopes = Rows("scope", Scope, "installation_id", "partner_id", stream="ACCESS")
        self.mentions = Rows("mention", Mention, "user_id")

    @property
    def kinds(self) -> Sequence[Rows[Any]]:
        """Every kind of rows."""
        return [each for each in vars(self).values() if isinstance(each, Rows)]

    def load(self, stored: Iterable[tuple[str, bytes]]) -> None:
        """Take over rows as they were written: their kind and value."""
        kinds = {rows.kind: (rows, msgspec.json.Decoder(rows.form)) for rows in self.kinds}
        for kind, value in stored:
            rows, decoder = kinds[kind]
            rows.put(decoder.decode(value))
        for rows in self.kinds:
            rows.changed.clear()

    def without(self, stream: str) -> Memory:
        """Return a copy that knows nothing of what the stream told."""
        copy = Memory()
        for mine, others in zip(self.kinds, copy.kinds, strict=True):
            if mine.stream != stream:
                for row in mine:
                    others.put(row)
                others.changed.clear()
        return copy

    def note_changes(self, before: Memory) -> None:
        """Have all that is otherwise than before written."""
        for mine, others in zip(self.kinds, before.kinds, strict=True):
            ids = {row.id for rows in (mine, others) for row in rows}
            mine.changed = dict.fromkeys(
                row_id for row_id in sorted(ids) if mine.get(row_id) != others.get(row_id)
            )

    def changes(self) -> Sequence[tuple[str, str, bytes | None]]:
        """Return what has changed since the last time: kind, id and the value, None if gone."""
        found = [
            (rows.kind, row_id, None if (row := rows.get(row_id)) is None else _encode(row))
            for rows in self.kinds
            for row_id in rows.changed
        ]
        for rows in self.kinds:
            rows.changed.clear()
        return found


def _encode(row: Row) -> bytes:
    return msgspec.json.encode(row)
