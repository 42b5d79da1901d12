"""What people have chargers do, on the wire: requests to commands, results to answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from grpc import aio

from chargekey.gateway.v1 import commands_pb2 as pb
from chargekey.gateway.v1 import commands_pb2_grpc
from chargekey_common.errors import UnavailableError
from chargekey_common.grpc.server import Objects, Service, current_caller
from chargekey_gateway.app_codes import AppCode
from chargekey_gateway.application.gateway import Gateway
from chargekey_gateway.command_errors import (
    ActionNotForHereError,
    ActionUnknownError,
    ChargerBusyError,
    ChargerOfflineError,
    ChargerSilentError,
    ChargerUnknownError,
    ConnectorMalformedError,
    NotAPersonError,
    PayloadInvalidError,
    SessionUnknownError,
    SettingMalformedError,
    SettingsNotToldError,
)
from chargekey_gateway.commands import (
    AnyCommand,
    ChangeAvailability,
    ChangeSetting,
    ClearCache,
    Outcome,
    ReadSettings,
    RemoteStop,
    Reset,
    Result,
    Send,
    Trigger,
    Unlock,
)
from chargekey_gateway.sessions.running import RunningSession
from chargekey_gateway.view.entries import Charger

NAME = "chargekey.gateway.v1.ChargerCommandService"
# Seconds for a charger to answer, calls that wait before included: less than the gate's.
DEADLINE = 28.0
# Seconds for a charger to be asked to stop what is ended without it. That is ended after, and
# most callers wait 5 s for everything: a silent charger must not keep its session.
LAST_WORD = 2.0
LONGEST_PAYLOAD = 60_000  # bytes, within what a frame holds
MOST_SETTINGS = 50
LONGEST_NAME = 203  # `component:instance.variable:instance`, 50 each
LONGEST_VALUE = 2500
PERSON = "user:"

Context = aio.ServicerContext[Any, Any]
AppCodes = Callable[[str], Awaitable[AppCode]]


class Chargers(Protocol):
    """Wherever chargers are connected."""

    async def carry_out(self, charger_id: str, command: AnyCommand) -> Result:
        """Have the charger do it; raises ChargerOfflineError where it is connected nowhere."""

    async def disconnect(self, charger_id: str) -> None:
        """Close its connection; raises ChargerOfflineError where it has none."""


class CommandServicer(commands_pb2_grpc.ChargerCommandServiceServicer):
    """The methods of commands.proto."""

    def __init__(self, gateway: Gateway, chargers: Chargers, app_codes: AppCodes) -> None:
        self._gateway = gateway
        self._chargers = chargers
        self._app_codes = app_codes

    async def StartSession(
        self, request: pb.StartSessionRequest, _: Context
    ) -> pb.StartSessionResponse:
        caller = current_caller()
        if not caller.startswith(PERSON):
            raise NotAPersonError
        connector = connector_of(request.connector)
        charger = self._charger(request.charger_id)
        app = await self._app_codes(caller.removeprefix(PERSON))
        command = await self._gateway.starting_from_afar.command(charger, app, connector)
        return pb.StartSessionResponse(outcome=await self._have(charger.id, command))

    async def StopSession(
        self, request: pb.StopSessionRequest, _: Context
    ) -> pb.StopSessionResponse:
        session = self._session(request.session_id)
        return pb.StopSessionResponse(outcome=await self._have(session.charger_id, stop(session)))

    async def EndSession(self, request: pb.EndSessionRequest, _: Context) -> pb.EndSessionResponse:
        session = self._session(request.session_id)
        await self._last_word(session)
        await self._gateway.charging.end_in_the_books(session.session_id, current_caller())
        return pb.EndSessionResponse()

    async def ResetCharger(
        self, request: pb.ResetChargerRequest, _: Context
    ) -> pb.ResetChargerResponse:
        charger = self._charger(request.charger_id)
        outcome = await self._have(charger.id, Reset(at_once=request.at_once))
        return pb.ResetChargerResponse(outcome=outcome)

    async def DisconnectCharger(
        self, request: pb.DisconnectChargerRequest, _: Context
    ) -> pb.DisconnectChargerResponse:
        await self._chargers.disconnect(self._charger(request.charger_id).id)
        return pb.DisconnectChargerResponse()

    async def UnlockConnector(
        self, request: pb.UnlockConnectorRequest, _: Context
    ) -> pb.UnlockConnectorResponse:
        connector = connector_of(request.connector)
        if connector is None:
            raise ConnectorMalformedError
        charger = self._charger(request.charger_id)
        outcome = await self._have(charger.id, Unlock(connector=connector))
        return pb.UnlockConnectorResponse(outcome=outcome)

    async def ChangeAvailability(
        self, request: pb.ChangeAvailabilityRequest, _: Context
    ) -> pb.ChangeAvailabilityResponse:
        connector = connector_of(request.connector)
        charger = self._charger(request.charger_id)
        command = ChangeAvailability(operative=request.operative, connector=connector)
        return pb.ChangeAvailabilityResponse(outcome=await self._have(charger.id, command))

    async def TriggerMessage(
        self, request: pb.TriggerMessageRequest, _: Context
    ) -> pb.TriggerMessageResponse:
        connector = connector_of(request.connector)
        charger = self._charger(request.charger_id)
        command = Trigger(message=request.message, connector=connector)
        return pb.TriggerMessageResponse(outcome=await self._have(charger.id, command))

    async def ClearCache(self, request: pb.ClearCacheRequest, _: Context) -> pb.ClearCacheResponse:
        charger = self._charger(request.charger_id)
        return pb.ClearCacheResponse(outcome=await self._have(charger.id, ClearCache()))

    async def GetChargerSettings(
        self, request: pb.GetChargerSettingsRequest, _: Context
    ) -> pb.GetChargerSettingsResponse:
        if len(request.names) > MOST_SETTINGS:
            raise SettingMalformedError
        names = tuple(map(_name, request.names))
        charger = self._charger(request.charger_id)
        result = await self._carry_out(charger.id, ReadSettings(names=names))
        if not result.accepted:
            detail = f"It answered: {result.status}." if result.status else ""
            raise SettingsNotToldError(detail)
        return pb.GetChargerSettingsResponse(
            settings=[
                pb.ChargerSetting(name=name, value=value)
                for name, value in sorted(result.settings.items())
            ]
        )

    async def ChangeChargerSetting(
        self, request: pb.ChangeChargerSettingRequest, _: Context
    ) -> pb.ChangeChargerSettingResponse:
        if len(request.value) > LONGEST_VALUE or (
            request.value and not request.value.isprintable()
        ):
            raise SettingMalformedError
        command = ChangeSetting(name=_name(request.name), value=request.value)
        charger = self._charger(request.charger_id)
        return pb.ChangeChargerSettingResponse(outcome=await self._have(charger.id, command))

    async def SendAction(self, request: pb.SendActionRequest, _: Context) -> pb.SendActionResponse:
        charger = self._charger(request.charger_id)
        command = Send(action=request.action, payload=_payload(request.payload))
        result = await self._carry_out(charger.id, command)
        answer = msgspec.json.encode(result.payload).decode() if result.payload else ""
        return pb.SendActionResponse(outcome=_outcome(result), payload=answer)

    def objects(self) -> Objects:
        """Return what each method's request is about."""
        return {
            "StartSession": self._himself_or_charger,
            "StopSession": self._own_or_charger,
            "EndSession": self._own_or_charger,
            "ResetCharger": _charger_object,
            "DisconnectCharger": _charger_object,
            "UnlockConnector": _charger_object,
            "ChangeAvailability": _charger_object,
            "TriggerMessage": _charger_object,
            "ClearCache": _charger_object,
            "GetChargerSettings": _charger_object,
            "ChangeChargerSetting": _charger_object,
            "SendAction": _charger_object,
        }

    def _himself_or_charger(self, request: pb.StartSessionRequest) -> str:
        caller = current_caller()
        his_own = self._gateway.starting_from_afar.is_his_own(
            caller.removeprefix(PERSON), request.charger_id
        )
        return caller if his_own else _charger_object(request)

    def _own_or_charger(self, request: pb.StopSessionRequest | pb.EndSessionRequest) -> str:
        session = self._session(request.session_id)
        own = f"user:{session.user_id}"
        return own if current_caller() == own else f"charger:{session.charger_id}"

    def _charger(self, charger_id: str) -> Charger:
        charger = self._gateway.view.charger(charger_id)
        if charger is None:
            raise ChargerUnknownError
        return charger

    def _session(self, session_id: str) -> RunningSession:
        session = self._gateway.running.by_session_id(session_id)
        if session is None:
            raise SessionUnknownError
        return session

    async def _last_word(self, session: RunningSession) -> None:
        """Have a charger stop what is over in the books, where it still listens, whatever it says.

        Else its driver could go on, with his card free for another charger, and nothing stopped
        him once he is blocked: what does not run is not stopped.
        """
        try:
            async with asyncio.timeout(LAST_WORD):
                await self._chargers.carry_out(session.charger_id, stop(session))
        except (TimeoutError, ChargerOfflineError, ChargerSilentError, UnavailableError):
            pass  # that is what ending in the books is for

    async def _have(self, charger_id: str, command: AnyCommand) -> pb.CommandOutcome:
        return await have(self._chargers, charger_id, command)

    async def _carry_out(self, charger_id: str, command: AnyCommand) -> Result:
        return await carried_out(self._chargers, charger_id, command)


