"""OCPP chargers, the view in memory, the decision, sessions."""
