"""The notifier's addresses, one list."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.routing import BaseRoute


def app(*routes: Sequence[BaseRoute]) -> Starlette:
    """Return the application that answers at these routes."""
    return Starlette(routes=[route for some in routes for route in some])
