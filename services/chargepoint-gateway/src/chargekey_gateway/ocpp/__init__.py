"""OCPP-J without sockets and without a version: frames, handshake, one connection's state."""
