"""What the gateway can be told of its ports, security profiles and limits."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from chargekey_common.settings import load
from chargekey_gateway.ocpp.limits import Limits
from chargekey_gateway.settings import GatewaySettings

PREFIX = "CHARGEKEY_GATEWAY_"
NEEDED = {
    "DATA": "/data",
    "NATS_URL": "nats://x",
    "ACCOUNTS": "/accounts",
    "ACCOUNT_KEY_FILE": "/key",
    "KEYED_ID_SECRET_FILE": "/ids",
    "CHARGER_PASSWORD_SECRET_FILE": "/passwords",
    "ACCESS_ADDRESS": "access:1",
    "IDENTITY_ADDRESS": "identity:1",
}
TLS = {
    "OCPP_TLS_ADDRESS": "127.0.0.1:0",
    "OCPP_TLS_CERTIFICATE_FILE": "/tls.crt",
    "OCPP_TLS_KEY_FILE": "/tls.key",
}
CA = {"OCPP_CLIENT_CA_FILE": "/ca.crt"}


def told(monkeypatch: pytest.MonkeyPatch, **values: str) -> GatewaySettings:
    for name, value in (NEEDED | values).items():
        monkeypatch.setenv(PREFIX + name, value)
    return load(GatewaySettings)


@pytest.mark.parametrize(
    ("values", "allowed"),
    [
        ({}, {1}),
        (TLS, {1, 2}),
        (TLS | CA, {1, 2, 3}),
        ({"SECURITY_PROFILES": "0"}, {0}),
        ({"SECURITY_PROFILES": "0,1"}, {0, 1}),
        (TLS | {"SECURITY_PROFILES": "2"}, {2}),
        (TLS | CA | {"SECURITY_PROFILES": "2, 3"}, {2, 3}),
    ],
)
def test_profiles_are_those_that_are_possible_or_some_of_them(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], allowed: set[int]
) -> None:
    """O12 to O15: never 0 by default."""
    assert told(monkeypatch, **values).profiles.allowed == allowed


@pytest.mark.parametrize(
    "values",
    [
        {"SECURITY_PROFILES": ""},
        {"SECURITY_PROFILES": "4"},
        {"SECURITY_PROFILES": "-1"},
        {"SECURITY_PROFILES": "none"},
        {"SECURITY_PROFILES": "2"},
        TLS | {"SECURITY_PROFILES": "3"},
        TLS | {"SECURITY_PROFILES": "0,2"},
        TLS | {"SECURITY_PROFILES": "0"},
        *({name: TLS[name]} for name in TLS),
        {name: TLS[name] for name in list(TLS)[:2]},
        CA,
        TLS | {"OCPP_CLIENT_ORGANISATION": "Operator"},
        {"IDLE_TIMEOUT": "0"},
        {"PENDING_CALLS": "-1"},
        {"FAILURES_PER_ADDRESS": "-1"},
        {"MESSAGE_BURST": "many"},
    ],
)
def test_what_does_not_fit_together_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], values: dict[str, str]
) -> None:
    """O15: profile 0 never beside TLS."""
    with pytest.raises(SystemExit) as refused:
        told(monkeypatch, **values)
    assert refused.value.code == 2
    assert capsys.readouterr().err.startswith(PREFIX)


@pytest.mark.parametrize(
    ("values", "files"),
    [
        ({}, None),
        (TLS | {"SECURITY_PROFILES": "1"}, None),
        (TLS, (None, False)),
        (TLS | CA | {"SECURITY_PROFILES": "1,2"}, (None, False)),
        (TLS | CA, ("/ca.crt", False)),
        (TLS | CA | {"SECURITY_PROFILES": "3"}, ("/ca.crt", True)),
    ],
)
def test_certificates_are_asked_for_where_they_count_and_required_where_alone(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], files: tuple[str | None, bool] | None
) -> None:
    """O14."""
    found = told(monkeypatch, **values).ocpp_certificate_files
    if files is None:
        assert found is None
        return
    assert found is not None
    ca, required = files
    assert (found.client_ca, found.required) == (Path(ca) if ca else None, required)


def test_every_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """O10."""
    assert told(monkeypatch).limits == Limits()
    for number, name in enumerate(Limits.__struct_fields__, start=1001):
        changed = told(monkeypatch, **{name.upper(): str(number)}).limits
        monkeypatch.delenv(PREFIX + name.upper())
        assert changed == msgspec.structs.replace(Limits(), **{name: number})
