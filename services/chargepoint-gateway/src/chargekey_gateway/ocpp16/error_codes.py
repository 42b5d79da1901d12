"""How OCPP-J 1.6 §4.2.3 spells what is wrong with a call, its misspellings included."""

from __future__ import annotations

from chargekey_gateway.ocpp.frames import Fault

ERROR_CODES = {
    Fault.FRAME: "FormationViolation",
    Fault.FORMAT: "FormationViolation",
    Fault.OCCURRENCE: "OccurenceConstraintViolation",
    Fault.TYPE: "TypeConstraintViolation",
    Fault.PROPERTY: "PropertyConstraintViolation",
    Fault.ACTION_UNKNOWN: "NotImplemented",
    Fault.ACTION_NOT_OFFERED: "NotSupported",
    Fault.INTERNAL: "InternalError",
    Fault.PROTOCOL: "ProtocolError",
    Fault.SECURITY: "SecurityError",
    Fault.GENERIC: "GenericError",
}
