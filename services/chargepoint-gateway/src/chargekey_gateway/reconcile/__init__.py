"""Revocation converges: what a charger should stop, forget and know, and seeing to it."""
