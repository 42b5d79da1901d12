"""What the meter says, of all that a charger tells of it: the energy register and the power."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp20.messages import MeterValue, SampledValue

REGISTER = "Energy.Active.Import.Register"
BEGIN = "Transaction.Begin"
POWER = "Power.Active.Import"
# What one phase says is a part of the whole; between two of them flows nothing else.
PHASES = frozenset({"L1", "L2", "L3", "L1-N", "L2-N", "L3-N"})
OUTLET = "Outlet"
THOUSAND = 3  # as a power of ten
LARGEST = 2.0**53
LARGEST_POWER = 15


def register(values: Sequence[MeterValue]) -> int | None:
    """Return the energy register in watt-hours as it was told last, if it is told."""
    return _last(values, REGISTER, "kwh")


def register_at_begin(values: Sequence[MeterValue]) -> int | None:
    """Return what the energy register was when the transaction began, if it is told.

    Also by its end, with which all its samples may come (J02, SampledDataCtrlr.TxEnded…).
    """
    return _last(values, REGISTER, "kwh", context=BEGIN)


def power(values: Sequence[MeterValue]) -> int | None:
    """Return the power in watts as it was told last, if it is told."""
    return _last(values, POWER, "kw")


def _last(
    values: Sequence[MeterValue], measurand: str, thousands: str, *, context: str | None = None
) -> int | None:
    for value in sorted(values, key=_time, reverse=True):
        told = [
            each
            for each in value.sampled_value
            if each.measurand == measurand
            and each.location == OUTLET
            and context in {None, each.context}
        ]
        whole = [each for each in told if each.phase is None]
        parts = whole[-1:] or [each for each in told if each.phase in PHASES]
        if parts:
            amount = sum(_amount(each, thousands) for each in parts)
            return round(amount) if abs(amount) <= LARGEST else None
    return None


def _time(value: MeterValue) -> int:
    try:
        return timestamps.parse(value.timestamp)
    except timestamps.TimestampUnreadableError:
        return 0


def _amount(sampled: SampledValue, thousands: str) -> float:
    """Return a value in units, infinite where it can be none of this world."""
    unit = sampled.unit_of_measure
    power_of_ten = unit.multiplier + (THOUSAND if unit.unit.lower() == thousands else 0)
    return sampled.value * 10.0**power_of_ten if abs(power_of_ten) <= LARGEST_POWER else math.inf
