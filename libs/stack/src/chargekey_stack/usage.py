"""What is wrong with a command line, in words that quote nothing of it.

The library's own words quote what was typed, and that may be a PIN or a password in
the wrong place. Names of options and commands are no secrets.
"""

from __future__ import annotations

import re

import typer

# The library's words about a value, as far as they say what it should be instead.
_CHOICES = re.compile(r".* is not (one of .*)", re.DOTALL)
_DEMAND = re.compile(r"Input (should be [a-z0-9 ]*).*", re.DOTALL)

# What the command line's own options say.
OUR_OWN = frozenset({"standard input is not UTF-8"})


def trouble(error: typer.TyperException) -> str:
    """Return what is wrong, as one sentence without its end; empty where help was shown."""
    text = error.format_message().strip()
    if not text or ("\n" in text and not text.startswith("Missing")):  # which may list its choices
        return ""  # the help of a group that was called without a command
    match error:
        case typer.BadParameter() if error.message:
            head = text.removesuffix(error.message.strip()).removesuffix(": ")
            return f"{head}: {_wanted(error.message)}"
        case _ if text.startswith("No such command"):
            return f"No such command; there are {', '.join(_commands(error))}"
        case _ if text.startswith(("Missing", "No such option", "Option ", "Argument ")):
            return text.removesuffix(".")
        case _ if text.startswith("Got unexpected extra argument"):
            return "There are more words than this command takes"
        case _:
            return "This command line cannot be understood"


def _wanted(detail: str) -> str:
    if choices := _CHOICES.fullmatch(detail):
        return f"it is not {choices[1].removesuffix('.')}"
    if demand := _DEMAND.fullmatch(detail):
        return f"it {demand[1].strip()}"
    return detail if detail in OUR_OWN else "it cannot be understood"


def _commands(error: typer.TyperException) -> list[str]:
    group = getattr(getattr(error, "ctx", None), "command", None)
    return list(getattr(group, "commands", {}))
