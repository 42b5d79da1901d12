"""What people have chargers do through `send` and `settings`, looked at as an attacker does.

O47: he serves one site, or operates it, and wants its cards or its chargers. Every action of
every version, with payloads that the official schemas allow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chargekey_gateway.commands import ChangeSetting, Outcome, ReadSettings, Result, Send
from chargekey_gateway.ocpp import not_for_here, redelivery
from chargekey_gateway.ocpp.kept_settings import ACCESS, CONNECTION, DELIVERY, why_kept
from chargekey_gateway.ocpp16 import boot_notification as boot16
from chargekey_gateway.ocpp20 import boot_notification as boot20
from chargekey_gateway.reconcile import charger_settings
from chargekey_gateway.view.entries import Charger, Installation

from .ends import ACTIONS, PLACES, TWO, VERSIONS, ChargerEnd, schema, variable

# Which of a version's actions nobody sends, whatever is in them.
NEVER = {
    "CertificateSigned": not_for_here.CERTIFICATES,
    "CustomerInformation": not_for_here.CUSTOMERS,
    "DeleteCertificate": not_for_here.CERTIFICATES,
    "GetDiagnostics": not_for_here.LOGS,
    "GetLog": not_for_here.LOGS,
    "InstallCertificate": not_for_here.CERTIFICATES,
    "PublishFirmware": not_for_here.FIRMWARE,
    "RemoteStartTransaction": not_for_here.CODES,
    "RequestBatterySwap": not_for_here.CODES,
    "RequestStartTransaction": not_for_here.CODES,
    "ReserveNow": not_for_here.CODES,
    "SendLocalList": not_for_here.LISTS,
    "SetNetworkProfile": not_for_here.NETWORK,
    "SignedUpdateFirmware": not_for_here.FIRMWARE,
    "UpdateFirmware": not_for_here.FIRMWARE,
}
each_action = pytest.mark.parametrize(
    ("version", "action"),
    [(version, action) for version in VERSIONS for action in sorted(ACTIONS[version])],
)


STRINGS = {"date-time": "2026-11-20T10:00:00Z", "uri": "https://evil.example/"}


class Example:
    """What a schema allows: the least of it, or (`whole`) every field but a vendor's own."""

    def __init__(self, document: dict[str, Any], *, whole: bool) -> None:
        self._document = document
        self._whole = whole

    def of(self, rule: dict[str, Any]) -> Any:
        if "$ref" in rule:
            rule = self._document["definitions"][rule["$ref"].rsplit("/", 1)[-1]]
        if "enum" in rule:
            return rule["enum"][0]
        match rule["type"]:
            case "object":
                required = rule.get("required", ())
                return {
                    name: self.of(inner)
                    for name, inner in rule.get("properties", {}).items()
                    if name in required or (self._whole and name != "customData")
                }
            case "array":
                return [self.of(rule["items"])] * rule.get("minItems", 1)
            case "string":
                return STRINGS.get(rule.get("format", ""), "x")
            case kind:
                least = min(rule.get("minimum", 1), rule.get("maximum", 1))
                return True if kind == "boolean" else least


def request(version: str, action: str, *, whole: bool = False) -> Any:
    document = schema(version, f"{action}{PLACES[version][1]}.json")
    return Example(document, whole=whole).of(document)


def response(version: str, action: str) -> Any:
    document = schema(version, f"{action}Response.json")
    return Example(document, whole=False).of(document)


@each_action
@pytest.mark.parametrize("whole", [False, True])
async def test_an_action_is_sent_or_it_is_said_why_not(
    new_end: Callable[..., ChargerEnd], version: str, action: str, *, whole: bool
) -> None:
    end = new_end(version)
    command = Send(action=action, payload=request(version, action, whole=whole))
    if action in NEVER:
        result = await end.carry_out(command)
        assert result == Result(outcome=Outcome.NOT_FOR_HERE, instead=NEVER[action])
        assert end.calls == []
    else:
        result = await end.carry_out(command, response(version, action))
        assert end.calls == [(action, command.payload)]
        assert not result.instead


def test_nothing_in_the_table_is_of_no_version() -> None:
    assert set().union(*ACTIONS.values()) >= NEVER.keys()


