"""Of which chargers no boot is known: a new one has to tell of its first (OCPP 1.6 §4.2, B01).

One that was here before and only connects again tells of none (OCPP-J 1.6, "Reconnecting"),
and in OCPP 2.x refuses to where it was accepted already (F06.FR.17).
"""

from __future__ import annotations

from chargekey_gateway.commands import Outcome, Trigger
from chargekey_gateway.reconcile.confirmed import Confirmed
from chargekey_gateway.reconcile.kept import Connection
from chargekey_gateway.view.entries import Charger


class Boots:
    """Remembers by what chargers have confirmed, so through restarts and at every replica."""

    def __init__(self, confirmed: Confirmed) -> None:
        """Read and write `confirmed`."""
        self._confirmed = confirmed

    def connected(self, charger: Charger) -> None:
        """Miss the boot of a charger that was never here; told before anything else of it is."""
        if not self._confirmed.of(charger.id).version:
            self._confirmed.change(charger.id, boot_missing=True)

    def booted(self, charger: Charger) -> None:
        """Know that it has."""
        self._confirmed.change(charger.id, boot_missing=False)

    def missing(self, charger: Charger) -> bool:
        """Whether it has never told of a boot, and has yet to."""
        return self._confirmed.of(charger.id).boot_missing

    async def ask(self, connection: Connection) -> None:
        """Have a charger tell of its boot; one that has none to tell of, or no way to, need not."""
        result = await connection.carry_out(Trigger(message="BootNotification"))
        if result.unsupported or result.outcome is Outcome.REJECTED:
            self.booted(connection.charger)
