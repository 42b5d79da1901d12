"""Sessions: written once to the SESSIONS stream, remembered by following it."""