def tokens(rule: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether a schema has a place for what somebody presents."""
    if "$ref" in rule:
        rule = document["definitions"][rule["$ref"].rsplit("/", 1)[-1]]
    inner = rule.get("properties", {})
    named = any(name.lower() in {"idtag", "idtoken", "idtokens"} for name in inner)
    return named or any(
        tokens(each, document)
        for name, each in ({"items": rule["items"]} if "items" in rule else inner).items()
        if name != "customData"
    )


@each_action
def test_no_action_that_is_sent_has_a_place_for_somebodys_code(version: str, action: str) -> None:
    if action not in NEVER:
        document = schema(version, f"{action}{PLACES[version][1]}.json")
        assert not tokens(document, document)


async def test_codes_in_an_answer_are_not_told(new_end: Callable[..., ChargerEnd]) -> None:
    """R17: 2.1 tells for whom tariffs are; no other answer has a place for a code."""
    for version in VERSIONS:
        for action in ACTIONS[version] - NEVER.keys() - {"GetTariffs"}:
            document = schema(version, f"{action}Response.json")
            assert not tokens(document, document), action
    assignment = {"tariffId": "t", "tariffKind": "DriverTariff", "idTokens": ["04A1B2C3"]}
    for answer in (
        {"status": "Accepted", "tariffAssignments": [assignment]},
        {"status": "NoTariff"},
    ):
        result = await new_end("2.1").carry_out(
            Send(action="GetTariffs", payload={"evseId": 1}), answer
        )
        assert "04A1B2C3" not in str(result.payload)
        assert result.payload["status"] == answer["status"]


# Displays.


def message(form: str, **more: Any) -> dict[str, Any]:
    content = {"format": form, "content": "x"}
    return {"message": {"id": 1, "priority": "InFront", "message": content, **more}}


def tariff(form: str) -> dict[str, Any]:
    description = [{"format": "UTF8", "content": "x"}, {"format": form, "content": "x"}]
    return {"tariffId": "t", "currency": "EUR", "description": description}


EXTRA = [{"format": "QRCODE", "content": "x"}]
SHOWN = [
    *((version, "SetDisplayMessage", message("HTML"), False) for version in TWO),
    *((version, "SetDisplayMessage", message("URI"), False) for version in TWO),
    *((version, "SetDisplayMessage", message("UTF8"), True) for version in TWO),
    *(
        (
            version,
            "SetDisplayMessage",
            {**message("ASCII"), "customData": {"vendorId": "x", "format": ["HTML"]}},
            True,
        )
        for version in TWO
    ),
    ("2.1", "SetDisplayMessage", message("UTF8", messageExtra=EXTRA), False),
    ("2.1", "SetDefaultTariff", {"evseId": 0, "tariff": tariff("URI")}, False),
    ("2.1", "SetDefaultTariff", {"evseId": 0, "tariff": tariff("ASCII")}, True),
    ("2.1", "ChangeTransactionTariff", {"transactionId": "x", "tariff": tariff("HTML")}, False),
]


@pytest.mark.parametrize(("version", "action", "payload", "sent"), SHOWN)
async def test_a_display_shows_text_and_nobodys_page(
    new_end: Callable[..., ChargerEnd], version: str, action: str, payload: Any, *, sent: bool
) -> None:
    answers = [response(version, action)] if sent else []
    result = await new_end(version).carry_out(Send(action=action, payload=payload), *answers)
    assert result.instead == ("" if sent else not_for_here.PAGES)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("vendor", "sent"),
    [
        ("com.example", True),
        ("org.openchargealliance.costmsg", True),
        (" Org.OpenChargeAlliance.ISO15118PnC", False),
    ],
)
async def test_no_certificate_comes_in_the_disguise_of_a_vendors_own(
    new_end: Callable[..., ChargerEnd], version: str, vendor: str, *, sent: bool
) -> None:
    """OCPP 1.6 carries InstallCertificate and its like in DataTransfer, for plug and charge."""
    payload = {"vendorId": vendor, "messageId": "InstallCertificate", "data": "{}"}
    answers = [{"status": "Accepted"}] if sent else []
    result = await new_end(version).carry_out(
        Send(action="DataTransfer", payload=payload), *answers
    )
    assert result.instead == ("" if sent else not_for_here.CERTIFICATES)


# Settings.


def setting(version: str, name: str, value: str = "1") -> Send:
    if version == "1.6":
        return Send(action="ChangeConfiguration", payload={"key": name, "value": value})
    data = [variable("Harmless.Too", attributeValue="1"), variable(name, attributeValue=value)]
    return Send(action="SetVariables", payload={"setVariableData": data})


KEPT_16 = {
    CONNECTION: (
        "AuthorizationKey",
        "authorization_key ",
        "\uff30assword",
        "SecurityProfile ",
        "\u017fecurityProfile",
        "CpoName",
        "AdditionalRootCertificateCheck",
        "CentralSystemUrl",
        "BackOfficeName",
        "OcppAddress",
        "OcppServerHost2",
        "WifiPassword",
        "WiFi-SSID",
        "APN",
        "DiagnosticsUploadURI",
        "VendorKey1",
        "ChargeBoxId",
    ),
    ACCESS: (
        *charger_settings.wanted("1.6", Charger("c", Installation("i"))),
        "localpreauthorize",
        "FreeVendEnabled",
        "FreevendIdTag",
        "PlugAndChargeIdTag",
        "RFIDWhitelist",
        "ISO15118PnCEnabled",
    ),
    DELIVERY: ("TransactionMessageAttempts", "TransactionMessageRetryInterval"),
}
KEPT_20 = {
    CONNECTION: (
        "SecurityCtrlr.Anything",
        "securityctrlr.Identity",
        "SecurityCtrlr.BasicAuthPassword",
        "NetworkConfiguration:1.OcppCsmsUrl",
        "NetworkConfiguration:1.Anything",
        "OCPPCommCtrlr.NetworkConfigurationPriority",
        "OCPPCommCtrlr.ActiveNetworkProfile",
        "VendorCtrlr.WifiPassword",
        "VendorCtrlr.Wifi:Password",
        "WebPaymentsCtrlr.SharedSecret",
        "WebPaymentsCtrlr.URLTemplate",
        "ClockCtrlr.NtpServerUri",
    ),
    ACCESS: (
        *charger_settings.wanted("2.0.1", Charger("c", Installation("i"))),
        "AUTHCTRLR.Enabled",
        "AuthCtrlr.MasterPassGroupId",
        "AuthCtrlr:1.AdditionalInfoItemsPerMessage",
        "ISO15118Ctrlr.ContractValidationOffline",
    ),
    DELIVERY: (
        "OCPPCommCtrlr.MessageAttempts:TransactionEvent",
        "OCPPCommCtrlr.MessageAttemptInterval:TransactionEvent",
    ),
}
KEPT = [
    (version, why, name)
    for version in VERSIONS
    for why, names in (KEPT_16 if version == "1.6" else KEPT_20).items()
    for name in names
]


@pytest.mark.parametrize(("version", "why", "name"), KEPT)
async def test_a_setting_that_is_not_peoples_is_changed_by_neither_door(
    new_end: Callable[..., ChargerEnd], version: str, why: str, name: str
) -> None:
    """O15, O33: nor by any spelling."""
    refused = Result(outcome=Outcome.NOT_FOR_HERE, instead=why)
    assert await new_end(version).carry_out(setting(version, name)) == refused
    if name.strip().casefold() != "securityprofile":  # which may be raised
        assert await new_end(version).carry_out(ChangeSetting(name=name, value="1")) == refused


@pytest.mark.parametrize("value", ["wss://evil.example/ocpp", "203.0.113.7:8080/ocpp"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_the_address_of_another_server_is_set_under_no_name(
    new_end: Callable[..., ChargerEnd], version: str, value: str
) -> None:
    name = "Harmless" if version == "1.6" else "A.Harmless"
    refused = Result(outcome=Outcome.NOT_FOR_HERE, instead=CONNECTION)
    assert await new_end(version).carry_out(setting(version, name, value)) == refused
    assert await new_end(version).carry_out(ChangeSetting(name=name, value=value)) == refused


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_system_sets_what_it_wants_set(
    new_end: Callable[..., ChargerEnd], version: str
) -> None:
    """O33."""
    for name in charger_settings.wanted(version, Charger("c", Installation("i"))):
        end = new_end(version)
        set_ = {"attributeStatus": "Accepted"}
        parts = variable(name) if version != "1.6" else {}
        answer = {"setVariableResult": [{**parts, **set_}]} if parts else {"status": "Accepted"}
        result = await end.carry_out(ChangeSetting(name=name, value="true", ours=True), answer)
        assert result.accepted


def test_what_chargers_are_told_to_keep_is_what_nobody_changes() -> None:
    told: list[tuple[str, ...]] = []

    class Told:
        def call(self, message: Any, _: object) -> None:
            if hasattr(message, "key"):
                told.append((message.key,))
            else:
                told.extend(
                    (each.component.name, each.variable.name) for each in message.set_variable_data
                )

    boot16.configure(Told(), None, None)  # type: ignore[arg-type] # that is all it asks
    boot20.configure(Told(), None, None)  # type: ignore[arg-type]
    assert len(told) == 4
    assert {why_kept(names, str(redelivery.ATTEMPTS)) for names in told} == {DELIVERY}


@pytest.mark.parametrize(
    "name",
    [
        *("BlinkRepeat", "ClockAlignedDataInterval", "ConnectionTimeOut", "HeartbeatInterval"),
        *("ConnectorPhaseRotation", "LightIntensity", "MaxEnergy", "MeterValueSampleInterval"),
        *("MeterValuesSampledData", "MinimumStatusDuration", "ReserveConnectorZeroSupported"),
        *("ResetRetries", "StopTransactionOnEVSideDisconnect", "StopTxnAlignedData"),
        *("UnlockConnectorOnEVSideDisconnect", "WebSocketPingInterval"),
        *("AlignedDataCtrlr.SendDuringIdle", "ClockCtrlr.TimeZone", "DisplayMessageCtrlr.Language"),
        *("MonitoringCtrlr.Enabled", "OCPPCommCtrlr.HeartbeatInterval", "ReservationCtrlr.Enabled"),
        *("SampledDataCtrlr.TxUpdatedInterval", "SmartChargingCtrlr.Enabled"),
        *("TxCtrlr.EVConnectionTimeOut", "TxCtrlr.TxStartPoint", "TariffCostCtrlr.Currency"),
    ],
)
def test_what_keeps_a_charger_running_is_peoples_to_set(name: str) -> None:
    assert why_kept(name.split("."), "1") == ""


SECRETS_16 = (
    *("AuthorizationKey", "AUTHORIZATION KEY", "WifiPassword", "Wifi_Pwd", "SimPin", "ApiKey2"),
    *("MasterIdTag", "FreevendRFID", "Whitelist", "\uff30assword", "WifiPass", "AdminTag"),
    *("Auth-PlugAndChargeIdentifier", "FreeChargingId", "DefaultUserId1"),
)
SECRETS_20 = (
    *("SecurityCtrlr.BasicAuthPassword", "Vendor.WIFIPASSWORD", "Vendor.Login:Password"),
    *("WebPaymentsCtrlr.SharedSecret", "TokenReader.Token", "AuthCtrlr.MasterPassGroupId"),
    *("ConnectedEV.VehicleId", "NetworkConfiguration:1.VpnKey", "Vendor:Secrets.Value"),
)
SHOWN_16, SHOWN_20 = ("HeartbeatInterval", "MeterPublicKey1"), ("A.B", "FiscalMetering.PublicKey")
PASSWORD_IN_URL = "ftp://user:2468@files.example/"


@pytest.mark.parametrize("door", ["send", "settings"])
async def test_a_secret_is_told_by_no_charger_of_1_6_through_us(
    new_end: Callable[..., ChargerEnd], door: str
) -> None:
    """R17, and not the password by which it says who it is."""
    known = [
        *({"key": each, "readonly": False, "value": "1"} for each in SHOWN_16),
        *({"key": each, "readonly": True, "value": "#2468"} for each in SECRETS_16),
        {"key": "Upload", "readonly": False, "value": PASSWORD_IN_URL},
        {"key": "Empty", "readonly": False},
    ]
    command = (
        Send(action="GetConfiguration", payload={})
        if door == "send"
        else ReadSettings(names=("A",))
    )
    result = await new_end("1.6").carry_out(command, {"configurationKey": known})
    told = (
        {each["key"]: each.get("value", "") for each in result.payload["configurationKey"]}
        if door == "send"
        else result.settings
    )
    assert told == dict.fromkeys(SHOWN_16, "1") | {"Empty": ""}


@pytest.mark.parametrize("door", ["send", "settings"])
@pytest.mark.parametrize("version", TWO)
async def test_a_secret_is_told_by_no_charger_of_2_x_through_us(
    new_end: Callable[..., ChargerEnd], version: str, door: str
) -> None:
    """R17: of whatever component."""

    def found(name: str, value: str) -> dict[str, Any]:
        return variable(name, attributeStatus="Accepted", attributeValue=value)

    names = (*SHOWN_20, *SECRETS_20, "Vendor.Upload", "Vendor.Unknown")
    known = [
        *(found(each, "1") for each in SHOWN_20),
        *(found(each, "#2468") for each in SECRETS_20),
        found("Vendor.Upload", PASSWORD_IN_URL),
        variable("Vendor.Unknown", attributeStatus="UnknownVariable"),
    ]
    asked = {"getVariableData": [variable(each) for each in names]}
    command = (
        Send(action="GetVariables", payload=asked) if door == "send" else ReadSettings(names=names)
    )
    result = await new_end(version).carry_out(command, {"getVariableResult": known})
    assert "2468" not in str(result.payload) + str(result.settings)
    if door == "send":
        shown = {each["variable"]["name"] for each in result.payload["getVariableResult"]}
        assert shown == {"B", "PublicKey", "Unknown"}
    else:
        assert result.settings == dict.fromkeys(SHOWN_20, "1")
        # What the system sets it has to read, too.
        ours = ReadSettings(names=names, ours=True)
        read = await new_end(version).carry_out(ours, {"getVariableResult": known})
        assert read.settings[charger_settings.STOPPING_GROUP] == "#2468"
