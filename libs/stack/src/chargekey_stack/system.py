"""What a running system says about itself: where everything is."""

from __future__ import annotations

import msgspec


class System(msgspec.Struct, frozen=True, kw_only=True):
    """A running system, as `up --json` and `run/system.json` tell it."""

    ready: bool = True
    ocpp: str
    portal: str
    # Who signs in there with this address administers it.
    administrator: str
    partners: str
    nats: str
    grpc: dict[str, str]
    # Where each tells its metrics, and whether it is ready.
    health: dict[str, str] = {}
    data: str
