"""Mails that are due before something ends: queued when the end is told, looked up when due.

What ended, or ends at another time, by then is not told of, so nothing has to be taken back;
an end that is told twice is one.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Literal

from chargekey_notifier.mails.kinds import Mail, to_user

DAY = 24 * 3600 * 10**9
BEFORE = (7 * DAY, DAY)  # in nanoseconds
_IDS = uuid.UUID("6d6c39f5-5b4c-5f0a-8f0e-6f6f3bb9f1a7")


def reminders(
    kind: Literal["permission_ends", "identification_ends"],
    user_id: str,
    object_id: str,
    until: int | None,
    at: int,
    *,
    installation_id: str | None = None,
    charger_id: str | None = None,
) -> Sequence[Mail]:
    """Return the reminders of the end that was told of `at` (ns), where there is one.

    Whoever is given something for three days is not told a week before it ends.
    """
    if until is None:
        return []
    return [
        Mail(
            event_id=str(uuid.uuid5(_IDS, f"{object_id} {until} {before}")),
            recipient=to_user(user_id),
            kind=kind,
            user_id=user_id,
            at=at,
            installation_id=installation_id,
            charger_id=charger_id,
            object_id=object_id,
            until=until,
            due_at=until - before,
        )
        for before in BEFORE
        if until - before > at
    ]
