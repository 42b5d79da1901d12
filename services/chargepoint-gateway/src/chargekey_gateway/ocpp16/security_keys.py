"""The configuration keys on which a connection's security hangs (security white paper)."""

from __future__ import annotations

PASSWORD = "authorizationkey"  # noqa: S105 - the key's name, not its value
PROFILE = "securityprofile"


def spelled(key: str) -> str:
    """Return a configuration key as keys are compared: without regard to case (§7.5)."""
    return key.strip().casefold()
