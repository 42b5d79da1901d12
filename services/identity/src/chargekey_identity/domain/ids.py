"""Ids that follow from what they are about, so that two who want the same thing meet."""

from __future__ import annotations

import uuid

_NAMESPACE = uuid.UUID("2b7c5f6e-6a4b-5d0c-9f55-7d1e0c9a4b83")


def derived(name: str) -> str:
    """Return the id that follows from `name`; for ever the same."""
    return str(uuid.uuid5(_NAMESPACE, name))
