"""The connection of a simulated charger: a WebSocket, and calls both ways over it.

Below is the `ocpp` library, which checks every message either way against the official
schemas and knows nothing of this system.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import quote

import msgspec
from ocpp.exceptions import NotImplementedError as ActionUnknownError
from ocpp.exceptions import NotSupportedError as ActionNotOfferedError
from ocpp.exceptions import OCPPError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from chargekey_stack.errors import (
    ChargerConnectedError,
    ChargerDisconnectedError,
    ChargerRefusedError,
    RequestRefusedError,
)
from chargekey_stack.simulator.observer import Observer

# Seconds to wait for an answer of the gateway.
PATIENCE = 10.0
# Of a fleet that connects at once, the last one waits for all others.
OPENING = 60.0
# What the gateway closes a second connection with, and an unknown charger's attempt.
ANOTHER_CONNECTED = "already connected"
NOT_SERVED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND)

# Both libraries log every message, codes included; ours go nowhere.
SILENT = logging.getLogger("chargekey-simulator")
SILENT.disabled = True

Handler = Callable[..., Any]


class UnansweredError(ChargerDisconnectedError):
    """No answer came in time, over a connection that is still there."""


class Line(msgspec.Struct, frozen=True):
    """Where a charger connects to, and as whom.

    Not `checked`, messages are not held against the schemas: that costs more than all
    the rest of a charger does, which counts where there are hundreds.
    """

    url: str
    ocpp_identity: str
    password: str
    checked: bool = True

    async def open(self, subprotocol: str) -> ClientConnection:
        """Connect; raises ChargerRefusedError or ChargerDisconnectedError."""
        credentials = base64.b64encode(f"{self.ocpp_identity}:{self.password}".encode()).decode()
        try:
            return await connect(
                f"{self.url}/{quote(self.ocpp_identity, safe='')}",
                subprotocols=[subprotocol],  # type: ignore[list-item] # a NewType of str
                additional_headers={"Authorization": f"Basic {credentials}"},
                open_timeout=OPENING,
                compression=None,
                proxy=None,
                logger=SILENT,
            )
        except InvalidStatus as refused:
            served = refused.response.status_code not in NOT_SERVED
            kind = ChargerDisconnectedError if served else ChargerRefusedError
            raise kind(str(refused)) from None
        except (OSError, TimeoutError, WebSocketException) as error:
            raise ChargerDisconnectedError(str(error)) from None

    def __repr__(self) -> str:
        """Show no password."""
        return f"Line({self.url!r}, {self.ocpp_identity!r})"


class Obliging(Protocol):
    """Who does what a peer has just answered that it will."""

    def oblige(self) -> None:
        """Do it now."""


class Wire:
    """Calls either way; to be mixed with a ChargePoint of the `ocpp` library.

    `routes` says who answers which action. What an answer has promised is done once it
    is out.
    """

    # What the ChargePoint of a version brings.
    _call: Any
    _call_result: Any
    call: Callable[..., Any]
    start: Callable[[], Any]
    route_map: Mapping[str, Mapping[str, Any]]
    _response_queue: asyncio.Queue[Any]

    def __init__(
        self,
        line: Line,
        socket: ClientConnection,
        routes: Mapping[str, Handler],
        charger: Obliging,
        observer: Observer,
    ) -> None:
        super().__init__(  # type: ignore[call-arg] # a ChargePoint's
            line.ocpp_identity, socket, response_timeout=PATIENCE, logger=SILENT
        )
        self.route_map = {
            action: {"_on_action": handler, "_skip_schema_validation": not line.checked}
            for action, handler in routes.items()
        }
        self._checked = line.checked
        self._socket = socket
        self._charger = charger
        self._observer = observer
        self._reading = asyncio.create_task(self._read(), name="reading")

    async def ask(self, request: Any) -> Any:  # noqa: ANN401 - the library's messages
        """Send a call and return its answer.

        Raises ChargerConnectedError, ChargerDisconnectedError, UnansweredError, or
        RequestRefusedError where the answer is an error.
        """
        action = type(request).__name__
        began = time.perf_counter()
        try:
            answer = await self._asked(request)
        # The kind of an error alone: what it says may repeat the request, and so the code.
        except OCPPError as error:
            self._observer.failed(action, type(error).__name__)
            trouble = f"{action}: {type(error).__name__}"
            raise RequestRefusedError(trouble) from None
        except TimeoutError:
            self._observer.failed(action, "unanswered")
            trouble = f"{action} was not answered in {PATIENCE:g} s"
            raise UnansweredError(trouble) from None
        except ConnectionClosed:
            raise self.lost() from None
        self._observer.answered(action, time.perf_counter() - began, _status(answer))
        return answer

    async def closed(self) -> None:
        """Return when the connection is gone."""
        await asyncio.wait({self._reading})

    async def close(self) -> None:
        """Say goodbye."""
        self._reading.cancel()
        await asyncio.wait({self._reading})
        await self._socket.close()

    def cut(self) -> None:
        """Be gone without a word, as where a cable is cut."""
        self._socket.transport.abort()

    def lost(self) -> ChargerConnectedError | ChargerDisconnectedError:
        """Return what a connection that is gone ended with."""
        reason = self._socket.close_reason
        if reason == ANOTHER_CONNECTED:
            return ChargerConnectedError()
        return ChargerDisconnectedError(
            f"closed with {self._socket.close_code}{f' ({reason})' if reason else ''}"
        )

    async def _asked(self, request: Any) -> Any:  # noqa: ANN401 - as above
        calling = asyncio.ensure_future(
            self.call(request, suppress=False, skip_schema_validation=not self._checked)
        )
        try:
            await asyncio.wait({calling, self._reading}, return_when=asyncio.FIRST_COMPLETED)
            if calling.done():
                return await calling
            raise self.lost()
        finally:
            calling.cancel()

    async def _read(self) -> None:
        try:
            await self.start()
        except ConnectionClosed:
            return

    async def _handle_call(self, msg: Any) -> None:  # noqa: ANN401 - the library's
        # Left to itself the library gives either error the other's name, and in 2.1 none.
        if msg.action not in self.route_map:
            known = hasattr(self._call, str(msg.action))
            raise ActionNotOfferedError if known else ActionUnknownError
        await super()._handle_call(msg)  # type: ignore[misc] # a ChargePoint's
        self._charger.oblige()

    async def _get_specific_response(self, unique_id: str, timeout: float) -> Any:  # noqa: ANN401, ASYNC109 - as the library has it
        # The library's own loses a cancellation now and then: it is made of `wait_for`.
        async with asyncio.timeout(timeout):
            while True:
                response = await self._response_queue.get()
                if response.unique_id == unique_id:
                    return response


def _status(answer: Any) -> str:  # noqa: ANN401 - the library's messages
    for name in ("id_tag_info", "id_token_info"):
        info = getattr(answer, name, None)
        if info is not None:
            return str(info["status"])
    return str(getattr(answer, "status", ""))
