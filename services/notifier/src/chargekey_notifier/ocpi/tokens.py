"""Operators' tokens, as they pushed them or had them fetched: drivers' cards, so all sealed.

Found by a keyed hash of what is presented: a copy of the database tells of nobody's card.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec
from sqlalchemy import Connection, select, update

from chargekey_common.database import Database
from chargekey_notifier.ocpi.messages import (
    CiString2,
    CiString3,
    CiString36,
    LocationReferences,
    Message,
    nanoseconds,
)
from chargekey_notifier.ocpi.tables import TOKEN_COUNTS, TOKENS
from chargekey_notifier.sealing import Seal, UnsealableError

TokenType = Literal["AD_HOC_USER", "APP_USER", "OTHER", "RFID"]
Whitelist = Literal["ALWAYS", "ALLOWED", "ALLOWED_OFFLINE", "NEVER"]
Allowed = Literal["ALLOWED", "BLOCKED", "EXPIRED", "NO_CREDIT", "NOT_ALLOWED"]
ProfileType = Literal["CHEAP", "FAST", "GREEN", "REGULAR"]
AT_ONCE = 500
MOST = 1_000_000  # of one operator's


class EnergyContract(Message, frozen=True, kw_only=True):
    """Whose energy a driver would like (§12.4.2)."""

    supplier_name: Annotated[str, msgspec.Meta(max_length=64)]
    contract_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class Token(Message, frozen=True, kw_only=True):
    """What a driver presents (§12.3.2)."""

    country_code: CiString2
    party_id: CiString3
    uid: CiString36
    type: TokenType
    contract_id: CiString36
    visual_number: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    issuer: Annotated[str, msgspec.Meta(max_length=64)]
    group_id: CiString36 | None = None
    valid: bool
    whitelist: Whitelist
    language: Annotated[str, msgspec.Meta(max_length=2)] | None = None
    default_profile_type: ProfileType | None = None
    energy_contract: EnergyContract | None = None
    last_updated: dt.datetime

    def __repr__(self) -> str:
        """Show nothing: it is a code."""
        return "Token"


class AuthorizationInfo(Message, frozen=True, kw_only=True):
    """Who may charge where (§12.3.1)."""

    allowed: Allowed
    token: Token
    location: LocationReferences | None = None


class Put(msgspec.Struct):
    """What became of tokens; what is in neither was older than what is known."""

    kept: list[Token] = []
    left_out: list[Token] = []  # there are too many


_TOKEN = msgspec.json.Decoder(Token)


class Tokens:
    """Safe from any thread; blocking. Raises DatabaseUnavailableError."""

    def __init__(self, database: Database, seal: Seal, secret: bytes, *, most: int = MOST) -> None:
        """Keep `most` of an operator's in `database`."""
        self._database = database
        self.most = most
        self._seal = seal
        self._keyed = hashlib.blake2b(
            digest_size=16, key=hashlib.sha256(secret).digest(), person=b"ocpi-token"
        )

    def put(self, partner_id: str, *tokens: Token) -> Put:
        """Keep these, each unless a newer one is known, and new ones up to `most` in all.

        What is known already is changed all the same: it may be blocked.
        """
        known = TOKENS.c.partner_id == partner_id
        new = self._database.insert(TOKENS).on_conflict_do_nothing()
        put = Put()
        with self._database.writing() as connection:
            before = self._counted(connection, partner_id, 0)
            count = before
            for each in tokens:
                row = {
                    "key": self._key(each),
                    "last_updated": nanoseconds(each.last_updated),
                    "sealed": self._seal.seal(msgspec.json.encode(each).decode(), partner_id),
                }
                this = (known, TOKENS.c.key == row["key"])
                newer = update(TOKENS).where(*this, TOKENS.c.last_updated <= row["last_updated"])
                # psycopg counts no inserted rows unless it is asked to.
                counted = {"preserve_rowcount": True}
                if connection.execute(newer.values(row)).rowcount:
                    put.kept.append(each)
                elif count < self.most:
                    inserted = {"partner_id": partner_id, **row}
                    if connection.execute(new, inserted, execution_options=counted).rowcount:
                        put.kept.append(each)
                        count += 1
                elif connection.execute(select(TOKENS.c.key).where(*this)).first() is None:
                    put.left_out.append(each)
            self._counted(connection, partner_id, count - before)
        return put

    def get(
        self, partner_id: str, country_code: str, party_id: str, uid: str, kind: str
    ) -> Token | None:
        """Return the one that is called so."""
        return self._found(partner_id, self._hash(country_code, party_id, uid, kind))

    def _found(self, partner_id: str, key: bytes) -> Token | None:
        found = select(TOKENS.c.sealed).where(
            TOKENS.c.partner_id == partner_id, TOKENS.c.key == key
        )
        with self._database.reading() as connection:
            sealed = connection.execute(found).scalar_one_or_none()
        return None if sealed is None else self._open(sealed, partner_id)

    def reference(self, token: Token) -> str:
        """Return what sessions of a token are known by, up to 36 characters; the same each time."""
        return self._key(token).hex()

    def referred(self, partner_id: str, reference: str) -> Token | None:
        """Return the one that is known by this."""
        try:
            key = bytes.fromhex(reference)
        except ValueError:
            return None
        return self._found(partner_id, key)

    def of(self, partner_id: str) -> Iterator[Sequence[Token]]:
        """Yield all that are known, some at a time; none of another secret's, which none finds."""
        behind = b""
        while True:
            found = (
                select(TOKENS.c.key, TOKENS.c.sealed)
                .where(TOKENS.c.partner_id == partner_id, TOKENS.c.key > behind)
                .order_by(TOKENS.c.key)
                .limit(AT_ONCE)
            )
            with self._database.reading() as connection:
                rows = connection.execute(found).all()
            if not rows:
                return
            tokens: list[Token] = []
            for _, sealed in rows:
                with contextlib.suppress(UnsealableError):
                    tokens.append(self._open(sealed, partner_id))
            yield tokens
            behind = rows[-1][0]

    def count(self, partner_id: str) -> int:
        """Return how many are known."""
        found = select(TOKEN_COUNTS.c.tokens).where(TOKEN_COUNTS.c.partner_id == partner_id)
        with self._database.reading() as connection:
            number: int = connection.execute(found).scalar_one_or_none() or 0
        return number

    def _counted(self, connection: Connection, partner_id: str, more: int) -> int:
        """Return how many are known with these; another writer of the operator's waits."""
        insert = self._database.insert(TOKEN_COUNTS)
        counted = insert.on_conflict_do_update(
            index_elements=[TOKEN_COUNTS.c.partner_id],
            set_={"tokens": TOKEN_COUNTS.c.tokens + insert.excluded.tokens},
        ).returning(TOKEN_COUNTS.c.tokens)
        row = {"partner_id": partner_id, "tokens": more}
        number: int = connection.execute(counted, row).scalar_one()
        return number

    def _open(self, sealed: bytes, partner_id: str) -> Token:
        return _TOKEN.decode(self._seal.open(sealed, partner_id))

    def _key(self, token: Token) -> bytes:
        return self._hash(token.country_code, token.party_id, token.uid, token.type)

    def _hash(self, *names: str) -> bytes:
        keyed = self._keyed.copy()
        keyed.update("\x00".join(names).lower().encode())
        return keyed.digest()
