"""What OCPI calls a charger's connectors, each of which is an EVSE of its own there (§8.1).

A charger's id with a connector's number is too long for a CiString(36), so the uid leaves out
the hyphens of the first: `<charger id in hexadecimal>*<connector>`.
"""

from __future__ import annotations

import re
import uuid

_UID = re.compile(r"([0-9a-f]{32})\*([0-9]{1,3})", re.IGNORECASE)


def evse_uid(charger_id: str, connector: int) -> str:
    """Return what the connector is called, in OCPI's words its EVSE's uid."""
    return f"{charger_id.replace('-', '')}*{connector}"


def charger_of(uid: str) -> tuple[str, int | None]:
    """Return the charger and the connector that an EVSE's uid names.

    What is no uid of ours is taken for a charger's id, without a connector.
    """
    found = _UID.fullmatch(uid)
    if found is None:
        return uid, None
    return str(uuid.UUID(hex=found[1])), int(found[2])
