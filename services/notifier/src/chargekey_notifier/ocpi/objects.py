"""What operators are told by OCPI, in tables: sites, sessions, CDRs, and what they have taken.

States as values; what they look like in OCPI is made of them when they are asked for or
pushed. Each change counts a version, so that what was pushed meanwhile is what was read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Literal, TypeVar

import msgspec
from sqlalchemy import Connection, case, delete, func, select, update

from chargekey_common.database import Database
from chargekey_notifier.ocpi.cdrs import Settled
from chargekey_notifier.ocpi.locations import Site
from chargekey_notifier.ocpi.messages import Page
from chargekey_notifier.ocpi.sessions import Charge
from chargekey_notifier.ocpi.tables import FOLLOWED, OBJECTS

State = TypeVar("State", Site, Charge, Settled)


class Kind(Generic[State]):
    """One of the three kinds, by the module's name in OCPI."""

    def __init__(self, name: Literal["location", "session", "cdr"], state: type[State]) -> None:
        self.name = name
        self.decoder: msgspec.json.Decoder[State] = msgspec.json.Decoder(state)


LOCATION = Kind("location", Site)
SESSION = Kind("session", Charge)
CDR = Kind("cdr", Settled)


class Object(msgspec.Struct, Generic[State], frozen=True, kw_only=True):
    """A state with when it was made and changed, in nanoseconds, and what was taken of it."""

    id: str
    changed_at: int
    version: int
    state: State
    taken: bytes | None


class Changes:
    """What is read and written of a partner's objects in one transaction."""

    def __init__(
        self, connection: Connection, database: Database, partner_id: str, now: int
    ) -> None:
        self._connection = connection
        self._partner_id = partner_id
        self._now = now
        insert = database.insert(OBJECTS)
        self._put = insert.on_conflict_do_update(
            index_elements=[OBJECTS.c.partner_id, OBJECTS.c.kind, OBJECTS.c.id],
            set_={
                # A clock that was set back does not make a change older than the one before.
                "changed_at": case(
                    (OBJECTS.c.changed_at > insert.excluded.changed_at, OBJECTS.c.changed_at),
                    else_=insert.excluded.changed_at,
                ),
                "version": OBJECTS.c.version + 1,
                **{name: insert.excluded[name] for name in ("listed", "going_on", "state")},
            },
        )

    def get(self, kind: Kind[State], key: str) -> State | None:
        """Return the object's state, which stays so for others until the transaction ends."""
        found = select(OBJECTS.c.state).where(
            OBJECTS.c.partner_id == self._partner_id,
            OBJECTS.c.kind == kind.name,
            OBJECTS.c.id == key,
        )
        found = found.with_for_update()
        state = self._connection.execute(found).scalar_one_or_none()
        return None if state is None else kind.decoder.decode(state)

    def put(
        self,
        kind: Kind[State],
        state: State,
        *,
        listed: bool = True,
        going_on: bool = False,
    ) -> None:
        """Write the object as it is from now on; when it is due stays as it was."""
        row = {
            "partner_id": self._partner_id,
            "kind": kind.name,
            "id": state.id,
            "made_at": self._now,
            "changed_at": self._now,
            "version": 1,
            "pushed": 0,
            "listed": listed,
            "going_on": going_on,
            "due_at": None,
            "state": msgspec.json.encode(state),
        }
        self._connection.execute(self._put, row)

    def due(self, kind: Kind[State], key: str, at: int | None) -> None:
        """Have the object seen to then, or not at all, which is no change of it."""
        self._connection.execute(
            update(OBJECTS)
            .where(
                OBJECTS.c.partner_id == self._partner_id,
                OBJECTS.c.kind == kind.name,
                OBJECTS.c.id == key,
            )
            .values(due_at=at)
        )

    def settle(self, at: int) -> None:
        """Have completed sessions that wait for an address seen to then."""
        self._connection.execute(
            update(OBJECTS)
            .where(
                OBJECTS.c.partner_id == self._partner_id,
                OBJECTS.c.kind == SESSION.name,
                OBJECTS.c.due_at.is_not(None),
                OBJECTS.c.going_on.is_(False),
            )
            .values(due_at=at)
        )

    def follow(self, after: int, to: int) -> bool:
        """Note the last event of the feed that this is made from.

        Returns whether it is made from those up to `after` so far: a replica that led
        before may still be at work.
        """
        mine = FOLLOWED.c.partner_id == self._partner_id
        followed = update(FOLLOWED).where(mine, FOLLOWED.c.number == after).values(number=to)
        return self._connection.execute(followed).rowcount == 1


