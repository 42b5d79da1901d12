"""Who charges where: what the gateway under load knows, and its chargers say."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from benchmarks.population import Population
from chargekey_common.charger_passwords import ChargerPasswords

PEOPLE = Population.of(150_000, chargers=15_000)
PASSWORDS = ChargerPasswords(b"another secret for figures only")


def password(charger: int) -> str:
    """Return what the charger signs in with."""
    return PASSWORDS.derive(PEOPLE.charger_id(charger), "")


def authorization(charger: int) -> str:
    """Return the same as a header says it."""
    shown = f"{PEOPLE.ocpp_identity(charger)}:{password(charger)}"
    return f"Basic {base64.b64encode(shown.encode()).decode()}"


def cards(charger: int) -> Sequence[str]:
    """Return the cards of those who may charge there: `Population.charger_of` turned round."""
    turn, stands = divmod(charger, PEOPLE.installations)
    first = stands + PEOPLE.installations * turn
    users = range(first, PEOPLE.users, PEOPLE.chargers)
    return [PEOPLE.card(each) for user in users for each in (user, user + PEOPLE.users)]
