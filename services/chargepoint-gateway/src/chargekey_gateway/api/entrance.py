"""Connections before they are WebSockets: from whom, since when, with which certificate.

picows tells its handler the HTTP request and nothing of the connection it came over. So its
protocol is subclassed, in what is public of any asyncio protocol, and made here with its own
arguments: those of picows 2.3, which is pinned.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from picows import WSAutoPingStrategy, WSUpgradeRequest, WSUpgradeResponseWithListener
from picows.picows import WSProtocol  # type: ignore[attr-defined] # not in its stubs

from chargekey_gateway.api.networks import network_of
from chargekey_gateway.ocpp.frames import MESSAGE_SIZE

QUARTER = 4
READ_BUFFER = 2048  # an idle connection's biggest part

# picows logs every connection at INFO and, further down, whole requests: passwords included.
logging.getLogger("chargekey_gateway.picows").setLevel(logging.WARNING)
# No Logger: of one it makes a copy for each connection, and keeps it.
_QUIET = logging.LoggerAdapter(logging.getLogger("chargekey_gateway.picows"))


class Caller:
    """Who is at the other end, before it has said so."""

    __slots__ = ("_answer", "_entrance", "transport")

    def __init__(self, entrance: Entrance, answer: Answer) -> None:
        self._entrance = entrance
        self._answer = answer
        self.transport: asyncio.Transport | None = None

    def __call__(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        """Answer its HTTP request."""
        self._entrance.gone(self)
        return self._answer(request, self)

    @property
    def address(self) -> str:
        """Its IP address."""
        peer = self._about("peername")
        return str(peer[0]) if peer else ""

    @property
    def tls(self) -> bool:
        """Whether it came by TLS."""
        return self._about("ssl_object") is not None

    @property
    def certificate(self) -> dict[str, Any]:
        """Its certificate, verified by the CA; empty where it has none."""
        tls = self._about("ssl_object")
        return (tls and tls.getpeercert()) or {}

    def _about(self, what: str) -> Any:  # noqa: ANN401 - asyncio's, whatever it is
        return None if self.transport is None else self.transport.get_extra_info(what)


class Answer(Protocol):
    """What answers HTTP requests."""

    def __call__(self, request: WSUpgradeRequest, caller: Caller) -> WSUpgradeResponseWithListener:
        """Answer `request`."""


class Entrance:
    """Those who have not finished their HTTP request: bounded in time and number.

    One too many, and the one that has taken longest goes: it takes a charger milliseconds. From
    one network no more than a quarter, so that nobody keeps the chargers of others out by coming
    again and again.
    """

    def __init__(self, answer: Answer, *, most: int, within: float) -> None:
        """Let `most` be here at once, each for `within` seconds."""
        self._answer = answer
        self._most = most
        self._within = within
        self._callers: dict[Caller, str] = {}  # with their networks, the oldest first
        self._of_network: dict[str, dict[Caller, None]] = {}

    def __len__(self) -> int:
        """Count them."""
        return len(self._callers)

    def __call__(self) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection."""
        made: asyncio.BaseProtocol = _Connection(self, Caller(self, self._answer), self._within)
        return made

    def came(self, caller: Caller) -> None:
        """Take one in."""
        network = network_of(caller.address)
        neighbours = self._of_network.setdefault(network, {})
        self._callers[caller] = network
        neighbours[caller] = None
        if len(neighbours) > max(1, self._most // QUARTER):
            self._send_away(next(iter(neighbours)))
        elif len(self._callers) > self._most:
            self._send_away(next(iter(self._callers)))

    def gone(self, caller: Caller) -> None:
        """Forget one."""
        network = self._callers.pop(caller, None)
        if network is None:
            return
        neighbours = self._of_network[network]
        del neighbours[caller]
        if not neighbours:
            del self._of_network[network]

    def close(self) -> None:
        """Let all of them go."""
        for caller in tuple(self._callers):
            if caller.transport is not None:
                caller.transport.abort()

    def _send_away(self, caller: Caller) -> None:
        self.gone(caller)
        if caller.transport is not None:
            caller.transport.abort()


class _Connection(WSProtocol):  # type: ignore[misc] # Any, to mypy
    __slots__ = ("_caller", "_entrance")

    def __init__(self, entrance: Entrance, caller: Caller, within: float) -> None:
        # By position: host and path, client side, handler, logger, disconnect on exception,
        # time for the request; ping by itself, its times and strategy; pong by itself, the
        # biggest frame, headers, buffer.
        # Pings are answered in charger_socket.py, so that they count against the message rate;
        # silence is watched there, since picows takes bytes of an unfinished frame for life.
        super().__init__(
            *(None, None, False, caller, _QUIET, True, within),
            *(False, 10, 10, WSAutoPingStrategy.PING_WHEN_IDLE),
            *(False, MESSAGE_SIZE, None, READ_BUFFER),
        )
        self._entrance = entrance
        self._caller = caller

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._caller.transport = transport
        self._entrance.came(self._caller)

    def connection_lost(self, error: Exception | None) -> None:
        self._entrance.gone(self._caller)
        self._caller.transport = None
        super().connection_lost(error)
