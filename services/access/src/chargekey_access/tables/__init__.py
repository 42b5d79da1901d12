"""What access keeps beside its events."""
