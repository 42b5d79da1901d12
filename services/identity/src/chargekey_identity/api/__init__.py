"""The service as others call it, and what it asks of access."""
