"""NotifyEvent: something about the charger has changed."""

from __future__ import annotations

from chargekey_gateway.ocpp.dialect import Peer
from chargekey_gateway.ocpp20 import status_notification
from chargekey_gateway.ocpp20.messages import Acknowledged, EventData, NotifyEvent

AVAILABILITY = "availabilitystate"
# The parts that have a state, by their names, which are compared without regard to case.
PARTS = frozenset({"chargingstation", "evse", "connector"})
STATES = frozenset({"Available", "Occupied", "Reserved", "Unavailable", "Faulted"})
CHARGER_ITSELF = 0
WHOLE = 0  # an EVSE with all its plugs


def answer(peer: Peer, request: NotifyEvent) -> Acknowledged:
    """Pass on what is a StatusNotification by another name (G01), and note the rest."""
    for event in request.event_data:
        if _tells_a_state(event):
            evse = event.component.evse
            number = CHARGER_ITSELF if evse is None else evse.id
            plug = None if evse is None else evse.connector_id
            status_notification.tell(peer, number, plug or WHOLE, event.actual_value)
    return Acknowledged()


def _tells_a_state(event: EventData) -> bool:
    return (
        event.variable.name.lower() == AVAILABILITY
        and event.component.name.lower() in PARTS
        and event.actual_value in STATES
    )
