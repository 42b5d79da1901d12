"""The `chargekey` command: what there is, and how errors leave it."""

from __future__ import annotations

import functools
import io
import itertools
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Annotated, Any

import typer
from grpc import aio

from chargekey_common.errors import ChargekeyError, UnavailableError
from chargekey_common.grpc.client import remote_error
from chargekey_stack import usage
from chargekey_stack.answers import say, show_error
from chargekey_stack.commands import (
    access_request,
    audit,
    authorize,
    charger,
    demo,
    events,
    feed,
    history,
    identification,
    installation,
    invitation,
    login,
    mail,
    ocpi,
    partner,
    permission,
    refusals,
    restored,
    secrets,
    sessions,
    simulate,
    up,
    user,
    webhook,
    why,
)
from chargekey_stack.data_directory import VERSION

app = typer.Typer(
    name="chargekey",
    help="Who may charge an electric vehicle, where, with which card or PIN, and why.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
# In the order in which a person meets them.
for _each in (up, demo, installation, charger, user, identification, permission):
    app.add_typer(_each.app)
for _each in (invitation, partner, feed, ocpi, webhook, access_request, login, mail):
    app.add_typer(_each.app)
for _each in (authorize, sessions, refusals, why, events, simulate, history, audit, restored):
    app.add_typer(_each.app)
app.add_typer(secrets.app)

INTERRUPTED = 130
EMPTY_DATA = "Invalid value for '--data': it is empty."

# What gRPC itself says when nobody answers is of no use to people.
_NOBODY_ANSWERS = frozenset({"unavailable", "deadline_exceeded"})


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - as the library calls it
    if wanted:
        say(f"Chargekey {metadata.version('chargekey-stack')} (data directory: version {VERSION})")
        raise typer.Exit


@app.callback()
def _chargekey(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run one command and exit: 0, 1 for an error, 2 for a command line nobody can read.

    130 after Ctrl-C, as shells count signals. Where nobody reads the answer to its end,
    the library exits with 1 and without a word.
    """
    as_json = "--json" in sys.argv
    _open_what_is_closed()
    _speak_any_character(as_json=as_json)
    if not _is_utf8(sys.argv):
        show_error("usage", "The command line is not UTF-8.", as_json=as_json)
        sys.exit(2)
    if "--data=" in sys.argv or ("--data", "") in itertools.pairwise(sys.argv):
        # The library would take it for the current directory.
        show_error("usage", EMPTY_DATA, as_json=as_json)
        sys.exit(2)
    program = _program()
    try:
        status = program(standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = _command_path(program) if context is None else context.command_path
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
    except typer.Abort:
        show_error("interrupted", "Interrupted.", as_json=as_json)
        sys.exit(INTERRUPTED)
    if status == INTERRUPTED:
        show_error("interrupted", "Interrupted.", as_json=as_json)
    sys.exit(status if isinstance(status, int) else 0)


@functools.cache
def _program() -> Any:  # noqa: ANN401 - the library keeps the type to itself
    """Make all commands once, which takes longer than most of them do."""
    program = typer.main.get_command(app)
    _show_flags_without_type(program)
    return program


def _commands(command: Any) -> Iterator[Any]:  # noqa: ANN401 - as above
    yield command
    for each in getattr(command, "commands", {}).values():
        yield from _commands(each)


def _show_flags_without_type(program: Any) -> None:  # noqa: ANN401 - as above
    """Let help say `--json`, which takes no value, instead of `--json <bool>`."""
    for command in _commands(program):
        for parameter in command.get_params(typer.Context(command)):
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""


def _command_path(program: Any) -> str:  # noqa: ANN401 - as above
    """Return as much of the command line as names a command: all before it is no secret."""
    words = ["chargekey"]
    for word in sys.argv[1:]:
        program = getattr(program, "commands", {}).get(word)
        if program is None:
            break
        words.append(word)
    return " ".join(words)


def _open_what_is_closed() -> None:
    """Let an answer fail by name where standard output is closed, as in `>&-`.

    Whatever is opened next would have its number, too. Without a standard error,
    errors are told by the exit status alone.
    """
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for good, by its number
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for good


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
