"""What identity keeps beside its events, in tables of its own: one kind a module."""
