"""What operators' decision endpoints are called with, sealed, and overwritten once replaced.

The secret that seals is that of the chargers' passwords: `person` keeps its uses apart. A
copy of the database without it tells nothing.
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Column, LargeBinary, MetaData, Table, delete, select

from chargekey_access.domain.errors import DecisionEndpointUnknownError
from chargekey_common import database
from chargekey_common.database import ID, Database, DatabaseUnavailableError
from chargekey_common.eventstore.store import StoreUnavailableError
from chargekey_common.postgres import Postgres

NONCE = 12
_KEY_BYTES = 24  # Standard Webhooks: 24 to 64
# As Standard Webhooks writes a key of HMAC-SHA256.
_PREFIX = "whsec_"

_TABLES = MetaData()
_SECRETS = Table(
    "endpoint_secrets",
    _TABLES,
    Column("id", ID, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

log = structlog.get_logger()


class EndpointSecrets:
    """Keeps and tells them; blocking, and safe from any thread.

    Whatever reads or writes raises StoreUnavailableError.
    """

    def __init__(self, where: Path | Postgres, secret: bytes) -> None:
        """Seal under `secret`, 16 to 64 bytes."""
        key = hashlib.blake2b(digest_size=32, key=secret, person=b"endpoint-secret")
        self._seal = AESGCM(key.digest())
        self._keyed = hashlib.blake2b(digest_size=_KEY_BYTES, key=secret, person=b"webhook-key")
        self._db = Database(where, _TABLES, overwriting=True)

    @staticmethod
    def migrate(where: Postgres) -> None:
        """Make the table, once before the first replica; harmless to repeat."""
        database.migrate(where, _TABLES)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def made_for(self, asker: str) -> str:
        """Return a webhook's key for whoever asks, the same every time, and keep nothing."""
        made = self._keyed.copy()
        made.update(asker.encode())
        return _PREFIX + base64.b64encode(made.digest()).decode()

    def keep(self, secret_id: str, secret: str) -> None:
        """Keep it durably; what is kept under the id already stays."""
        nonce = os.urandom(NONCE)
        sealed = nonce + self._seal.encrypt(nonce, secret.encode(), secret_id.encode())
        row = {"id": secret_id, "sealed": sealed}
        try:
            with self._db.writing() as connection:
                connection.execute(self._db.insert(_SECRETS).on_conflict_do_nothing(), row)
        except DatabaseUnavailableError as error:
            raise StoreUnavailableError from error

    def forget(self, secret_id: str) -> None:
        """Keep it no longer."""
        try:
            with self._db.writing() as connection:
                connection.execute(delete(_SECRETS).where(_SECRETS.c.id == secret_id))
        except DatabaseUnavailableError as error:
            raise StoreUnavailableError from error

    def read(self, secret_id: str) -> str:
        """Return it; raises DecisionEndpointUnknownError where it is lost, or sealed otherwise.

        As after a backup of the events alone, or with another secret: set it again.
        """
        try:
            with self._db.reading() as connection:
                found = select(_SECRETS.c.sealed).where(_SECRETS.c.id == secret_id)
                sealed: bytes | None = connection.execute(found).scalar_one_or_none()
        except DatabaseUnavailableError as error:
            raise StoreUnavailableError from error
        if sealed is None:
            log.error("endpoint_secret_lost")
            raise DecisionEndpointUnknownError
        try:
            return self._seal.decrypt(sealed[:NONCE], sealed[NONCE:], secret_id.encode()).decode()
        except InvalidTag:
            log.error("endpoint_secret_unreadable")  # noqa: TRY400 - a matter of deployment
            raise DecisionEndpointUnknownError from None
