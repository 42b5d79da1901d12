"""Operators that we speak OCPI with: what each is called with, calls us with, and answers.

The token that one calls us with is kept as a hash, the one that we call it with sealed. A
peer is a partner: one connection each.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, select, update

from chargekey_common.database import Database
from chargekey_notifier.ocpi.messages import CredentialsRole, InterfaceRole, Module
from chargekey_notifier.ocpi.tables import PEERS, TOKEN_COUNTS, TOKENS
from chargekey_notifier.sealing import Seal, UnsealableError

State = Literal["offered", "connected", "ended"]


class Credential(msgspec.Struct, frozen=True):
    """What somebody is called with: in base64, as 2.2.1 says (§4.1.1), or plain, as before."""

    token: str
    encoded: bool = True

    def __repr__(self) -> str:
        return "Credential"


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """An operator. `credential` is what it is called with.

    None while it is only `offered`, and where it was sealed under another secret: it calls us
    all the same, and is called again after another handshake. `token_hash` is of what it calls
    us with, and another one after every handshake.
    """

    partner_id: str
    state: State
    token_hash: bytes
    credential: Credential | None = None
    tokens_encoded: bool = True
    versions_url: str = ""
    roles: tuple[CredentialsRole, ...] = ()
    modules: tuple[Module, ...] = ()
    decision_url: str = ""
    unsettled: bool = False
    pulled_at: int = 0

    def module(self, identifier: str, role: InterfaceRole) -> str | None:
        """Return where it answers a module in this role, if it does."""
        found = (each.url for each in self.modules if each.identifier == identifier)
        wanted = (each.url for each in self.modules if _is(each, identifier, role))
        # Credentials are symmetric: whichever role is said there.
        return next(found if identifier == "credentials" else wanted, None)

    @property
    def operator(self) -> CredentialsRole | None:
        """As whom it sends drivers; the first thing that it is where that is nothing."""
        drivers = (each for each in self.roles if each.role == "EMSP")
        return next(drivers, next(iter(self.roles), None))

    def is_called(self, country_code: str, party_id: str) -> bool:
        """Whether it is one of the parties that it said it is."""
        return any(each.is_called(country_code, party_id) for each in self.roles)


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What a handshake came to."""

    credential: Credential
    versions_url: str
    roles: tuple[CredentialsRole, ...]
    modules: tuple[Module, ...]

    def __repr__(self) -> str:
        return "Registration"


