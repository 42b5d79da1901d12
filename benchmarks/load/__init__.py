"""Servers under load, each a process of its own, and the load: chargers by the thousand."""
