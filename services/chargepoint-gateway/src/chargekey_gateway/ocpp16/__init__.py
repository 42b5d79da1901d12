"""OCPP 1.6: its messages, its routing table, one file an action."""
