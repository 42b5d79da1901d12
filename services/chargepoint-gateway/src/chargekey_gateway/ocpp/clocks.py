"""What chargers' clocks show, beside the server's: theirs decide nothing, and are watched."""

from __future__ import annotations

import structlog

from chargekey_gateway.metrics import tell_clock_skew
from chargekey_gateway.ocpp import timestamps

# Seconds that a clock may be ahead before its charger is named.
MINDED = 60

log = structlog.get_logger()


def compare(charger_id: str, told: str, now: int) -> None:
    """Take note of how far off the clock is that showed `told`, as a charger wrote it.

    `now` in nanoseconds since the epoch. What cannot be read tells nothing of a clock.
    """
    try:
        skew = (timestamps.parse(told) - now) / timestamps.SECOND
    except timestamps.TimestampUnreadableError:
        return
    tell_clock_skew(skew)
    # Ahead: what is told late, as after an outage, looks as if its clock were slow.
    if skew > MINDED:
        log.warning("charger_clock_off", charger=charger_id, seconds=round(skew))
