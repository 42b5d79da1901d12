"""A gateway's view of a population, filled from its events."""

from __future__ import annotations

import gc

from benchmarks.population import Population
from chargekey_gateway.view.view import View


def filled(population: Population) -> View:
    """Return the view that knows all of it, as a gateway that has just become ready has it."""
    view = View()
    # As while a gateway starts: nothing here is garbage.
    gc.disable()
    for event in population.access_events():
        view.apply(event)
    for event in population.identity_events():
        view.apply(event)
    gc.enable()
    gc.collect()
    gc.freeze()
    return view