async def have(chargers: Chargers, charger_id: str, command: AnyCommand) -> pb.CommandOutcome:
    """Return what the charger answered, to be told; raises what `carried_out` does."""
    return _outcome(await carried_out(chargers, charger_id, command))


async def carried_out(chargers: Chargers, charger_id: str, command: AnyCommand) -> Result:
    """Return what the charger answered; raises what is told where it gave no answer."""
    try:
        async with asyncio.timeout(DEADLINE):
            result = await chargers.carry_out(charger_id, command)
    except TimeoutError:
        raise ChargerSilentError from None
    match result.outcome:
        case Outcome.TIMED_OUT:
            raise ChargerSilentError
        case Outcome.DISCONNECTED:
            raise ChargerOfflineError
        case Outcome.TOO_MANY_QUEUED:
            raise ChargerBusyError
        case Outcome.ACTION_UNKNOWN:
            raise ActionUnknownError
        case Outcome.PAYLOAD_INVALID:
            detail = f"{result.where}."
            raise PayloadInvalidError(detail)
        case Outcome.NOT_FOR_HERE:
            raise ActionNotForHereError(result.instead)
        case _:
            return result


class _HasChargerId(Protocol):
    charger_id: str


def _charger_object(request: _HasChargerId) -> str:
    return f"charger:{request.charger_id}"


