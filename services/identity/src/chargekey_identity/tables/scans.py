"""Scans, and codes that nobody knows, for as long as they matter.

None of this is a fact of the domain: what comes of it is, an identification that was
added. Codes are sealed with AES-256-GCM under a key of the service's own, since they
are no user's yet, and are told apart by the id of the reservation they would have: once
they are somebody's, they are found and dropped by it, though his own key is destroyed.
A card that is to be presented twice is known by a keyed fingerprint that opens nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    RowMapping,
    Table,
    Text,
    UniqueConstraint,
    delete,
    select,
    update,
)

from chargekey_common import database
from chargekey_common.database import ID, NUMBER, Database
from chargekey_common.keyed_ids import classify
from chargekey_common.postgres import Postgres
from chargekey_identity.domain.events import IdentificationType
from chargekey_identity.domain.scan import Scan
from chargekey_identity.tables.reachable import reachable

KEPT = 24 * 3600 * 10**9
# Of one charger: who presents thousands there drives the older ones out.
MOST_CODES = 200
# Ids in one statement: databases take so many thousands.
_AT_ONCE = 1000
_NONCE = 12
_FINGERPRINT = 16

_TABLES = MetaData()
_SCANS = Table(
    "scans",
    _TABLES,
    Column("id", ID, primary_key=True),
    Column("charger_id", ID, nullable=False),
    Column("user_id", ID, nullable=False, index=True),
    Column("installation_id", ID, nullable=False),
    Column("type", Text, nullable=False),
    Column("started_by", Text, nullable=False),
    Column("twice", Boolean, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("first", LargeBinary, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("identification_id", ID, nullable=False),
    Column("position", Text, nullable=False),
    Column("refusal_code", Text, nullable=False),
    Column("refusal_sentence", Text, nullable=False),
)
# The last scan at each charger. Its row is what everybody locks who may end it.
_WINDOWS = Table(
    "scan_windows",
    _TABLES,
    Column("charger_id", ID, primary_key=True),
    Column("scan_id", ID),
)
_CODES = Table(
    "unknown_codes",
    _TABLES,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("id", ID, nullable=False, unique=True),
    Column("charger_id", ID, nullable=False),
    Column("installation_id", ID, nullable=False, index=True),
    Column("type", Text, nullable=False),
    Column("reservation_id", ID, nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
    Column("times", BigInteger, nullable=False),
    UniqueConstraint("charger_id", "reservation_id"),
    sqlite_autoincrement=True,  # pages are told apart by numbers: none comes twice
)


class UnknownCode(msgspec.Struct, frozen=True):
    """What was presented at a charger and is nobody's.

    `code` is in plain and never shown, `reservation_id` what it would be reserved by. `at`
    is the last time, in nanoseconds since the epoch.
    """

    number: int
    id: str
    charger_id: str
    installation_id: str
    type: IdentificationType
    reservation_id: str
    code: str
    at: int
    times: int

    def __repr__(self) -> str:
        return f"UnknownCode(id={self.id!r})"


class Window:
    """A charger's window while nobody else may change it."""

    def __init__(self, connection: Connection, charger_id: str) -> None:
        self._connection = connection
        self._charger_id = charger_id

    def last(self) -> Scan | None:
        """Return the charger's last scan, if there was one lately."""
        last = select(_WINDOWS.c.scan_id).where(_WINDOWS.c.charger_id == self._charger_id)
        found = select(_SCANS).where(_SCANS.c.id == last.scalar_subquery())
        row = self._connection.execute(found).mappings().first()
        return None if row is None else _scan(row)

    def scan(self, scan_id: str) -> Scan | None:
        """Return a scan of this charger, the last one or one before."""
        found = select(_SCANS).where(
            _SCANS.c.id == scan_id, _SCANS.c.charger_id == self._charger_id
        )
        row = self._connection.execute(found).mappings().first()
        return None if row is None else _scan(row)

    def open(self, scan: Scan) -> None:
        """Make it the charger's last."""
        self._connection.execute(_SCANS.insert(), msgspec.structs.asdict(scan))
        self._connection.execute(
            update(_WINDOWS)
            .where(_WINDOWS.c.charger_id == self._charger_id)
            .values(scan_id=scan.id)
        )

    def keep(self, scan: Scan) -> None:
        """Write down what has become of it."""
        row = msgspec.structs.asdict(scan)
        self._connection.execute(update(_SCANS).where(_SCANS.c.id == row.pop("id")).values(row))


