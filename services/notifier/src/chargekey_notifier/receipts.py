"""Commands that are done once, however often they come: each answer, kept beside its effect."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    select,
    update,
)

from chargekey_common.database import ID, Database
from chargekey_common.eventstore.store import (
    MAX_COMMAND_ID,
    CommandIdMalformedError,
    CommandIdReusedError,
    Context,
)
from chargekey_notifier.errors import AnswerUnreadableError
from chargekey_notifier.sealing import Seal, UnsealableError

# Nanoseconds that a command is known for, so that one that comes again is not done again.
KEPT = 30 * 24 * 3600 * 10**9
_COMMAND_ID = re.compile(rf"[!-~]{{1,{MAX_COMMAND_ID}}}")


def table(tables: MetaData, name: str) -> Table:
    """Return a table of receipts, to stand among those that commands write."""
    return Table(
        name,
        tables,
        Column("command_id", ID, primary_key=True),
        Column("command", Text, nullable=False),
        Column("actor", Text, nullable=False),
        Column("at", BigInteger, nullable=False),
        # Sealed, because some answer with a secret; empty in the transaction that decides.
        Column("answer", LargeBinary, nullable=False),
        Index(f"{name}_by_time", "at"),
        sqlite_with_rowid=False,
    )


class Receipts:
    """The receipts of one database; blocking, and safe from any thread."""

    def __init__(self, database: Database, table: Table, seal: Seal) -> None:
        self._database = database
        self._table = table
        self._seal = seal
        # Tells by what it returns whether it was: psycopg counts nothing here.
        self._new = database.insert(table).on_conflict_do_nothing().returning(table.c.command_id)

    def once(self, context: Context, command: str, decide: Callable[[Connection], str]) -> str:
        """Return what the command answers; `decide` writes in the transaction of the receipt.

        A repetition decides nothing and answers as the first time; two at once wait for each
        other. Raises CommandIdMalformedError, CommandIdReusedError, AnswerUnreadableError and
        what `decide` raises, after which nothing has happened.
        """
        if _COMMAND_ID.fullmatch(context.command_id) is None:
            raise CommandIdMalformedError
        mine = self._table.c.command_id == context.command_id
        receipt = {
            "command_id": context.command_id,
            "command": command,
            "actor": context.actor,
            "at": time.time_ns(),
            "answer": b"",
        }
        with self._database.writing() as connection:
            if connection.execute(self._new, receipt).first() is not None:
                answer = decide(connection)
                sealed = self._seal.seal(answer, context.command_id)
                connection.execute(update(self._table).where(mine).values(answer=sealed))
                return answer
            done = connection.execute(select(self._table).where(mine)).one()
        # An answer may be for its caller alone.
        if (done.command, done.actor) != (command, context.actor):
            raise CommandIdReusedError
        try:
            return self._seal.open(done.answer, context.command_id)
        except UnsealableError:
            raise AnswerUnreadableError from None

    def forget(self, connection: Connection, before: int) -> None:
        """Forget the commands of before then, in nanoseconds since the epoch."""
        connection.execute(delete(self._table).where(self._table.c.at < before))
