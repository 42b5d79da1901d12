"""Who carries out which command in OCPP 2.0.1."""

from __future__ import annotations

from chargekey_gateway import commands as c
from chargekey_gateway.ocpp.dialect import Carry
from chargekey_gateway.ocpp20 import (
    change_availability,
    clear_cache,
    get_local_list_version,
    get_variables,
    request_start_transaction,
    request_stop_transaction,
    reset,
    send,
    send_local_list,
    set_variables,
    trigger_message,
    unlock_connector,
)

COMMANDS: dict[type[c.Command], Carry] = {
    c.ChangeAvailability: change_availability.send,
    c.ChangeSetting: set_variables.send,
    c.ClearCache: clear_cache.send,
    c.GetLocalListVersion: get_local_list_version.send,
    c.ReadSettings: get_variables.send,
    c.RemoteStart: request_start_transaction.send,
    c.RemoteStop: request_stop_transaction.send,
    c.Reset: reset.send,
    c.Send: send.send,
    c.SendLocalList: send_local_list.send,
    c.Trigger: trigger_message.send,
    c.Unlock: unlock_connector.send,
}
