"""EVSE ids, as they are written on chargers and known across operators."""

from __future__ import annotations


def evse_id(country_code: str, party_id: str, charger_id: str, connector: int) -> str:
    """Return an EVSE id in eMI3's form, which has 30 characters for what it is.

    24 of a charger's 32 hexadecimal digits tell as many apart as there will ever be.
    """
    digits = charger_id.replace("-", "")[:24].upper()
    return f"{country_code}*{party_id}*E{digits}*{connector}"
