"""OCPP 1.6 as a charger speaks it: one table of what it answers, one method a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ocpp.v16 import ChargePoint, call, call_result
from websockets.asyncio.client import ClientConnection

from chargekey_stack.simulator.local_list import ListEntry, Update
from chargekey_stack.simulator.observer import Observer
from chargekey_stack.simulator.settings import Meaning, Setting
from chargekey_stack.simulator.station import Station
from chargekey_stack.simulator.transactions import Answer, Message, Moment, Transaction
from chargekey_stack.simulator.values import State, Token, Verdict, read, written
from chargekey_stack.simulator.wire import Handler, Line, Wire

CONNECTOR = 1
# §5.10: there is no such list.
NO_LIST = -1

# fmt: off - a table is read by its columns
SETTINGS = (
    Setting("AllowOfflineTxForUnknownId", "false", Meaning.UNKNOWN_OFFLINE),
    Setting("AuthorizationCacheEnabled", "true", Meaning.CACHE, reboot=True),
    Setting("AuthorizeRemoteTxRequests", "false", Meaning.AUTHORIZE_REMOTE_STARTS),
    Setting("ConnectionTimeOut", "60"),
    Setting("HeartbeatInterval", "300"),
    Setting("LocalAuthListEnabled", "true", Meaning.LIST),
    Setting("LocalAuthListMaxLength", "100", Meaning.LIST_CAPACITY, readonly=True),
    Setting("LocalAuthorizeOffline", "true", Meaning.AUTHORIZE_OFFLINE),
    Setting("LocalPreAuthorize", "false", Meaning.PRE_AUTHORIZE),
    Setting("MaxEnergyOnInvalidId", "0"),
    Setting("NumberOfConnectors", "1", readonly=True),
    Setting("SendLocalListMaxLength", "20", Meaning.LIST_MOST_AT_ONCE, readonly=True),
    Setting("StopTransactionOnInvalidId", "true", Meaning.STOP_ON_INVALID),
    Setting(
        "SupportedFeatureProfiles", "Core,LocalAuthListManagement,RemoteTrigger", readonly=True
    ),
    Setting("TransactionMessageAttempts", "1", Meaning.MESSAGE_ATTEMPTS),
    Setting("TransactionMessageRetryInterval", "10", Meaning.MESSAGE_INTERVAL),
)
# fmt: on


class Peer16(Wire, ChargePoint):  # type: ignore[misc] # untyped
    """A charger's end of one connection."""

    version = "1.6"
    subprotocol = "ocpp1.6"
    settings = SETTINGS

    def __init__(
        self, line: Line, socket: ClientConnection, charger: Station, observer: Observer
    ) -> None:
        self._station = charger
        routes: dict[str, Handler] = {
            "ChangeAvailability": self._change_availability,
            "ChangeConfiguration": self._change_configuration,
            "ClearCache": self._clear_cache,
            "GetConfiguration": self._get_configuration,
            "GetLocalListVersion": self._get_local_list_version,
            "RemoteStartTransaction": self._remote_start,
            "RemoteStopTransaction": self._remote_stop,
            "Reset": self._reset,
            "SendLocalList": self._send_local_list,
            "TriggerMessage": self._trigger_message,
            "UnlockConnector": self._unlock_connector,
        }
        super().__init__(line, socket, routes, charger, observer)

    @staticmethod
    def transaction_id(transaction: Transaction) -> int:
        """Return what the gateway calls a transaction; -1 until it has told (§4.10)."""
        return transaction.number

    # What the charger says.

    async def boot(self, _reason: str) -> str:
        """Say that the charger has started; return whether it is accepted."""
        answer = await self.ask(
            call.BootNotification(charge_point_vendor="Chargekey", charge_point_model="Simulator")
        )
        return str(answer.status)

    async def report(self, state: State) -> None:
        """Say how the connector is."""
        await self._report(CONNECTOR, state, "NoError")

    async def report_list_conflict(self) -> None:
        """Say that the list says other things than the gateway (§4.1, §9.2)."""
        await self._report(0, self._station.state, "LocalListConflict")

    async def heartbeat(self) -> None:
        """Say that the charger lives."""
        await self.ask(call.Heartbeat())

    async def measure(self, meter: int, at: int) -> None:
        """Say what the meter shows while nothing charges."""
        await self.ask(
            call.MeterValues(connector_id=CONNECTOR, meter_value=_meter_value(meter, at))
        )

    async def authorize(self, token: Token) -> Verdict:
        """Ask who this is."""
        answer = await self.ask(call.Authorize(id_tag=token.code))
        return _verdict(answer.id_tag_info)

    async def deliver(self, message: Message) -> Answer:
        """Tell of a transaction."""
        transaction = message.transaction
        match message.moment:
            case Moment.STARTED:
                answer = await self.ask(
                    call.StartTransaction(
                        connector_id=CONNECTOR,
                        id_tag=transaction.token.code,
                        meter_start=message.meter,
                        timestamp=written(message.at),
                    )
                )
                return Answer(_verdict(answer.id_tag_info), answer.transaction_id)
            case Moment.UPDATED:
                await self.ask(
                    call.MeterValues(
                        connector_id=CONNECTOR,
                        transaction_id=transaction.number,
                        meter_value=_meter_value(message.meter, message.at),
                    )
                )
                return Answer()
            case Moment.ENDED:
                answer = await self.ask(
                    call.StopTransaction(
                        meter_stop=message.meter,
                        timestamp=written(message.at),
                        transaction_id=transaction.number,
                        reason=message.cause,
                    )
                )
                info = answer.id_tag_info
                return Answer(None if info is None else _verdict(info))

    async def _report(self, connector: int, state: State, error: str) -> None:
        await self.ask(
            call.StatusNotification(connector_id=connector, error_code=error, status=state)
        )

    # What the charger answers.

    def _remote_start(
        self, id_tag: str, connector_id: int = CONNECTOR, **_: object
    ) -> call_result.RemoteStartTransaction:
        accepted = connector_id == CONNECTOR and self._station.on_remote_start(Token.of(id_tag))
        return call_result.RemoteStartTransaction(status=_accepted(accepted))

    def _remote_stop(self, transaction_id: int) -> call_result.RemoteStopTransaction:
        accepted = self._station.on_remote_stop(transaction_id)
        return call_result.RemoteStopTransaction(status=_accepted(accepted))

    def _clear_cache(self) -> call_result.ClearCache:
        return call_result.ClearCache(status=_accepted(self._station.on_clear_cache()))

    def _get_local_list_version(self) -> call_result.GetLocalListVersion:
        version = self._station.on_list_version()
        return call_result.GetLocalListVersion(list_version=NO_LIST if version is None else version)

    def _send_local_list(
        self,
        list_version: int,
        update_type: str,
        local_authorization_list: list[dict[str, Any]] | None = None,
    ) -> call_result.SendLocalList:
        entries = [_list_entry(each) for each in local_authorization_list or ()]
        update = Update(list_version, update_type == "Full", entries)
        taken = self._station.on_local_list(update)
        return call_result.SendLocalList(status="NotSupported" if taken is None else taken)

    def _change_configuration(self, key: str, value: str) -> call_result.ChangeConfiguration:
        return call_result.ChangeConfiguration(status=self._station.settings.change(key, value))

    def _get_configuration(self, key: list[str] | None = None) -> call_result.GetConfiguration:
        settings = self._station.settings
        asked = {each: settings.find(each) for each in key or ()}
        told = [each for each in asked.values() if each] if key else list(settings)
        return call_result.GetConfiguration(
            configuration_key=[
                {"key": each.name, "readonly": each.readonly, "value": each.value} for each in told
            ],
            unknown_key=[name for name, each in asked.items() if each is None],
        )

    def _trigger_message(
        self, requested_message: str, connector_id: int = CONNECTOR
    ) -> call_result.TriggerMessage:
        if connector_id not in (0, CONNECTOR):
            return call_result.TriggerMessage(status="Rejected")
        done = self._station.on_trigger(requested_message)
        return call_result.TriggerMessage(status="Accepted" if done else "NotImplemented")

    def _reset(self, type: str) -> call_result.Reset:  # noqa: A002 - as the standard calls it
        self._station.on_reset(at_once=True, hard=type == "Hard")
        return call_result.Reset(status="Accepted")

    def _unlock_connector(self, connector_id: int) -> call_result.UnlockConnector:
        """§5.18: a transaction ends first."""
        if connector_id != CONNECTOR:
            return call_result.UnlockConnector(status="NotSupported")
        self._station.on_unlock()
        return call_result.UnlockConnector(status="Unlocked")

    def _change_availability(
        self,
        connector_id: int,
        type: str,  # noqa: A002 - as above
    ) -> call_result.ChangeAvailability:
        if connector_id not in (0, CONNECTOR):
            return call_result.ChangeAvailability(status="Rejected")
        now = self._station.on_availability(operative=type == "Operative")
        return call_result.ChangeAvailability(status="Accepted" if now else "Scheduled")


def _verdict(info: Mapping[str, Any]) -> Verdict:
    return Verdict(info["status"], read(info.get("expiry_date")), info.get("parent_id_tag"))


def _list_entry(entry: Mapping[str, Any]) -> ListEntry:
    info = entry.get("id_tag_info")
    return ListEntry(Token.of(entry["id_tag"]), None if info is None else _verdict(info))


def _meter_value(meter: int, at: int) -> list[dict[str, Any]]:
    return [{"timestamp": written(at), "sampled_value": [{"value": str(meter)}]}]


def _accepted(accepted: bool) -> str:  # noqa: FBT001 - the word for it
    return "Accepted" if accepted else "Rejected"
