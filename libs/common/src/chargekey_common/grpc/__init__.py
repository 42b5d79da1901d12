"""gRPC as every service speaks it: callers, errors by name, health, deadlines."""
