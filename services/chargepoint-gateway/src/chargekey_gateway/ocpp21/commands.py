"""Who carries out which command in OCPP 2.1: as in 2.0.1, but for what has become more."""

from __future__ import annotations

from chargekey_gateway import commands as c
from chargekey_gateway.ocpp.dialect import Carry
from chargekey_gateway.ocpp20.commands import COMMANDS as OLDER
from chargekey_gateway.ocpp21 import send, trigger_message

COMMANDS: dict[type[c.Command], Carry] = {
    **OLDER,
    c.Send: send.send,
    c.Trigger: trigger_message.send,
}
