"""The processes of one system: what each is started with. One table, in starting order."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from chargekey_common.accounts import service_account
from chargekey_stack.data_directory import DataDirectory
from chargekey_stack.ports import ANY_FREE, HOST, Ports, Wanted

GRPC_SERVICES = ("access", "identity", "gateway", "history", "notifier")
ADMINISTRATOR_ADDRESS = "administrator@chargekey.example"
SENDER_ADDRESS = "chargekey@chargekey.example"

_PREFIX = "CHARGEKEY_"
_DATABASE = "POSTGRES_FILE"


class Addresses(msgspec.Struct, frozen=True):
    """Where everything listens, as `host:port`; `grpc` by service, `health` by process.

    Those of `gateways` share what chargers connect to, and what is called: the system gives each
    connection to one of those that listen.
    """

    ocpp: str
    http: str
    partners: str
    smtp: str
    grpc: Mapping[str, str]
    health: Mapping[str, str]
    gateways: Sequence[str] = ("gateway",)

    @classmethod
    def reserve(cls, ports: Ports, wanted: Wanted = ANY_FREE) -> Addresses:
        """Reserve a port for each; raises PortTakenError."""
        others = tuple(f"gateway-{number}" for number in range(2, wanted.gateways + 1))

        def address(port: int = 0) -> str:
            return f"{HOST}:{ports.reserve(port)}"

        return cls(
            ocpp=address(wanted.ocpp),
            http=address(wanted.portal),
            partners=address(wanted.partners),
            smtp=address(),
            grpc={name: address() for name in GRPC_SERVICES},
            health={name: address() for name in (*GRPC_SERVICES, *others, "portal")},
            gateways=("gateway", *others),
        )

    @property
    def ocpp_url(self) -> str:
        """Where chargers connect, before their identity."""
        return f"ws://{self.ocpp}/ocpp"


class OpenIdClient(msgspec.Struct, frozen=True):
    """How this system is registered with an OpenID Connect provider to sign in by."""

    issuer: str
    id: str
    # Holds what it proves that with, where it was given something.
    secret_file: Path | None = None


class Program(msgspec.Struct, frozen=True):
    """A process to run: how, and where it tells that it is ready."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    # Has tables to make before it starts.
    migrates: bool = False
    smtp: str | None = None
    health: str | None = None
    grpc: str | None = None


