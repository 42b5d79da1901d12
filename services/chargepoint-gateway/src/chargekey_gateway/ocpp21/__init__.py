"""OCPP 2.1: messages, handlers, commands and the table of them."""
