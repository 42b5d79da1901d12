"""What people want no mails about."""

from __future__ import annotations

import time
from collections.abc import Collection
from collections.abc import Set as AbstractSet

from sqlalchemy import Connection, delete, select

from chargekey_common.eventstore.recorder import Handled
from chargekey_common.eventstore.store import Context
from chargekey_notifier.mails.kinds import Choice
from chargekey_notifier.mails.outbox import Outbox
from chargekey_notifier.mails.tables import DECLINED, RECEIPTS
from chargekey_notifier.receipts import KEPT, Receipts
from chargekey_notifier.sealing import Seal


class Choices:
    """Kept beside the mails; blocking, safe from any thread. Raises DatabaseUnavailableError."""

    def __init__(self, outbox: Outbox, secret: bytes) -> None:
        self._outbox = outbox
        self._database = outbox.database
        self._receipts = Receipts(self._database, RECEIPTS, Seal(secret, b"mail commands"))
        self._new = self._database.insert(DECLINED).on_conflict_do_nothing()

    def declined(self, user_id: str) -> AbstractSet[str]:
        """Return what the user has declined."""
        found = select(DECLINED.c.choice).where(DECLINED.c.user_id == user_id)
        with self._database.reading() as connection:
            return {choice for (choice,) in connection.execute(found)}

    def decline(self, user_id: str, choice: Choice) -> None:
        """Decline this, too."""
        with self._database.writing() as connection:
            connection.execute(self._new, {"user_id": user_id, "choice": choice})

    def choose(self, context: Context, user_id: str, declined: Collection[Choice]) -> None:
        """Decline these and nothing else; repeated, it does nothing.

        Raises CommandIdMalformedError or CommandIdReusedError.
        """

        def decide(connection: Connection) -> str:
            self._receipts.forget(connection, time.time_ns() - KEPT)
            connection.execute(delete(DECLINED).where(DECLINED.c.user_id == user_id))
            for choice in sorted(set(declined)):
                connection.execute(self._new, {"user_id": user_id, "choice": choice})
            return ""

        self._receipts.once(context, "SetMailChoices", decide)

    def forget(self, user_id: str, handled: Handled) -> None:
        """Forget what the user wanted, with the position handled."""
        with self._outbox.reacting(handled) as connection:
            if connection is not None:
                connection.execute(delete(DECLINED).where(DECLINED.c.user_id == user_id))
