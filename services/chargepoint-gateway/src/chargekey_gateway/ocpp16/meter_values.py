"""MeterValues: what flows while a session runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec
import structlog

from chargekey_gateway.ocpp import timestamps
from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp16.messages import Acknowledged, MeterValue, MeterValues, SampledValue

# §7.43: what a sampled value is where it does not say.
REGISTER = "Energy.Active.Import.Register"
POWER = "Power.Active.Import"
DEFAULT_UNITS = {REGISTER: "Wh", POWER: "W"}
UNITS = {REGISTER: {"Wh": 1, "kWh": 1000}, POWER: {"W": 1, "kW": 1000}}
OUTLET = "Outlet"
PHASES = ("L1", "L2", "L3")
MOST = 2**53  # what a JSON number holds exactly

log = structlog.get_logger()


class Reading(msgspec.Struct, frozen=True):
    """What a meter said at `at`, nanoseconds since the epoch; watt-hours and watts."""

    at: int
    meter: int | None
    power: int | None


def answer(peer: Peer, request: MeterValues) -> Acknowledged:
    """Acknowledge, also what no transaction is known of (§4.7): a refusal is only sent again."""
    latest = newest(request.meter_value)
    if latest is not None:
        peer.gateway.charging.metered(
            peer.charger,
            transaction=request.transaction_id,
            connector=request.connector_id,
            at=latest.at,
            meter=latest.meter,
            power=latest.power,
        )
    return Acknowledged()


def newest(values: Iterable[MeterValue]) -> Reading | None:
    """Return the newest reading that says something of the energy or the power."""
    readings = (_reading(value) for value in values)
    return max(
        (each for each in readings if each is not None), key=lambda each: each.at, default=None
    )


def _reading(value: MeterValue) -> Reading | None:
    meter, power = (_amount(value.sampled_value, measurand) for measurand in (REGISTER, POWER))
    if meter is None and power is None:
        return None
    try:
        return Reading(timestamps.parse(value.timestamp), meter, power)
    except timestamps.TimestampUnreadableError as error:
        log.info("meter_value_without_time", code=error.code)
        return None


def _amount(samples: Sequence[SampledValue], measurand: str) -> int | None:
    """Return the total of a measurand at the outlet; the sum of its phases where it has none.

    Of all three: of fewer it is not known whether the others count (§7.45).
    """
    by_phase: dict[str | None, float] = {}
    for sample in samples:
        amount = _value(sample, measurand)
        if amount is not None:
            by_phase[None if sample.phase is None else sample.phase.removesuffix("-N")] = amount
    if None in by_phase:
        return round(by_phase[None])
    if all(phase in by_phase for phase in PHASES):
        return round(sum(by_phase[phase] for phase in PHASES))
    return None


def _value(sample: SampledValue, measurand: str) -> float | None:
    """Return a sample of this measurand in watt-hours or watts; None for all others."""
    if (sample.measurand or REGISTER) != measurand or (sample.location or OUTLET) != OUTLET:
        return None
    factor = UNITS[measurand].get(sample.unit or DEFAULT_UNITS[measurand])
    try:
        value = float(sample.value)  # a signed one (format SignedData) is no number
    except ValueError:
        return None
    if factor is None or not math.isfinite(value) or abs(value * factor) > MOST:
        return None
    return value * factor
