"""What a MeterValues of OCPP 1.6 says of the energy and the power; pure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargekey_gateway.ocpp16.messages import MeterValue, SampledValue
from chargekey_gateway.ocpp16.meter_values import Reading, newest

from .conftest import GatewayInMemory, Line

SECOND = 10**9
TIME = "2026-11-20T10:00:00Z"
AT = 1_795_168_800 * SECOND
POWER = "Power.Active.Import"


def values(*samples: dict[str, Any], timestamp: str = TIME) -> MeterValue:
    return MeterValue(
        timestamp=timestamp, sampled_value=tuple(SampledValue(**sample) for sample in samples)
    )


@pytest.mark.parametrize(
    ("samples", "meter", "power"),
    [
        # §7.43: by default it is the register, in Wh, at the outlet.
        ([{"value": "1500"}], 1500, None),
        ([{"value": 1500.4}], 1500, None),
        ([{"value": "1.5", "unit": "kWh"}], 1500, None),
        ([{"value": "7.4", "unit": "kW", "measurand": POWER}], None, 7400),
        ([{"value": "7400", "measurand": POWER}, {"value": "10"}], 10, 7400),
        # A total rather than its phases, in whatever order.
        ([{"value": "1", "phase": "L1"}, {"value": "9"}, {"value": "2", "phase": "L2"}], 9, None),
        ([{"value": str(n), "phase": f"L{n}"} for n in (1, 2, 3)], 6, None),
        ([{"value": str(n), "phase": f"L{n}-N"} for n in (1, 2, 3)], 6, None),
        ([{"value": "1", "phase": "L1"}, {"value": "2", "phase": "L2"}], None, None),
        ([{"value": "1", "phase": "L1-L2"}], None, None),
        # Other measurands, places, units and forms.
        ([{"value": "230", "measurand": "Voltage"}], None, None),
        ([{"value": "5", "measurand": "Energy.Active.Import.Interval"}], None, None),
        ([{"value": "5", "location": "Inlet"}], None, None),
        ([{"value": "5", "location": "Outlet", "context": "Transaction.Begin"}], 5, None),
        ([{"value": "5", "unit": "varh"}], None, None),
        ([{"value": "5", "unit": "W"}], None, None),
        ([{"value": "AF09==", "format": "SignedData"}], None, None),
        ([{"value": "nan"}], None, None),
        ([{"value": "inf"}], None, None),
        ([{"value": "1e300"}], None, None),
        ([], None, None),
    ],
)
def test_units_phases_and_defaults(
    samples: list[dict[str, Any]], meter: int | None, power: int | None
) -> None:
    nothing = meter is None and power is None
    assert newest([values(*samples)]) == (None if nothing else Reading(AT, meter, power))


def test_of_several_the_newest_counts() -> None:
    several = [
        values({"value": "2"}, timestamp="2026-11-20T10:00:02Z"),
        values({"value": "3"}, timestamp="2026-11-20T10:00:03Z"),
        values({"value": "1"}, timestamp="2026-11-20T10:00:01Z"),
        values({"value": "230", "measurand": "Voltage"}, timestamp="2026-11-20T10:00:09Z"),
        values({"value": "9"}, timestamp="yesterday"),
    ]
    assert newest(several) == Reading(AT + 3 * SECOND, 3, None)
    assert newest([]) is None


@given(st.text(max_size=40), st.text(max_size=20) | st.none(), st.text(max_size=20) | st.none())
def test_whatever_a_vendor_writes_is_read_or_left(
    value: str, unit: str | None, phase: str | None
) -> None:
    read = newest([values({"value": value, "unit": unit, "phase": phase})])
    assert read is None or isinstance(read.meter, int)


def test_a_reading_is_passed_on_with_its_transaction(line: Line, gateway: GatewayInMemory) -> None:
    sampled = [{"value": "1.5", "unit": "kWh"}, {"value": "7", "unit": "kW", "measurand": POWER}]
    request = {
        "connectorId": 2,
        "transactionId": 1001,
        "meterValue": [{"timestamp": TIME, "sampledValue": sampled}],
    }
    assert line.at_once("MeterValues", request)[2] == {}
    empty = {"timestamp": TIME, "sampledValue": [{"value": "230", "measurand": "Voltage"}]}
    assert line.at_once("MeterValues", {**request, "meterValue": [empty]})[2] == {}
    reading = {"transaction": 1001, "connector": 2, "at": AT, "meter": 1500, "power": 7000}
    assert gateway.told == [("metered", "charger-1", reading)]
