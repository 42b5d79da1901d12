"""The `chargekey` command: what there is, and how errors leave it."""

from __future__ import annotations

import io
import sys

import typer
from grpc import aio

from chargekey_common.errors import ChargekeyError, UnavailableError
from chargekey_common.grpc.client import remote_error
from chargekey_stack import usage
from chargekey_stack.answers import show_error
from chargekey_stack.commands import (
    audit,
    authorize,
    charger,
    demo,
    events,
    identification,
    installation,
    permission,
    refusals,
    restored,
    sessions,
    simulate,
    up,
    user,
)

app = typer.Typer(
    name="chargekey",
    help="Who may charge an electric vehicle, where, with which card or PIN, and why.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
# In the order in which a person meets them.
for _each in (up, demo, installation, charger, user, identification, permission):
    app.add_typer(_each.app)
for _each in (authorize, sessions, refusals, events, simulate, audit, restored):
    app.add_typer(_each.app)

INTERRUPTED = 130

# What gRPC itself says when nobody answers is of no use to people.
_NOBODY_ANSWERS = frozenset({"unavailable", "deadline_exceeded"})


def main() -> None:
    """Run one command and exit: 0, 1 for an error, 2 for a command line nobody can read.

    130 after Ctrl-C, as shells count signals. Where nobody reads the answer to its end,
    the library exits with 1 and without a word.
    """
    as_json = "--json" in sys.argv
    _speak_any_character(as_json=as_json)
    if not _is_utf8(sys.argv):
        show_error("usage", "The command line is not UTF-8.", as_json=as_json)
        sys.exit(2)
    try:
        status = app(standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = "chargekey" if context is None else context.command_path
        # Without a message, help was shown in its place.
        if trouble := usage.trouble(error):
            show_error("usage", f"{trouble}. See `{command} --help`.", as_json=as_json)
        sys.exit(error.exit_code)
    except ChargekeyError as error:
        show_error(error.code, str(error), as_json=as_json)
        sys.exit(1)
    except aio.AioRpcError as refused:
        remote = remote_error(refused)
        silent = remote.code in _NOBODY_ANSWERS
        message = UnavailableError.sentence if silent else remote.message
        show_error(remote.code, message, as_json=as_json)
        sys.exit(1)
    except UnicodeError:
        show_error("usage", "Standard input is not UTF-8.", as_json=as_json)
        sys.exit(2)
    except typer.Abort:
        show_error("interrupted", "Interrupted.", as_json=as_json)
        sys.exit(INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _is_utf8(words: list[str]) -> bool:
    """Tell whether services can be sent this: Python makes surrogates of other bytes."""
    try:
        "".join(words).encode()
    except UnicodeEncodeError:
        return False
    return True


def _speak_any_character(*, as_json: bool) -> None:
    """JSON is UTF-8 (RFC 8259 §8.1); a terminal shows ? for what it has no character for."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            if as_json:
                stream.reconfigure(encoding="utf-8")
            else:
                stream.reconfigure(errors="replace")
