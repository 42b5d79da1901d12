"""The domain's words for the contracts' numbers: one table each, both ways."""

from __future__ import annotations

from typing import Any

from chargekey.access.v1 import (
    access_requests_pb2,
    chargers_pb2,
    decision_endpoints_pb2,
    installations_pb2,
    partners_pb2,
    permissions_pb2,
)
from chargekey.identity.v1 import identifications_pb2
from chargekey_access.domain.access_request import State as AccessRequestState
from chargekey_access.domain.events import (
    AuthenticationType,
    DecisionEndpointKind,
    IdentificationType,
    OnOperatorTimeout,
    OnViewBehind,
    Override,
    PartnerKind,
    Role,
    RunningSessions,
)

AUTHENTICATION_TYPES: dict[int, AuthenticationType] = {
    installations_pb2.AUTHENTICATION_TYPE_NATIVE: "NATIVE",
    installations_pb2.AUTHENTICATION_TYPE_EXTERNAL: "EXTERNAL",
}
RUNNING_SESSIONS: dict[int, RunningSessions] = {
    installations_pb2.RUNNING_SESSIONS_STOP: "STOP",
    installations_pb2.RUNNING_SESSIONS_FINISH: "FINISH",
}
ON_OPERATOR_TIMEOUT: dict[int, OnOperatorTimeout] = {
    installations_pb2.ON_OPERATOR_TIMEOUT_DENY: "DENY",
    installations_pb2.ON_OPERATOR_TIMEOUT_LAST_KNOWN: "LAST_KNOWN",
}
ON_VIEW_BEHIND: dict[int, OnViewBehind] = {
    installations_pb2.ON_VIEW_BEHIND_DENY: "DENY",
    installations_pb2.ON_VIEW_BEHIND_LAST_KNOWN: "LAST_KNOWN",
}
OVERRIDES: dict[int, Override] = {
    chargers_pb2.AUTHORISATION_OVERRIDE_INHERIT: "INHERIT",
    chargers_pb2.AUTHORISATION_OVERRIDE_REQUIRED: "REQUIRED",
    chargers_pb2.AUTHORISATION_OVERRIDE_NOT_REQUIRED: "NOT_REQUIRED",
}
ROLES: dict[int, Role] = {
    permissions_pb2.ROLE_OWNER: "OWNER",
    permissions_pb2.ROLE_USER: "USER",
    permissions_pb2.ROLE_SERVICE: "SERVICE",
    permissions_pb2.ROLE_OPERATOR: "OPERATOR",
}
TYPES: dict[int, IdentificationType] = {
    identifications_pb2.IDENTIFICATION_TYPE_RFID: "RFID",
    identifications_pb2.IDENTIFICATION_TYPE_PIN: "PIN",
    identifications_pb2.IDENTIFICATION_TYPE_APP: "APP",
    identifications_pb2.IDENTIFICATION_TYPE_VEHICLE_ID: "VEHICLE_ID",
    identifications_pb2.IDENTIFICATION_TYPE_SMS: "SMS",
    identifications_pb2.IDENTIFICATION_TYPE_CREDIT_CARD: "CREDIT_CARD",
}
PARTNER_KINDS: dict[int, PartnerKind] = {
    partners_pb2.PARTNER_KIND_SERVICE_PARTNER: "SERVICE_PARTNER",
    partners_pb2.PARTNER_KIND_PAYMENT_OPERATOR: "PAYMENT_OPERATOR",
}
ENDPOINT_KINDS: dict[int, DecisionEndpointKind] = {
    decision_endpoints_pb2.DECISION_ENDPOINT_KIND_OCPI: "OCPI",
    decision_endpoints_pb2.DECISION_ENDPOINT_KIND_OCPI_PLAIN: "OCPI_PLAIN",
    decision_endpoints_pb2.DECISION_ENDPOINT_KIND_WEBHOOK: "WEBHOOK",
}
ACCESS_REQUEST_STATE_NUMBERS: dict[AccessRequestState, Any] = {
    "WAITING": access_requests_pb2.ACCESS_REQUEST_STATE_WAITING,
    "APPROVED": access_requests_pb2.ACCESS_REQUEST_STATE_APPROVED,
    "DENIED": access_requests_pb2.ACCESS_REQUEST_STATE_DENIED,
    "WITHDRAWN": access_requests_pb2.ACCESS_REQUEST_STATE_WITHDRAWN,
    "EXPIRED": access_requests_pb2.ACCESS_REQUEST_STATE_EXPIRED,
}
AUTHENTICATION_TYPE_NUMBERS: dict[AuthenticationType, Any] = {
    word: number for number, word in AUTHENTICATION_TYPES.items()
}
RUNNING_SESSIONS_NUMBERS: dict[RunningSessions, Any] = {
    word: number for number, word in RUNNING_SESSIONS.items()
}
ON_OPERATOR_TIMEOUT_NUMBERS: dict[OnOperatorTimeout, Any] = {
    word: number for number, word in ON_OPERATOR_TIMEOUT.items()
}
ON_VIEW_BEHIND_NUMBERS: dict[OnViewBehind, Any] = {
    word: number for number, word in ON_VIEW_BEHIND.items()
}
OVERRIDE_NUMBERS: dict[Override, Any] = {word: number for number, word in OVERRIDES.items()}
ROLE_NUMBERS: dict[Role, Any] = {word: number for number, word in ROLES.items()}
TYPE_NUMBERS: dict[IdentificationType, Any] = {word: number for number, word in TYPES.items()}
ENDPOINT_KIND_NUMBERS: dict[DecisionEndpointKind, Any] = {
    word: number for number, word in ENDPOINT_KINDS.items()
}
PARTNER_KIND_NUMBERS: dict[PartnerKind, Any] = {
    word: number for number, word in PARTNER_KINDS.items()
}
