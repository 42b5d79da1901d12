"""A simulated charger: a real OCPP peer over a real WebSocket; and a fleet of them."""

from chargekey_stack.simulator.charger import Make, SimulatedCharger, Version, simulated_charger
from chargekey_stack.simulator.values import ACCEPTED, Started, check_code

__all__ = [
    "ACCEPTED",
    "Make",
    "SimulatedCharger",
    "Started",
    "Version",
    "check_code",
    "simulated_charger",
]