def new_token() -> str:
    """Return a token for somebody to call us with."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """Return what a token of ours is kept as: there are 256 random bits in it."""
    return hashlib.sha256(token.encode()).digest()


_ROLES = msgspec.json.Decoder(tuple[CredentialsRole, ...])
_MODULES = msgspec.json.Decoder(tuple[Module, ...])


class Peers:
    """Safe from any thread; blocking. Raises DatabaseUnavailableError."""

    def __init__(self, database: Database, seal: Seal) -> None:
        self.database = database
        self._seal = seal

    def offer(self, connection: Connection, partner_id: str, token: str) -> bool:
        """Let whoever calls with `token` register; return whether it is not connected already.

        Replaces an offer that was made before.
        """
        row = {
            "partner_id": partner_id,
            "state": "offered",
            "token_hash": token_hash(token),
            "tokens_encoded": True,
            "versions_url": "",
            "roles": b"[]",
            "modules": b"[]",
            "decision_url": "",
            "unsettled": False,
            "pulled_at": 0,
        }
        insert = self.database.insert(PEERS)
        offered = insert.on_conflict_do_update(
            index_elements=[PEERS.c.partner_id],
            set_={"state": "offered", "token_hash": insert.excluded.token_hash},
            where=PEERS.c.state != "connected",
        )
        # psycopg counts no inserted rows unless it is asked to.
        counted = {"preserve_rowcount": True}
        return connection.execute(offered, row, execution_options=counted).rowcount == 1

    def register(
        self,
        connection: Connection,
        partner_id: str,
        called_with: str,
        registration: Registration,
        token: str,
    ) -> bool:
        """Connect who has called with the first token, and from now on calls with the second.

        Returns whether that was so: another handshake may have been faster.
        """
        credential = registration.credential
        values = {
            "state": "connected",
            "token_hash": token_hash(token),
            "sealed_token": self._seal.seal(credential.token, partner_id),
            "tokens_encoded": credential.encoded,
            "versions_url": registration.versions_url,
            "roles": msgspec.json.encode(registration.roles),
            "modules": msgspec.json.encode(registration.modules),
            "unsettled": True,
            "pulled_at": 0,
        }
        standing = PEERS.c.token_hash == token_hash(called_with)
        return _changed(connection, partner_id, values, standing)

    def withdraw(self, partner_id: str, token: str) -> None:
        """Withdraw the offer of this token, if it still stands."""
        gone = delete(PEERS).where(
            PEERS.c.partner_id == partner_id,
            PEERS.c.state == "offered",
            PEERS.c.token_hash == token_hash(token),
        )
        with self.database.writing() as connection:
            connection.execute(gone)

    def end(self, connection: Connection, partner_id: str) -> bool:
        """Forget both sides' credentials; return whether there was anything.

        `forget` removes the rest, once access and the gateway have heard of it.
        """
        values = {
            "state": "ended",
            # Nobody's: a partner's id is no hash.
            "token_hash": partner_id.encode(),
            "sealed_token": None,
            "modules": b"[]",
            "unsettled": True,
        }
        return _changed(connection, partner_id, values, PEERS.c.state != "ended")

    def forget(self, partner_id: str) -> None:
        """Forget what has ended, and what it pushed."""
        mine = PEERS.c.partner_id == partner_id
        with self.database.writing() as connection:
            connection.execute(delete(PEERS).where(mine, PEERS.c.state == "ended"))
            if connection.execute(select(PEERS.c.state).where(mine)).first() is None:
                for table in (TOKENS, TOKEN_COUNTS):
                    connection.execute(delete(table).where(table.c.partner_id == partner_id))

    def settled(self, peer: Peer, decision_url: str, *, unsettled: bool = False) -> None:
        """Note where access has it asked because of us, unless the connection is another now.

        `unsettled` before that is so: what may have been set is ours to remove.
        """
        values = {"decision_url": decision_url, "unsettled": unsettled}
        same = PEERS.c.token_hash == peer.token_hash
        with self.database.writing() as connection:
            _changed(connection, peer.partner_id, values, same)

    def pulled(self, peer: Peer, at: int) -> None:
        """Note when its tokens were fetched, unless it is another connection now."""
        same = PEERS.c.token_hash == peer.token_hash
        with self.database.writing() as connection:
            _changed(connection, peer.partner_id, {"pulled_at": at}, same)

    def get(self, partner_id: str) -> Peer | None:
        """Return the operator, if there is anything between us."""
        return next(iter(self._where(PEERS.c.partner_id == partner_id)), None)

    def calling_with(self, token: str) -> Peer | None:
        """Return whoever calls with this token."""
        return next(iter(self._where(PEERS.c.token_hash == token_hash(token))), None)

    def all(self) -> Sequence[Peer]:
        """Return every operator, whatever its state."""
        return self._where()

    def connected(self) -> Sequence[Peer]:
        """Return the operators that are connected."""
        return self._where(PEERS.c.state == "connected")

    def _where(self, *which: ColumnElement[bool]) -> Sequence[Peer]:
        found = select(PEERS).where(*which).order_by(PEERS.c.partner_id)
        with self.database.reading() as connection:
            rows = connection.execute(found).mappings().all()
        peers = []
        for row in rows:
            sealed = row["sealed_token"]
            partner_id = row["partner_id"]
            credential = None
            if sealed is not None:
                with contextlib.suppress(UnsealableError):
                    token = self._seal.open(sealed, partner_id)
                    credential = Credential(token, encoded=row["tokens_encoded"])
            peers.append(
                Peer(
                    partner_id=partner_id,
                    state=row["state"],
                    token_hash=row["token_hash"],
                    credential=credential,
                    tokens_encoded=row["tokens_encoded"],
                    versions_url=row["versions_url"],
                    roles=_ROLES.decode(row["roles"]),
                    modules=_MODULES.decode(row["modules"]),
                    decision_url=row["decision_url"],
                    unsettled=row["unsettled"],
                    pulled_at=row["pulled_at"],
                )
            )
        return peers


def _changed(
    connection: Connection,
    partner_id: str,
    values: Mapping[str, object],
    *which: ColumnElement[bool],
) -> bool:
    changed = update(PEERS).where(PEERS.c.partner_id == partner_id, *which).values(values)
    return connection.execute(changed).rowcount == 1


def _is(module: Module, identifier: str, role: InterfaceRole) -> bool:
    return module.identifier == identifier and module.role == role
