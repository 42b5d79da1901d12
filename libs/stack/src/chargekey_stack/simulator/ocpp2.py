"""OCPP 2.0.1 and 2.1 as a charger speaks them: for a charger's part they say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ocpp.v21
import ocpp.v201
from websockets.asyncio.client import ClientConnection

from chargekey_stack.simulator.local_list import EMPTY, ListEntry, Taken, Update
from chargekey_stack.simulator.observer import Observer
from chargekey_stack.simulator.settings import Changed, Meaning, Setting
from chargekey_stack.simulator.station import Station
from chargekey_stack.simulator.transactions import Answer, Message, Moment, Transaction
from chargekey_stack.simulator.values import Reason, State, Token, Verdict, read, written
from chargekey_stack.simulator.wire import Handler, Line, Wire

EVSE = 1
CONNECTOR = 1

# Named as component.variable, an instance of a variable in brackets.
# fmt: off - a table is read by its columns
SETTINGS = (
    Setting("AuthCtrlr.AuthorizeRemoteStart", "false", Meaning.AUTHORIZE_REMOTE_STARTS),
    Setting("AuthCtrlr.DisableRemoteAuthorization", "false"),
    Setting("AuthCtrlr.Enabled", "true", Meaning.AUTHORIZATION),
    Setting("AuthCtrlr.LocalAuthorizeOffline", "true", Meaning.AUTHORIZE_OFFLINE),
    Setting("AuthCtrlr.LocalPreAuthorize", "false", Meaning.PRE_AUTHORIZE),
    Setting("AuthCtrlr.OfflineTxForUnknownIdEnabled", "false", Meaning.UNKNOWN_OFFLINE),
    Setting("AuthCacheCtrlr.Enabled", "true", Meaning.CACHE, reboot=True),
    Setting("LocalAuthListCtrlr.BytesPerMessage", "32768", readonly=True),
    Setting("LocalAuthListCtrlr.Enabled", "true", Meaning.LIST),
    Setting("LocalAuthListCtrlr.Entries", "0", Meaning.LIST_COUNT, readonly=True),
    Setting("LocalAuthListCtrlr.ItemsPerMessage", "20", Meaning.LIST_MOST_AT_ONCE, readonly=True),
    Setting("LocalAuthListCtrlr.SupportsExpiryDateTime", "true", readonly=True),
    Setting("OCPPCommCtrlr.HeartbeatInterval", "300"),
    Setting("OCPPCommCtrlr.MessageAttempts[TransactionEvent]", "1", Meaning.MESSAGE_ATTEMPTS),
    Setting(
        "OCPPCommCtrlr.MessageAttemptInterval[TransactionEvent]", "10", Meaning.MESSAGE_INTERVAL
    ),
    Setting("TxCtrlr.EVConnectionTimeOut", "60"),
    Setting("TxCtrlr.MaxEnergyOnInvalidId", "0"),
    Setting("TxCtrlr.StopTxOnInvalidId", "true", Meaning.STOP_ON_INVALID),
    Setting("TxCtrlr.TxStartPoint", "PowerPathClosed", readonly=True),
    Setting("TxCtrlr.TxStopPoint", "PowerPathClosed", readonly=True),
)

# How an end is told, and what triggered the telling.
ENDS = {
    Reason.LOCAL: ("Local", "StopAuthorized"),
    Reason.REMOTE: ("Remote", "RemoteStop"),
    Reason.DE_AUTHORIZED: ("DeAuthorized", "Deauthorized"),
    Reason.SOFT_RESET: ("Reboot", "ResetCommand"),
    Reason.HARD_RESET: ("ImmediateReset", "ResetCommand"),
    Reason.POWER_LOSS: ("PowerLoss", "AbnormalCondition"),
    Reason.UNLOCKED: ("Other", "UnlockCommand"),
}
# fmt: on

# Which of the charger's own messages a trigger names otherwise than 1.6 does.
TRIGGERS = {"TransactionEvent": "MeterValues"}


class Peer2(Wire):
    """A charger's end of one connection; `call` and `call_result` are the version's."""

    version: str
    settings = SETTINGS

    def __init__(
        self, line: Line, socket: ClientConnection, charger: Station, observer: Observer
    ) -> None:
        self._station = charger
        routes: dict[str, Handler] = {
            "ChangeAvailability": self._change_availability,
            "ClearCache": self._clear_cache,
            "GetLocalListVersion": self._get_local_list_version,
            "GetTransactionStatus": self._get_transaction_status,
            "GetVariables": self._get_variables,
            "RequestStartTransaction": self._request_start,
            "RequestStopTransaction": self._request_stop,
            "Reset": self._reset,
            "SendLocalList": self._send_local_list,
            "SetVariables": self._set_variables,
            "TriggerMessage": self._trigger_message,
            "UnlockConnector": self._unlock_connector,
        }
        super().__init__(line, socket, routes, charger, observer)

    @staticmethod
    def transaction_id(transaction: Transaction) -> str:
        """Return what the charger calls a transaction."""
        return transaction.own_id

    # What the charger says.

    async def boot(self, reason: str) -> str:
        """Say that the charger has started, and why; return whether it is accepted."""
        station = {"vendor_name": "Chargekey", "model": "Simulator"}
        answer = await self.ask(
            self._call.BootNotification(charging_station=station, reason=reason)
        )
        return str(answer.status)

    async def report(self, state: State) -> None:
        """Say how the connector is: free, taken, or out of service."""
        occupied = state not in {State.AVAILABLE, State.UNAVAILABLE}
        await self.ask(
            self._call.StatusNotification(
                timestamp=written(self._station.now()),
                connector_status="Occupied" if occupied else state,
                evse_id=EVSE,
                connector_id=CONNECTOR,
            )
        )

    async def report_list_conflict(self) -> None:
        """Say nothing: 2.x knows no such report."""

    async def heartbeat(self) -> None:
        """Say that the charger lives."""
        await self.ask(self._call.Heartbeat())

    async def measure(self, meter: int, at: int) -> None:
        """Say what the meter shows while nothing charges."""
        await self.ask(
            self._call.MeterValues(evse_id=EVSE, meter_value=_meter_value(meter, at, "Trigger"))
        )

    async def authorize(self, token: Token) -> Verdict:
        """Ask who this is."""
        answer = await self.ask(self._call.Authorize(id_token=_id_token(token)))
        return _verdict(answer.id_token_info)

    async def deliver(self, message: Message) -> Answer:
        """Tell of a transaction; the token stands in the first message and the last (E03, E07)."""
        transaction = message.transaction
        info: dict[str, Any] = {"transaction_id": transaction.own_id}
        token: Token | None = None
        context = "Sample.Periodic"
        trigger = "MeterValuePeriodic"
        match message.moment:
            case Moment.STARTED:
                token, context = transaction.token, "Transaction.Begin"
                trigger = "Authorized"
                info["charging_state"] = "Charging"
                if transaction.remote_start_id is not None:
                    trigger = "RemoteStart"
                    info["remote_start_id"] = transaction.remote_start_id
            case Moment.UPDATED:
                info["charging_state"] = "Charging"
            case Moment.ENDED:
                context = "Transaction.End"
                info["stopped_reason"], trigger = ENDS[message.cause or Reason.LOCAL]
                if message.cause is Reason.LOCAL:
                    token = transaction.token
        answer = await self.ask(
            self._call.TransactionEvent(
                event_type=message.moment,
                timestamp=written(message.at),
                trigger_reason=trigger,
                seq_no=message.sequence_number,
                transaction_info=info,
                meter_value=_meter_value(message.meter, message.at, context),
                offline=message.offline,
                evse={"id": EVSE, "connector_id": CONNECTOR},
                id_token=None if token is None else _id_token(token),
            )
        )
        told = answer.id_token_info
        return Answer(None if told is None else _verdict(told))

    # What the charger answers.

    def _request_start(
        self,
        id_token: Mapping[str, Any],
        remote_start_id: int,
        evse_id: int = EVSE,
        **_: object,
    ) -> Any:  # noqa: ANN401 - the version's
        accepted = evse_id == EVSE and self._station.on_remote_start(
            _token(id_token), remote_start_id
        )
        return self._call_result.RequestStartTransaction(status=_accepted(accepted))

    def _request_stop(self, transaction_id: str, **_: object) -> Any:  # noqa: ANN401 - as above
        accepted = self._station.on_remote_stop(transaction_id)
        return self._call_result.RequestStopTransaction(status=_accepted(accepted))

    def _clear_cache(self, **_: object) -> Any:  # noqa: ANN401 - as above
        return self._call_result.ClearCache(status=_accepted(self._station.on_clear_cache()))

    def _get_local_list_version(self, **_: object) -> Any:  # noqa: ANN401 - as above
        """D02: without a list, or where it is switched off, 0."""
        version = self._station.on_list_version()
        return self._call_result.GetLocalListVersion(
            version_number=EMPTY if version is None else version
        )

    def _send_local_list(
        self,
        version_number: int,
        update_type: str,
        local_authorization_list: list[dict[str, Any]] | None = None,
        **_: object,
    ) -> Any:  # noqa: ANN401 - as above
        entries = [_list_entry(each) for each in local_authorization_list or ()]
        update = Update(version_number, update_type == "Full", entries)
        taken = self._station.on_local_list(update)
        return self._call_result.SendLocalList(status=Taken.FAILED if taken is None else taken)

    def _set_variables(self, set_variable_data: list[dict[str, Any]], **_: object) -> Any:  # noqa: ANN401 - as above
        return self._call_result.SetVariables(
            set_variable_result=[
                {**_named(each), "attribute_status": self._changed(each)}
                for each in set_variable_data
            ]
        )

    def _get_variables(self, get_variable_data: list[dict[str, Any]], **_: object) -> Any:  # noqa: ANN401 - as above
        return self._call_result.GetVariables(
            get_variable_result=[{**_named(each), **self._told(each)} for each in get_variable_data]
        )

    def _trigger_message(
        self, requested_message: str, evse: Mapping[str, Any] | None = None, **_: object
    ) -> Any:  # noqa: ANN401 - as above
        if evse is not None and evse["id"] not in (0, EVSE):
            return self._call_result.TriggerMessage(status="Rejected")
        done = self._station.on_trigger(TRIGGERS.get(requested_message, requested_message))
        return self._call_result.TriggerMessage(status="Accepted" if done else "NotImplemented")

    def _reset(
        self,
        type: str,  # noqa: A002 - as the standard calls it
        **_: object,
    ) -> Any:  # noqa: ANN401 - as above
        now = self._station.on_reset(at_once=type == "Immediate", hard=True)
        return self._call_result.Reset(status="Accepted" if now else "Scheduled")

    def _unlock_connector(self, evse_id: int, connector_id: int, **_: object) -> Any:  # noqa: ANN401 - as above
        """F05: a transaction somebody may have is not ended."""
        if (evse_id, connector_id) != (EVSE, CONNECTOR):
            return self._call_result.UnlockConnector(status="UnknownConnector")
        if self._station.transaction is not None:
            return self._call_result.UnlockConnector(status="OngoingAuthorizedTransaction")
        self._station.on_unlock()
        return self._call_result.UnlockConnector(status="Unlocked")

    def _change_availability(
        self, operational_status: str, evse: Mapping[str, Any] | None = None, **_: object
    ) -> Any:  # noqa: ANN401 - as above
        if evse is not None and evse["id"] not in (0, EVSE):
            return self._call_result.ChangeAvailability(status="Rejected")
        now = self._station.on_availability(operative=operational_status == "Operative")
        return self._call_result.ChangeAvailability(status="Accepted" if now else "Scheduled")

    def _get_transaction_status(self, transaction_id: str | None = None, **_: object) -> Any:  # noqa: ANN401 - as above
        waiting = any(
            transaction_id in (None, each.transaction.own_id) for each in self._station.outbox
        )
        running = self._station.transaction
        return self._call_result.GetTransactionStatus(
            messages_in_queue=waiting,
            ongoing_indicator=None
            if transaction_id is None
            else running is not None and running.own_id == transaction_id,
        )

    def _changed(self, data: Mapping[str, Any]) -> str:
        if data.get("attribute_type", "Actual") != "Actual":
            return "NotSupportedAttributeType"
        changed = self._station.settings.change(_name(data), data["attribute_value"])
        return self._unknown(data) if changed is Changed.UNKNOWN else changed

    def _told(self, data: Mapping[str, Any]) -> dict[str, str]:
        told = self._station.settings.find(_name(data))
        if told is None:
            return {"attribute_status": self._unknown(data)}
        if data.get("attribute_type", "Actual") != "Actual":
            return {"attribute_status": "NotSupportedAttributeType"}
        return {"attribute_status": "Accepted", "attribute_value": told.value}

    def _unknown(self, data: Mapping[str, Any]) -> str:
        component = f"{data['component']['name']}.".casefold()
        known = any(each.name.casefold().startswith(component) for each in self._station.settings)
        return "UnknownVariable" if known else "UnknownComponent"


class Peer201(Peer2, ocpp.v201.ChargePoint):  # type: ignore[misc] # untyped
    """A charger's end of a connection that speaks 2.0.1."""

    version = "2.0.1"
    subprotocol = "ocpp2.0.1"


