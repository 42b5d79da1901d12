"""How OCPP-J 2.x §4.3 spells what is wrong with a call."""

from __future__ import annotations

from chargekey_gateway.ocpp.frames import Fault

ERROR_CODES = {
    Fault.FRAME: "RpcFrameworkError",
    Fault.MESSAGE_TYPE: "MessageTypeNotSupported",
    Fault.FORMAT: "FormatViolation",
    Fault.OCCURRENCE: "OccurrenceConstraintViolation",
    Fault.TYPE: "TypeConstraintViolation",
    Fault.PROPERTY: "PropertyConstraintViolation",
    Fault.ACTION_UNKNOWN: "NotImplemented",
    Fault.ACTION_NOT_OFFERED: "NotSupported",
    Fault.INTERNAL: "InternalError",
    Fault.PROTOCOL: "ProtocolError",
    Fault.SECURITY: "SecurityError",
    Fault.GENERIC: "GenericError",
}
