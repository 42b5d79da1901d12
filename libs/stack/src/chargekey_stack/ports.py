"""Ports that stay ours from before a process listens until after it has ended.

A port is bound with SO_REUSEPORT and never listened on: nobody else is given it,
connections go to the process that listens, and a restarted process finds it free.
"""

from __future__ import annotations

import contextlib
import socket

import msgspec

from chargekey_stack.errors import PortTakenError

HOST = "127.0.0.1"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Ports that somebody has asked for by their numbers; 0 for any free one."""

    ocpp: int = 0
    portal: int = 0
    partners: int = 0
    nats: int = 0
    # How many processes listen where chargers connect.
    gateways: int = 1


ANY_FREE = Wanted()


class Ports:
    """Reserved ports of this machine's loopback, until closed."""

    def __init__(self) -> None:
        self._reservations = contextlib.ExitStack()

    def reserve(self, port: int = 0) -> int:
        """Reserve `port`, or any free one for 0, and return it; raises PortTakenError."""
        reserved = self._reservations.enter_context(socket.socket())
        try:
            if port:
                refuse_taken(port)
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind((HOST, port))
        except (OSError, OverflowError):
            raise PortTakenError(str(port)) from None
        return int(reserved.getsockname()[1])

    def close(self) -> None:
        """Give every port back."""
        self._reservations.close()


def refuse_taken(port: int) -> None:
    """Raise PortTakenError where somebody has `port`.

    For what shares no port, which can only be asked before; and before one is reserved:
    SO_REUSEPORT alone would share it with whoever has it.
    """
    with socket.socket() as alone:
        # Connections of an earlier run may still be in TIME_WAIT; they do not count.
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            alone.bind((HOST, port))
        except (OSError, OverflowError):
            raise PortTakenError(str(port)) from None
