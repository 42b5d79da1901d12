"""Who carries out which command in OCPP 1.6."""

from __future__ import annotations

from chargekey_gateway import commands as c
from chargekey_gateway.ocpp.dialect import Carry
from chargekey_gateway.ocpp16 import (
    change_availability,
    change_configuration,
    clear_cache,
    get_configuration,
    get_local_list_version,
    remote_start_transaction,
    remote_stop_transaction,
    reset,
    send,
    send_local_list,
    trigger_message,
    unlock_connector,
)

COMMANDS: dict[type[c.Command], Carry] = {
    c.ChangeAvailability: change_availability.send,
    c.ChangeSetting: change_configuration.send,
    c.ClearCache: clear_cache.send,
    c.GetLocalListVersion: get_local_list_version.send,
    c.ReadSettings: get_configuration.send,
    c.RemoteStart: remote_start_transaction.send,
    c.RemoteStop: remote_stop_transaction.send,
    c.Reset: reset.send,
    c.Send: send.send,
    c.SendLocalList: send_local_list.send,
    c.Trigger: trigger_message.send,
    c.Unlock: unlock_connector.send,
}
