"""Users and their identifications."""
