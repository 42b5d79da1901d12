"""What access can be asked about, from its own events."""