class Objects:
    """Safe from any thread; blocking. Raises DatabaseUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: list[Callable[[], None]] = []
        self._new = database.insert(FOLLOWED).on_conflict_do_nothing()

    def on_changed(self, listener: Callable[[], None]) -> None:
        """Call `listener`, on the writing thread, after each change that was made here."""
        self._listeners.append(listener)

    @contextlib.contextmanager
    def changing(self, partner_id: str, now: int) -> Iterator[Changes]:
        """Commit all that is written inside, or nothing; `now` in nanoseconds."""
        with self._database.writing() as connection:
            yield Changes(connection, self._database, partner_id, now)
        for listener in self._listeners:
            listener()

    def number(self, partner_id: str) -> int:
        """Return the last event of the feed that the objects are made from."""
        with self._database.writing() as connection:
            row = {"partner_id": partner_id, "number": 0, "pushing": False}
            connection.execute(self._new, row)
            found = select(FOLLOWED.c.number).where(FOLLOWED.c.partner_id == partner_id)
            number: int = connection.execute(found).scalar_one()
        return number

    def due(self, partner_id: str, kind: Kind[State], *, now: int, limit: int) -> Sequence[State]:
        """Return what is to be seen to by now, the longest due first."""
        found = (
            select(OBJECTS.c.state)
            .where(
                OBJECTS.c.partner_id == partner_id,
                OBJECTS.c.kind == kind.name,
                OBJECTS.c.due_at <= now,
            )
            .order_by(OBJECTS.c.due_at)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [kind.decoder.decode(state) for (state,) in connection.execute(found)]

    def page(
        self, partner_id: str, kind: Kind[State], page: Page
    ) -> tuple[Sequence[Object[State]], int]:
        """Return the part of a list that is asked for, oldest first, and how many there are."""
        wanted = [
            OBJECTS.c.partner_id == partner_id,
            OBJECTS.c.kind == kind.name,
            OBJECTS.c.listed,
        ]
        if page.date_from is not None:
            wanted.append(OBJECTS.c.changed_at >= page.date_from)
        if page.date_to is not None:
            wanted.append(OBJECTS.c.changed_at < page.date_to)
        found = (
            select(*_OBJECT)
            .where(*wanted)
            .order_by(OBJECTS.c.made_at, OBJECTS.c.id)
            .offset(page.offset)
            .limit(page.limit)
        )
        with self._database.reading() as connection:
            rows = connection.execute(found).all()
        with self._database.reading() as connection:
            count = select(func.count()).select_from(OBJECTS).where(*wanted)
            total: int = connection.execute(count).scalar_one()
        return [_object(kind, *row) for row in rows], total

    def get(self, partner_id: str, kind: Kind[State], key: str) -> Object[State] | None:
        """Return one of those that are listed."""
        found = select(*_OBJECT).where(
            OBJECTS.c.partner_id == partner_id,
            OBJECTS.c.kind == kind.name,
            OBJECTS.c.id == key,
            OBJECTS.c.listed,
        )
        with self._database.reading() as connection:
            row = connection.execute(found).first()
        return None if row is None else _object(kind, *row)

    def unpushed(
        self, partner_id: str, kind: Kind[State], *, limit: int
    ) -> Sequence[Object[State]]:
        """Return what the operator has not taken as it is, in the order of its changes."""
        found = (
            select(*_OBJECT)
            .where(
                OBJECTS.c.partner_id == partner_id,
                OBJECTS.c.kind == kind.name,
                OBJECTS.c.listed,
                OBJECTS.c.version != OBJECTS.c.pushed,
            )
            .order_by(OBJECTS.c.changed_at, OBJECTS.c.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_object(kind, *row) for row in connection.execute(found)]

    def unpushed_one(self, partner_id: str, kind: Kind[State], key: str) -> Object[State] | None:
        """Return this one, if the operator has not taken it as it is."""
        found = select(*_OBJECT).where(
            OBJECTS.c.partner_id == partner_id,
            OBJECTS.c.kind == kind.name,
            OBJECTS.c.id == key,
            OBJECTS.c.listed,
            OBJECTS.c.version != OBJECTS.c.pushed,
        )
        with self._database.reading() as connection:
            row = connection.execute(found).first()
        return None if row is None else _object(kind, *row)

    def pushed(
        self, partner_id: str, kind: Kind[State], key: str, version: int, taken: bytes | None
    ) -> None:
        """Note that the operator needs this version no more, and what it has taken of it."""
        with self._database.writing() as connection:
            connection.execute(
                update(OBJECTS)
                .where(
                    OBJECTS.c.partner_id == partner_id,
                    OBJECTS.c.kind == kind.name,
                    OBJECTS.c.id == key,
                )
                .values(pushed=version, taken=taken)
            )

    def push_to(self, partner_id: str) -> None:
        """Have all pushed that goes on, and whatever comes, to an operator that is connected.

        What had ended before is there to be pulled.
        """
        with self._database.writing() as connection:
            row = {"partner_id": partner_id, "number": 0, "pushing": False}
            connection.execute(self._new, row)
            mine = FOLLOWED.c.partner_id == partner_id
            began = connection.execute(
                update(FOLLOWED).where(mine, FOLLOWED.c.pushing.is_(False)).values(pushing=True)
            )
            if not began.rowcount:
                return
            connection.execute(
                update(OBJECTS)
                .where(OBJECTS.c.partner_id == partner_id)
                .values(pushed=case((OBJECTS.c.going_on, 0), else_=OBJECTS.c.version), taken=None)
            )

    def push_to_no_more(self, connected: Sequence[str]) -> None:
        """Forget of all others that anything was pushed to them."""
        with self._database.writing() as connection:
            connection.execute(
                update(FOLLOWED)
                .where(FOLLOWED.c.pushing, FOLLOWED.c.partner_id.not_in(connected))
                .values(pushing=False)
            )

    def forget(self, before: int) -> None:
        """Forget sessions and CDRs that ended before this, in nanoseconds."""
        with self._database.writing() as connection:
            connection.execute(
                delete(OBJECTS).where(
                    OBJECTS.c.kind != LOCATION.name, OBJECTS.c.changed_at < before
                )
            )


_OBJECT = tuple(OBJECTS.c[name] for name in ("id", "changed_at", "version", "state", "taken"))


def _object(
    kind: Kind[State], key: str, changed_at: int, version: int, state: bytes, taken: bytes | None
) -> Object[State]:
    return Object(
        id=key,
        changed_at=changed_at,
        version=version,
        state=kind.decoder.decode(state),
        taken=taken,
    )
