"""Webhooks in tables: where they are, how far each has come, what became of each attempt."""

from __future__ import annotations

import base64
import contextlib
import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    func,
    select,
    update,
)

from chargekey_common import database
from chargekey_common.database import ID, NUMBER, Database
from chargekey_common.eventstore.store import Context
from chargekey_common.postgres import Postgres
from chargekey_notifier import receipts
from chargekey_notifier.errors import TooManyWebhooksError, WebhookUnknownError
from chargekey_notifier.receipts import Receipts
from chargekey_notifier.sealing import Seal, UnsealableError
from chargekey_notifier.webhooks.endpoint import BY_HAND, MOST, Endpoint

# Nanoseconds for which the secret before signs beside the new one.
BOTH_SIGN = 24 * 3600 * 10**9
_SECRET_BYTES = 32

TABLES = MetaData()
WEBHOOKS = Table(
    "webhooks",
    TABLES,
    Column("number", NUMBER, primary_key=True),
    Column("id", ID, nullable=False, unique=True),
    Column("partner_id", ID, nullable=False),
    Column("url", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("disabled_because", Text),
    Column("delivered", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("failing_since", BigInteger),
    Column("next_attempt_at", BigInteger),
    Column("revision", Integer, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("secret_before", LargeBinary),
    Column("secret_before_until", BigInteger),
    # Stays for a while, so that removing it twice is no mistake; all that is secret is gone.
    Column("removed_at", BigInteger),
    Index("webhooks_by_partner", "partner_id"),
    sqlite_autoincrement=True,
)
ATTEMPTS = Table(
    "webhook_attempts",
    TABLES,
    Column("number", NUMBER, primary_key=True),
    Column("webhook_id", ID, nullable=False),
    # Of the event, in its feed.
    Column("sequence", BigInteger, nullable=False),
    Column("event_id", ID, nullable=False),
    Column("event", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("took_ms", Integer, nullable=False),
    Column("result", Text, nullable=False),
    Index("webhook_attempts_by_webhook", "webhook_id", "number"),
    Index("webhook_attempts_by_time", "at"),
    sqlite_autoincrement=True,
)
_RECEIPTS = receipts.table(TABLES, "webhook_commands")
_STANDS = WEBHOOKS.c.removed_at.is_(None)
# What a command, or a success, leaves of earlier failures.
_WELL: Mapping[str, Any] = {"failures": 0, "failing_since": None, "next_attempt_at": None}


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One request: for which event of the feed, when (ns), how long, and what became of it."""

    sequence: int
    event_id: str
    event: str
    at: int
    took_ms: int
    result: str


class Listed(msgspec.Struct, frozen=True):
    """An attempt at its place in the log."""

    number: int
    attempt: Attempt


class Webhooks:
    """Safe from any thread; blocking. Raises DatabaseUnavailableError.

    A file is one process's alone. On PostgreSQL any replica commands, `on_commanded` tells of
    its own commands only, and one sends at a time: that is for who runs it to see to.
    """

    def __init__(
        self, where: Path | Postgres, secret: bytes, *, clock: Callable[[], int] = time.time_ns
    ) -> None:
        """Seal secrets under the deployment's `secret`; `clock` tells ns since the epoch."""
        self._clock = clock
        self._listeners: list[Callable[[], None]] = []
        self._seal = Seal(secret, b"webhooks")
        self._db = Database(where, TABLES, alone=True)
        self._receipts = Receipts(self._db, _RECEIPTS, Seal(secret, b"webhook commands"))

    @staticmethod
    def migrate(where: Postgres) -> None:
        """Make the tables, once before the first replica; harmless to repeat."""
        database.migrate(where, TABLES)

    def close(self) -> None:
        """Close the database, once what runs in it has ended."""
        self._db.close()

    def on_commanded(self, listener: Callable[[], None]) -> None:
        """Call `listener`, on the commanding thread, after each command."""
        self._listeners.append(listener)

    def create(
        self, context: Context, *, partner_id: str, url: str, events: Sequence[str], after: int
    ) -> tuple[str, str]:
        """Make one that begins behind the event `after`; return its id and its secret.

        Raises TooManyWebhooksError.
        """

        def decide(connection: Connection) -> str:
            how_many = select(func.count()).where(_STANDS, WEBHOOKS.c.partner_id == partner_id)
            # Two at the same moment may make one more than that, which does no harm.
            if connection.execute(how_many).scalar_one() >= MOST:
                raise TooManyWebhooksError
            webhook_id, secret = str(uuid.uuid4()), _new_secret()
            row = {
                "id": webhook_id,
                "partner_id": partner_id,
                "url": url,
                "events": list(events),
                "delivered": after,
                "revision": 1,
                "secret": self._seal.seal(secret, webhook_id),
                **_WELL,
            }
            connection.execute(WEBHOOKS.insert(), row)
            return f"{webhook_id} {secret}"

        webhook_id, _, secret = self._command(context, "CreateWebhook", decide).partition(" ")
        return webhook_id, secret

    def change(
        self,
        context: Context,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> None:
        """Change what is given; raises WebhookUnknownError."""
        values: dict[str, Any] = {}
        if url is not None:
            values["url"] = url
        if events is not None:
            values["events"] = list(events)
        if enabled is not None:
            values["disabled_because"] = None if enabled else BY_HAND

        def decide(connection: Connection) -> str:
            self._set(connection, webhook_id, **values)
            return ""

        self._command(context, "ChangeWebhook", decide)

    def remove(self, context: Context, webhook_id: str) -> None:
        """Remove it with its log; raises WebhookUnknownError."""

        def decide(connection: Connection) -> str:
            gone = {"secret": b"", "secret_before": None, "secret_before_until": None}
            self._set(connection, webhook_id, removed_at=self._clock(), url="", **gone)
            connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.webhook_id == webhook_id))
            return ""

        self._command(context, "RemoveWebhook", decide)

    def rotate(self, context: Context, webhook_id: str) -> str:
        """Return a new secret; the one before signs beside it for a day, and none before that.

        Raises WebhookUnknownError.
        """

        def decide(connection: Connection) -> str:
            secret = _new_secret()
            before = {
                "secret_before": WEBHOOKS.c.secret,
                "secret_before_until": self._clock() + BOTH_SIGN,
            }
            sealed = self._seal.seal(secret, webhook_id)
            self._set(connection, webhook_id, secret=sealed, **before)
            return secret

        return self._command(context, "RotateWebhookSecret", decide)

    def replay(self, context: Context, webhook_id: str, *, after: int) -> None:
        """Go on behind the event `after`, earlier or later; raises WebhookUnknownError."""

        def decide(connection: Connection) -> str:
            self._set(connection, webhook_id, delivered=after)
            return ""

        self._command(context, "ReplayWebhook", decide)

    def partner_of(self, webhook_id: str) -> str:
        """Return whose it is, or was until some days ago; raises WebhookUnknownError."""
        found = select(WEBHOOKS.c.partner_id).where(WEBHOOKS.c.id == webhook_id)
        with self._db.reading() as connection:
            partner_id: str | None = connection.execute(found).scalar_one_or_none()
        if partner_id is None:
            raise WebhookUnknownError
        return partner_id

    def endpoint(self, webhook_id: str) -> Endpoint:
        """Return it; raises WebhookUnknownError."""
        found = select(WEBHOOKS).where(WEBHOOKS.c.id == webhook_id, _STANDS)
        with self._db.reading() as connection:
            row = connection.execute(found).first()
        if row is None:
            raise WebhookUnknownError
        return _endpoint(row)

    def of(self, partner_id: str) -> Sequence[Endpoint]:
        """Return a partner's, the oldest first."""
        mine = select(WEBHOOKS).where(_STANDS, WEBHOOKS.c.partner_id == partner_id)
        with self._db.reading() as connection:
            found = connection.execute(mine.order_by(WEBHOOKS.c.number)).all()
        return [_endpoint(row) for row in found]

    def enabled(self) -> Sequence[Endpoint]:
        """Return those that are sent to."""
        those = select(WEBHOOKS).where(_STANDS, WEBHOOKS.c.disabled_because.is_(None))
        with self._db.reading() as connection:
            return [_endpoint(row) for row in connection.execute(those).all()]

    def secrets(self, endpoint: Endpoint) -> Sequence[str]:
        """Return what it signs with now, the newest first; what cannot be opened is left out."""
        sealed = [endpoint.secret]
        before, until = endpoint.secret_before, endpoint.secret_before_until
        if before is not None and until is not None and self._clock() < until:
            sealed.append(before)
        opened: list[str] = []
        for each in sealed:
            with contextlib.suppress(UnsealableError):
                opened.append(self._seal.open(each, endpoint.id))
        return opened

    def delivered(self, endpoint: Endpoint, number: int, attempt: Attempt | None = None) -> bool:
        """Move on behind the event of this number: taken by this attempt, or passed over.

        Return False, and stay, where a command came in between, which may have moved it
        elsewhere, and where somebody else was faster.
        """
        on = WEBHOOKS.c.delivered < number
        return self._settle(endpoint, attempt, on, {"delivered": number, **_WELL})

    def failed(
        self, endpoint: Endpoint, attempt: Attempt, *, since: int, next_attempt_at: int
    ) -> None:
        """Note that the next event was not taken, and when to try it again.

        Only in the log where a command came in between.
        """
        values = {
            "failures": endpoint.failures + 1,
            "failing_since": since,
            "next_attempt_at": next_attempt_at,
        }
        self._settle(endpoint, attempt, _STANDS, values)

    def disable(self, endpoint: Endpoint, attempt: Attempt, because: str, *, since: int) -> bool:
        """Send there no more, until somebody enables it again; its place is kept.

        Return False where a command came in between, and nothing but the log was changed.
        """
        values = {
            "disabled_because": because,
            "failing_since": since,
            "next_attempt_at": None,
        }
        return self._settle(endpoint, attempt, _STANDS, values)

    def attempts(self, webhook_id: str, *, before: int | None, limit: int) -> Sequence[Listed]:
        """Return attempts, the newest first, those before this place in the log."""
        log = select(ATTEMPTS).where(ATTEMPTS.c.webhook_id == webhook_id)
        if before is not None:
            log = log.where(ATTEMPTS.c.number < before)
        with self._db.reading() as connection:
            found = connection.execute(log.order_by(ATTEMPTS.c.number.desc()).limit(limit)).all()
        names = Attempt.__struct_fields__
        return [
            Listed(row.number, Attempt(**{name: getattr(row, name) for name in names}))
            for row in found
        ]

    def forget(self, before: int) -> int:
        """Forget attempts, commands and removed webhooks of before then (ns); count attempts.

        So are secrets that no longer sign.
        """
        with self._db.writing() as connection:
            attempts = connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.at < before))
            self._receipts.forget(connection, before)
            connection.execute(delete(WEBHOOKS).where(WEBHOOKS.c.removed_at < before))
            connection.execute(
                update(WEBHOOKS)
                .where(WEBHOOKS.c.secret_before_until < self._clock())
                .values(secret_before=None, secret_before_until=None)
            )
            return attempts.rowcount

    def _command(self, context: Context, name: str, decide: Callable[[Connection], str]) -> str:
        answer = self._receipts.once(context, name, decide)
        for listener in self._listeners:
            listener()
        return answer

    def _set(self, connection: Connection, webhook_id: str, **values: Any) -> None:  # noqa: ANN401 - columns' values
        """Change it, so that what is under way counts no more and the next attempt is now."""
        changed = connection.execute(
            update(WEBHOOKS)
            .where(WEBHOOKS.c.id == webhook_id, _STANDS)
            .values(revision=WEBHOOKS.c.revision + 1, **{**_WELL, **values})
        )
        if not changed.rowcount:
            raise WebhookUnknownError

    def _settle(
        self,
        endpoint: Endpoint,
        attempt: Attempt | None,
        condition: Any,  # noqa: ANN401 - an expression
        values: Mapping[str, Any],
    ) -> bool:
        as_sent = (
            WEBHOOKS.c.id == endpoint.id,
            WEBHOOKS.c.revision == endpoint.revision,
            _STANDS,
            condition,
        )
        with self._db.writing() as connection:
            if attempt is not None:
                row = {"webhook_id": endpoint.id, **msgspec.structs.asdict(attempt)}
                connection.execute(ATTEMPTS.insert(), row)
            return bool(
                connection.execute(update(WEBHOOKS).where(*as_sent).values(**values)).rowcount
            )


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _endpoint(row: Any) -> Endpoint:  # noqa: ANN401 - a row of WEBHOOKS
    fields = {name: getattr(row, name) for name in Endpoint.__struct_fields__}
    return Endpoint(**{**fields, "events": tuple(row.events)})
