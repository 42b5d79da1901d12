"""The view: what access and identity publish, in memory, arranged for the decision."""

from chargekey_gateway.view.entries import Charger
from chargekey_gateway.view.view import View

__all__ = ["Charger", "View"]
