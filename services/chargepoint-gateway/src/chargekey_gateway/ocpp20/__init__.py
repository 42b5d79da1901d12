"""OCPP 2.0.1: messages, handlers, commands and the table of them."""
