"""Options that more than one command has, each said once."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

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
UserArgument = Annotated[str, typer.Argument(metavar="USER", help="The user's id.")]
FirstName = Annotated[str, typer.Option("--first-name", help="First name.")]
LastName = Annotated[str, typer.Option("--last-name", help="Last name.")]
CODE_HELP = "A PIN as in #2468, or a card number in hex; - reads it from standard input."
Code = Annotated[
    str, typer.Option("--code", callback=_from_standard_input, metavar="CODE", help=CODE_HELP)
]
OptionalCode = Annotated[
    str | None,
    typer.Option("--code", callback=_from_standard_input, metavar="CODE", help=CODE_HELP),
]
Password = Annotated[
    str,
    typer.Option(
        "--password",
        callback=_from_standard_input,
        metavar="PASSWORD",
        help="The charger's password; - reads it from standard input.",
    ),
]
OcppIdentity = Annotated[
    str, typer.Option("--ocpp-identity", metavar="ID", help="The name the charger connects under.")
]
Type = Literal["pin", "rfid"]
Status = Literal["active", "inactive", "blocked"]
ValidUntil = Annotated[
    str | None,
    typer.Option(
        "--valid-until",
        metavar="YYYY-MM-DD",
        help="The last day it holds, in the installation's time zone.",
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most this many.")]
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
