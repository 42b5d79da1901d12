"""Start keys: what makes two starts the same one, sent again.

OCPP 1.6 §3.7.1: a charger repeats what was not answered, with a new message id,
also after a reboot. Charger, connector, token, time and meter stay the same. In OCPP
2.x the charger names its transactions and numbers their messages, and both stay the same;
one that begins in the same transaction with another message is kept out by the charge key.
"""

from __future__ import annotations

import hashlib
import uuid

from chargekey_common.keyed_ids import classify

_IDS = uuid.UUID("6d4f35c5-6a0e-4b5c-8f8b-7b5a1f5d2c11")


class StartKeys:
    """Makes start keys under a secret, since a token is part of each; safe from any thread."""

    def __init__(self, secret: bytes) -> None:
        """Key by `secret`, 16 to 64 bytes; it may be the one of the keyed ids."""
        # `person` keeps start keys apart from whatever else the secret is used for.
        self._keyed = hashlib.blake2b(digest_size=16, key=secret, person=b"start-key")

    def of(
        self,
        *,
        charger_id: str,
        connector: int,
        token: str,
        started_at: int | str,
        meter_start: int,
    ) -> str:
        """Return the key of a start, in hex; `started_at` is a time or, if none, what was told."""
        code_class, canonical = classify(token)
        return self._of(charger_id, connector, code_class, canonical, started_at, meter_start)

    def of_transaction(self, charger_id: str, transaction: str, number: int, token: str) -> str:
        """Return the key of a start by this message of the charger's transaction, in hex."""
        return self._of(charger_id, "transaction", transaction, number, *classify(token))

    def of_charge(self, charger_id: str, transaction: str) -> str:
        """Return the key of what may begin once in this transaction, whoever is presented."""
        return self._of(charger_id, "charge", transaction)

    def _of(self, *parts: object) -> str:
        keyed = self._keyed.copy()
        keyed.update("\x00".join(map(str, parts)).encode())
        return keyed.hexdigest()


def session_id(start_key: str) -> str:
    """Return the id of the session of this start, the same on every replica."""
    return str(uuid.uuid5(_IDS, f"session {start_key}"))


def start_event_id(start_key: str) -> str:
    """Return the CloudEvents id of the start's event."""
    return str(uuid.uuid5(_IDS, f"start {start_key}"))


def end_event_id(transaction_id: int) -> str:
    """Return the CloudEvents id of the event that ends a transaction."""
    return str(uuid.uuid5(_IDS, f"end {transaction_id}"))


def correction_event_id(transaction_id: int) -> str:
    """Return the CloudEvents id of the event that tells the end after all."""
    return str(uuid.uuid5(_IDS, f"correction {transaction_id}"))


def update_event_id(transaction_id: int, at: int) -> str:
    """Return the CloudEvents id of what the meter said at `at`, the same on every replica."""
    return str(uuid.uuid5(_IDS, f"update {transaction_id} {at}"))
