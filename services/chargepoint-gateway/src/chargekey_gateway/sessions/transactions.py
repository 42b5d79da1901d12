"""Transactions as chargers of OCPP 2.x tell of them: by names and numbers of their own."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from chargekey_common.keyed_ids import CodeClass


class Phase(StrEnum):
    """Which part of a transaction is told of (TransactionEventEnumType)."""

    STARTED = "Started"
    UPDATED = "Updated"
    ENDED = "Ended"


class TransactionMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One TransactionEvent, in no version's words.

    `transaction` is the charger's own name for it, `number` counts its messages from 0
    (seqNo). `at` in nanoseconds since the epoch, `connector` the EVSE, 0 where it is not
    told. `token` is there where somebody was presented by this message: who starts it or,
    with `stops`, who ends it. `meter` is the energy register in watt-hours, `power` in watts.
    """

    phase: Phase
    transaction: str
    number: int
    at: int
    connector: int = 0
    token: str | None = None
    announced: CodeClass | None = None
    stops: bool = False
    offline: bool = False
    meter: int | None = None
    power: int | None = None
    reason: str = "Local"

    def __repr__(self) -> str:
        """Show nothing of the token."""
        return f"TransactionMessage({self.phase}, {self.number})"