class ScanTables:
    """What waits and what was presented; one a process, blocking, and safe from any thread.

    `secret` of 16 to 64 bytes is the one that makes the master key; the keys made of it
    here are others. Everything raises StoreUnavailableError while the tables cannot be
    used.
    """

    def __init__(self, where: Path | Postgres, secret: bytes) -> None:
        self._seal = AESGCM(
            hashlib.blake2b(digest_size=32, key=secret, person=b"identity-unknown").digest()
        )
        self._fingerprints = hashlib.blake2b(
            digest_size=_FINGERPRINT, key=secret, person=b"identity-scanned"
        )
        self._db = Database(where, _TABLES, overwriting=True)
        self._new_window = self._db.insert(_WINDOWS).on_conflict_do_nothing()
        new = self._db.insert(_CODES)
        self._remember = new.on_conflict_do_update(
            index_elements=[_CODES.c.charger_id, _CODES.c.reservation_id],
            set_={
                "at": new.excluded.at,
                "times": _CODES.c.times + 1,
                "installation_id": new.excluded.installation_id,
                "sealed": new.excluded.sealed,
            },
            # The same report once more is no other time.
            where=new.excluded.at > _CODES.c.at,
        )

    @staticmethod
    def migrate(where: Postgres) -> None:
        """Make the tables, once before the first replica; harmless to repeat."""
        database.migrate(where, _TABLES)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def fingerprint(self, token: str) -> bytes:
        """Return what a code is told from others by, however it is spelled."""
        digest = self._fingerprints.copy()
        digest.update("\0".join(classify(token)).encode())
        return digest.digest()

    @contextlib.contextmanager
    def window(self, charger_id: str) -> Iterator[Window]:
        """Hold a charger's window, on every replica, until all that is done is committed."""
        with reachable(), self._db.writing() as connection:
            connection.execute(self._new_window, {"charger_id": charger_id})
            mine = select(_WINDOWS).where(_WINDOWS.c.charger_id == charger_id)
            connection.execute(mine.with_for_update())
            yield Window(connection, charger_id)

    def scan(self, scan_id: str) -> Scan | None:
        """Return a scan that was started within a day or so."""
        with reachable(), self._db.reading() as connection:
            row = connection.execute(select(_SCANS).where(_SCANS.c.id == scan_id)).mappings()
            found = row.first()
        return None if found is None else _scan(found)

    def remember(self, code: UnknownCode) -> None:
        """Keep a code for a day from `at`, or count it once more; its number is given here.

        Of a charger's the latest MOST_CODES are kept.
        """
        row = msgspec.structs.asdict(code)
        del row["number"]
        row["sealed"] = self._sealed(row.pop("code"), code.reservation_id)
        of_charger = _CODES.c.charger_id == code.charger_id
        latest = select(_CODES.c.number).where(of_charger).order_by(_CODES.c.at.desc())
        with reachable(), self._db.writing() as connection:
            connection.execute(self._remember, row)
            connection.execute(
                delete(_CODES).where(of_charger, _CODES.c.number.not_in(latest.limit(MOST_CODES)))
            )

    def unknown_codes(
        self, installation_id: str, *, before: int | None, limit: int, now: int
    ) -> Sequence[UnknownCode]:
        """Return an installation's, those first that turned up first last.

        `before` is the number they come behind, None for the beginning.
        """
        wanted = select(_CODES).where(
            _CODES.c.installation_id == installation_id, _CODES.c.at > now - KEPT
        )
        if before is not None:
            wanted = wanted.where(_CODES.c.number < before)
        wanted = wanted.order_by(_CODES.c.number.desc()).limit(limit)
        with reachable(), self._db.reading() as connection:
            rows = connection.execute(wanted).mappings().all()
        return [self._code(row) for row in rows]

    def unknown_code(self, unknown_code_id: str, *, now: int) -> UnknownCode | None:
        """Return one that is kept still."""
        wanted = select(_CODES).where(_CODES.c.id == unknown_code_id, _CODES.c.at > now - KEPT)
        with reachable(), self._db.reading() as connection:
            row = connection.execute(wanted).mappings().first()
        return None if row is None else self._code(row)

    def forget_codes(self, reservation_ids: Iterable[str]) -> None:
        """Drop these wherever they were presented, for they are somebody's, or were."""
        theirs = list(reservation_ids)
        with reachable(), self._db.writing() as connection:
            for start in range(0, len(theirs), _AT_ONCE):
                some = _CODES.c.reservation_id.in_(theirs[start : start + _AT_ONCE])
                connection.execute(delete(_CODES).where(some))

    def forget_user(self, user_id: str) -> None:
        """Delete a user's scans (R20)."""
        with reachable(), self._db.writing() as connection:
            connection.execute(delete(_SCANS).where(_SCANS.c.user_id == user_id))

    def forget_old(self, now: int) -> int:
        """Delete what was presented, and the scans that ended, a day before `now`; say how many."""
        with reachable(), self._db.writing() as connection:
            codes = connection.execute(delete(_CODES).where(_CODES.c.at <= now - KEPT))
            scans = connection.execute(delete(_SCANS).where(_SCANS.c.expires_at <= now - KEPT))
        return codes.rowcount + scans.rowcount

    def _sealed(self, text: str, reservation_id: str) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._seal.encrypt(nonce, text.encode(), reservation_id.encode())

    def _code(self, row: RowMapping) -> UnknownCode:
        known = {name: row[name] for name in UnknownCode.__struct_fields__ if name != "code"}
        return UnknownCode(**known, code=self._unsealed(row["sealed"], row["reservation_id"]))

    def _unsealed(self, sealed: bytes, reservation_id: str) -> str:
        nonce, text = sealed[:_NONCE], sealed[_NONCE:]
        return self._seal.decrypt(nonce, text, reservation_id.encode()).decode()


def _scan(row: RowMapping) -> Scan:
    return Scan(**row)