def programs(
    data: DataDirectory,
    addresses: Addresses,
    nats_url: str,
    *,
    postgres: Path | None = None,
    operators_anywhere: bool = False,
    keep_history: int = 0,
    administrator: str = ADMINISTRATOR_ADDRESS,
    openid: OpenIdClient | None = None,
) -> tuple[Program, ...]:
    """Return every process but NATS, which all of them need.

    `postgres` is the file with the URL of the database that they keep things in, if not in files;
    `operators_anywhere` is the gateway's setting of that name and the notifier's for partners,
    `keep_history` history's RETENTION_DAYS. `administrator` is the address of who may act as one,
    and who is mailed what concerns nobody else; `openid` is a provider that people may sign in by.
    """
    store: Mapping[str, Path] = {} if postgres is None else {_DATABASE: postgres}
    keyed_ids = {"KEYED_ID_SECRET_FILE": data.secret("keyed_ids")}
    charger_passwords = {"CHARGER_PASSWORD_SECRET_FILE": data.secret("charger_passwords")}
    access = {"ACCESS_ADDRESS": addresses.grpc["access"]}
    portal_url = f"http://{addresses.http}"
    identity = {"IDENTITY_ADDRESS": addresses.grpc["identity"]}
    settings: Mapping[str, Mapping[str, str | Path]] = {
        "access": {
            **charger_passwords,
            **identity,
            **store,
            "GATEWAY_ADDRESS": addresses.grpc["gateway"],
        },
        "identity": {
            **keyed_ids,
            **access,
            **store,
            "MASTER_KEY_FILE": data.secret("identity_master_key"),
            "ADMINISTRATORS": administrator,
            **_registered(openid, portal_url),
        },
        **{
            name: {
                **keyed_ids,
                **charger_passwords,
                **access,
                **identity,
                "OCPP_ADDRESS": addresses.ocpp,
                "OPERATORS_ANYWHERE": str(operators_anywhere),
                "SNAPSHOT_FILE": data.view(name),
            }
            for name in addresses.gateways
        },
        "history": {
            **access,
            **identity,
            **store,
            "GATEWAY_ADDRESS": addresses.grpc["gateway"],
            "RETENTION_DAYS": str(keep_history),
        },
        "notifier": {
            **access,
            **identity,
            **store,
            "SMTP_ADDRESS": addresses.smtp,
            "SENDER_ADDRESS": SENDER_ADDRESS,
            "ADMINISTRATOR_ADDRESS": administrator,
            "PORTAL_URL": portal_url,
            "GATEWAY_ADDRESS": addresses.grpc["gateway"],
            "HTTP_ADDRESS": addresses.partners,
            "PUBLIC_URL": f"http://{addresses.partners}",
            "PARTNERS_NATS_URL": nats_url,
            "NATS_ISSUER_FILE": data.nats_issuer(),
            "SECRET_FILE": data.secret("notifier"),
            "PARTNERS_ANYWHERE": str(operators_anywhere),
        },
    }
    port = addresses.smtp.rpartition(":")[2]
    sink = Program(
        "mail",
        (
            *(sys.executable, "-P", "-m", "chargekey_stack.mail_sink"),
            *(port, str(data.mail), nats_url, str(data.token("nats_token"))),
        ),
        _inherited(),
        smtp=addresses.smtp,
    )
    services = (
        _program(name, {**_every_service(name, data, nats_url), **own}, addresses)
        for name, own in settings.items()
    )
    # Keeps nothing: it gets no directory and no broker.
    portal: Mapping[str, str | Path] = {
        "HTTP_ADDRESS": addresses.http,
        "ACCOUNT_KEY_FILE": data.account(service_account("portal")),
        "SESSION_SECRET_FILE": data.secret("portal"),
        "CAUGHT_MAILS": data.mail,
        "OCPP_URL": addresses.ocpp_url,
        "OPENID": str(openid is not None),
        **{f"{name.upper()}_ADDRESS": address for name, address in addresses.grpc.items()},
    }
    return sink, *services, _program("portal", portal, addresses)


def _registered(openid: OpenIdClient | None, portal_url: str) -> Mapping[str, str | Path]:
    if openid is None:
        return {}
    secret = {} if openid.secret_file is None else {"OPENID_CLIENT_SECRET_FILE": openid.secret_file}
    return {
        "OPENID_ISSUER": openid.issuer,
        "OPENID_CLIENT_ID": openid.id,
        "OPENID_REDIRECT_URIS": f"{portal_url}/sign-in/openid/back",
        **secret,
    }


def _every_service(name: str, data: DataDirectory, nats_url: str) -> Mapping[str, str | Path]:
    return {
        "DATA": data.service(name),
        "NATS_URL": nats_url,
        "NATS_TOKEN_FILE": data.token("nats_token"),
        "ACCOUNTS": data.accounts,
        "ACCOUNT_KEY_FILE": data.account(service_account(_service(name))),
    }


def _service(name: str) -> str:
    """Return the service that a process is one of: gateway-2 is a gateway."""
    return name.partition("-")[0]


def _program(name: str, own: Mapping[str, str | Path], addresses: Addresses) -> Program:
    service = _service(name)
    grpc = addresses.grpc.get(service)
    settings: dict[str, str | Path] = {
        "HEALTH_ADDRESS": addresses.health[name],
        **({} if grpc is None else {"GRPC_ADDRESS": grpc}),
        **own,
    }
    prefix = f"{_PREFIX}{service.upper()}_"
    script = Path(sysconfig.get_path("scripts")) / f"chargekey-{service}"
    return Program(
        name,
        (sys.executable, str(script)),
        _inherited() | {prefix + key: str(value) for key, value in settings.items()},
        migrates=_DATABASE in own,
        health=addresses.health[name],
        grpc=grpc,
    )


def _inherited() -> dict[str, str]:
    """Return our environment without what services would take for settings of theirs."""
    return {key: value for key, value in os.environ.items() if not key.upper().startswith(_PREFIX)}
