"""What operators have had charged, by START_SESSION: with which token, by which reference.

Kept apart from the tokens that they push: it lets nobody in, and is there for the bill.
"""

from __future__ import annotations

import secrets

import msgspec
from sqlalchemy import delete, select, update

from chargekey_common.database import Database
from chargekey_notifier.ocpi.tables import STARTS
from chargekey_notifier.ocpi.tokens import Token
from chargekey_notifier.sealing import Seal, UnsealableError


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A start that an operator has asked for; `named` where the reference is its own."""

    token: Token
    named: bool


_TOKEN = msgspec.json.Decoder(Token)


class Starts:
    """Safe from any thread; blocking. Raises DatabaseUnavailableError."""

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal

    def put(self, partner_id: str, token: Token, named: str | None, *, at: int) -> str | None:
        """Keep what is begun with, `at` nanoseconds since the epoch; return its reference.

        That is a new one where the operator has not `named` it, and None where it has named a
        start with another token so: nobody could tell whose session it is.
        """
        reference = named or secrets.token_hex(16)
        insert = self._database.insert(STARTS)
        kept = insert.on_conflict_do_update(
            index_elements=[STARTS.c.partner_id, STARTS.c.reference],
            set_={"at": insert.excluded.at},
        ).returning(STARTS.c.sealed)
        row = {
            "partner_id": partner_id,
            "reference": reference,
            "named": bool(named),
            "at": at,
            "sealed": self._seal.seal(msgspec.json.encode(token).decode(), partner_id),
        }
        with self._database.writing() as connection:
            known = self._open(connection.execute(kept, row).scalar_one(), partner_id)
            if known is None:  # of another secret
                mine = STARTS.c.partner_id == partner_id, STARTS.c.reference == reference
                connection.execute(update(STARTS).where(*mine).values(sealed=row["sealed"]))
        return reference if known is None or _same(known, token) else None

    def get(self, partner_id: str, reference: str) -> Start | None:
        """Return what was begun by this reference, if it was and nobody changed the secret."""
        found = select(STARTS.c.sealed, STARTS.c.named).where(
            STARTS.c.partner_id == partner_id, STARTS.c.reference == reference
        )
        with self._database.reading() as connection:
            row = connection.execute(found).first()
        token = None if row is None else self._open(row.sealed, partner_id)
        return None if row is None or token is None else Start(token=token, named=row.named)

    def forget(self, before: int) -> None:
        """Forget what was begun before this, in nanoseconds."""
        with self._database.writing() as connection:
            connection.execute(delete(STARTS).where(STARTS.c.at < before))

    def _open(self, sealed: bytes, partner_id: str) -> Token | None:
        try:
            return _TOKEN.decode(self._seal.open(sealed, partner_id))
        except UnsealableError:
            return None


def _same(one: Token, other: Token) -> bool:
    return _name(one) == _name(other)


def _name(token: Token) -> tuple[str, ...]:
    names = (token.country_code, token.party_id, token.uid, token.type)
    return tuple(each.lower() for each in names)