class Peer21(Peer2, ocpp.v21.ChargePoint):  # type: ignore[misc] # untyped
    """A charger's end of a connection that speaks 2.1."""

    version = "2.1"
    subprotocol = "ocpp2.1"


def _id_token(token: Token) -> dict[str, str]:
    return {"id_token": token.code, "type": token.type}


def _token(id_token: Mapping[str, Any]) -> Token:
    return Token(id_token["id_token"], id_token["type"])


def _verdict(info: Mapping[str, Any]) -> Verdict:
    group = info.get("group_id_token")
    return Verdict(
        info["status"],
        read(info.get("cache_expiry_date_time")),
        None if group is None else group["id_token"],
    )


def _list_entry(entry: Mapping[str, Any]) -> ListEntry:
    info = entry.get("id_token_info")
    return ListEntry(_token(entry["id_token"]), None if info is None else _verdict(info))


def _meter_value(meter: int, at: int, context: str) -> list[dict[str, Any]]:
    return [{"timestamp": written(at), "sampled_value": [{"value": meter, "context": context}]}]


def _name(data: Mapping[str, Any]) -> str:
    variable = data["variable"]
    instance = f"[{variable['instance']}]" if "instance" in variable else ""
    return f"{data['component']['name']}.{variable['name']}{instance}"


def _named(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: data[name] for name in ("component", "variable", "attribute_type") if name in data
    }


def _accepted(accepted: bool) -> str:  # noqa: FBT001 - the word for it
    return "Accepted" if accepted else "Rejected"
