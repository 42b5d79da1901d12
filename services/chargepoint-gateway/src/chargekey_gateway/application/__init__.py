"""What the gateway does, by noun: decisions, sessions, reports; `Gateway` holds them together."""
