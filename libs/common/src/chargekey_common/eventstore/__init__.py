"""Event-sourced aggregates: pure state, commands that repeat safely, one durable log."""
