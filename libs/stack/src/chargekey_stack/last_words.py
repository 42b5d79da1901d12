"""Why a process ended, out of its log, for a person who is shown one line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import msgspec

READ = 64 * 1024
# Free bytes below which a process could not write down what happened.
FULL = 64 * 1024
NOTHING = "It said nothing"


def end_of(log: Path) -> int:
    """Return where a log ends now, for `last_words` of what comes."""
    return log.stat().st_size if log.exists() else 0


def last_words(log: Path, since: int = 0) -> str:
    """Return the last error since a place in the log, or its last line, and where to read on."""
    if shutil.disk_usage(log.parent).free < FULL:
        return f"The disk is full - its log: {log}"
    return f"{reason(log, since) or _last_line(log, since) or NOTHING} - its log: {log}"


def reason(log: Path, since: int = 0) -> str:
    """Return what the last error since a place in the log says to people, or nothing."""
    for line in reversed(_lines(log, since)):
        try:
            entry: Any = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        if isinstance(entry, dict) and entry.get("level") == "error":
            # Of an exception nobody foresaw, the last line names it.
            unforeseen = str(entry.get("exception", "")).strip().rpartition("\n")[2]
            return str(entry.get("reason") or unforeseen or entry.get("event"))
    return ""


def _last_line(log: Path, since: int) -> str:
    return next((line.strip() for line in reversed(_lines(log, since)) if line.strip()), "")


def _lines(log: Path, since: int) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(since, file.tell() - READ))
            return file.read().decode(errors="replace").split("\n")
    except FileNotFoundError:  # somebody has tidied up
        return []
