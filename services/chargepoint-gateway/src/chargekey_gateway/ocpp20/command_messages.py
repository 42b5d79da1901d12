"""The messages of OCPP 2.0.1 and 2.1 with which this side has a charger do something."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from chargekey_gateway.ocpp20.messages import Evse, IdToken, Message, Natural

TRIGGERS = frozenset(
    {
        "BootNotification",
        "FirmwareStatusNotification",
        "Heartbeat",
        "LogStatusNotification",
        "MeterValues",
        "PublishFirmwareStatusNotification",
        "SignChargingStationCertificate",
        "SignCombinedCertificate",
        "SignV2GCertificate",
        "StatusNotification",
        "TransactionEvent",
    }
)


class AcceptedOrRejected(Message, frozen=True, kw_only=True):
    """The response of what is done or not."""

    status: Literal["Accepted", "Rejected"]


class ScheduledOrNot(Message, frozen=True, kw_only=True):
    """The response of what may have to wait for a transaction to end."""

    status: Literal["Accepted", "Rejected", "Scheduled"]


class RequestStartTransaction(Message, frozen=True, kw_only=True):
    """F01."""

    id_token: IdToken
    remote_start_id: int
    evse_id: Natural | None = None
    group_id_token: IdToken | None = None


class RequestStopTransaction(Message, frozen=True, kw_only=True):
    """F03; the transaction's own id is the charger's."""

    transaction_id: str


class ClearCache(Message, frozen=True):
    """C11."""


class GetLocalListVersion(Message, frozen=True):
    """D02."""


class GetLocalListVersionResponse(Message, frozen=True, kw_only=True):
    """D02; 0 where there is no list."""

    version_number: int


class ListedTokenInfo(Message, frozen=True, kw_only=True):
    """IdTokenInfoType, as a list says it."""

    status: str
    cache_expiry_date_time: str | None = None
    group_id_token: IdToken | None = None


class AuthorizationData(Message, frozen=True, kw_only=True):
    """D01; without information it is taken out of the list."""

    id_token: IdToken
    id_token_info: ListedTokenInfo | None = None


class SendLocalList(Message, frozen=True, kw_only=True):
    """D01; a full one without a list is an empty list."""

    version_number: int
    update_type: Literal["Differential", "Full"]
    local_authorization_list: tuple[AuthorizationData, ...] = ()


class SendLocalListResponse(Message, frozen=True, kw_only=True):
    """D01."""

    status: Literal["Accepted", "Failed", "VersionMismatch"]


class Component(Message, frozen=True, kw_only=True):
    """ComponentType: a part of the charger."""

    name: str
    instance: str | None = None


class Variable(Message, frozen=True, kw_only=True):
    """VariableType: something that can be set or read of a component."""

    name: str
    instance: str | None = None


class GetVariableData(Message, frozen=True, kw_only=True):
    """Which variable."""

    component: Component
    variable: Variable


class GetVariables(Message, frozen=True, kw_only=True):
    """B06."""

    get_variable_data: tuple[GetVariableData, ...]


class GetVariableResult(Message, frozen=True, kw_only=True):
    """A variable, or why not."""

    component: Component
    variable: Variable
    attribute_status: str
    attribute_value: str | None = None


class GetVariablesResponse(Message, frozen=True, kw_only=True):
    """B06."""

    get_variable_result: tuple[GetVariableResult, ...]


class SetVariableData(Message, frozen=True, kw_only=True):
    """Which variable, to what."""

    attribute_value: str
    component: Component
    variable: Variable


class SetVariables(Message, frozen=True, kw_only=True):
    """B05."""

    set_variable_data: tuple[SetVariableData, ...]


class SetVariableResult(Message, frozen=True, kw_only=True):
    """What came of one."""

    attribute_status: Literal[
        "Accepted",
        "Rejected",
        "UnknownComponent",
        "UnknownVariable",
        "NotSupportedAttributeType",
        "RebootRequired",
    ]


class SetVariablesResponse(Message, frozen=True, kw_only=True):
    """B05."""

    set_variable_result: Annotated[tuple[SetVariableResult, ...], Meta(min_length=1)]


class TriggerMessage(Message, frozen=True, kw_only=True):
    """F06."""

    requested_message: str
    evse: Evse | None = None


class TriggerMessageResponse(Message, frozen=True, kw_only=True):
    """F06."""

    status: Literal["Accepted", "Rejected", "NotImplemented"]


class Reset(Message, frozen=True, kw_only=True):
    """B11, B12."""

    type: Literal["Immediate", "OnIdle"]


class UnlockConnector(Message, frozen=True, kw_only=True):
    """F05."""

    evse_id: Natural
    connector_id: int


class UnlockConnectorResponse(Message, frozen=True, kw_only=True):
    """F05."""

    status: Literal["Unlocked", "UnlockFailed", "OngoingAuthorizedTransaction", "UnknownConnector"]


class ChangeAvailability(Message, frozen=True, kw_only=True):
    """G03, G04; without an EVSE it is the whole charger."""

    operational_status: Literal["Inoperative", "Operative"]
    evse: Evse | None = None
