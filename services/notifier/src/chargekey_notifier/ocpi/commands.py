"""Commands: answered at once, and once more when the charger has answered (§13)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Annotated, Any, Literal, Protocol

import msgspec
import structlog
from starlette.requests import Request
from starlette.routing import BaseRoute

from chargekey.gateway.v1 import commands_pb2
from chargekey.gateway.v1 import operators_pb2 as pb
from chargekey_common.errors import ChargekeyError
from chargekey_common.evses import charger_of
from chargekey_common.process import cancel
from chargekey_notifier.ocpi.calls import Calls
from chargekey_notifier.ocpi.http import INVALID, Answer, Door, OcpiError, body
from chargekey_notifier.ocpi.messages import VERSION, CiString36, Message, Module, Url
from chargekey_notifier.ocpi.peers import Peer
from chargekey_notifier.ocpi.starts import Starts
from chargekey_notifier.ocpi.tokens import Token

PATH = f"/ocpi/cpo/{VERSION}/commands"
MODULES = (Module(identifier="commands", role="RECEIVER", url=PATH),)
# Seconds: what is known by then is answered at once, such as that there is no such session.
AT_ONCE = 1.0
# Seconds within which an operator hears what became of it: the charger's 28, and ours.
TIMEOUT = 60
# Seconds before the result is told again to who did not take it.
PAUSES = (1.0, 5.0)
# Commands under way, of all operators: each waits for a charger.
MOST = 1000
_NOT_SUPPORTED = frozenset({"RESERVE_NOW", "CANCEL_RESERVATION"})

Result = Literal["ACCEPTED", "EVSE_INOPERATIVE", "FAILED", "NOT_SUPPORTED", "REJECTED", "TIMEOUT"]
Response = Literal["ACCEPTED", "NOT_SUPPORTED", "REJECTED", "UNKNOWN_SESSION"]

log = structlog.get_logger()


class StartSession(Message, frozen=True, kw_only=True):
    """Begin with this token, at an EVSE or at any (§13.3.5)."""

    response_url: Url
    token: Token
    location_id: CiString36
    evse_uid: CiString36 | None = None
    connector_id: CiString36 | None = None
    authorization_reference: (
        Annotated[str, msgspec.Meta(max_length=36, pattern=r"^[ -~]*\Z")] | None
    ) = None


class StopSession(Message, frozen=True, kw_only=True):
    """End this session (§13.3.6)."""

    response_url: Url
    session_id: CiString36


class UnlockConnector(Message, frozen=True, kw_only=True):
    """Unlock a connector's cable (§13.3.7)."""

    response_url: Url
    location_id: CiString36
    evse_uid: CiString36
    connector_id: CiString36


class CommandResult(Message, frozen=True, kw_only=True):
    """What became of it (§13.3.3)."""

    result: Result


class Gateway(Protocol):
    """Who has chargers do things."""

    async def start(self, request: pb.StartForOperatorRequest) -> commands_pb2.CommandOutcome:
        """Return what the charger answered; raises a ChargekeyError."""

    async def stop(self, request: pb.StopForOperatorRequest) -> commands_pb2.CommandOutcome:
        """Return what the charger answered; raises a ChargekeyError."""

    async def unlock(self, request: pb.UnlockForOperatorRequest) -> commands_pb2.CommandOutcome:
        """Return what the charger answered; raises a ChargekeyError."""