def stop(session: RunningSession) -> RemoteStop:
    """Return what ends the session."""
    return RemoteStop(
        transaction_id=session.transaction_id, ocpp_transaction_id=session.ocpp_transaction_id
    )


def _outcome(result: Result) -> pb.CommandOutcome:
    return pb.CommandOutcome(outcome=result.outcome, status=result.status)


def connector_of(number: int) -> int | None:
    """Return the connector, None for 0; raises ConnectorMalformedError."""
    if number < 0:
        raise ConnectorMalformedError
    return number or None


def _name(name: str) -> str:
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise SettingMalformedError
    return name


def _payload(text: str) -> dict[str, Any]:
    data = text.encode()
    if len(data) > LONGEST_PAYLOAD:
        detail = f"$: at most {LONGEST_PAYLOAD} bytes."
        raise PayloadInvalidError(detail)
    try:
        payload: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        detail = "$: a JSON object is wanted."
        raise PayloadInvalidError(detail) from None
    return payload


def service(gateway: Gateway, chargers: Chargers, app_codes: AppCodes) -> Service:
    """Return the service, to be served; `app_codes` tells a user's APP code."""
    servicer = CommandServicer(gateway, chargers, app_codes)
    return Service(
        NAME,
        commands_pb2_grpc.add_ChargerCommandServiceServicer_to_server,
        servicer,
        servicer.objects(),
    )
