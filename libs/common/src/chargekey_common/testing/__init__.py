"""Fixtures with real servers, for every package's tests."""