class Commands:
    """Answers operators; `close` when it is over. Belongs to one event loop.

    What became of a command is told from memory: an operator that hears nothing, because
    this process was restarted, goes by its `timeout`.
    """

    def __init__(self, door: Door, gateway: Gateway, calls: Calls, starts: Starts) -> None:
        self._door = door
        self._gateway = gateway
        self._calls = calls
        self._starts = starts
        self._under_way: set[asyncio.Task[None]] = set()

    def routes(self) -> Sequence[BaseRoute]:
        """Return where it answers."""
        return (self._door.route(f"{PATH}/{{command}}", post=self._post),)

    async def close(self) -> None:
        """Let go of what is under way."""
        await cancel(*self._under_way)

    async def _post(self, request: Request, peer: Peer) -> Answer:
        command = request.path_params["command"]
        if command in _NOT_SUPPORTED:
            return Answer(data=_response("NOT_SUPPORTED"))
        match command:
            case "START_SESSION":
                start = await body(request, StartSession)
                reference = await self._kept(peer, start)
                return await self._carried_out(
                    peer, start.response_url, self._start(peer, start, reference)
                )
            case "STOP_SESSION":
                stop = await body(request, StopSession)
                return await self._carried_out(
                    peer,
                    stop.response_url,
                    self._gateway.stop(
                        pb.StopForOperatorRequest(
                            partner_id=peer.partner_id, session_id=stop.session_id
                        )
                    ),
                )
            case "UNLOCK_CONNECTOR":
                unlock = await body(request, UnlockConnector)
                return await self._carried_out(
                    peer, unlock.response_url, self._unlock(peer, unlock)
                )
        message = "There is no such command."
        raise OcpiError(INVALID, message, http=404)

    async def _kept(self, peer: Peer, start: StartSession) -> str:
        """Keep whose charge it will be; return what it will be known by."""
        if not peer.is_called(start.token.country_code, start.token.party_id):
            message = "The token is not yours."
            raise OcpiError(INVALID, message)
        reference = await asyncio.to_thread(
            self._starts.put,
            peer.partner_id,
            start.token,
            start.authorization_reference,
            at=self._door.clock(),
        )
        if reference is None:
            message = "The authorization_reference is that of a start with another token."
            raise OcpiError(INVALID, message)
        return reference

    async def _start(
        self, peer: Peer, start: StartSession, reference: str
    ) -> commands_pb2.CommandOutcome:
        charger_id, connector = charger_of(start.evse_uid or "")
        return await self._gateway.start(
            pb.StartForOperatorRequest(
                partner_id=peer.partner_id,
                installation_id=start.location_id,
                charger_id=charger_id,
                connector=connector or 0,
                token=start.token.uid,
                authorization_reference=reference,
            )
        )

    async def _unlock(self, peer: Peer, unlock: UnlockConnector) -> commands_pb2.CommandOutcome:
        charger_id, connector = charger_of(unlock.evse_uid)
        return await self._gateway.unlock(
            pb.UnlockForOperatorRequest(
                partner_id=peer.partner_id,
                installation_id=unlock.location_id,
                charger_id=charger_id,
                connector=connector or 1,
            )
        )

    async def _carried_out(
        self,
        peer: Peer,
        response_url: str,
        work: Awaitable[commands_pb2.CommandOutcome],
    ) -> Answer:
        """Answer at once; what takes longer, or was accepted, is told when it is over."""
        working = asyncio.ensure_future(work)
        await asyncio.wait({working}, timeout=AT_ONCE)
        if working.done():
            refused = _refused(working)
            if refused is not None:
                return Answer(data=_response(refused))
        if len(self._under_way) >= MOST:
            await cancel(working)
            return Answer(data=_response("REJECTED"))
        task = asyncio.create_task(self._tell(peer, response_url, working))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return Answer(data=_response("ACCEPTED"))

    async def _tell(
        self,
        peer: Peer,
        response_url: str,
        working: asyncio.Future[commands_pb2.CommandOutcome],
    ) -> None:
        """Tell the operator what became of it, three times at the most."""
        try:
            result = CommandResult(result=await _result(working))
        finally:
            await cancel(working)
        for pause in (*PAUSES, None):
            try:
                await self._calls.call_peer(peer, "POST", response_url, result)
            except ChargekeyError as error:
                log.warning("ocpi_result_not_told", partner=peer.partner_id, why=error.code)
            else:
                return
            if pause is not None:
                await asyncio.sleep(pause)


def _response(result: Response) -> dict[str, Any]:
    """Return what is answered at once; `timeout` in seconds (§13.3.2)."""
    return {"result": result, "timeout": TIMEOUT}


def _refused(working: asyncio.Future[commands_pb2.CommandOutcome]) -> Response | None:
    """Return what to say of a command that came to no charger; None of one that did."""
    error = working.exception()
    if error is None:
        return None
    if not isinstance(error, ChargekeyError):
        raise error
    return "UNKNOWN_SESSION" if error.code == "session_unknown" else "REJECTED"


async def _result(working: asyncio.Future[commands_pb2.CommandOutcome]) -> Result:
    try:
        outcome = await working
    except ChargekeyError as error:
        return _TROUBLE.get(error.code, "FAILED")
    return _OUTCOMES.get(outcome.outcome, "FAILED")


_OUTCOMES: dict[str, Result] = {
    "accepted": "ACCEPTED",
    "reboot_required": "ACCEPTED",
    "rejected": "REJECTED",
    "not_supported": "NOT_SUPPORTED",
}
_TROUBLE: dict[str, Result] = {"charger_silent": "TIMEOUT", "charger_offline": "EVSE_INOPERATIVE"}
