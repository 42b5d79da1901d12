"""Configuration keys: how their names are compared."""

from __future__ import annotations


def spelled(key: str) -> str:
    """Return a configuration key as keys are compared: without regard to case (§7.5)."""
    return key.strip().casefold()
