"""The pure rules: states, events, decisions."""
