"""Options that more than one command has, each said once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def _from_standard_input(value: str | None) -> str | None:
    """Read the line that `-` stands for, so that a secret stays out of the shell's history."""
    if value != "-":
        return value
    try:
        line = sys.stdin.readline().rstrip("\r\n")
        line.encode()  # in some locales, Python has made surrogates of other bytes
    except UnicodeError:
        trouble = "standard input is not UTF-8"
        raise typer.BadParameter(trouble) from None
    return line


Installation = Annotated[
    str, typer.Option("--installation", metavar="ID", help="The installation's id.")
]
OptionalInstallation = Annotated[
    str | None, typer.Option("--installation", metavar="ID", help="The installation's id.")
]
UsersInstallation = Annotated[
    str | None,
    typer.Option(
        "--installation",
        metavar="ID",
        help="The installation's id; a local user has only one, and needs none named.",
    ),
]
Charger = Annotated[
    str, typer.Option("--charger", metavar="CHARGER", help="The charger's OCPP identity.")
]
OptionalCharger = Annotated[
    str | None, typer.Option("--charger", metavar="CHARGER", help="The charger's OCPP identity.")
]
User = Annotated[str, typer.Option("--user", metavar="USER", help="The user's id.")]
OptionalUser = Annotated[str | None, typer.Option("--user", metavar="USER", help="The user's id.")]
OptionalPermission = Annotated[
    str | None, typer.Option("--permission", metavar="ID", help="The permission's id.")
]
OptionalPartner = Annotated[
    str | None, typer.Option("--partner", metavar="PARTNER", help="The partner's id.")
]
UserArgument = Annotated[str, typer.Argument(metavar="USER", help="The user's id.")]
FirstName = Annotated[str, typer.Option("--first-name", help="First name.")]
LastName = Annotated[str, typer.Option("--last-name", help="Last name.")]
Email = Annotated[
    str | None,
    typer.Option(
        "--email",
        callback=_from_standard_input,
        metavar="ADDRESS",
        help="The person's address; - reads it from standard input.",
    ),
]
PartnerKey = Annotated[
    str | None,
    typer.Option("--partner", metavar="KEY", help="The partner's lookup key, as in K7Q2."),
]
PartnerArgument = Annotated[str, typer.Argument(metavar="PARTNER", help="The partner's id.")]
InstallationArgument = Annotated[
    str, typer.Argument(metavar="INSTALLATION", help="The installation's id.")
]
ChargerArgument = Annotated[
    str, typer.Argument(metavar="CHARGER", help="The charger's OCPP identity.")
]
LinkToken = Annotated[
    str,
    typer.Option(
        "--token",
        callback=_from_standard_input,
        metavar="TOKEN",
        help="What the mailed link carries behind its #, or the whole link;"
        " - reads it from standard input.",
    ),
]
CODE_HELP = (
    "A PIN as in #2468, a card number in hex, or what the type says;"
    " - reads it from standard input."
)
Code = Annotated[
    str, typer.Option("--code", callback=_from_standard_input, metavar="CODE", help=CODE_HELP)
]
OptionalCode = Annotated[
    str | None,
    typer.Option("--code", callback=_from_standard_input, metavar="CODE", help=CODE_HELP),
]
OptionalPassword = Annotated[
    str | None,
    typer.Option(
        "--password",
        callback=_from_standard_input,
        metavar="PASSWORD",
        help="The charger's password; - reads it from standard input.",
    ),
]
OptionalOcppIdentity = Annotated[
    str | None,
    typer.Option("--ocpp-identity", metavar="ID", help="The name the charger connects under."),
]
OcppIdentity = Annotated[
    str, typer.Option("--ocpp-identity", metavar="ID", help="The name the charger connects under.")
]
Type = Literal["pin", "rfid", "vehicle-id", "sms", "credit-card"]
ScannedType = Literal["rfid", "vehicle-id", "credit-card"]
Status = Literal["active", "inactive", "blocked"]
ValidUntil = Annotated[
    str | None,
    typer.Option(
        "--valid-until",
        metavar="YYYY-MM-DD",
        help="The last day it holds, in the installation's time zone.",
    ),
]
Search = Annotated[
    str,
    typer.Option(
        "--search", metavar="TEXT", help="Those alone that this is in, however it is capitalised."
    ),
]
SearchArgument = Annotated[
    str,
    typer.Argument(
        callback=_from_standard_input,
        metavar="TEXT",
        help="Part of a name or an address; - reads it from standard input.",
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most this many.")]
Before = Annotated[
    str,
    typer.Option(
        "--before", metavar="CURSOR", help="Go on behind a list that was cut at its limit."
    ),
]
OcppPort = Annotated[
    int,
    typer.Option(
        "--ocpp-port",
        min=0,
        max=65535,
        metavar="PORT",
        help="Where chargers connect; 0 for any free port.",
    ),
]
PortalPort = Annotated[
    int,
    typer.Option(
        "--portal-port",
        min=0,
        max=65535,
        metavar="PORT",
        help="Where people find the portal; 0 for any free port.",
    ),
]
PartnersPort = Annotated[
    int,
    typer.Option(
        "--partners-port",
        min=0,
        max=65535,
        metavar="PORT",
        help="Where partners' programs read their feeds and speak OCPI; 0 for any free port.",
    ),
]
NatsPort = Annotated[
    int,
    typer.Option(
        "--nats-port",
        min=0,
        max=65535,
        metavar="PORT",
        help="Where partners' programs pull their feeds by NATS; 0 for any free port.",
    ),
]
Gateways = Annotated[
    int,
    typer.Option(
        "--gateways",
        min=1,
        max=16,
        metavar="NUMBER",
        help="How many processes share the port that chargers connect to: one a core, at most.",
    ),
]
OperatorsAnywhere = Annotated[
    bool,
    typer.Option(
        "--operators-anywhere",
        help="Call payment operators and webhooks without TLS and on this machine, too.",
    ),
]
Administrator = Annotated[
    str,
    typer.Option(
        "--administrator",
        metavar="ADDRESS",
        help="Whose address it is that may sign in and act as the administrator, and is mailed.",
    ),
]
KeepHistory = Annotated[
    int,
    typer.Option(
        "--keep-history",
        min=0,
        max=36_500,
        metavar="DAYS",
        help="How long sessions that have ended, and refusals, are kept; 0 for ever.",
    ),
]
OpenIdIssuer = Annotated[
    str | None,
    typer.Option(
        "--openid-issuer",
        metavar="URL",
        help="An OpenID Connect provider that people may sign in by, as it calls itself.",
    ),
]
OpenIdClientId = Annotated[
    str | None,
    typer.Option("--openid-client-id", metavar="ID", help="As what it knows this system."),
]
OpenIdClientSecretFile = Annotated[
    Path | None,
    typer.Option(
        "--openid-client-secret-file",
        exists=True,
        dir_okay=False,
        readable=True,
        resolve_path=True,
        metavar="FILE",
        help="Holds the secret that it gave this system, if it gave one.",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        callback=_from_standard_input,
        envvar="CHARGEKEY_STORE",
        show_envvar=True,
        metavar="URL",
        help="Keep everything in this PostgreSQL, as in postgresql://user:password@host/database;"
        " - reads it from standard input. Named once, the data directory remembers it.",
    ),
]


def carried(link: str) -> str:
    """Return the token of a link, which may be given alone."""
    return link.rpartition("#")[2].strip()


def given(**fields: str | None) -> dict[str, Any]:
    """Return what was given of the alternatives that a request has one field for each of."""
    return {name: value for name, value in fields.items() if value is not None}
