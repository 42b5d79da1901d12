"""Installations, chargers, permissions: who may charge where."""
