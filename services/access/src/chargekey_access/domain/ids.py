"""Ids that follow from what a thing is about, so that doing it twice meets itself."""

from __future__ import annotations

import uuid

_NAMESPACE = uuid.UUID("0f6c7c0e-51a1-5a3c-8f0e-8a3c2f6f1d21")


def derived(kind: str, *parts: str) -> str:
    """Return the id of the one thing of this kind about these parts."""
    return str(uuid.uuid5(_NAMESPACE, "/".join((kind, *parts))))
