"""What identity can be asked about, from its own events."""
